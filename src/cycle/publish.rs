//! Bringing the reader secrets up to date, after everything else: a job that reads one sees what AWSCURRENT holds.

use secrecy::{ExposeSecret, SecretString};

use super::{
    Clock, Cycle, Label, Moved, Store, Stored, TikTok, Which,
    attempts::Request,
    read::Version,
    stage::content_id,
    trace::Step,
};
use crate::{
    document::{Publication, Relation, project, publications},
    error::{Error, Kind},
};

/// Where a reader secret is named.
const PUBLISH: &str = "the field 'publish'";

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Fills every reader secret that the document asks for. Returns those that had to be written.
    ///
    /// One that fails does not keep the others from being filled, but it fails the run: somebody reads it. The next run
    /// puts it right without redeeming anything, because every run comes by here.
    pub(super) async fn publish(&self, current: &Version) -> Result<Vec<String>, Error> {
        let readers = publications(&current.document)?;
        if readers.is_empty() {
            return Ok(Vec::new());
        }
        self.timed(Step::Publish, self.publish_all(current, &readers)).await
    }

    async fn publish_all(&self, current: &Version, readers: &[Publication]) -> Result<Vec<String>, Error> {
        let (mut written, mut failed) = (Vec::new(), None);
        for reader in readers {
            match self.publish_to(current, reader).await {
                Ok(true) => written.push(reader.secret_id.clone()),
                Ok(false) => {}
                Err(error) => {
                    let reader = format!("The tokens are in order, but not the reader secret '{}'", reader.secret_id);
                    failed = Some(error.context(reader));
                }
            }
        }
        failed.map_or(Ok(written), Err)
    }

    /// Whether the reader secret had to be written.
    async fn publish_to(&self, current: &Version, reader: &Publication) -> Result<bool, Error> {
        let secret = reader.secret_id.as_str();
        loop {
            let before = self.read_reader(current, secret).await?;
            // Read after the reader secret was: whoever promotes newer tokens from here on finds our write, or we theirs.
            let body = self.projection(reader, &self.latest(current).await?).await?;
            if before.as_ref().is_some_and(|before| before.body.expose_secret() == body.expose_secret()) {
                return Ok(false);
            }
            let arn = before.as_ref().map_or(secret, |before| before.arn.as_str());
            let id = content_id(arn, &body);
            let put = self.put_into(Request::write(Step::Publish), secret, &id, &[Label::Pending], &body);
            put.await.map_err(|error| missing(error, secret).named_in(PUBLISH))?;
            let Some(before) = before else {
                // The first version of a secret is current from the start, unless somebody else's has become the first.
                match self.read_reader(current, secret).await? {
                    Some(first) if first.version_id != id => continue,
                    Some(_) | None => return Ok(true),
                }
            };
            let swapped = self.swap(Step::Publish, secret, &id, &before.version_id).await;
            if swapped.map_err(|error| error.named_in(PUBLISH))? == Moved::Moved {
                return Ok(true);
            }
        }
    }

    /// What is current, which is not less than what this run has promoted: reads lag writes.
    async fn latest(&self, promoted: &Version) -> Result<Version, Error> {
        let current = self.read_current().await?;
        let is_stale = promoted.credentials.relation(&current.credentials) == Relation::Ancestor
            || promoted.credentials.origin.as_ref().is_some_and(|origin| origin.parent == current.id);
        Ok(if is_stale { promoted.clone() } else { current })
    }

    async fn read_reader(&self, current: &Version, secret: &str) -> Result<Option<Stored>, Error> {
        let stored = self.get_from(Step::Publish, secret, Which::Label(Label::Current)).await;
        let stored = stored.map_err(|error| error.named_in(PUBLISH))?;
        if stored.as_ref().is_some_and(|stored| stored.arn == current.arn) {
            return Err(is_itself());
        }
        Ok(stored)
    }

    async fn projection(&self, reader: &Publication, current: &Version) -> Result<SecretString, Error> {
        let app = if reader.format.needs_app() { Some(self.app(current).await?) } else { None };
        Ok(project(reader, &current.document, &current.credentials, app.as_ref()))
    }
}

/// A reader secret that would be written over the only copy of the tokens.
pub(super) fn is_itself() -> Error {
    Error::new(Kind::InvalidSecret, "It is the credentials secret itself.")
        .advise("Name another secret in the field 'publish'.")
}

/// Reading cannot tell a secret without a value from one that does not exist. Writing can.
fn missing(error: Error, secret: &str) -> Error {
    if error.kind() == Kind::SecretNotFound {
        return error
            .advise(format!("Create the secret '{secret}', without a value, or take it out of the field 'publish'."));
    }
    error
}
