//! The requests to Secrets Manager that several steps make.

use secrecy::SecretString;

use super::{Clock, Cycle, Label, Moved, Put, Store, Stored, TikTok, Which, attempts::Request, trace::Step};
use crate::error::Error;

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Reads a version of this secret.
    pub(super) async fn get(&self, which: Which<'_>) -> Result<Option<Stored>, Error> {
        self.get_from(Step::Read, self.secret, which).await
    }

    /// Reads a version of any secret.
    pub(super) async fn get_from(&self, step: Step, secret: &str, which: Which<'_>) -> Result<Option<Stored>, Error> {
        self.attempt(Request::read(step), || self.store.get(secret, which)).await
    }

    /// Writes a version of this secret.
    pub(super) async fn put(
        &self,
        request: Request<'_>,
        id: &str,
        labels: &[Label],
        body: &SecretString,
    ) -> Result<Put, Error> {
        self.put_into(request, self.secret, id, labels, body).await
    }

    /// Writes a version of any secret.
    pub(super) async fn put_into(
        &self,
        request: Request<'_>,
        secret: &str,
        id: &str,
        labels: &[Label],
        body: &SecretString,
    ) -> Result<Put, Error> {
        self.attempt(request, || self.store.put(secret, id, labels, body)).await
    }

    /// Moves AWSCURRENT of a secret from one version to another, if it is on the first.
    pub(super) async fn swap(&self, step: Step, secret: &str, to: &str, from: &str) -> Result<Moved, Error> {
        self.attempt(Request::write(step), || self.store.promote(secret, to, from)).await
    }
}
