//! New tokens on their way from TikTok's answer into the secret.

use jiff::Timestamp;

use super::{
    OutcomeKind, chain::Chain, check::Checked, outcome::AdvertiserUpdate, redeem::Redeemed, version::Version,
    work::Work,
};
use crate::{
    document::{Advertiser, Change, Credentials, Document, Fingerprint, Flow, Provenance, TokenFields, fit},
    error::Error,
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
        redeemed: &Redeemed,
        now: Timestamp,
        request_id: &str,
    ) -> Self {
        let (fields, granted, code, authorization, kind) = match work {
            Work::Exchange(code) => (
                redeemed.new_grant_fields(current, code.flow, &code.redirect_uri),
                redeemed.granted_list(&current.credentials.advertisers),
                Some(code.fingerprint.clone()),
                chain.next_authorization(now),
                OutcomeKind::Authorized,
            ),
            Work::Refresh(_) | Work::Rotation => {
                (redeemed.token_fields(tip), None, None, chain.authorization_of(tip), OutcomeKind::Refreshed)
            }
        };
        let (sent, request_id, at) = (tip.credentials.clone(), request_id.to_owned(), redeemed.asked_at);
        let doubtful = redeemed.tokens.reported_error.is_some();
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
        let provenance = match &self.code {
            Some(code) => {
                // Newer than everything before it, also than what another run has appended meanwhile.
                let authorization = self.authorization.max(end.authorization().saturating_add(1));
                Provenance::authorized(end, authorization, code, &self.request_id, self.at)
            }
            None => Provenance::renewed(end, &self.sent, self.authorization, &self.request_id, self.at),
        };
        provenance.doubtful(self.doubtful)
    }

    /// The provenance of a pair that keeps its place in the chain.
    pub fn unmoved(&self, pair: &Credentials) -> Provenance {
        let unmoved = Provenance::unmoved(pair, self.authorization, &self.request_id, self.at);
        match &self.code {
            Some(code) => unmoved.with_code(code),
            None => unmoved,
        }
    }
}

fn known_list(credentials: &Credentials) -> Option<Vec<Advertiser>> {
    // An account holder's list is not fetched, so it keeps its time.
    let is_listed = credentials.flow != Flow::TtUser && !credentials.advertisers.is_empty();
    is_listed.then(|| credentials.advertisers.clone())
}
