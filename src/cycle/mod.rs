//! The refresh cycle of one secret.
//!
//! ```text
//! read ──► plan ──► claim ──► redeem ──► stage ∥ check ──► promote ──► publish
//!            │ skip: fresh                                   │ conflict: rebase, or superseded
//!            │ resume: a staged version waits ────► check ───┘
//!            └ verify: a long-term token ─────────► check ──► written only if something changed
//! ```
//!
//! A refresh token may work once only, so the cycle never holds the only copy of anything: a *claim* is written before a
//! token is spent, the answer is *staged* before anything else can fail, and AWSCURRENT moves by compare-and-swap alone.
//! Whatever dies at whatever point, the next run finds in the store what it needs to go on, and spends nothing twice.

mod attempts;
mod authorize;
mod check;
mod claim;
mod clock;
mod fleet;
mod info;
mod outcome;
mod pace;
pub mod plan;
mod ports;
mod promote;
mod publish;
mod read;
mod redeem;
mod renew;
mod rotation;
mod secret;
mod stage;
mod status;
mod trace;
mod verify;

use std::{future::Future, time::Duration};

pub use attempts::TIME_FOR_A_REFRESH;
use attempts::{Attempts, Request};
pub use authorize::{
    Consent, DEFAULT_REDIRECT_URI, Link, LinkRequest, MAX_VALIDITY_HOURS, State, VALIDITY, is_https_or_on_this_machine,
};
pub use clock::{Deadline, SystemClock};
pub use fleet::{Agenda, Fleet, Fresh};
use jiff::Timestamp;
pub use outcome::{Outcome, OutcomeKind};
pub use pace::Pace;
use plan::{Plan, Times, plan};
pub use ports::{
    Clock, Description, Directory, Grant, Label, Labels, Listed, Listing, Moved, Page, Put, Store, Stored, Tag, TikTok,
    Which,
};
use read::Snapshot;
use renew::{Ended, Start};
pub use rotation::{Rotated, RotationStep, StepOutcome};
pub use status::{ClaimStatus, ReaderState, ReaderStatus, Status};
pub use trace::{Seen, Step, Trace};

use crate::{
    document::{Flow, hex},
    error::Error,
};

/// How often a run plans anew after TikTok rejected a refresh token: somebody else may have refreshed a moment ago.
const MAX_PLANS: usize = 3;
/// How often a run looks whether another one, on which it has to wait, is done.
const WAIT_FOR_OTHER_RUN: Duration = Duration::from_secs(2);
/// How often it does so while other secrets wait for their turn: one that is at work is done by then.
const WAITS_AMONG_MANY: usize = 5;

/// Why a refresh was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// By hand: refresh whatever is there.
    Now,
    /// By the schedule: refresh unless that was done at or after the slot.
    Slot(Timestamp),
    /// By the hourly top-up: refresh if a job that starts now could run into the end of the token.
    IfNeeded,
}

/// What one invocation is, for every secret that it works on.
#[derive(Debug)]
pub struct Run {
    /// Lambda's request id; retries of an event share it.
    pub request_id: String,
    /// 128 random bits that no other invocation has, in hexadecimal: this is what tells our claim from a retry's.
    pub nonce: String,
    pub deadline: Deadline,
    /// The top-up refreshes a token that has less than this to live.
    pub min_token_lifetime: Duration,
    /// Whether TikTok is asked for more about each advertiser than its id and its name.
    pub advertiser_info: bool,
    /// The turns that the secrets take at TikTok and at Secrets Manager.
    pub pace: Pace,
}

impl Run {
    /// A run with a nonce of its own.
    ///
    /// # Errors
    /// When the operating system has no random numbers to give.
    pub fn begin(
        request_id: String,
        deadline: Deadline,
        min_token_lifetime: Duration,
        advertiser_info: bool,
        pace: Pace,
    ) -> Result<Self, getrandom::Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        Ok(Self { request_id, nonce: hex(&nonce), deadline, min_token_lifetime, advertiser_info, pace })
    }
}

/// The cycle of one secret in one run.
#[derive(Debug)]
pub struct Cycle<'a, S, T, C> {
    store: &'a S,
    tiktok: &'a T,
    clock: &'a C,
    run: &'a Run,
    secret: &'a str,
    /// The version of a rotation that new tokens go to, instead of AWSCURRENT.
    fills: Option<&'a str>,
    /// Whether other secrets wait for this one to come to an end.
    among_many: bool,
    trace: Trace,
}

impl<'a, S: Store, T: TikTok, C: Clock> Cycle<'a, S, T, C> {
    /// The cycle of the secret with that name or ARN.
    pub fn new(store: &'a S, tiktok: &'a T, clock: &'a C, run: &'a Run, secret: &'a str) -> Self {
        Self { store, tiktok, clock, run, secret, fills: None, among_many: false, trace: Trace::default() }
    }

    /// The same while other secrets wait for their turn: whatever gets no answer is given up before the deadline, so that a
    /// few of them cannot use up the time of all.
    #[must_use]
    pub fn among_many(self) -> Self {
        Self { among_many: true, ..self }
    }

    /// What the run noted of itself.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Whether the secret has a tag.
    ///
    /// # Errors
    /// When Secrets Manager does not tell.
    pub async fn has_tag(&self, tag: &Tag) -> Result<bool, Error> {
        let tags = self.describe().await?.tags;
        Ok(tag.is_among(tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))))
    }

    /// Refreshes the secret as far as the trigger asks for it.
    ///
    /// # Errors
    /// Whenever the secret is not known to be usable afterwards.
    pub async fn refresh(&self, trigger: Trigger) -> Result<Outcome, Error> {
        let (outcome, snapshot) = self.bring_up_to_date(trigger).await?;
        if outcome.outcome == OutcomeKind::InProgress {
            return Ok(outcome);
        }
        let published = self.publish(&snapshot).await?;
        Ok(Outcome { published, ..outcome })
    }

    /// The cycle up to its promotion, and the secret as it last found it before that.
    async fn bring_up_to_date(&self, trigger: Trigger) -> Result<(Outcome, Snapshot), Error> {
        let mut trigger = trigger;
        let mut rejected = None;
        let (mut plans, mut waits) = (0, 0);
        loop {
            let began = self.clock.now();
            let snapshot = self.read().await?;
            if let Some((pair, rejection)) = rejected.take() {
                if snapshot.current.credentials.fingerprint == pair || plans == MAX_PLANS {
                    return Ok((self.keep(&snapshot, rejection).await?, snapshot));
                }
                self.give_back(rejection).await;
            }
            match self.follow(&snapshot, trigger).await? {
                Ended::Done(outcome) if plans < MAX_PLANS && self.is_still_due(&outcome, trigger) => {
                    trigger = if trigger == Trigger::Now { Trigger::IfNeeded } else { trigger };
                    plans += 1;
                }
                Ended::Done(outcome) => return Ok((outcome, snapshot)),
                Ended::Rejected(rejection) => {
                    rejected = Some((snapshot.current.credentials.fingerprint, rejection));
                    // Whoever refreshed since this run began has done what it was asked for.
                    trigger = Trigger::Slot(began);
                    plans += 1;
                }
                Ended::InProgress { until } => {
                    if !snapshot.current.credentials.access_token_has_expired(self.clock.now()) {
                        return Ok((Outcome::in_progress(&snapshot.current, until), snapshot));
                    }
                    self.wait_for_other_run(until, waits).await?;
                    waits += 1;
                }
            }
        }
    }

    /// Reads, plans, and checks the current access token; spends and writes nothing.
    ///
    /// # Errors
    /// When the secret or the app's credentials cannot be read.
    pub async fn dry_run(&self, trigger: Trigger) -> Result<Outcome, Error> {
        let snapshot = self.read().await?;
        let plan = self.plan(&snapshot, trigger)?;
        let app = self.app(&snapshot.current).await?;
        let checked = self.check_and_look_up(&app, &snapshot.current.credentials).await;
        Ok(Outcome::dry_run(&snapshot.current, &plan, checked))
    }

    fn plan(&self, snapshot: &Snapshot, trigger: Trigger) -> Result<Plan, Error> {
        let plan = plan(snapshot, trigger, self.clock.now(), self.run.min_token_lifetime);
        if plan != Plan::Resume {
            snapshot.current.credentials.has_tokens()?;
        }
        Ok(plan)
    }

    /// Whether the run goes on: what it resumed was a token from another day.
    fn is_still_due(&self, outcome: &Outcome, trigger: Trigger) -> bool {
        let times = Times { refreshed_at: outcome.refreshed_at, expires_at: outcome.access_token_expires_at };
        let is_due = plan::is_still_due(times, trigger, self.clock.now(), self.run.min_token_lifetime);
        outcome.outcome == OutcomeKind::Resumed && outcome.flow != Flow::LongTerm && is_due
    }

    async fn follow(&self, snapshot: &Snapshot, trigger: Trigger) -> Result<Ended, Error> {
        let plan = self.plan(snapshot, trigger)?;
        tracing::info!(secret_id = self.secret, flow = %snapshot.current.credentials.flow, %plan, "planned");
        match plan {
            Plan::Skip(_) => Ok(Ended::Done(Outcome::fresh(&snapshot.current))),
            Plan::CoolDown(failed) => self.stay(&snapshot.current, &failed).map(Ended::Done),
            Plan::Resume => match snapshot.waiting() {
                Some(staged) => self.renew(snapshot, Start::Resume(staged.clone())).await,
                None => self.renew(snapshot, Start::Redeem).await,
            },
            Plan::Verify(_) => self.verify(snapshot).await.map(Ended::Done),
            Plan::Renew(_) => self.renew(snapshot, Start::Redeem).await,
        }
    }

    const fn attempts(&self) -> Attempts<'_, C> {
        Attempts { clock: self.clock, run: self.run, among_many: self.among_many }
    }

    /// As [`Attempts::attempt`].
    fn attempt<R, F: Future<Output = Result<R, Error>>>(
        &self,
        request: Request<'_>,
        operation: impl Fn() -> F,
    ) -> impl Future<Output = Result<R, Error>> {
        self.attempts().attempt(request, operation)
    }

    /// What is left of the invocation.
    fn remaining(&self) -> Duration {
        self.attempts().remaining()
    }

    /// Notes how long a step took.
    async fn timed<R>(&self, step: Step, work: impl Future<Output = R>) -> R {
        let started = self.clock.now();
        let result = work.await;
        self.trace.took(step, self.clock.now().duration_since(started));
        result
    }

    /// Somebody else is refreshing a secret whose access token has expired: this run cannot say that it is usable.
    async fn wait_for_other_run(&self, until: Timestamp, waits: usize) -> Result<(), Error> {
        if self.remaining() < WAIT_FOR_OTHER_RUN + TIME_FOR_A_REFRESH || self.among_many && waits == WAITS_AMONG_MANY {
            let what = format!(
                "The access token has expired, and another run, which has until {until}, is still refreshing it."
            );
            return Err(Error::new(crate::error::Kind::DeadlineExceeded, what)
                .advise("Nothing to do: if that run fails, the next one takes over."));
        }
        self.clock.sleep(WAIT_FOR_OTHER_RUN).await;
        Ok(())
    }
}
