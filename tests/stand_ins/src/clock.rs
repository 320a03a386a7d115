//! The clock of a stand-in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time as a value: the servers set it from the wall clock, and the model and tests set or advance it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    now: Duration,
    ahead: Duration,
}

impl Clock {
    /// The present, counted from the Unix epoch.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Sets the time to `wall` plus everything that [`advance`](Self::advance) has added.
    pub fn tick(&mut self, wall: Duration) {
        self.now = wall + self.ahead;
    }

    /// Lets time pass in an instant: tokens expire, unlabeled versions grow old.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
        self.ahead += by;
    }
}

/// The wall clock, counted from the Unix epoch.
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
