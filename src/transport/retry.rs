//! Sends a request: waits for a permit, limits the time of an attempt, and retries with backoff and jitter until the
//! deadline.
//!
//! A [`Request`] holds the limits of one kind of request. [`Attempts::attempt`] returns the answer, or the error of the
//! last attempt. Permanent errors are not retried, except those of a stage.

use std::{future::Future, pin::Pin, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use jiff::Timestamp;

use super::{
    Clock, InvocationContext,
    rate_limits::{AcquireError, Bucket},
    trace::Step,
};
use crate::{
    document::App,
    error::{Class, Error, Kind},
    fault_switch::FaultSwitch,
};

/// The service of a request and the limits of its attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub step: Step,
    service: Kind,
    /// The rate limit that the request counts against.
    bucket: Bucket<'a>,
    /// The longest time of an attempt.
    timeout: Duration,
    /// The longest time of an attempt with a retry budget.
    timeout_within_budget: Duration,
    /// An attempt does not start with less time than this.
    min_time: Duration,
    /// The time before the deadline that an attempt must leave.
    reserve: Duration,
    /// True if permanent errors are retried too.
    retries_every_error: bool,
}

/// An attempt of a redeem starts only if TikTok has this long to answer. TikTok usually answers within two seconds.
const TIKTOK_ANSWER: Duration = Duration::from_secs(10);
/// The run waits for the answer until the deadline: an answer that is not received loses a single-use token.
const UNTIL_THE_DEADLINE: Duration = Duration::MAX;
/// A list that takes longer would block the other secrets of a fleet.
const LIST_TIMEOUT_WITHIN_BUDGET: Duration = Duration::from_secs(30);
/// Secrets Manager answers within tens of milliseconds. A first call may wait for KMS.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// Reserved before a redeem: time for the stage and one retry.
const STAGE_RESERVE: Duration = Duration::from_secs(5);
/// The limit for all requests for advertiser info together. A refresh does not depend on them.
const INFO_TIMEOUT: Duration = Duration::from_secs(5);
/// Reserved before advertiser info is read: time to promote and to publish with slow answers.
const INFO_RESERVE: Duration = Duration::from_secs(10);
/// Reserved for the response, a few kilobytes to a loopback address.
const RESPONSE_RESERVE: Duration = Duration::from_millis(300);
/// A TLS handshake and an answer take longer than this.
const MIN_TIME: Duration = Duration::from_millis(200);
/// The number of attempts of a request with a retry budget. If TikTok never answers, they take a minute.
const RETRY_BUDGET: u32 = 5;

/// The wait before a read is repeated that does not show what was just written. Reads of Secrets Manager are eventually
/// consistent: they lag by milliseconds, seldom by a second.
pub(crate) const READ_LAG: Duration = Duration::from_millis(200);

/// A refresh does not start with less time than this: time to read, to redeem and to stage.
pub const TIME_FOR_A_REFRESH: Duration =
    Duration::from_secs(STORE_TIMEOUT.as_secs() + TIKTOK_ANSWER.as_secs() + STAGE_RESERVE.as_secs());

impl<'a> Request<'a> {
    /// A read from Secrets Manager.
    pub const fn read(step: Step) -> Self {
        Self {
            step,
            service: Kind::SecretsManagerUnavailable,
            bucket: Bucket::Free,
            timeout: STORE_TIMEOUT,
            timeout_within_budget: STORE_TIMEOUT,
            min_time: MIN_TIME,
            reserve: RESPONSE_RESERVE,
            retries_every_error: false,
        }
    }

    /// A write to Secrets Manager.
    pub const fn write(step: Step) -> Self {
        Self { bucket: Bucket::Writes(1), ..Self::read(step) }
    }

    /// The write of a claim. It acquires the permit of the stage as well, because a stage must not wait.
    pub const fn claim(step: Step) -> Self {
        Self { bucket: Bucket::Writes(2), ..Self::read(step) }
    }

    /// The write of TikTok's answer, which exists nowhere else. Every error is retried.
    pub const fn stage(step: Step) -> Self {
        Self { retries_every_error: true, ..Self::read(step) }
    }

    /// A list of the advertisers. It leaves time to promote.
    pub const fn check(step: Step, app: &'a App) -> Self {
        Self {
            service: Kind::TikTokUnavailable,
            bucket: Bucket::App(app.id.as_str()),
            timeout: UNTIL_THE_DEADLINE,
            timeout_within_budget: LIST_TIMEOUT_WITHIN_BUDGET,
            reserve: Duration::from_secs(2),
            ..Self::read(step)
        }
    }

    /// A single-use token is sent only if there is time for the answer and for its stage.
    pub const fn redeem(step: Step, app: &'a App) -> Self {
        let timeout_within_budget = UNTIL_THE_DEADLINE;
        Self { min_time: TIKTOK_ANSWER, reserve: STAGE_RESERVE, timeout_within_budget, ..Self::check(step, app) }
    }

    /// A request for advertiser info, which leaves time for everything else.
    pub const fn info(step: Step, app: &'a App) -> Self {
        Self {
            timeout: INFO_TIMEOUT,
            timeout_within_budget: INFO_TIMEOUT,
            reserve: INFO_RESERVE,
            ..Self::check(step, app)
        }
    }

    fn took_too_long(self, limit: Duration) -> Error {
        let who = if self.service == Kind::TikTokUnavailable { "TikTok" } else { "Secrets Manager" };
        let what = format!("{who} did not answer within {:.1} seconds ({}).", limit.as_secs_f32(), self.step);
        Error::new(self.service, what).with_lost_answer()
    }
}

/// The failed attempts of a request.
#[derive(Debug, Default)]
struct Failures {
    /// True if TikTok or Secrets Manager may have carried out one of them.
    lost_answer: bool,
    /// The number of failed attempts, without throttled ones.
    transient: u32,
    waits: Option<ExponentialBackoff>,
}

impl Failures {
    /// Returns the wait before the next attempt. The waits never end: the deadline does.
    fn next_wait(&mut self) -> Duration {
        let (min, max) = (Duration::from_millis(200), Duration::from_secs(5));
        let builder = ExponentialBuilder::default().with_min_delay(min).with_max_delay(max).with_factor(2.0);
        let waits = self.waits.get_or_insert_with(|| builder.with_jitter().without_max_times().build());
        waits.next().unwrap_or(max)
    }
}

/// Sends the requests of a run.
#[derive(Debug)]
pub(crate) struct Attempts<'a, C> {
    pub clock: &'a C,
    pub run: &'a InvocationContext,
    /// True if other secrets wait: the number of attempts is limited then.
    pub has_retry_budget: bool,
}

impl<C: Clock> Attempts<'_, C> {
    /// Sends a request until an attempt succeeds, an error is permanent, or the deadline leaves no time for another
    /// attempt.
    pub(crate) async fn attempt<R, F: Future<Output = Result<R, Error>>>(
        &self,
        request: Request<'_>,
        operation: impl Fn() -> F,
    ) -> Result<R, Error> {
        let mut limit = self.acquire(request).await?;
        let mut failures = Failures::default();
        loop {
            let asked_at = self.clock.now();
            let answer = self.clock.timeout(limit, operation()).await;
            match answer.unwrap_or_else(|| Err(request.took_too_long(limit))) {
                Ok(result) => {
                    self.run.rate_limits.answered(request.bucket, asked_at);
                    return Ok(result);
                }
                Err(error) => limit = self.wait_after(request, &mut failures, error, asked_at).await?,
            }
        }
    }

    /// Waits for a permit and returns the longest time of the attempt.
    ///
    /// The future is boxed, because `attempt` is compiled once for each type of answer.
    ///
    /// # Errors
    /// If the deadline leaves no time for an attempt.
    pub(crate) fn acquire<'f>(
        &'f self,
        request: Request<'f>,
    ) -> Pin<Box<dyn Future<Output = Result<Duration, Error>> + 'f>> {
        Box::pin(async move {
            loop {
                let now = self.clock.now();
                let permit = self.run.rate_limits.acquire(request.bucket, now, self.latest_start(request));
                let permit = permit.map_err(|error| self.too_late(request, error))?;
                if permit > now {
                    self.sleep_until(permit).await;
                    if self.run.rate_limits.has_lapsed(request.bucket, permit, self.clock.now()) {
                        continue;
                    }
                }
                if self.run.rate_limits.pause(request.bucket, self.clock.now()).is_none() {
                    return self.time_for(request);
                }
            }
        })
    }

    /// Waits until TikTok's pause is over, so that a run does not claim what it cannot redeem in time.
    pub(crate) async fn wait_out_pause(&self, request: Request<'_>) -> Result<(), Error> {
        while let Some(until) = self.run.rate_limits.pause(request.bucket, self.clock.now()) {
            if until > self.latest_start(request) {
                return Err(self.too_late(request, AcquireError::Pause(until)));
            }
            self.sleep_until(until).await;
        }
        self.time_for(request).map(drop)
    }

    /// Waits before the next attempt and returns its longest time. Boxed as in [`Attempts::acquire`].
    ///
    /// # Errors
    /// The error of the last attempt, if there is no other one.
    fn wait_after<'f>(
        &'f self,
        request: Request<'f>,
        failures: &'f mut Failures,
        error: Error,
        asked_at: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Duration, Error>> + 'f>> {
        Box::pin(async move {
            failures.lost_answer |= error.lost_answer();
            let error = if failures.lost_answer { error.with_lost_answer() } else { error };
            let pause = self.note(request, &error, asked_at);
            if pause.is_none() && !self.should_retry(request, failures, &error) {
                return Err(error);
            }
            let now = self.clock.now();
            let again = pause.unwrap_or_else(|| now + failures.next_wait());
            if again > self.latest_start(request) {
                return Err(error);
            }
            tracing::info!(step = %request.step, error = error.what(), %again, "trying again");
            self.sleep_until(again).await;
            self.acquire(request).await.map_err(|_| error)
        })
    }

    /// Updates the app's rate limit after a failed request. Returns the time until which the app is paused.
    pub(crate) fn note(&self, request: Request<'_>, error: &Error, asked_at: Timestamp) -> Option<Timestamp> {
        match error.kind().class() {
            Class::Throttled => self.run.rate_limits.throttled(request.bucket, asked_at, self.clock.now()),
            Class::Transient => None,
            Class::Permanent => {
                self.run.rate_limits.answered(request.bucket, asked_at);
                None
            }
        }
    }

    fn should_retry(&self, request: Request<'_>, failures: &mut Failures, error: &Error) -> bool {
        failures.transient += 1;
        if request.retries_every_error && FaultSwitch::GiveUpStage.is_on() {
            return false;
        }
        let within_budget = !self.has_retry_budget || failures.transient < RETRY_BUDGET;
        request.retries_every_error || within_budget && error.kind().class() != Class::Permanent
    }

    /// Sends a request once, within the time of an attempt.
    pub(crate) async fn once<R>(
        &self,
        request: Request<'_>,
        operation: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Error> {
        let limit = self.time_for(request)?;
        self.clock.timeout(limit, operation).await.unwrap_or_else(|| Err(request.took_too_long(limit)))
    }

    /// Returns the longest time of an attempt that starts now.
    ///
    /// # Errors
    /// If the deadline leaves no time for an attempt.
    fn time_for(&self, request: Request<'_>) -> Result<Duration, Error> {
        let time = self.remaining().checked_sub(request.reserve).filter(|time| *time >= request.min_time);
        let timeout = if self.has_retry_budget { request.timeout_within_budget } else { request.timeout };
        let timeout = if FaultSwitch::ImpatientRedeem.is_on() { timeout.min(TIKTOK_ANSWER) } else { timeout };
        time.map(|time| time.min(timeout)).ok_or_else(|| self.no_time_for(request.step))
    }

    /// Returns the latest time at which an attempt may start.
    fn latest_start(&self, request: Request<'_>) -> Timestamp {
        let deadline = self.run.deadline.time();
        deadline.checked_sub(request.min_time + request.reserve).unwrap_or(Timestamp::MIN)
    }

    fn too_late(&self, request: Request<'_>, error: AcquireError) -> Error {
        match error {
            AcquireError::Queue => self.no_time_for(request.step),
            AcquireError::Pause(until) => {
                let what =
                    format!("TikTok throttles the app, and its deadline leaves the run no time to wait until {until}.");
                Error::new(Kind::TikTokThrottled, what)
            }
        }
    }

    async fn sleep_until(&self, time: Timestamp) {
        let wait = Duration::try_from(time.duration_since(self.clock.now())).unwrap_or_default();
        self.clock.sleep(wait).await;
    }

    /// Returns the time until the deadline.
    pub(crate) fn remaining(&self) -> Duration {
        self.run.deadline.remaining(self.clock.now())
    }

    fn no_time_for(&self, step: Step) -> Error {
        let left = self.remaining().as_secs_f32();
        Error::new(
            Kind::DeadlineExceeded,
            format!("{left:.1} seconds before its deadline the run did not begin the step '{step}'."),
        )
    }
}
