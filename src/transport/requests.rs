//! Secrets Manager and TikTok as the protocol calls them.
//!
//! Each method is one request with everything that belongs to it: a permit of the rate limits, a time limit, and retries
//! until the deadline. So the protocol chooses none of them. Errors are those of the last attempt.

use std::future::Future;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    Attempts, Clock, Description, Label, Listing, PutResult, Request, Step, Store, Stored, SwapResult, TikTok,
    TokenSet, VersionSelector,
};
use crate::{
    document::{Advertiser, App, Flow},
    error::Error,
};

/// The ports with rate limits, time limits and retries around them.
#[derive(Debug)]
pub(crate) struct Requests<'a, S, T, C> {
    pub store: &'a S,
    pub tiktok: &'a T,
    pub attempts: Attempts<'a, C>,
}

impl<S: Store, T: TikTok, C: Clock> Requests<'_, S, T, C> {
    /// As [`Store::get`].
    pub async fn get(&self, step: Step, secret: &str, which: VersionSelector<'_>) -> Result<Option<Stored>, Error> {
        self.attempts.attempt(Request::read(step), || self.store.get(secret, which)).await
    }

    /// As [`Store::get`], without retries.
    pub async fn get_once(
        &self,
        step: Step,
        secret: &str,
        which: VersionSelector<'_>,
    ) -> Result<Option<Stored>, Error> {
        self.attempts.once(Request::read(step), self.store.get(secret, which)).await
    }

    /// As [`Store::count_versions`].
    pub async fn count_versions(&self, secret: &str, since: Timestamp) -> Result<usize, Error> {
        self.attempts.attempt(Request::read(Step::Claim), || self.store.count_versions(secret, since)).await
    }

    /// As [`Store::describe`].
    pub async fn describe(&self, secret: &str) -> Result<Option<Description>, Error> {
        self.attempts.attempt(Request::read(Step::Read), || self.store.describe(secret)).await
    }

    /// Writes a claim under which a token is going to be sent. Its permit covers the stage as well.
    pub async fn put_claim(&self, secret: &str, id: &str, body: &SecretString) -> Result<PutResult, Error> {
        self.put(Request::claim(Step::Claim), secret, id, &[Label::Claim], body).await
    }

    /// Writes the end of a claim.
    pub async fn put_release(&self, secret: &str, id: &str, body: &SecretString) -> Result<PutResult, Error> {
        self.put(Request::write(Step::Claim), secret, id, &[Label::Claim], body).await
    }

    /// Writes a claim that marks a pair as replaced. It belongs to a stage and is retried like one.
    pub async fn put_mark(&self, secret: &str, id: &str, body: &SecretString) -> Result<PutResult, Error> {
        self.put(Request::stage(Step::Claim), secret, id, &[Label::Claim], body).await
    }

    /// Writes new tokens. Every error is retried until the deadline, because the tokens exist nowhere else.
    pub async fn stage(
        &self,
        secret: &str,
        id: &str,
        labels: &[Label],
        body: &SecretString,
    ) -> Result<PutResult, Error> {
        self.put(Request::stage(Step::Stage), secret, id, labels, body).await
    }

    /// Writes a version of any other kind.
    pub async fn write(
        &self,
        step: Step,
        secret: &str,
        id: &str,
        labels: &[Label],
        body: &SecretString,
    ) -> Result<PutResult, Error> {
        self.put(Request::write(step), secret, id, labels, body).await
    }

    async fn put(
        &self,
        request: Request<'_>,
        secret: &str,
        id: &str,
        labels: &[Label],
        body: &SecretString,
    ) -> Result<PutResult, Error> {
        self.attempts.attempt(request, || self.store.put(secret, id, labels, body)).await
    }

    /// As [`Store::promote`].
    pub async fn promote(&self, step: Step, secret: &str, to: &str, from: &str) -> Result<SwapResult, Error> {
        self.attempts.attempt(Request::write(step), || self.store.promote(secret, to, from)).await
    }

    /// As [`Store::move_pending`].
    pub async fn move_pending(&self, secret: &str, to: &str, from: &str) -> Result<SwapResult, Error> {
        self.attempts.attempt(Request::write(Step::Promote), || self.store.move_pending(secret, to, from)).await
    }

    /// Takes the label off a claim.
    pub async fn detach_claim(&self, secret: &str, id: &str) -> Result<SwapResult, Error> {
        self.attempts.attempt(Request::write(Step::Claim), || self.store.detach(secret, Label::Claim, id)).await
    }

    /// Waits until a redeem may begin.
    ///
    /// # Errors
    /// If the deadline leaves no time for its answer and the stage.
    pub async fn wait_for_redeem(&self, app: &App) -> Result<(), Error> {
        self.attempts.wait_out_pause(Request::redeem(Step::Redeem, app)).await
    }

    /// As [`TikTok::redeem`].
    pub async fn redeem(&self, flow: Flow, app: &App, refresh_token: &SecretString) -> Result<TokenSet, Error> {
        let request = Request::redeem(Step::Redeem, app);
        self.attempts.attempt(request, || self.tiktok.redeem(flow, app, refresh_token)).await
    }

    /// As [`TikTok::exchange`].
    pub async fn exchange(
        &self,
        flow: Flow,
        app: &App,
        auth_code: &SecretString,
        redirect_uri: &str,
    ) -> Result<TokenSet, Error> {
        let request = Request::redeem(Step::Redeem, app);
        self.attempts.attempt(request, || self.tiktok.exchange(flow, app, auth_code, redirect_uri)).await
    }

    /// As [`TikTok::advertisers`].
    pub async fn advertisers(&self, app: &App, access_token: &SecretString) -> Result<Listing, Error> {
        self.attempts.attempt(Request::check(Step::Check, app), || self.tiktok.advertisers(app, access_token)).await
    }

    /// As [`TikTok::token_info`].
    pub async fn token_info(&self, app: &App, access_token: &SecretString) -> Result<(), Error> {
        self.attempts.attempt(Request::check(Step::Check, app), || self.tiktok.token_info(app, access_token)).await
    }

    /// As [`TikTok::advertiser_info`], without retries.
    pub async fn advertiser_info(
        &self,
        app: &App,
        access_token: &SecretString,
        ids: &[&str],
    ) -> Result<Vec<Advertiser>, Error> {
        let request = Request::info(Step::Info, app);
        self.attempts.acquire(request).await?;
        let asked_at = self.attempts.clock.now();
        let answer = self.tiktok.advertiser_info(access_token, ids).await;
        answer.inspect_err(|error| _ = self.attempts.note(request, error, asked_at))
    }

    /// Bounds several requests for facts about advertisers together.
    ///
    /// # Errors
    /// The error of `requests`, or `TikTokUnavailable` if they take too long.
    pub async fn within_info_time(
        &self,
        app: &App,
        requests: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        self.attempts.once(Request::info(Step::Info, app), requests).await
    }
}
