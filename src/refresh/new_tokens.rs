//! New tokens on their way from TikTok's answer into the secret.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{
    OutcomeKind,
    chain::Chain,
    check::{Checked, sorted},
    outcome::AdvertiserUpdate,
    version::Version,
    work::Work,
};
use crate::{
    authorize::AuthCode,
    document::{
        Advertiser, Change, Credentials, Document, Fingerprint, Flow, Provenance, TokenFields, field, fit,
        whole_seconds,
    },
    error::Error,
    transport::TokenSet,
};

/// The tokens of an answer, and what makes a successor of them.
pub(crate) struct NewTokens {
    pub fields: TokenFields,
    /// The advertisers that the answer names, if it names any.
    granted: Option<Vec<Advertiser>>,
    pub kind: OutcomeKind,
    /// The pair that was sent.
    sent: Credentials,
    /// The auth code that was exchanged, if one was.
    code: Option<Fingerprint>,
    authorization: u64,
    /// True if TikTok reported an error beside them.
    doubtful: bool,
    request_id: String,
    /// When TikTok was asked for them.
    pub at: Timestamp,
}

impl NewTokens {
    /// The tokens that TikTok gave for `tip`, or for an auth code.
    pub fn of(
        (current, work): (&Version, Work<'_>),
        chain: &Chain,
        tip: &Version,
        answer: &TokenSet,
        now: Timestamp,
        request_id: &str,
    ) -> Self {
        let (fields, granted, code, authorization, kind) = match work {
            Work::Exchange(code) => (
                fields_of_grant(answer, code),
                granted_list(answer, &current.credentials.advertisers),
                Some(code.fingerprint.clone()),
                chain.next_authorization(now),
                OutcomeKind::Authorized,
            ),
            Work::Refresh(_) | Work::Rotation => {
                (fields_of_refresh(answer, tip), None, None, chain.authorization_of(tip), OutcomeKind::Refreshed)
            }
        };
        let (sent, request_id, at) = (tip.credentials.clone(), request_id.to_owned(), answer.asked_at);
        let doubtful = answer.reported_error.is_some();
        Self { fields, granted, kind, sent, code, authorization, doubtful, request_id, at }
    }

    /// The document that follows `end` in the chain.
    ///
    /// It takes the known list as checked. Where the list has not changed, the staged version is promoted as it is.
    ///
    /// # Errors
    /// When the document does not fit into a secret, or a person has broken it.
    pub fn document(&self, current: &Version, end: &Version) -> Result<Document, Error> {
        let expected = self.granted.clone().or_else(|| known_list(&current.credentials));
        let change = Change {
            tokens: Some((self.fields.clone(), self.provenance(end))),
            list: expected.map(|list| (list, self.at)),
        };
        Ok(fit(change.apply(&current.document, &current.id)?)?.0)
    }

    /// The advertiser list after the check of these tokens.
    ///
    /// # Errors
    /// The rejection, if TikTok rejects the access token.
    pub fn update(&self, current: &Version, checked: Checked) -> Result<AdvertiserUpdate, Error> {
        match self.kind {
            OutcomeKind::Authorized => AdvertiserUpdate::of_authorization(checked, self.granted.clone()),
            _ => AdvertiserUpdate::of(&current.credentials, checked),
        }
    }

    /// The provenance of these tokens behind `end`.
    pub fn provenance(&self, end: &Version) -> Provenance {
        let end = &end.credentials;
        let provenance = match self.code.clone() {
            Some(code) => {
                // Newer than everything before it, also than what another run has appended meanwhile.
                let authorization = self.authorization.max(end.authorization().saturating_add(1));
                Provenance::authorized(end, authorization, code, &self.request_id, self.at)
            }
            None => Provenance::renewed(end, &self.sent, self.authorization, &self.request_id, self.at),
        };
        Provenance { doubtful: self.doubtful, ..provenance }
    }

    /// The provenance of a pair that keeps its place in the chain.
    pub fn unmoved(&self, pair: &Credentials) -> Provenance {
        let unmoved = Provenance::unmoved(pair, self.authorization, &self.request_id, self.at);
        Provenance { code: self.code.clone().or(unmoved.code), ..unmoved }
    }
}

fn known_list(credentials: &Credentials) -> Option<Vec<Advertiser>> {
    // An account holder's list is not fetched, so it keeps its time.
    let is_listed = credentials.flow != Flow::TtUser && !credentials.advertisers.is_empty();
    is_listed.then(|| credentials.advertisers.clone())
}

/// The token fields after a refresh of `holder`.
fn fields_of_refresh(answer: &TokenSet, holder: &Version) -> TokenFields {
    let mut fields = TokenFields::of(&holder.document);
    // A refresh does not extend the grant. A time that belongs to other tokens is void.
    if holder.credentials.refresh_token_expires_at.is_none() {
        fields.set(field::REFRESH_TOKEN_EXPIRES_AT, None);
    }
    if holder.credentials.authorized_at.is_none() {
        fields.set(field::AUTHORIZED_AT, None);
    }
    put_answer(answer, &mut fields);
    fields
}

/// The token fields of a new grant. They keep nothing of the grant before it.
fn fields_of_grant(answer: &TokenSet, code: &AuthCode) -> TokenFields {
    let mut fields = TokenFields::absent();
    put_answer(answer, &mut fields);
    fields.set_value(field::AUTHORIZED_AT, &whole_seconds(answer.asked_at));
    fields.set_value(field::REDIRECT_URI, &code.redirect_uri);
    // Only the answer says whether the app gets a refresh token.
    fields.set_value(field::FLOW, &if answer.refresh_token.is_some() { code.flow } else { Flow::LongTerm });
    fields
}

fn put_answer(answer: &TokenSet, fields: &mut TokenFields) {
    let end = |lifetime: Option<Duration>| {
        let end = answer.asked_at.checked_add(lifetime?).ok()?;
        Some(whole_seconds(end))
    };
    fields.set_value(field::ACCESS_TOKEN, answer.access_token.expose_secret());
    fields.set(field::ACCESS_TOKEN_EXPIRES_AT, None);
    if let Some(end) = end(answer.expires_in) {
        fields.set_value(field::ACCESS_TOKEN_EXPIRES_AT, &end);
    }
    if let Some(end) = end(answer.refresh_token_expires_in) {
        fields.set_value(field::REFRESH_TOKEN_EXPIRES_AT, &end);
    }
    fields.set_value(field::REFRESHED_AT, &whole_seconds(answer.asked_at));
    if let Some(token) = &answer.refresh_token {
        fields.set_value(field::REFRESH_TOKEN, token.expose_secret());
    }
    if let Some(scope) = &answer.scope {
        fields.set(field::SCOPE, Some(SecretString::from(scope.clone())));
    }
    if let Some(open_id) = &answer.open_id {
        fields.set_value(field::OPEN_ID, open_id);
    }
}

/// The advertisers that an answer names, with their known names. `None` if it names none.
fn granted_list(answer: &TokenSet, known: &[Advertiser]) -> Option<Vec<Advertiser>> {
    let named = |id: &String| {
        let known = known.iter().find(|advertiser| advertiser.id == *id).cloned();
        known.unwrap_or_else(|| Advertiser::new(id.clone(), None))
    };
    let list: Vec<_> = answer.advertiser_ids.iter().map(named).collect();
    (!list.is_empty()).then(|| sorted(list))
}
