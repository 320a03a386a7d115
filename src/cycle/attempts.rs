//! One way to repeat a request: backoff and jitter, within the deadline.

use std::{future::Future, pin::Pin, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::{Clock, Cycle, Store, TikTok, trace::Step};
use crate::error::{Class, Error, Kind};

/// Whom a request goes to, and how long one attempt may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub step: Step,
    service: Kind,
    /// The longest that an attempt is waited for.
    timeout: Duration,
    /// The shortest time in which an attempt is worth beginning.
    least: Duration,
    /// What has to be left of the invocation after an attempt.
    reserve: Duration,
    /// Whether even errors that look permanent are repeated.
    stubborn: bool,
}

/// TikTok answers within a second or two; what takes ten does not come.
const TIKTOK_TIMEOUT: Duration = Duration::from_secs(10);
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
const LEAST: Duration = Duration::from_millis(200);

impl Request {
    pub const fn store(step: Step) -> Self {
        Self {
            step,
            service: Kind::SecretsManagerUnavailable,
            timeout: STORE_TIMEOUT,
            least: LEAST,
            reserve: RESPONSE_RESERVE,
            stubborn: false,
        }
    }

    /// The write that nothing may stop: TikTok has taken the old token, and the new one exists nowhere else.
    pub const fn stage(step: Step) -> Self {
        Self { stubborn: true, ..Self::store(step) }
    }

    /// Listing the advertisers leaves time to promote.
    pub const fn check(step: Step) -> Self {
        Self {
            service: Kind::TikTokUnavailable,
            timeout: TIKTOK_TIMEOUT,
            reserve: Duration::from_secs(2),
            ..Self::store(step)
        }
    }

    /// A refresh token is only spent while TikTok's whole timeout and the write of its answer still fit.
    pub const fn redeem(step: Step) -> Self {
        Self { least: TIKTOK_TIMEOUT, reserve: STAGE_RESERVE, ..Self::check(step) }
    }

    /// Looking up facts about advertisers must not cost anything that matters more.
    pub const fn info(step: Step) -> Self {
        Self { timeout: INFO_TIMEOUT, reserve: INFO_RESERVE, ..Self::check(step) }
    }

    fn took_too_long(self, limit: Duration) -> Error {
        let who = if self.service == Kind::TikTokUnavailable { "TikTok" } else { "Secrets Manager" };
        let what = format!("{who} did not answer within {:.1} seconds ({}).", limit.as_secs_f32(), self.step);
        Error::new(self.service, what).with_lost_answer()
    }

    fn repeats(self, error: &Error) -> bool {
        self.stubborn || error.kind().class() != Class::Permanent
    }
}

/// What failed attempts leave to the next one.
#[derive(Debug, Default)]
struct Failures {
    /// Whether one of them may have been carried out.
    lost_answer: bool,
    transient: Option<ExponentialBackoff>,
    throttled: Option<ExponentialBackoff>,
}

impl Failures {
    /// How long to wait now. The waits never end: the deadline does.
    fn next_wait(&mut self, class: Class) -> Duration {
        // Throttled: TikTok counts by the second and by the minute, so short waits only feed the limit.
        let (waits, min, max) = match class {
            Class::Throttled => (&mut self.throttled, Duration::from_secs(2), Duration::from_mins(1)),
            Class::Transient | Class::Permanent => {
                (&mut self.transient, Duration::from_millis(200), Duration::from_secs(5))
            }
        };
        let builder = ExponentialBuilder::default().with_min_delay(min).with_max_delay(max).with_factor(2.0);
        let waits = waits.get_or_insert_with(|| builder.with_jitter().without_max_times().build());
        waits.next().unwrap_or(max)
    }
}

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Makes a request until it is answered, is refused for good, or the deadline leaves no room for another attempt.
    pub(super) async fn attempt<R, F: Future<Output = Result<R, Error>>>(
        &self,
        request: Request,
        operation: impl Fn() -> F,
    ) -> Result<R, Error> {
        let mut limit = self.time_for(request)?;
        let mut failures = Failures::default();
        loop {
            let answer = self.clock.timeout(limit, operation()).await;
            match answer.unwrap_or_else(|| Err(request.took_too_long(limit))) {
                Ok(result) => return Ok(result),
                Err(error) => limit = self.wait_after(request, &mut failures, error).await?,
            }
        }
    }

    /// Waits for another attempt, and says how long it may take; the error if there is to be none.
    ///
    /// Apart, and on the heap, because all requests share it: the loop around it is compiled for each kind of answer.
    fn wait_after<'f>(
        &'f self,
        request: Request,
        failures: &'f mut Failures,
        error: Error,
    ) -> Pin<Box<dyn Future<Output = Result<Duration, Error>> + 'f>> {
        Box::pin(async move {
            failures.lost_answer |= error.lost_answer();
            let error = if failures.lost_answer { error.with_lost_answer() } else { error };
            if !request.repeats(&error) {
                return Err(error);
            }
            let wait = failures.next_wait(error.kind().class());
            if self.remaining() < wait + request.least + request.reserve {
                return Err(error);
            }
            tracing::info!(step = %request.step, error = error.what(), wait_seconds = wait.as_secs_f32(), "trying again");
            self.clock.sleep(wait).await;
            self.room_for(request).ok_or(error)
        })
    }

    /// Makes a request once, and gives up when it takes longer than an attempt may.
    pub(super) async fn once<R>(
        &self,
        request: Request,
        operation: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Error> {
        let limit = self.time_for(request)?;
        self.clock.timeout(limit, operation).await.unwrap_or_else(|| Err(request.took_too_long(limit)))
    }

    /// How long an attempt may take now; an error if it is not worth beginning.
    pub(super) fn time_for(&self, request: Request) -> Result<Duration, Error> {
        self.room_for(request).ok_or_else(|| self.no_time_for(request.step))
    }

    /// How long an attempt may take now; `None` if it is not worth beginning.
    fn room_for(&self, request: Request) -> Option<Duration> {
        let room = self.remaining().checked_sub(request.reserve)?;
        (room >= request.least).then(|| room.min(request.timeout))
    }

    /// Notes how long a step took.
    pub(super) async fn timed<R>(&self, step: Step, work: impl Future<Output = R>) -> R {
        let started = self.clock.now();
        let result = work.await;
        self.trace.took(step, self.clock.now().duration_since(started));
        result
    }

    /// What is left of the invocation.
    pub(super) fn remaining(&self) -> Duration {
        self.run.deadline.remaining(self.clock.now())
    }

    pub(super) fn no_time_for(&self, step: Step) -> Error {
        let left = self.remaining().as_secs_f32();
        Error::new(
            Kind::DeadlineExceeded,
            format!("{left:.1} seconds before its deadline the run did not begin the step '{step}'."),
        )
    }
}
