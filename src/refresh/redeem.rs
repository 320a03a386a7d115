//! Redeeming: sending a refresh token to TikTok.

use crate::{
    document::App,
    error::{Error, Kind},
};
use crate::{
    refresh::{Refresher, version::Version},
    transport::{Clock, Step, Store, TikTok, TokenSet},
};

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Redeems the refresh token of a version. Only the holder of the claim on its pair calls this.
    ///
    /// `sent_before`: an earlier run claimed the pair and staged no answer.
    ///
    /// # Errors
    /// `ReauthorizationRequired` if TikTok rejects the token, or there is none. Others as [`TikTok::redeem`].
    pub(crate) async fn redeem(&self, app: &App, holder: &Version, sent_before: bool) -> Result<TokenSet, Error> {
        let Some(refresh_token) = &holder.credentials.refresh_token else {
            let what = "TikTok rejects the access token, and there is no refresh token to get another one with.";
            return Err(Error::new(Kind::ReauthorizationRequired, what));
        };
        let flow = holder.credentials.flow;
        let requests = self.requests();
        let redeemed = self.timed(Step::Redeem, requests.redeem(flow, app, refresh_token)).await;
        redeemed.map_err(|error| match error.kind() {
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
