//! How much is asked at a time, and what a service does when it is too much. The windows slide: no second, wherever it
//! begins, may hold more than the limit.

use std::collections::VecDeque;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A limit, and what follows from going beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many requests are taken.
    pub requests: usize,
    /// In this time.
    pub window: Duration,
    /// For how long nothing is taken after one request too many.
    pub pause: Duration,
}

/// What enforces a limit, or lets everything pass.
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

    /// Counts a request and says whether it may pass. One that may not counts too: asking again at once does not help.
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

/// How much was asked.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    /// How many requests there were.
    pub requests: u64,
    /// How many of them were refused because they were too many.
    pub refused: u64,
    /// The greatest number of them in any one second.
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
