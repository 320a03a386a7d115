//! The change that a run makes in a document. Input: a document and a [`Change`]. Output: the new document with its
//! [`Provenance`]. Error: a base document that is not valid.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Serialize;

use super::{
    Advertiser, Document, Origin, Provenance,
    credentials::{fingerprint, holds_list, tidy_tokens},
    field, json_text,
};
use crate::error::Error;

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

    /// Returns the token fields and the fields of the authorization, all of them absent.
    #[must_use]
    pub fn absent() -> Self {
        Self(field::TOKENS.iter().chain(&field::GRANT).map(|name| (*name, None)).collect())
    }

    /// Sets a field to JSON. `None` removes it from the document that the fields are put into.
    pub fn set(&mut self, name: &'static str, json: Option<SecretString>) {
        match self.0.iter_mut().find(|(field, _)| *field == name) {
            Some((_, old)) => *old = json,
            None => self.0.push((name, json)),
        }
    }

    /// Sets a field to a value.
    pub fn set_value(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) {
        self.set(name, Some(SecretString::from(json_text(value))));
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
            let (parent, fingerprint) = (parent.to_owned(), fingerprint(&document)?);
            let origin = Origin { parent, fingerprint, provenance: provenance.clone() };
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
