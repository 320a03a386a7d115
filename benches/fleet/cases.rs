//! The cases that are measured: numbers of secrets, and limits.

use std::time::Duration;

/// Lambda's longest timeout.
pub const LONGEST: Duration = Duration::from_mins(15);

/// The duration of a case, by which a person can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    Seconds,
    Minutes,
    QuarterOfAnHour,
}

/// The limits of the services, and the speed at which the function may send requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limits {
    /// Both services take anything and answer at once, and the function is told not to hold back.
    Lifted,
    /// TikTok and Secrets Manager refuse what is beyond their limits and answer as slowly as from afar; the function
    /// runs with its defaults.
    Kept,
}

/// A fleet and its circumstances.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    pub secrets: usize,
    pub limits: Limits,
    /// The timeout of the invocation.
    pub timeout: Duration,
    /// The number of secrets whose refresh has to fail. For every other one TikTok never answers. The grant of the rest is
    /// revoked.
    pub failing: usize,
    pub rounds: usize,
    pub effort: Effort,
}

pub const LIFTED: &str = "limits lifted";
pub const KEPT: &str = "limits kept";
pub const SHORT: &str = "limits kept, an invocation of 60 s";
pub const FAILING: &str = "limits lifted, 1 % failing";

const fn case(name: &'static str, secrets: usize, limits: Limits, rounds: usize, effort: Effort) -> Case {
    Case { name, secrets, limits, timeout: LONGEST, failing: 0, rounds, effort }
}

/// By name and by size.
pub const CASES: [Case; 12] = [
    case(LIFTED, 1, Limits::Lifted, 7, Effort::Seconds),
    case(LIFTED, 10, Limits::Lifted, 7, Effort::Seconds),
    case(LIFTED, 100, Limits::Lifted, 5, Effort::Seconds),
    case(LIFTED, 1_000, Limits::Lifted, 3, Effort::Minutes),
    case(LIFTED, 10_000, Limits::Lifted, 1, Effort::Minutes),
    Case { failing: 10, ..case(FAILING, 1_000, Limits::Lifted, 1, Effort::Minutes) },
    case(KEPT, 1, Limits::Kept, 3, Effort::Seconds),
    case(KEPT, 10, Limits::Kept, 3, Effort::Seconds),
    case(KEPT, 100, Limits::Kept, 1, Effort::Seconds),
    case(KEPT, 1_000, Limits::Kept, 1, Effort::QuarterOfAnHour),
    case(KEPT, 10_000, Limits::Kept, 1, Effort::QuarterOfAnHour),
    Case { timeout: Duration::from_mins(1), ..case(SHORT, 1_000, Limits::Kept, 1, Effort::Minutes) },
];
