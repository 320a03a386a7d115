//! Staging: writing a new pair as the successor of the chain's end. A staged pair cannot be lost.

use crate::{
    document::Document,
    error::{Error, Kind},
    fault_switch::FaultSwitch,
};
use crate::{
    refresh::{Refresher, chain::Chain, ids::content_id, new_tokens::NewTokens, version::Version},
    transport::{Clock, Label, PutResult, READ_LAG, Step, Store, TikTok},
};

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Appends new tokens to the chain. Returns their version, and the chain with it.
    ///
    /// `claimed` is the pair whose claim this run holds.
    ///
    /// # Errors
    /// When the write did not succeed before the deadline.
    pub(crate) async fn stage(
        &self,
        chain: &Chain,
        current: &Version,
        claimed: &Version,
        new: &NewTokens,
    ) -> Result<(Version, Chain), Error> {
        self.timed(Step::Stage, self.append(chain.clone(), current, claimed, new)).await.map_err(|error| {
            let advice = "The next run tries the old refresh token; if TikTok has retired it, authorize the app again.";
            error.context("TikTok gave new tokens that could not be stored").advise(advice)
        })
    }

    /// Writes the successor of the chain's end. Where another run has appended first, it goes behind that run's pair.
    async fn append(
        &self,
        mut chain: Chain,
        current: &Version,
        claimed: &Version,
        new: &NewTokens,
    ) -> Result<(Version, Chain), Error> {
        loop {
            let end = chain.end();
            if !end.holds_pair_of(claimed) {
                self.mark(end).await?;
            }
            let id = end.successor_id();
            let next = new.document(current, end)?;
            let body = next.to_body();
            let link = match self.requests().stage(self.secret, &id, &[Label::Staged], &body).await? {
                PutResult::Written => Version::new(end.arn.clone(), id, next)?,
                PutResult::Taken => {
                    let taken = self.read_taken(&id).await?;
                    let expected = Version::new(end.arn.clone(), id, next)?;
                    if !taken.holds_pair_of(&expected) && !FaultSwitch::DropLateAnswer.is_on() {
                        chain.append(taken);
                        continue;
                    }
                    // TikTok gave two runs the same pair.
                    taken
                }
            };
            chain.append(link.clone());
            return Ok((link, chain));
        }
    }

    async fn read_taken(&self, id: &str) -> Result<Version, Error> {
        loop {
            if let Some(version) = self.read_version(id).await? {
                return Ok(version);
            }
            self.clock.sleep(READ_LAG).await;
        }
    }

    /// Writes a document under an id derived from its content. Every run that writes the same content writes the same version.
    pub(crate) async fn write(&self, arn: &str, document: Document) -> Result<Version, Error> {
        let body = document.to_body();
        let id = content_id(arn, &body);
        match self.requests().write(Step::Promote, self.secret, &id, &[Label::Staged], &body).await? {
            PutResult::Written => Version::new(arn.to_owned(), id, document),
            PutResult::Taken => Err(Error::new(
                Kind::SecretsManagerUnavailable,
                format!("Version {id} exists with another content than the one that its id stands for."),
            )),
        }
    }
}
