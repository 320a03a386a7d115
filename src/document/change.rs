use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    Advertiser, Document, Fingerprint, Origin,
    credentials::{Credentials, fingerprint, holds_list, tidy_tokens},
    field,
};
use crate::error::Error;

/// How many pairs before its own a document remembers. With them a pair that a person brings back without `_refresh` is
/// recognized for two weeks of daily refreshes; they take about a kilobyte. The root is recognized for ever.
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

    /// The token fields of a document, and what its authorization decided beside them.
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

/// The place of a token pair in its chain, and the run that obtained it.
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
    /// Of a pair that follows `end` in the chain and belongs to the same grant as `grant`.
    #[must_use]
    pub fn renewed(end: &Credentials, grant: &Credentials, authorization: u64, run: &str, at: Timestamp) -> Self {
        let code = grant.origin.as_ref().and_then(|origin| origin.code.clone());
        let redeemed = Some(grant.fingerprint.as_str().to_owned());
        Self { redeemed, code, ..Self::after(end, authorization, run, at) }
    }

    /// Of a pair that follows `end` in the chain and was exchanged for an auth code.
    #[must_use]
    pub fn authorized(end: &Credentials, authorization: u64, code: &Fingerprint, run: &str, at: Timestamp) -> Self {
        Self { code: Some(code.as_str().to_owned()), ..Self::after(end, authorization, run, at) }
    }

    /// Of a pair that stays where it is, whatever TikTok or a person has decided about it since.
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

    /// Of the pair that a document holds; none of a pair that a person put there.
    #[must_use]
    pub fn of(pair: &Credentials) -> Option<Self> {
        let origin = pair.origin.as_ref()?;
        Some(Self::unmoved(pair, origin.authorization, &origin.run, origin.at))
    }

    /// The same of a pair beside which TikTok reported an error, if it did.
    #[must_use]
    pub fn doubtful(self, doubtful: bool) -> Self {
        Self { doubtful, ..self }
    }

    /// The same pair, exchanged for that auth code.
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

/// Times in documents are for people and for comparisons by the hour: whole seconds, rounded down, so that a token never
/// seems to live longer than it does.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
