use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    Advertiser, Document, Fingerprint, Origin,
    credentials::{Credentials, holds_list, tidy_tokens},
    field,
};
use crate::error::Error;

/// How far back a document remembers its ancestors. A console edit that brings old tokens back is healed by following
/// them; sixteen are more than two weeks of daily refreshes, and about a kilobyte.
const MAX_LINEAGE: usize = 16;

/// The fields that travel together with a pair of tokens, each as JSON text or absent.
#[derive(Clone, Debug)]
pub struct TokenFields(Vec<(&'static str, Option<SecretString>)>);

impl TokenFields {
    /// The token fields of a document.
    #[must_use]
    pub fn of(document: &Document) -> Self {
        Self::named(&field::TOKENS, document)
    }

    /// The token fields of a document, and what its authorisation decided beside them.
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

/// Who redeemed what to get the tokens of a change.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// The fingerprints redeemed to get here, oldest first.
    pub lineage: Vec<Fingerprint>,
    /// The request id of the run that redeemed.
    pub run: String,
    pub at: Timestamp,
    /// Whether a person has just authorised the app: these tokens take the place of any others.
    pub authorizes: bool,
    /// As in [`Origin`].
    pub grant: Option<String>,
}

impl Provenance {
    /// The provenance of a pair that was made by redeeming the pair of `spent`.
    #[must_use]
    pub fn after(spent: &Credentials, run: &str, at: Timestamp) -> Self {
        let mut lineage: Vec<_> = spent.lineage().collect();
        lineage.push(spent.fingerprint.clone());
        let surplus = lineage.len().saturating_sub(MAX_LINEAGE);
        lineage.drain(..surplus);
        let grant = spent.origin.as_ref().and_then(|origin| origin.grant.clone());
        Self { lineage, run: run.to_owned(), at, authorizes: false, grant }
    }

    /// The provenance of tokens that a document holds; none of tokens that a person put there.
    #[must_use]
    pub fn of(credentials: &Credentials) -> Option<Self> {
        let Origin { run, at, grant, .. } = credentials.origin.clone()?;
        Some(Self { lineage: credentials.lineage().collect(), run, at, authorizes: false, grant })
    }
}

/// What a run has to say about a document: its own fields, and nothing else.
///
/// Applying it to whatever is AWSCURRENT by then is both the ordinary way to make the next document and the rebase: a
/// person's fields come from the base, the function's from the change.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// A new pair of tokens, with what came beside it.
    pub tokens: Option<(TokenFields, Provenance)>,
    /// The list of advertisers, and when it was fetched.
    pub list: Option<(Vec<Advertiser>, Timestamp)>,
}

impl Change {
    /// The document that this change makes of `base`, which is version `parent`.
    ///
    /// # Errors
    /// `InvalidSecret` if a person has broken the base meanwhile.
    pub fn apply(&self, base: &Document, parent: &str) -> Result<Document, Error> {
        let mut document = base.clone();
        tidy_tokens(&mut document)?;
        if let Some((advertisers, fetched_at)) = &self.list {
            // A list that is there already stays as it is, with its names or reduced to ids.
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
                fingerprint: Credentials::of(&document)?.fingerprint.as_str().to_owned(),
                lineage: provenance.lineage.iter().map(|ancestor| ancestor.as_str().to_owned()).collect(),
                run: provenance.run.clone(),
                at: whole_seconds(provenance.at),
                grant: provenance.grant.clone(),
            };
            document.set_value(field::ORIGIN, &origin);
        }
        Ok(document)
    }
}

/// Times in documents are for people and for comparisons by the hour: whole seconds, rounded down, so that a token never
/// seems to live longer than it does.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
