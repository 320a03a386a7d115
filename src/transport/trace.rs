//! The steps of a refresh and their durations. The metrics read them after the run; there are no errors.

use std::{cell::RefCell, fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::document::Credentials;

/// The steps of a refresh, by their names in logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Read,
    Claim,
    Redeem,
    Stage,
    Check,
    Info,
    Promote,
    Publish,
}

impl Step {
    /// Every step, in the order of a refresh.
    pub const ALL: [Self; 8] =
        [Self::Read, Self::Claim, Self::Redeem, Self::Stage, Self::Check, Self::Info, Self::Promote, Self::Publish];

    /// Returns the name of the step in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Claim => "claim",
            Self::Redeem => "redeem",
            Self::Stage => "stage",
            Self::Check => "check",
            Self::Info => "info",
            Self::Promote => "promote",
            Self::Publish => "publish",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The durations and the findings of a run, for the metrics.
#[derive(Debug, Default)]
pub struct Trace {
    steps: RefCell<Vec<(Step, Duration)>>,
    claim_conflicts: RefCell<u32>,
    seen: RefCell<Option<Seen>>,
}

/// The state of the secret at the start of the run. A run that fails reports it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub access_token_expires_at: Option<Timestamp>,
    pub refresh_token_expires_at: Option<Timestamp>,
    pub advertisers: usize,
    pub advertisers_stale: bool,
}

impl Trace {
    pub(crate) fn took(&self, step: Step, duration: SignedDuration) {
        // If the clock was set back during the step, its duration is zero.
        let duration = Duration::try_from(duration).unwrap_or_default();
        self.steps.borrow_mut().push((step, duration));
    }

    pub(crate) fn claim_conflict(&self) {
        *self.claim_conflicts.borrow_mut() += 1;
    }

    pub(crate) fn sees(&self, credentials: &Credentials) {
        *self.seen.borrow_mut() = Some(Seen {
            access_token_expires_at: credentials.access_token_expires_at,
            refresh_token_expires_at: credentials.refresh_token_expires_at,
            advertisers: credentials.advertisers.len(),
            advertisers_stale: credentials.list_is_stale(),
        });
    }

    /// Returns the state of the secret at the start of the run. `None` if the secret could not be read.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        *self.seen.borrow()
    }

    /// Returns the total duration of a step's requests. `None` if the run did not reach the step.
    #[must_use]
    pub fn duration(&self, step: Step) -> Option<Duration> {
        let steps = self.steps.borrow();
        let mut of_step = steps.iter().filter(|(name, _)| *name == step).map(|(_, took)| *took).peekable();
        of_step.peek()?;
        Some(of_step.sum())
    }

    /// Returns the number of claims that another run held.
    #[must_use]
    pub fn claim_conflicts(&self) -> u32 {
        *self.claim_conflicts.borrow()
    }
}
