//! The change that a run makes in a document. Input: a document and a [`Change`]. Output: the new document with its
//! [`Provenance`]. Error: a base document that is not valid.

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    Advertiser, Document, Fingerprint, Origin,
    credentials::{Credentials, fingerprint, holds_list, tidy_tokens},
    field,
};
use crate::error::Error;

/// The number of earlier pairs that a document lists, about one kilobyte. It covers a week of two refreshes a day, in
/// which a pair that a person pastes again is recognized. The root is recognized at any age.
const MAX_LINEAGE: usize = 16;

/// The fields of a token pair, as JSON. Absent fields are `None`.
#[derive(Clone, Debug)]
pub struct TokenFields(Vec<(&'static str, Option<SecretString>)>);

impl TokenFields {
    /// Returns the token fields of a document.
    #[must_use]
    pub fn of(document: &Document) -> Self {
        Self::named(&field::TOKENS, document)
    }

    /// Returns the token fields and the fields of the authorization.
    #[must_use]
    pub fn of_new_grant(document: &Document) -> Self {
        let mut fields = Self::of(document);
        fields.0.extend(Self::named(&field::GRANT, document).0);
        fields
    }

    fn named(names: &[&'static str], document: &Document) -> Self {
        Self(names.iter().map(|name| (*name, document.get(name).cloned())).collect())
    }

    fn put_into(&self, document: &mut Document) {
        for (name, json) in &self.0 {
            document.set(name, json.clone());
        }
    }
}

/// The position of a token pair in its chain, and the run that obtained it.
#[derive(Clone, Debug)]
pub struct Provenance {
    root: String,
    place: u32,
    lineage: Vec<Fingerprint>,
    redeemed: Option<String>,
    doubtful: bool,
    authorization: u64,
    code: Option<String>,
    run: String,
    at: Timestamp,
}

impl Provenance {
    /// Creates the provenance of a pair after `end`, the end of the chain. It belongs to the grant of `grant`.
    #[must_use]
    pub fn renewed(end: &Credentials, grant: &Credentials, authorization: u64, run: &str, at: Timestamp) -> Self {
        let code = grant.origin.as_ref().and_then(|origin| origin.code.clone());
        let redeemed = Some(grant.fingerprint.as_str().to_owned());
        Self { redeemed, code, ..Self::after(end, authorization, run, at) }
    }

    /// Creates the provenance of a pair after `end` that was exchanged for the auth code with the fingerprint `code`.
    #[must_use]
    pub fn authorized(end: &Credentials, authorization: u64, code: &Fingerprint, run: &str, at: Timestamp) -> Self {
        Self { code: Some(code.as_str().to_owned()), ..Self::after(end, authorization, run, at) }
    }

    /// Creates the provenance of a pair that keeps its position.
    #[must_use]
    pub fn unmoved(pair: &Credentials, authorization: u64, run: &str, at: Timestamp) -> Self {
        Self {
            root: pair.root().to_owned(),
            place: pair.place(),
            lineage: pair.lineage().collect(),
            redeemed: pair.origin.as_ref().and_then(|origin| origin.redeemed.clone()),
            doubtful: pair.is_doubtful(),
            authorization,
            code: pair.origin.as_ref().and_then(|origin| origin.code.clone()),
            run: run.to_owned(),
            at,
        }
    }

    /// Returns the provenance of the pair in a document. `None` if a person wrote the pair.
    #[must_use]
    pub fn of(pair: &Credentials) -> Option<Self> {
        let origin = pair.origin.as_ref()?;
        Some(Self::unmoved(pair, origin.authorization, &origin.run, origin.at))
    }

    /// Sets whether TikTok reported an error beside the pair.
    #[must_use]
    pub fn doubtful(self, doubtful: bool) -> Self {
        Self { doubtful, ..self }
    }

    /// Sets the auth code that the pair was exchanged for.
    #[must_use]
    pub fn with_code(self, code: &Fingerprint) -> Self {
        Self { code: Some(code.as_str().to_owned()), ..self }
    }

    fn after(end: &Credentials, authorization: u64, run: &str, at: Timestamp) -> Self {
        let mut lineage: Vec<_> = end.lineage().collect();
        lineage.push(end.fingerprint.clone());
        let surplus = lineage.len().saturating_sub(MAX_LINEAGE);
        lineage.drain(..surplus);
        let (root, place) = (end.root().to_owned(), end.place().saturating_add(1));
        Self {
            root,
            place,
            lineage,
            redeemed: None,
            doubtful: false,
            authorization,
            code: None,
            run: run.to_owned(),
            at,
        }
    }
}

/// The fields that a run changes in a document.
///
/// The run applies the change to the version with AWSCURRENT. After a conflict it applies the same change to the newer
/// version, which is the rebase. A person's fields come from the base, the function's from the change.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The new token pair.
    pub tokens: Option<(TokenFields, Provenance)>,
    /// The advertiser list and its time.
    pub list: Option<(Vec<Advertiser>, Timestamp)>,
}

impl Change {
    /// Applies the change to `base`, whose version id is `parent`.
    ///
    /// # Errors
    /// `InvalidSecret` if a person made the base invalid.
    pub fn apply(&self, base: &Document, parent: &str) -> Result<Document, Error> {
        let mut document = base.clone();
        tidy_tokens(&mut document)?;
        if let Some((advertisers, fetched_at)) = &self.list {
            // If the list is unchanged, its fields stay as they are, with or without names.
            if !holds_list(base, advertisers) {
                let ids: Vec<_> = advertisers.iter().map(|advertiser| &advertiser.id).collect();
                document.set_value(field::ADVERTISER_IDS, &ids);
                document.set_value(field::ADVERTISERS, advertisers);
            }
            document.set_value(field::ADVERTISERS_FETCHED_AT, &whole_seconds(*fetched_at));
        }
        if let Some((tokens, provenance)) = &self.tokens {
            tokens.put_into(&mut document);
            tidy_tokens(&mut document)?;
            let origin = Origin {
                parent: parent.to_owned(),
                fingerprint: fingerprint(&document)?.as_str().to_owned(),
                root: provenance.root.clone(),
                place: provenance.place,
                lineage: provenance.lineage.iter().map(|ancestor| ancestor.as_str().to_owned()).collect(),
                redeemed: provenance.redeemed.clone(),
                doubtful: provenance.doubtful,
                authorization: provenance.authorization,
                code: provenance.code.clone(),
                run: provenance.run.clone(),
                at: whole_seconds(provenance.at),
            };
            document.set_value(field::ORIGIN, &origin);
        }
        Ok(document)
    }
}

/// Rounds a time down to whole seconds, as documents store it. Rounded down, a token never seems to live longer than it
/// does.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
