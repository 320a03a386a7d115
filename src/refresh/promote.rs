//! Promoting: moving AWSCURRENT by compare-and-swap to a version that holds a change.
//!
//! On a conflict the change is rebased onto the new current version, or superseded by it.

use secrecy::ExposeSecret;

use crate::{
    document::{Change, Document, Reduction, Relation, fit},
    error::{Error, Kind},
    fault_switch::FaultSwitch,
};
use crate::{
    refresh::{Refresher, version::Version},
    transport::{Clock, READ_LAG, Step, Store, SwapResult, TikTok},
};

/// The most waits for [`READ_LAG`] after a conflict that the read does not show: ten seconds in all.
const MAX_LAGS: u32 = 50;

/// A change that is to become current.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promotion<'p> {
    pub change: &'p Change,
    /// True if a person has just authorized the app. The change then supersedes every older authorization.
    pub authorizes: bool,
}

/// The version that AWSCURRENT is on after a promotion.
#[derive(Debug)]
pub(crate) enum Promoted {
    /// A version that holds the change.
    Ours { version: Version, reduction: Option<Reduction> },
    /// Tokens that another run or a person put there meanwhile.
    Theirs(Version),
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Promotes a change that was made for the version `current`.
    ///
    /// `staged` is promoted as it is if it equals the current version with the change. Otherwise the change is applied to
    /// the version that is current by now, and written as a new version.
    ///
    /// # Errors
    /// When AWSCURRENT did not move before the deadline, or a person broke the document.
    pub(crate) async fn promote(
        &self,
        current: &Version,
        promotion: Promotion<'_>,
        staged: Option<Version>,
    ) -> Result<Promoted, Error> {
        self.timed(Step::Promote, self.promote_from(current, promotion, staged)).await
    }

    async fn promote_from(
        &self,
        read: &Version,
        promotion: Promotion<'_>,
        mut staged: Option<Version>,
    ) -> Result<Promoted, Error> {
        let (mut base, mut lags) = (read.clone(), 0);
        loop {
            let (next, reduction) = fit(promotion.change.apply(&base.document, &base.id)?)?;
            let version = match staged.take() {
                Some(staged) if same_content(&staged, &next) => staged,
                _ => self.write(&base.arn, next).await?,
            };
            let from = if FaultSwitch::PromoteWithoutCompare.is_on() {
                self.read_current().await?.id
            } else {
                base.id.clone()
            };
            if self.requests().promote(Step::Promote, self.secret, &version.id, &from).await? == SwapResult::Swapped {
                return Ok(Promoted::Ours { version, reduction });
            }
            let mut current = self.read_current().await?;
            if conflict(promotion, &version, read, &current) == Conflict::Superseded
                && !FaultSwitch::TrustLaggingConflict.is_on()
            {
                // A read that lags can show a version from before this run.
                self.clock.sleep(READ_LAG).await;
                current = self.read_current().await?;
            }
            match conflict(promotion, &version, read, &current) {
                Conflict::Promoted => return Ok(Promoted::Ours { version: current, reduction }),
                Conflict::Superseded => return Ok(Promoted::Theirs(current)),
                Conflict::Rebase if current.id == base.id && lags == MAX_LAGS => {
                    let what = "Secrets Manager does not move AWSCURRENT from the version that it is on.";
                    return Err(Error::new(Kind::SecretsManagerUnavailable, what));
                }
                Conflict::Rebase if current.id == base.id => {
                    lags += 1;
                    self.clock.sleep(READ_LAG).await;
                    staged = Some(version);
                }
                Conflict::Rebase if FaultSwitch::RebaseDropsFields.is_on() => base.id = current.id,
                Conflict::Rebase => base = current,
            }
        }
    }
}

pub(crate) fn same_content(version: &Version, document: &Document) -> bool {
    version.document.to_body().expose_secret() == document.to_body().expose_secret()
}

/// The meaning of a compare-and-swap that did not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conflict {
    /// The change is current: the answer was lost, or another run promoted the same.
    Promoted,
    /// The change belongs on top of the current version.
    Rebase,
    /// Newer tokens are current, or a person changed the tokens.
    Superseded,
}

/// Judges a conflict. `read` was current when the run began; `current` is now.
fn conflict(promotion: Promotion<'_>, ours: &Version, read: &Version, current: &Version) -> Conflict {
    if current.id == ours.id {
        if FaultSwitch::LostPromoteIsForeign.is_on() {
            return Conflict::Superseded;
        }
        return Conflict::Promoted;
    }
    let (ours, read, now) = (&ours.credentials, &read.credentials, &current.credentials);
    if promotion.change.tokens.is_none() {
        // A list belongs to the tokens that it was fetched with.
        return if now.fingerprint == read.fingerprint { Conflict::Rebase } else { Conflict::Superseded };
    }
    // A person removed the tokens, or went back to an authorization before the one that was read.
    let was_removed = read.has_any_token() && !now.has_any_token();
    let was_rolled_back = now.authorization() < read.authorization();
    match ours.relation(now) {
        Relation::Same if (now.authorization(), now.refreshed_at) < (ours.authorization(), ours.refreshed_at) => {
            Conflict::Rebase
        }
        Relation::Same => Conflict::Promoted,
        _ if promotion.authorizes && now.authorization() < ours.authorization() => Conflict::Rebase,
        Relation::Ancestor if !was_removed && !was_rolled_back => Conflict::Rebase,
        Relation::Ancestor | Relation::Later | Relation::Unrelated => Conflict::Superseded,
    }
}

#[cfg(test)]
mod tests;
