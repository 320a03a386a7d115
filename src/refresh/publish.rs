//! Publishing: writing the reader secrets after the promotion, from the document that was promoted.

use secrecy::{ExposeSecret, SecretString};

use crate::{
    document::{AppSource, Publication, Relation, Unpublishable, lost_credential, named_twice, project, publications},
    error::{Error, Kind},
};
use crate::{
    refresh::{Refresher, ids::content_id, version::Version},
    transport::{Clock, Label, Step, Store, Stored, SwapResult, TikTok, VersionSelector},
};

/// The place where a reader secret is named, for errors.
const PUBLISH: &str = "the field 'publish'";

/// A reader secret that could not be written, as a sentence names it.
type Failed = (String, Error);

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Writes every reader secret that the promoted document names. Returns those that had to be written.
    ///
    /// # Errors
    /// When one could not be written. The others are written all the same, and the next run writes the rest without a redeem.
    pub(crate) async fn publish(&self, found: &Version, promoted: &Version) -> Result<Vec<String>, Error> {
        let readers = publications(&promoted.document)?;
        if readers.is_empty() {
            return Ok(Vec::new());
        }
        self.timed(Step::Publish, self.publish_all(found, promoted, readers)).await
    }

    async fn publish_all(
        &self,
        found: &Version,
        promoted: &Version,
        readers: Vec<Result<Publication, Unpublishable>>,
    ) -> Result<Vec<String>, Error> {
        let (mut written, mut failed, mut arns) = (Vec::new(), Vec::new(), Vec::new());
        for reader in readers {
            let reader = match reader {
                Ok(reader) => reader,
                Err(Unpublishable { reader, error }) => {
                    failed.push((reader, error));
                    continue;
                }
            };
            self.warn_of_unknown_advertisers(&reader, promoted);
            match self.publish_to(found, promoted, &reader, &mut arns).await {
                Ok(true) => written.push(reader.secret_id),
                Ok(false) => {}
                Err(error) => failed.push((reader.name(), error)),
            }
        }
        if failed.is_empty() { Ok(written) } else { Err(failure(failed)) }
    }

    /// Writes one reader secret. Returns true if that was necessary. `arns` are the reader secrets before it.
    async fn publish_to(
        &self,
        found: &Version,
        promoted: &Version,
        reader: &Publication,
        arns: &mut Vec<String>,
    ) -> Result<bool, Error> {
        let secret = reader.secret_id.as_str();
        loop {
            let before = self.read_reader(found, secret).await?;
            if before.as_ref().is_some_and(|before| arns.contains(&before.arn)) {
                return Err(named_twice());
            }
            // Tokens that this run does not know may be newer than its own. Read after the reader secret was: a run that
            // promotes newer tokens from here on finds this write, or this run finds its write.
            let latest = match &before {
                Some(before) if !holds_known_token(before, found, promoted) => self.latest(promoted).await?,
                _ => promoted.clone(),
            };
            let body = self.projection(reader, &latest).await?;
            if let Some(before) = &before {
                if before.body.expose_secret() == body.expose_secret() {
                    arns.push(before.arn.clone());
                    return Ok(false);
                }
                self.check_that_nothing_is_lost(before, &body, &latest).await?;
            }
            let arn = before.as_ref().map_or(secret, |before| before.arn.as_str());
            let id = content_id(arn, &body);
            let requests = self.requests();
            let put = requests.write(Step::Publish, secret, &id, &[Label::Pending], &body);
            put.await.map_err(|error| missing(error, secret).named_in(PUBLISH))?;
            let Some(before) = before else {
                // The first version of a secret is current from the start, unless another one has become the first.
                match self.read_reader(found, secret).await? {
                    Some(first) if first.version_id != id => continue,
                    first => arns.extend(first.map(|first| first.arn)),
                }
                return Ok(true);
            };
            let swapped = self.requests().promote(Step::Publish, secret, &id, &before.version_id).await;
            if swapped.map_err(|error| error.named_in(PUBLISH))? == SwapResult::Swapped {
                arns.push(before.arn);
                return Ok(true);
            }
        }
    }

    async fn read_reader(&self, found: &Version, secret: &str) -> Result<Option<Stored>, Error> {
        let stored = self.requests().get(Step::Publish, secret, VersionSelector::Label(Label::Current)).await;
        let stored = stored.map_err(|error| error.named_in(PUBLISH))?;
        if stored.as_ref().is_some_and(|stored| stored.arn == found.arn) {
            return Err(is_itself());
        }
        Ok(stored)
    }

    /// The newest version that this run knows of: the promoted one, or one that another run has promoted since. A read may
    /// return an older version, because reads lag writes.
    async fn latest(&self, promoted: &Version) -> Result<Version, Error> {
        let current = self.read_current().await?;
        let is_parent = |id: &str| promoted.credentials.origin.as_ref().is_some_and(|origin| origin.parent == id);
        let lags = promoted.credentials.relation(&current.credentials) == Relation::Ancestor || is_parent(&current.id);
        Ok(if lags { promoted.clone() } else { current })
    }

    async fn projection(&self, reader: &Publication, current: &Version) -> Result<SecretString, Error> {
        let app = if reader.format.needs_app() { Some(self.app(current).await?) } else { None };
        Ok(project(reader, &current.document, &current.credentials, app.as_ref()))
    }

    /// Refuses to replace a value that holds credentials.
    pub(crate) async fn check_that_nothing_is_lost(
        &self,
        before: &Stored,
        next: &SecretString,
        current: &Version,
    ) -> Result<(), Error> {
        let lost = |app_id: Option<&str>| lost_credential(before.body.expose_secret(), next, app_id);
        let lost = match &current.credentials.app {
            AppSource::Inline(app) => lost(Some(&app.id)),
            // The app's id is in another secret, and is seldom needed.
            AppSource::Secret(_) if lost(None).is_some() => {
                lost(self.app(current).await.ok().map(|app| app.id).as_deref())
            }
            AppSource::Secret(_) => None,
        };
        lost.map_or(Ok(()), |field| Err(holds_credentials(&field)))
    }

    fn warn_of_unknown_advertisers(&self, reader: &Publication, current: &Version) {
        if let Some(warning) = reader.warning(&current.credentials.advertisers) {
            tracing::warn!(secret_id = self.secret, "{warning}");
        }
    }
}

/// True if a reader secret holds the tokens that this run found or promoted.
fn holds_known_token(reader: &Stored, found: &Version, promoted: &Version) -> bool {
    let tokens = [found, promoted].into_iter().filter_map(|version| version.credentials.access_token.as_ref());
    tokens.into_iter().any(|token| reader.body.expose_secret().contains(token.expose_secret()))
}

fn failure(mut failed: Vec<Failed>) -> Error {
    if failed.len() == 1 {
        let (reader, error) = failed.remove(0);
        return error.context(format_args!("The tokens are in order, but not the {reader}"));
    }
    let mut kinds = failed.iter().map(|(_, error)| error.kind());
    let first = kinds.next().unwrap_or(Kind::PartialFailure);
    let kind = if kinds.all(|kind| kind == first) { first } else { Kind::PartialFailure };
    let number = failed.len();
    let each: Vec<String> = failed.iter().map(|(reader, error)| format!("The {reader}: {error}")).collect();
    Error::new(kind, format!("The tokens are in order, but not {number} reader secrets. {}", each.join(" | ")))
        .advise("The next run writes them without a refresh.")
}

/// The error where the credentials secret is named as its own reader.
pub(crate) fn is_itself() -> Error {
    Error::new(Kind::InvalidSecret, "It is the credentials secret itself.")
        .advise("Name another secret in the field 'publish'.")
}

fn holds_credentials(field: &str) -> Error {
    let what = format!("It holds credentials in '{field}', which a write would destroy, so it was not written.");
    Error::new(Kind::InvalidSecret, what)
        .advise("Name another secret in the field 'publish', or remove the credentials from this one.")
}

/// A read cannot tell a secret without a value from one that does not exist. A write can.
fn missing(error: Error, secret: &str) -> Error {
    match error.kind() {
        // AWS chooses the ARN of a new secret.
        Kind::SecretNotFound if secret.starts_with("arn:") => error.advise(
            "Correct its ARN in the field 'publish', or remove it there: the function's Region has no secret with this ARN.",
        ),
        Kind::SecretNotFound => error
            .advise(format!("Create the secret '{secret}', without a value, or remove it from the field 'publish'.")),
        _ => error,
    }
}
