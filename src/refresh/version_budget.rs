//! The version budget: nothing is redeemed that a full secret could not store.
//!
//! Secrets Manager keeps about a hundred versions of a secret, and deletes none that is younger than a day. A replacement
//! that may come too soon after others counts the versions before it writes.

use std::cell::Cell;

use jiff::SignedDuration;

use super::{Refresher, Trigger, version::Version, work::Work};
use crate::{
    error::{Error, Kind},
    transport::{Clock, Store, TikTok},
};

/// The most versions of a secret that may be younger than a day. A day's uncounted scheduled refreshes take at most twenty.
const MAX_VERSIONS: usize = 96;
/// The same for refreshes by hand: what is left is for a day's scheduled refreshes.
const MAX_VERSIONS_BY_HAND: usize = 76;
/// The same for exchanges: every wrong auth code costs a version. A day on which every refresh failed takes 54, and a person
/// can still authorize the app after it.
const MAX_VERSIONS_OF_EXCHANGES: usize = 64;
/// Claim, stage, rebase, release: the most that one undisturbed replacement writes.
const VERSIONS_OF_A_REPLACEMENT: usize = 4;
/// Runs that follow each other faster are counted: so many refreshes of a day fit into the rest.
const UNCOUNTED_INTERVAL: SignedDuration = SignedDuration::from_hours(4);
/// The time for which Secrets Manager keeps every version.
const VERSIONS_ARE_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// The result of the count in this run.
#[derive(Debug)]
pub(crate) struct VersionBudget(Cell<State>);

#[derive(Clone, Copy, Debug)]
enum State {
    /// So few versions were written lately that a first attempt fits.
    Assumed,
    Unknown,
    Counted,
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// The budget before the first claim. A scheduled refresh of the newest staged pair, hours after the last one, needs no
    /// count.
    pub(super) fn version_budget(&self, current: &Version, work: Work<'_>) -> VersionBudget {
        let is_scheduled = matches!(work, Work::Refresh(Trigger::Scheduled(_) | Trigger::IfNeeded));
        let refreshed_at = current.credentials.refreshed_at.unwrap_or(self.clock.now());
        let is_old = self.clock.now().duration_since(refreshed_at) >= UNCOUNTED_INTERVAL;
        let is_routine = is_scheduled && current.is_newest_staged && is_old;
        VersionBudget(Cell::new(if is_routine { State::Assumed } else { State::Unknown }))
    }

    /// Counts the versions, unless that is not necessary.
    ///
    /// # Errors
    /// `SecretLimitExceeded` if what follows a claim may not fit into the secret.
    pub(super) async fn ensure_versions_left(
        &self,
        budget: &VersionBudget,
        attempt: u32,
        work: Work<'_>,
    ) -> Result<(), Error> {
        match budget.0.get() {
            State::Counted => return Ok(()),
            State::Assumed if attempt == 0 => return Ok(()),
            State::Assumed | State::Unknown => {}
        }
        let since = self.clock.now() - VERSIONS_ARE_KEPT;
        let number = self.requests().count_versions(self.secret, since).await?;
        if number + VERSIONS_OF_A_REPLACEMENT > max_versions(work) {
            return Err(too_many_versions(number, work));
        }
        budget.0.set(State::Counted);
        Ok(())
    }
}

const fn max_versions(work: Work<'_>) -> usize {
    match work {
        Work::Refresh(Trigger::Scheduled(_) | Trigger::IfNeeded) | Work::Rotation => MAX_VERSIONS,
        Work::Refresh(Trigger::Now) => MAX_VERSIONS_BY_HAND,
        Work::Exchange(_) => MAX_VERSIONS_OF_EXCHANGES,
    }
}

fn too_many_versions(number: usize, work: Work<'_>) -> Error {
    let max = max_versions(work);
    let what = format!(
        "Nothing was redeemed. The secret has {number} versions that are younger than a day, and a run of this kind needs room for {VERSIONS_OF_A_REPLACEMENT} more within {max}. Secrets Manager takes about a hundred."
    );
    Error::new(Kind::SecretLimitExceeded, what)
}
