//! The refresh of one secret.
//!
//! ```text
//! read AWSCURRENT ─► plan ─► claim ─► redeem ─► stage ∥ check ─► promote ─► publish
//!                     │        │ claim taken: follow the chain to its tip, promote that
//!                     │ skip   │ conflict at promote: rebase, or superseded
//!                     └ long_term: check ─► write only if something changed
//! ```
//!
//! A token pair is replaced by one successor. A run that replaces a pair holds the claim on it, and stages the answer under
//! a version id that is derived from the pair. So the versions of a secret are a chain, and the next run finds in it what a
//! crashed one has left. `docs/design.md` has the protocol and its promises.

mod answer;
pub(crate) mod chain;
pub(crate) mod check;
pub(crate) mod claim;
pub(crate) mod claim_record;
pub(crate) mod ids;
mod info;
mod new_tokens;
pub(crate) mod outcome;
pub(crate) mod plan;
pub(crate) mod promote;
pub(crate) mod publish;
pub(crate) mod redeem;
pub(crate) mod replace;
mod resume;
mod stage;
mod verify;
pub(crate) mod version;
mod version_budget;
pub(crate) mod work;

use std::{future::Future, time::Duration};

use chain::Chain;
use claim_record::Claim;
use jiff::Timestamp;
pub use outcome::{Outcome, OutcomeKind};
use plan::{Plan, Situation, Times, plan};
use promote::Promotion;
use replace::Replaced;
use version::Version;
use work::Work;

use crate::{
    document::{Change, Flow, Provenance, TokenFields},
    error::Error,
    fault_switch::FaultSwitch,
    transport::{Attempts, Clock, InvocationContext, Requests, Step, Store, TIME_FOR_A_REFRESH, Tag, TikTok, Trace},
};

/// The most plans of one run. It plans again after TikTok rejected a refresh token: another run may have refreshed just now.
const MAX_PLANS: usize = 3;
/// The wait between two looks at another run's claim.
pub(crate) const WAIT_FOR_OTHER_RUN: Duration = Duration::from_secs(2);
/// The most of these waits with a retry budget. A run that works is done by then.
const WAITS_WITHIN_BUDGET: usize = 5;

/// The reason for a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// By hand: refresh in any case.
    Now,
    /// By the schedule: refresh unless that was done at or after the scheduled time.
    Scheduled(Timestamp),
    /// By the hourly run: refresh if the token could expire during a job that starts now.
    IfNeeded,
}

/// The version or label that new tokens go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PromotionTarget<'a> {
    Current,
    /// The version of a rotation that is being created.
    RotationVersion(&'a str),
}

/// The refresh of one secret in one invocation.
#[derive(Debug)]
pub struct Refresher<'a, S, T, C> {
    store: &'a S,
    tiktok: &'a T,
    pub(crate) clock: &'a C,
    pub(crate) run: &'a InvocationContext,
    pub(crate) secret: &'a str,
    pub(crate) nonce: String,
    pub(crate) target: PromotionTarget<'a>,
    /// True if other secrets wait for this one to come to an end.
    pub(crate) has_retry_budget: bool,
    pub(crate) trace: Trace,
}

impl<'a, S: Store, T: TikTok, C: Clock> Refresher<'a, S, T, C> {
    /// The refresher of the secret with that name or ARN.
    pub fn new(store: &'a S, tiktok: &'a T, clock: &'a C, run: &'a InvocationContext, secret: &'a str) -> Self {
        Self {
            store,
            tiktok,
            clock,
            run,
            secret,
            nonce: run.next_nonce(),
            target: PromotionTarget::Current,
            has_retry_budget: false,
            trace: Trace::default(),
        }
    }

    /// The same with a retry budget. A request without an answer is given up before the deadline, so that a few secrets do not
    /// use up the time of all.
    #[must_use]
    pub fn with_retry_budget(self) -> Self {
        Self { has_retry_budget: true, ..self }
    }

    /// The same with another place for new tokens.
    pub(crate) fn with_target(self, target: PromotionTarget<'a>) -> Self {
        Self { target, ..self }
    }

    /// The steps of the run and their durations.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The ARN of the secret.
    ///
    /// # Errors
    /// When the secret cannot be read.
    pub async fn arn(&self) -> Result<String, Error> {
        Ok(self.read_current().await?.arn)
    }

    /// True if the secret has a tag.
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
        let (outcome, found, promoted) = self.bring_up_to_date(trigger).await?;
        if outcome.outcome == OutcomeKind::InProgress {
            return Ok(outcome);
        }
        let published = self.publish(&found, &promoted).await?;
        Ok(Outcome { published, ..outcome })
    }

    /// The refresh up to its promotion, the version that it found, and the one that is current then.
    async fn bring_up_to_date(&self, trigger: Trigger) -> Result<(Outcome, Version, Version), Error> {
        let mut trigger = trigger;
        let mut rejected = None;
        let (mut plans, mut waits) = (0, 0);
        loop {
            let began = self.clock.now();
            let current = self.timed(Step::Read, self.read_current()).await?;
            if let Some((pair, rejection)) = rejected.take() {
                if current.credentials.fingerprint == pair || plans == MAX_PLANS {
                    let (outcome, version) = self.fall_back_to_access_token(&current, rejection).await?;
                    return Ok((outcome, current, version));
                }
                self.give_back(rejection).await;
            }
            match self.follow_plan(current.clone(), trigger).await? {
                Replaced::Done(outcome, _) if plans < MAX_PLANS && self.is_still_due(&outcome, trigger) => {
                    trigger = if trigger == Trigger::Now { Trigger::IfNeeded } else { trigger };
                    plans += 1;
                }
                Replaced::Done(outcome, version) => return Ok((outcome, current, version)),
                Replaced::Rejected(rejection) => {
                    rejected = Some((current.credentials.fingerprint, rejection));
                    // A run that refreshed since this one began has done what this one was asked for.
                    trigger = Trigger::Scheduled(began);
                    plans += 1;
                }
                Replaced::InProgress { until } => {
                    if !current.credentials.access_token_has_expired(self.clock.now()) {
                        return Ok((Outcome::in_progress(&current, until), current.clone(), current));
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
        let current = self.timed(Step::Read, self.read_current()).await?;
        let (chain, claim) = self.look_behind(&current).await?;
        let plan = self.plan(&chain, claim.as_ref(), trigger).await?;
        let app = self.app(&current).await?;
        let checked = self.check_and_look_up(&app, &current.credentials).await;
        Ok(Outcome::dry_run(&current, &plan, checked))
    }

    async fn follow_plan(&self, current: Version, trigger: Trigger) -> Result<Replaced, Error> {
        let mut chain = Chain::of(current);
        let mut plan = self.plan(&chain, None, trigger).await?;
        // A pair that is not replaced now may have been replaced by a run that crashed.
        if matches!(plan, Plan::Skip(_) | Plan::Verify(_)) {
            let (seen, claim) = self.look_behind(chain.current()).await?;
            chain = seen;
            plan = self.plan(&chain, claim.as_ref(), trigger).await?;
        }
        let current = chain.current();
        tracing::info!(secret_id = self.secret, flow = %current.credentials.flow, %plan, "planned");
        match plan {
            Plan::Skip(_) => {
                let current = self.hold_roll_back(&chain).await?;
                Ok(Replaced::Done(Outcome::fresh(&current), current))
            }
            Plan::CoolDown(failed) => {
                let outcome = self.replay_recorded_failure(current, &failed)?;
                Ok(Replaced::Done(outcome, current.clone()))
            }
            Plan::Verify(_) => {
                let (outcome, version) = self.verify(current).await?;
                Ok(Replaced::Done(outcome, version))
            }
            Plan::Resume | Plan::Renew(_) => self.replace(chain, Work::Refresh(trigger)).await,
        }
    }

    /// Reads the newest claim on the current pair and, if there is one, the chain behind it.
    pub(crate) async fn look_behind(&self, current: &Version) -> Result<(Chain, Option<Claim>), Error> {
        if FaultSwitch::NoSecondLook.is_on() {
            return Ok((Chain::of(current.clone()), None));
        }
        let claim = self.timed(Step::Read, self.newest_claim(current)).await?;
        let chain = match &claim {
            Some(_) => self.timed(Step::Read, self.walk(current)).await?,
            None => Chain::of(current.clone()),
        };
        Ok((chain, claim))
    }

    async fn plan(&self, chain: &Chain, claim: Option<&Claim>, trigger: Trigger) -> Result<Plan, Error> {
        let current = chain.current();
        self.ensure_tokens(current).await?;
        let is_behind = chain.tip(&[]).is_some_and(|tip| !tip.holds_pair_of(current));
        let claim = claim.filter(|_| !is_behind);
        let situation = Situation { is_behind, claim, ..Situation::of(&current.credentials) };
        Ok(plan(situation, trigger, self.clock.now(), self.run.min_token_lifetime))
    }

    /// Notes in the secret that a person rolled back to an earlier authorization: AWSPREVIOUS shows it until the next write.
    async fn hold_roll_back(&self, chain: &Chain) -> Result<Version, Error> {
        let current = chain.current();
        if !chain.is_rolled_back() {
            return Ok(current.clone());
        }
        let authorization = chain.authorization_of(current);
        let provenance =
            Provenance::unmoved(&current.credentials, authorization, &self.run.request_id, self.clock.now());
        let change = Change { tokens: Some((TokenFields::of(&current.document), provenance)), list: None };
        let promotion = Promotion { change: &change, authorizes: false };
        let (promote::Promoted::Ours { version, .. } | promote::Promoted::Theirs(version)) =
            self.promote(current, promotion, None).await?;
        Ok(version)
    }

    /// True if the run goes on, because the tokens that it resumed with are from another day.
    fn is_still_due(&self, outcome: &Outcome, trigger: Trigger) -> bool {
        let times = Times { refreshed_at: outcome.refreshed_at, expires_at: outcome.access_token_expires_at };
        let is_due = plan::is_still_due(times, trigger, self.clock.now(), self.run.min_token_lifetime);
        outcome.outcome == OutcomeKind::Resumed && outcome.flow != Flow::LongTerm && is_due
    }

    /// Secrets Manager and TikTok, with rate limits, time limits and retries.
    pub(crate) const fn requests(&self) -> Requests<'_, S, T, C> {
        let attempts = Attempts { clock: self.clock, run: self.run, has_retry_budget: self.has_retry_budget };
        Requests { store: self.store, tiktok: self.tiktok, attempts }
    }

    /// The time until the deadline.
    pub(crate) fn remaining(&self) -> Duration {
        self.requests().attempts.remaining()
    }

    /// Notes how long a step took.
    pub(crate) async fn timed<R>(&self, step: Step, work: impl Future<Output = R>) -> R {
        let started = self.clock.now();
        let result = work.await;
        self.trace.took(step, self.clock.now().duration_since(started));
        result
    }

    /// True if there is time to wait for another run and to do its work then.
    pub(crate) fn can_wait(&self) -> bool {
        self.remaining() >= WAIT_FOR_OTHER_RUN + TIME_FOR_A_REFRESH
    }

    /// Waits for another run, which is refreshing a secret whose access token has expired.
    async fn wait_for_other_run(&self, until: Timestamp, waits: usize) -> Result<(), Error> {
        if !self.can_wait() || self.has_retry_budget && waits == WAITS_WITHIN_BUDGET {
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
