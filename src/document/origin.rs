//! The field `_refresh`: where the document's token pair stands in its chain, and the run that obtained it.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Credentials, Fingerprint, whole_seconds};

/// The number of earlier pairs that a document lists, about one kilobyte. It covers a week of two refreshes a day, in
/// which a pair that a person pastes again is recognized. The root is recognized at any age.
const MAX_LINEAGE: usize = 16;

/// The field `_refresh`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// The version that was AWSCURRENT before this document.
    pub parent: String,
    /// The fingerprint of the pair in this document. If it differs, a person wrote other tokens, and this field does
    /// not count.
    pub fingerprint: Fingerprint,
    #[serde(flatten)]
    pub provenance: Provenance,
}

/// The position of a token pair in its chain, and the run that obtained it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Provenance {
    /// The first pair of the chain.
    pub root: Fingerprint,
    /// The number of pairs before this one in the chain.
    pub place: u32,
    /// The pairs directly before this one, oldest first.
    #[serde(deserialize_with = "fingerprints")]
    pub lineage: Vec<Fingerprint>,
    /// The pair whose refresh token was redeemed. `None` after an exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redeemed: Option<Fingerprint>,
    /// True if TikTok reported an error beside the pair.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubtful: bool,
    /// Increases with each authorization and with each roll-back to an earlier one. The highest number counts.
    pub authorization: u64,
    /// The auth code, if this function exchanged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Fingerprint>,
    /// The request id of the run that obtained the pair.
    pub run: String,
    /// The time of the request to TikTok.
    pub at: Timestamp,
}

impl Provenance {
    /// Creates the provenance of a pair after `end`, the end of the chain. It belongs to the grant of `grant`.
    #[must_use]
    pub fn renewed(end: &Credentials, grant: &Credentials, authorization: u64, run: &str, at: Timestamp) -> Self {
        let code = grant.provenance().and_then(|known| known.code.clone());
        Self { redeemed: Some(grant.fingerprint.clone()), code, ..Self::after(end, authorization, run, at) }
    }

    /// Creates the provenance of a pair after `end` that was exchanged for an auth code.
    #[must_use]
    pub fn authorized(end: &Credentials, authorization: u64, code: Fingerprint, run: &str, at: Timestamp) -> Self {
        Self { code: Some(code), ..Self::after(end, authorization, run, at) }
    }

    /// Creates the provenance of a pair that keeps its position.
    #[must_use]
    pub fn unmoved(pair: &Credentials, authorization: u64, run: &str, at: Timestamp) -> Self {
        let first = Self::new((pair.fingerprint.clone(), 0, Vec::new()), authorization, run, at);
        match pair.provenance() {
            Some(known) => Self { authorization, run: first.run, at: first.at, ..known.clone() },
            None => first,
        }
    }

    fn after(end: &Credentials, authorization: u64, run: &str, at: Timestamp) -> Self {
        let lineage = end.lineage();
        let oldest = (lineage.len() + 1).saturating_sub(MAX_LINEAGE);
        let lineage = lineage[oldest..].iter().chain([&end.fingerprint]).cloned().collect();
        Self::new((end.root().clone(), end.place().saturating_add(1), lineage), authorization, run, at)
    }

    fn new(
        (root, place, lineage): (Fingerprint, u32, Vec<Fingerprint>),
        authorization: u64,
        run: &str,
        at: Timestamp,
    ) -> Self {
        let (run, at) = (run.to_owned(), whole_seconds(at));
        Self { root, place, lineage, redeemed: None, doubtful: false, authorization, code: None, run, at }
    }
}

/// Returns those of a list that are fingerprints.
fn fingerprints<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Fingerprint>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    Ok(texts.into_iter().filter_map(|text| Fingerprint::try_from(text).ok()).collect())
}
