//! One way to make a request: in its turn, and again after a failure, with backoff and jitter, within the deadline.

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
};

/// Whom a request goes to, and how long one attempt may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub step: Step,
    service: Kind,
    /// Which other requests it takes turns with.
    bucket: Bucket<'a>,
    /// The longest that an attempt is waited for.
    timeout: Duration,
    /// The same while other secrets wait.
    timeout_within_budget: Duration,
    /// The shortest time in which an attempt is worth beginning.
    min_time: Duration,
    /// What has to be left of the invocation after an attempt.
    reserve: Duration,
    /// Whether even errors that look permanent are repeated.
    retries_every_error: bool,
}

/// TikTok answers within a second or two. A request is begun only while there is this much time for its answer.
const TIKTOK_ANSWER: Duration = Duration::from_secs(10);
/// An answer that is on its way is waited for as long as there is time: giving up on a single-use token burns it.
const UNTIL_THE_DEADLINE: Duration = Duration::MAX;
/// A list that takes longer than this keeps the other secrets of a fleet waiting.
const LIST_TIMEOUT_WITHIN_BUDGET: Duration = Duration::from_secs(30);
/// Secrets Manager answers within tens of milliseconds; a first call may have to wait for KMS.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a write to Secrets Manager and its repetition, kept back before a refresh token is spent.
const STAGE_RESERVE: Duration = Duration::from_secs(5);
/// Facts about advertisers are not worth a longer wait: all calls for them together have this long.
const INFO_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to promote and to publish, each with a slow answer, kept back before facts about advertisers are asked for.
const INFO_RESERVE: Duration = Duration::from_secs(10);
/// Time to report: the response is a few kilobytes to a loopback address.
const RESPONSE_RESERVE: Duration = Duration::from_millis(300);
/// Less than this is not enough for a TLS handshake and an answer.
const MIN_TIME: Duration = Duration::from_millis(200);
/// How often a request is tried while other secrets wait for their turn: where TikTok never answers, that takes a minute.
const RETRY_BUDGET: u32 = 5;

/// The wait before a read is repeated that does not show what was just written. Reads of Secrets Manager are eventually
/// consistent: they lag by milliseconds, seldom by a second.
pub(crate) const READ_LAG: Duration = Duration::from_millis(200);

/// What a refresh needs before its deadline to be worth beginning: time to read, to redeem, and to stage the answer.
pub const TIME_FOR_A_REFRESH: Duration =
    Duration::from_secs(STORE_TIMEOUT.as_secs() + TIKTOK_ANSWER.as_secs() + STAGE_RESERVE.as_secs());

impl<'a> Request<'a> {
    /// Reading in Secrets Manager.
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

    /// Writing to Secrets Manager.
    pub const fn write(step: Step) -> Self {
        Self { bucket: Bucket::Writes(1), ..Self::read(step) }
    }

    /// The write that announces a redeem. It takes the turn of the stage as well, which must not wait for one.
    pub const fn claim(step: Step) -> Self {
        Self { bucket: Bucket::Writes(2), ..Self::read(step) }
    }

    /// The write that nothing may stop: TikTok has taken the old token, and the new one exists nowhere else.
    pub const fn stage(step: Step) -> Self {
        Self { retries_every_error: true, ..Self::read(step) }
    }

    /// Listing the advertisers leaves time to promote.
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

    /// What TikTok takes once is only sent while there is time for an answer and for its write.
    pub const fn redeem(step: Step, app: &'a App) -> Self {
        let timeout_within_budget = UNTIL_THE_DEADLINE;
        Self { min_time: TIKTOK_ANSWER, reserve: STAGE_RESERVE, timeout_within_budget, ..Self::check(step, app) }
    }

    /// Looking up facts about advertisers must not cost anything that matters more.
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

/// What failed attempts leave to the next one.
#[derive(Debug, Default)]
struct Failures {
    /// Whether one of them may have been carried out.
    lost_answer: bool,
    /// How many there were, without those that TikTok throttled.
    transient: u32,
    waits: Option<ExponentialBackoff>,
}

impl Failures {
    /// How long to wait now. The waits never end: the deadline does.
    fn next_wait(&mut self) -> Duration {
        let (min, max) = (Duration::from_millis(200), Duration::from_secs(5));
        let builder = ExponentialBuilder::default().with_min_delay(min).with_max_delay(max).with_factor(2.0);
        let waits = self.waits.get_or_insert_with(|| builder.with_jitter().without_max_times().build());
        waits.next().unwrap_or(max)
    }
}

/// What every request of a run goes through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempts<'a, C> {
    pub clock: &'a C,
    pub run: &'a InvocationContext,
    /// Whether other secrets wait for this one to come to an end.
    pub has_retry_budget: bool,
}

impl<C: Clock> Attempts<'_, C> {
    /// Makes a request until it is answered, is refused for good, or the deadline leaves no room for another attempt.
    pub(crate) async fn attempt<R, F: Future<Output = Result<R, Error>>>(
        self,
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

    /// Waits for a request's turn, and says how long an attempt may take then; an error if it is not worth beginning.
    ///
    /// Apart, and on the heap, because all requests share it: what calls it is compiled for each kind of answer.
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

    /// Waits out a pause that TikTok asked for, so that nothing is announced that cannot be done in time.
    pub(crate) async fn wait_out_pause(&self, request: Request<'_>) -> Result<(), Error> {
        while let Some(until) = self.run.rate_limits.pause(request.bucket, self.clock.now()) {
            if until > self.latest_start(request) {
                return Err(self.too_late(request, AcquireError::Pause(until)));
            }
            self.sleep_until(until).await;
        }
        self.time_for(request).map(drop)
    }

    /// Waits for another attempt, and says how long it may take; the error if there is to be none.
    ///
    /// Apart, and on the heap, as a turn is.
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

    /// Tells the other secrets what a failed request says of the app's rate, and until when TikTok is not to be asked.
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
        let within_budget = !self.has_retry_budget || failures.transient < RETRY_BUDGET;
        request.retries_every_error || within_budget && error.kind().class() != Class::Permanent
    }

    /// Makes a request once, and gives up when it takes longer than an attempt may.
    pub(crate) async fn once<R>(
        &self,
        request: Request<'_>,
        operation: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Error> {
        let limit = self.time_for(request)?;
        self.clock.timeout(limit, operation).await.unwrap_or_else(|| Err(request.took_too_long(limit)))
    }

    /// How long an attempt may take now; an error if it is not worth beginning.
    fn time_for(&self, request: Request<'_>) -> Result<Duration, Error> {
        let time = self.remaining().checked_sub(request.reserve).filter(|time| *time >= request.min_time);
        let timeout = if self.has_retry_budget { request.timeout_within_budget } else { request.timeout };
        time.map(|time| time.min(timeout)).ok_or_else(|| self.no_time_for(request.step))
    }

    /// The last moment at which an attempt is worth beginning.
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

    /// What is left of the invocation.
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
