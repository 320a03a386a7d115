//! Rate limits and request counts. The windows slide: no second, wherever it starts, may have more requests than the
//! limit.

use std::collections::VecDeque;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A limit, and the pause after it is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The number of accepted requests.
    pub requests: usize,
    /// The window of the limit.
    pub window: Duration,
    /// The time in which every request is rejected after the limit was exceeded.
    pub pause: Duration,
}

/// Enforces a limit, or accepts everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    limit: Option<Limit>,
    recent: Window,
    closed_until: Duration,
}

impl Gate {
    pub fn of(limit: Option<Limit>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Counts a request and returns true if it is accepted. Rejected requests count too, so an immediate retry does not
    /// help.
    pub fn admits(&mut self, now: Duration) -> bool {
        let Some(limit) = self.limit else { return true };
        let fits = self.recent.add(now, limit.window) <= limit.requests;
        let is_open = self.closed_until <= now;
        if is_open && !fits {
            self.closed_until = now + limit.pause;
        }
        is_open && fits
    }
}

/// The number of requests over time.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    /// The number of requests.
    pub requests: u64,
    /// The number of requests rejected by the limit.
    pub refused: u64,
    /// The largest number of requests in any one second.
    pub greatest: usize,
    recent: Window,
}

impl Rate {
    pub(super) fn count(&mut self, now: Duration) {
        self.requests += 1;
        self.greatest = self.greatest.max(self.recent.add(now, SECOND));
    }
}

/// The times of the latest requests.
#[derive(Clone, Debug, Default)]
struct Window(VecDeque<Duration>);

impl Window {
    /// Adds a request and says how many there are now within `length`.
    fn add(&mut self, now: Duration, length: Duration) -> usize {
        self.0.push_back(now);
        while self.0.front().is_some_and(|first| *first + length <= now) {
            self.0.pop_front();
        }
        self.0.len()
    }
}
