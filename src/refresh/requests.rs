//! The requests to Secrets Manager that several steps make.

use secrecy::SecretString;

use crate::error::Error;
use crate::{
    refresh::Refresher,
    transport::{Clock, Label, PutResult, Request, Step, Store, Stored, SwapResult, TikTok, VersionSelector},
};

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Reads a version of this secret.
    pub(crate) async fn get(&self, which: VersionSelector<'_>) -> Result<Option<Stored>, Error> {
        self.get_from(Step::Read, self.secret, which).await
    }

    /// Reads a version of any secret.
    pub(crate) async fn get_from(
        &self,
        step: Step,
        secret: &str,
        which: VersionSelector<'_>,
    ) -> Result<Option<Stored>, Error> {
        self.attempt(Request::read(step), || self.store.get(secret, which)).await
    }

    /// Writes a version of this secret.
    pub(crate) async fn put(
        &self,
        request: Request<'_>,
        id: &str,
        labels: &[Label],
        body: &SecretString,
    ) -> Result<PutResult, Error> {
        self.put_into(request, self.secret, id, labels, body).await
    }

    /// Writes a version of any secret.
    pub(crate) async fn put_into(
        &self,
        request: Request<'_>,
        secret: &str,
        id: &str,
        labels: &[Label],
        body: &SecretString,
    ) -> Result<PutResult, Error> {
        self.attempt(request, || self.store.put(secret, id, labels, body)).await
    }

    /// Moves AWSCURRENT of a secret from one version to another, if it is on the first.
    pub(crate) async fn swap(&self, step: Step, secret: &str, to: &str, from: &str) -> Result<SwapResult, Error> {
        self.attempt(Request::write(step), || self.store.promote(secret, to, from)).await
    }
}
