//! Rate limits on the function's side. TikTok limits the requests of an app, and Secrets Manager the writes of an
//! account.
//!
//! All secrets of an invocation share the [`RateLimits`]. A request acquires a permit from a [`Bucket`], which says
//! when the request may be sent. If TikTok throttles an app, its bucket is paused.
//!
//! Sources: the [quotas of Secrets
//! Manager](https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html), and TikTok's rate
//! limits of an app at the default tier: 10 requests a second, 600 a minute.

use std::{cell::RefCell, collections::HashMap, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use jiff::{SignedDuration, Timestamp};

/// The number of requests of an app that may follow each other at once: the two of one refresh. TikTok sees at most the
/// rate plus this number within a second.
const TIKTOK_BURST: u32 = 2;
/// The number of writes that may follow each other at once. A refresh has three, plus one for each reader secret. So a
/// single refresh never waits.
const WRITE_BURST: u32 = 8;
/// The first pause after TikTok throttled an app. TikTok counts by the second and by the minute, so a shorter pause
/// would not help.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
/// The pause that TikTok asks for after an app exceeded its limit by the minute.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// The requests that are counted together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bucket<'a> {
    /// Not limited, or the permit was acquired before.
    Free,
    /// Writes to Secrets Manager; this many permits are acquired at once.
    Writes(u32),
    /// Requests to TikTok for the app with that id.
    App(&'a str),
}

/// The permits of one invocation.
#[derive(Debug)]
pub struct RateLimits {
    tiktok: f64,
    writes: RefCell<Permits>,
    apps: RefCell<HashMap<String, App>>,
}

impl RateLimits {
    /// Creates limits: requests to TikTok for each app and writes to Secrets Manager, both a second and above zero.
    #[must_use]
    pub fn new(tiktok: f64, writes: f64) -> Self {
        Self { tiktok, writes: RefCell::new(Permits::new(writes, WRITE_BURST)), apps: RefCell::default() }
    }

    /// Acquires a permit and returns the time from which it is valid.
    ///
    /// # Errors
    /// If no permit becomes valid before `latest`.
    pub(crate) fn acquire(
        &self,
        bucket: Bucket<'_>,
        now: Timestamp,
        latest: Timestamp,
    ) -> Result<Timestamp, AcquireError> {
        match bucket {
            Bucket::Free => Ok(now),
            Bucket::Writes(n) => self.writes.borrow_mut().acquire(n, now, latest).map_err(|_| AcquireError::Queue),
            Bucket::App(id) => self.app(id, |app| app.acquire(now, latest)),
        }
    }

    /// Returns true if a permit is no longer valid. Without this, all waiting requests would be sent at once after a
    /// machine was frozen.
    pub(crate) fn has_lapsed(&self, bucket: Bucket<'_>, permit: Timestamp, now: Timestamp) -> bool {
        let interval = match bucket {
            Bucket::Free => return false,
            Bucket::Writes(_) => self.writes.borrow().interval,
            Bucket::App(id) => self.app(id, |app| app.permits.interval),
        };
        now.duration_since(permit) > interval
    }

    /// Returns the end of the app's pause, or `None` if the app is not paused.
    pub(crate) fn pause(&self, bucket: Bucket<'_>, now: Timestamp) -> Option<Timestamp> {
        let Bucket::App(id) = bucket else { return None };
        self.app(id, |app| app.pause.filter(|until| *until > now))
    }

    /// Records that TikTok throttled a request. Returns the time until which the app is paused.
    pub(crate) fn throttled(&self, bucket: Bucket<'_>, asked_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let Bucket::App(id) = bucket else { return None };
        Some(self.app(id, |app| app.throttled(asked_at, now)))
    }

    /// Records that TikTok did not throttle a request.
    pub(crate) fn answered(&self, bucket: Bucket<'_>, asked_at: Timestamp) {
        let Bucket::App(id) = bucket else { return };
        self.app(id, |app| {
            if app.pause.is_some_and(|until| until <= asked_at) {
                (app.pause, app.pauses) = (None, pauses());
            }
        });
    }

    fn app<R>(&self, id: &str, act: impl FnOnce(&mut App) -> R) -> R {
        let mut apps = self.apps.borrow_mut();
        if let Some(app) = apps.get_mut(id) {
            return act(app);
        }
        let new = App { permits: Permits::new(self.tiktok, TIKTOK_BURST), pause: None, pauses: pauses() };
        act(apps.entry(id.to_owned()).or_insert(new))
    }
}

/// The reason why no permit is valid in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcquireError {
    /// Too many requests wait for one.
    Queue,
    /// TikTok asked for a pause, which lasts until that time.
    Pause(Timestamp),
}

#[derive(Debug)]
struct App {
    permits: Permits,
    /// The end of the latest pause.
    pause: Option<Timestamp>,
    pauses: ExponentialBackoff,
}

impl App {
    fn acquire(&mut self, now: Timestamp, latest: Timestamp) -> Result<Timestamp, AcquireError> {
        let pause = self.pause.filter(|until| *until > now);
        if let Some(until) = pause.filter(|until| *until > latest) {
            return Err(AcquireError::Pause(until));
        }
        self.permits.acquire(1, pause.unwrap_or(now), latest).map_err(|_| AcquireError::Queue)
    }

    fn throttled(&mut self, asked_at: Timestamp, now: Timestamp) -> Timestamp {
        match self.pause {
            // The request was sent before the pause began, so the pause answers it too.
            Some(until) if asked_at < until => until,
            _ => {
                let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE);
                *self.pause.insert(now + pause)
            }
        }
    }
}

/// Returns the pauses of an app, each twice as long as the one before. They never end: the deadline does.
fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default().with_min_delay(SHORTEST_PAUSE).with_max_delay(LONGEST_PAUSE);
    pauses.with_factor(2.0).with_jitter().without_max_times().build()
}

/// Permits at even intervals. After a time without requests, some are valid at once.
#[derive(Debug)]
struct Permits {
    interval: SignedDuration,
    ahead: SignedDuration,
    next: Option<Timestamp>,
}

/// No permit is valid before the latest time.
struct NoPermit;

impl Permits {
    fn new(per_second: f64, burst: u32) -> Self {
        // A rate of one request in many years gets the longest interval. An infinite rate gets an interval of zero.
        let interval = SignedDuration::try_from_secs_f64(1.0 / per_second).unwrap_or(SignedDuration::MAX);
        Self { interval, ahead: times(interval, burst - 1), next: None }
    }

    /// Acquires `n` permits and returns the time from which the first one is valid: `now` or later.
    fn acquire(&mut self, n: u32, now: Timestamp, latest: Timestamp) -> Result<Timestamp, NoPermit> {
        let next = self.next.map_or(now, |next| next.max(now));
        let permit = next.checked_sub(self.ahead).map_or(now, |permit| permit.max(now));
        if permit > latest {
            return Err(NoPermit);
        }
        self.next = Some(next.checked_add(times(self.interval, n)).unwrap_or(Timestamp::MAX));
        Ok(permit)
    }
}

fn times(interval: SignedDuration, n: u32) -> SignedDuration {
    i32::try_from(n).ok().and_then(|n| interval.checked_mul(n)).unwrap_or(SignedDuration::MAX)
}
