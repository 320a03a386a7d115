//! Redeeming: sending a refresh token to TikTok, and the document fields that its answer becomes.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    document::{Advertiser, App, Document, Flow, TokenFields, field, json_text, whole_seconds},
    error::{Error, Kind},
};
use crate::{
    refresh::{Refresher, check::sorted, version::Version},
    transport::{Clock, Step, Store, TikTok, TokenSet},
};

/// New tokens, and the time just before the request. Their lifetimes count from it.
#[derive(Debug)]
pub(crate) struct Redeemed {
    pub tokens: TokenSet,
    pub asked_at: Timestamp,
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Redeems the refresh token of a version. Only the holder of the claim on its pair calls this.
    ///
    /// `sent_before`: an earlier run claimed the pair and staged no answer.
    ///
    /// # Errors
    /// `ReauthorizationRequired` if TikTok rejects the token, or there is none. Others as [`TikTok::redeem`].
    pub(crate) async fn redeem(&self, app: &App, holder: &Version, sent_before: bool) -> Result<Redeemed, Error> {
        let Some(refresh_token) = &holder.credentials.refresh_token else {
            let what = "TikTok rejects the access token, and there is no refresh token to get another one with.";
            return Err(Error::new(Kind::ReauthorizationRequired, what));
        };
        let flow = holder.credentials.flow;
        let requests = self.requests();
        let redeemed = self.timed(Step::Redeem, requests.redeem(flow, app, refresh_token)).await;
        redeemed.map(Redeemed::from).map_err(|error| match error.kind() {
            Kind::ReauthorizationRequired if error.lost_answer() => answer_was_lost(
                &error,
                "TikTok's answer to an earlier attempt was lost, most likely with a new refresh token in it",
            ),
            // An expired claim does not say whether its holder had an answer.
            Kind::ReauthorizationRequired if sent_before => answer_was_lost(
                &error,
                "Either the grant has ended, or the answer to an earlier attempt was lost, with a new refresh token in it",
            ),
            _ => error,
        })
    }
}

/// A rejection after a lost answer. Most likely TikTok issued a new refresh token, and the answer did not arrive.
fn answer_was_lost(rejection: &Error, how: &str) -> Error {
    let what = format!("{how}: {}", rejection.what());
    let error = Error::new(Kind::ReauthorizationRequired, what).with_lost_answer();
    rejection.code().map_or_else(|| error.clone(), |code| error.clone().with_code(code))
}

impl From<(TokenSet, Timestamp)> for Redeemed {
    fn from((tokens, asked_at): (TokenSet, Timestamp)) -> Self {
        Self { tokens, asked_at }
    }
}

impl Redeemed {
    /// The token fields of the document that follows the holder's.
    pub fn token_fields(&self, holder: &Version) -> TokenFields {
        let mut next: Document = holder.document.clone();
        // A refresh does not extend the grant. A time that belongs to other tokens is void.
        if holder.credentials.refresh_token_expires_at.is_none() {
            next.set(field::REFRESH_TOKEN_EXPIRES_AT, None);
        }
        if holder.credentials.authorized_at.is_none() {
            next.set(field::AUTHORIZED_AT, None);
        }
        self.put_into(&mut next);
        TokenFields::of(&next)
    }

    /// The token fields of a new grant. They keep nothing of the grant before it.
    pub fn new_grant_fields(&self, before: &Version, flow: Flow, redirect_uri: &str) -> TokenFields {
        let mut next: Document = before.document.clone();
        for name in field::TOKENS {
            next.set(name, None);
        }
        self.put_into(&mut next);
        next.set_value(field::AUTHORIZED_AT, &whole_seconds(self.asked_at));
        next.set_value(field::REDIRECT_URI, redirect_uri);
        // Only the answer says whether the app gets a refresh token.
        next.set_value(field::FLOW, &if self.tokens.refresh_token.is_some() { flow } else { Flow::LongTerm });
        TokenFields::of_new_grant(&next)
    }

    fn put_into(&self, next: &mut Document) {
        let TokenSet { access_token, refresh_token, expires_in, refresh_token_expires_in, scope, open_id, .. } =
            &self.tokens;
        let time = |lifetime: &Option<std::time::Duration>| {
            let end = self.asked_at.checked_add((*lifetime)?).ok()?;
            Some(text(&whole_seconds(end)))
        };
        next.set(field::ACCESS_TOKEN, Some(text(access_token.expose_secret())));
        next.set(field::ACCESS_TOKEN_EXPIRES_AT, time(expires_in));
        if let Some(end) = time(refresh_token_expires_in) {
            next.set(field::REFRESH_TOKEN_EXPIRES_AT, Some(end));
        }
        next.set(field::REFRESHED_AT, Some(text(&whole_seconds(self.asked_at))));
        if let Some(token) = refresh_token {
            next.set(field::REFRESH_TOKEN, Some(text(token.expose_secret())));
        }
        if let Some(scope) = scope {
            next.set(field::SCOPE, Some(SecretString::from(scope.clone())));
        }
        if let Some(open_id) = open_id {
            next.set(field::OPEN_ID, Some(text(open_id)));
        }
    }

    /// The advertisers that the answer names, with their known names. `None` if it names none.
    pub fn granted_list(&self, known: &[Advertiser]) -> Option<Vec<Advertiser>> {
        let named = |id: &String| {
            let known = known.iter().find(|advertiser| advertiser.id == *id).cloned();
            known.unwrap_or_else(|| Advertiser::new(id.clone(), None))
        };
        let list: Vec<_> = self.tokens.advertiser_ids.iter().map(named).collect();
        (!list.is_empty()).then(|| sorted(list))
    }
}

fn text(value: &(impl serde::Serialize + ?Sized)) -> SecretString {
    SecretString::from(json_text(value))
}
