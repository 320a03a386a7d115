use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    Clock, Cycle, Label, Put, Store, TikTok,
    attempts::Request,
    claim::{successor_id, version_id},
    read::{Snapshot, Version},
    trace::Step,
};
use crate::{
    document::{Document, Fingerprint, hex},
    error::{Error, Kind},
};

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Writes redeemed tokens under the successor id of the pair that was spent. From here on nothing can be lost.
    pub(super) async fn stage(
        &self,
        snapshot: &Snapshot,
        labels: &[Label],
        spent: &Fingerprint,
        next: Document,
    ) -> Result<Version, Error> {
        self.timed(Step::Stage, self.stage_under(snapshot, labels, spent, next)).await.map_err(|error| {
            let advice = "The next run tries the old refresh token; if TikTok has retired it, authorise the app again.";
            error.context("TikTok gave new tokens that could not be stored").advise(advice)
        })
    }

    async fn stage_under(
        &self,
        snapshot: &Snapshot,
        labels: &[Label],
        spent: &Fingerprint,
        next: Document,
    ) -> Result<Version, Error> {
        let id = successor_id(&snapshot.arn, spent);
        if self.put_stubbornly(&id, labels, &next).await? == Put::Written {
            return Version::new(id, next);
        }
        // A run that was thought dead has staged an answer of its own. Both are kept.
        let id = version_id(&snapshot.arn, "next", &format!("{}\n{}", spent.as_str(), self.run.nonce));
        match self.put_stubbornly(&id, labels, &next).await? {
            Put::Written => Version::new(id, next),
            Put::Taken => {
                Err(Error::new(Kind::SecretsManagerUnavailable, "Two version ids of this run's own are taken."))
            }
        }
    }

    async fn put_stubbornly(&self, id: &str, labels: &[Label], next: &Document) -> Result<Put, Error> {
        let body = next.to_body();
        self.put(Request::stage(Step::Stage), id, labels, &body).await
    }

    /// Writes a document that descends from nothing but the documents it was made of, under an id that its content gives:
    /// whoever writes the same thing writes the same version.
    pub(super) async fn write(&self, snapshot: &Snapshot, document: Document) -> Result<Version, Error> {
        let body = document.to_body();
        let id = content_id(&snapshot.arn, &body);
        self.write_under(&id, snapshot.pending.label_to_stage_under(), &body).await?;
        Version::new(id, document)
    }

    /// Writes what a version holds once more, under an id that it and who asks for it give.
    pub(super) async fn write_copy(&self, arn: &str, of: &Version, by: &Fingerprint) -> Result<Version, Error> {
        let id = version_id(arn, "copy", &format!("{}\n{}", of.id, by.as_str()));
        self.write_under(&id, Label::Copy, &of.document.to_body()).await?;
        Version::new(id, of.document.clone())
    }

    async fn write_under(&self, id: &str, label: Label, body: &SecretString) -> Result<(), Error> {
        match self.put(Request::write(Step::Promote), id, &[label], body).await? {
            Put::Written => Ok(()),
            Put::Taken => Err(Error::new(
                Kind::SecretsManagerUnavailable,
                format!("Version {id} exists with another content than the one that its id stands for."),
            )),
        }
    }
}

/// The id of a version that is known by what it holds.
pub(super) fn content_id(arn: &str, body: &SecretString) -> String {
    version_id(arn, "content", &hex(&Sha256::digest(body.expose_secret())))
}
