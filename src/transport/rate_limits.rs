//! How fast requests follow each other: TikTok counts the requests of an app, and Secrets Manager the writes of an account,
//! so all secrets that an invocation works on share their turns.

use std::{cell::RefCell, collections::HashMap, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use jiff::{SignedDuration, Timestamp};

/// How many requests of an app may follow each other at once: the two of one refresh. The rate and this together are what
/// TikTok can see within a second.
const TIKTOK_BURST: u32 = 2;
/// How many writes may follow each other at once. One refresh has three, and more where it publishes: alone it never waits.
const WRITE_BURST: u32 = 8;
/// The first pause after TikTok throttled. It counts by the second and by the minute, so shorter ones only feed the limit.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
/// The pause that TikTok asks for once an app has used up what it has for a minute.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Which requests are counted together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bucket<'a> {
    /// What takes no turn, or has taken it before.
    Free,
    /// So many writes to Secrets Manager.
    Writes(u32),
    /// TikTok, in the name of the app with that id.
    App(&'a str),
}

/// The turns of an invocation.
#[derive(Debug)]
pub struct RateLimits {
    tiktok: f64,
    writes: RefCell<Permits>,
    apps: RefCell<HashMap<String, App>>,
}

impl RateLimits {
    /// A pace with that many requests to TikTok for each app, and that many writes to Secrets Manager, in a second. Both
    /// are more than zero.
    #[must_use]
    pub fn new(tiktok: f64, writes: f64) -> Self {
        Self { tiktok, writes: RefCell::new(Permits::new(writes, WRITE_BURST)), apps: RefCell::default() }
    }

    /// Takes the next turn in a line, and says when it comes, or why none comes before it is too late.
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

    /// Whether a turn is over: on a machine that stood still, all that waited would go at once.
    pub(crate) fn has_lapsed(&self, bucket: Bucket<'_>, permit: Timestamp, now: Timestamp) -> bool {
        let interval = match bucket {
            Bucket::Free => return false,
            Bucket::Writes(_) => self.writes.borrow().interval,
            Bucket::App(id) => self.app(id, |app| app.permits.interval),
        };
        now.duration_since(permit) > interval
    }

    /// When the app's pause ends, if TikTok asked for one that is not over.
    pub(crate) fn pause(&self, bucket: Bucket<'_>, now: Timestamp) -> Option<Timestamp> {
        let Bucket::App(id) = bucket else { return None };
        self.app(id, |app| app.pause.filter(|until| *until > now))
    }

    /// Notes that TikTok throttled a request, and says until when nobody is to ask in the name of that app.
    pub(crate) fn throttled(&self, bucket: Bucket<'_>, asked_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let Bucket::App(id) = bucket else { return None };
        Some(self.app(id, |app| app.throttled(asked_at, now)))
    }

    /// Notes that TikTok did not throttle a request.
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

/// Why there is no turn before the latest moment at which one is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcquireError {
    /// Too many wait before.
    Queue,
    /// TikTok asked for a pause that lasts until then.
    Pause(Timestamp),
}

#[derive(Debug)]
struct App {
    permits: Permits,
    /// When the latest pause ends, or ended.
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
            // It was on its way when another one was throttled: the same limit, which one pause answers.
            Some(until) if asked_at < until => until,
            _ => {
                let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE);
                *self.pause.insert(now + pause)
            }
        }
    }
}

/// The pauses of an app, each twice as long as the one before it. They never end: the deadline does.
fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default().with_min_delay(SHORTEST_PAUSE).with_max_delay(LONGEST_PAUSE);
    pauses.with_factor(2.0).with_jitter().without_max_times().build()
}

/// Permits at even intervals, some of which may be taken ahead after a time without any.
#[derive(Debug)]
struct Permits {
    interval: SignedDuration,
    ahead: SignedDuration,
    next: Option<Timestamp>,
}

/// There is no turn early enough.
struct NoPermit;

impl Permits {
    fn new(per_second: f64, burst: u32) -> Self {
        // A rate below one in many years is none, and a rate beyond counting has no intervals.
        let interval = SignedDuration::try_from_secs_f64(1.0 / per_second).unwrap_or(SignedDuration::MAX);
        Self { interval, ahead: times(interval, burst - 1), next: None }
    }

    /// Takes some turns, and says when the first of them comes: at `now` or later.
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
