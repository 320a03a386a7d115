//! The plan of a run: a pure function of the stored credentials, the trigger and the time.

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::document::{Credentials, Flow};
use crate::refresh::{
    Trigger,
    claim_record::{Claim, Failed},
};

/// The lifetime of an access token whose answer named none: TikTok documents 24 hours for every token that is refreshed.
const DOCUMENTED_LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// The cooldown of the hourly run after TikTok rejected the refresh token: the daily run tries again first.
const COOL_DOWN: SignedDuration = SignedDuration::from_hours(24);

/// The failures in a row after which the hourly run calls TikTok less often. A failed attempt writes two versions, and Lambda
/// retries an hourly run twice, which would make 144 versions on a day without TikTok. Secrets Manager takes about a hundred.
/// With this limit that day writes 54: four, two an hour, and those of the daily run.
const MANY_FAILURES: u32 = 2;
/// The cooldown after them: of an hourly run and its two retries, one calls TikTok.
const SLOW_DOWN: SignedDuration = SignedDuration::from_mins(50);

/// The next step of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing.
    Skip(Fresh),
    /// Go on with the tokens that an earlier run staged.
    Resume,
    /// Redeem the refresh token.
    Renew(Due),
    /// Check the long-term token.
    Verify(Due),
    /// Nothing, although something is due: TikTok was asked not long ago.
    CoolDown(Box<Failed>),
}

/// The reason why a secret needs no refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fresh {
    RefreshedSince { scheduled: Timestamp, at: Timestamp },
    LivesUntil(Timestamp),
    RefreshedAt(Timestamp),
}

/// The reason why a secret needs a refresh or a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    AskedFor,
    NotRefreshedSince { scheduled: Timestamp },
    NeverRefreshed,
    Expired(Timestamp),
    ExpiresSoon(Timestamp),
    LifetimeUnknown { refreshed_at: Timestamp },
    LastRunFailed,
    HasNoExpiry,
}

/// The facts that a run plans with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'s> {
    pub credentials: &'s Credentials,
    /// True if the chain holds a pair that counts and is not current.
    pub is_behind: bool,
    /// The newest claim on the pair that is to be replaced, if the run has looked for it.
    pub claim: Option<&'s Claim>,
}

impl<'s> Situation<'s> {
    /// The facts of the current version alone.
    pub const fn of(credentials: &'s Credentials) -> Self {
        Self { credentials, is_behind: false, claim: None }
    }
}

/// Plans a run.
pub(crate) fn plan(situation: Situation<'_>, trigger: Trigger, now: Timestamp, min_lifetime: Duration) -> Plan {
    let Situation { credentials, is_behind, claim } = situation;
    let cool_down = claim.and_then(|claim| cools_down(claim, trigger, now)).cloned().map(Box::new).map(Plan::CoolDown);
    if is_behind {
        return cool_down.unwrap_or(Plan::Resume);
    }
    if credentials.flow == Flow::LongTerm {
        return Plan::Verify(match trigger {
            Trigger::Scheduled(scheduled) => Due::NotRefreshedSince { scheduled },
            Trigger::Now => Due::AskedFor,
            Trigger::IfNeeded => Due::HasNoExpiry,
        });
    }
    let due = match trigger {
        Trigger::Now => Err(Due::AskedFor),
        Trigger::Scheduled(scheduled) => since(credentials.into(), scheduled, now),
        // A run announced that it would replace the pair, and did not get to the end.
        Trigger::IfNeeded if claim.is_some_and(Claim::is_unfinished) => Err(Due::LastRunFailed),
        Trigger::IfNeeded => lives_long_enough(credentials.into(), now, min_lifetime),
    };
    due.map_or_else(|due| cool_down.unwrap_or(Plan::Renew(due)), Plan::Skip)
}

/// The failure after which TikTok is not called again yet.
pub(crate) fn cools_down(claim: &Claim, trigger: Trigger, now: Timestamp) -> Option<&Failed> {
    let (failed, until) = hourly_run_waits(claim)?;
    let waits = match trigger {
        // Lambda repeats a failed event.
        Trigger::Scheduled(scheduled) => failed.at >= crate::document::whole_seconds(scheduled),
        Trigger::IfNeeded => now < until,
        // A person may know why it is different now.
        Trigger::Now => false,
    };
    waits.then_some(failed)
}

/// For what failure, and until when, the hourly run leaves TikTok alone; none if it asks at once.
pub(crate) fn hourly_run_waits(claim: &Claim) -> Option<(&Failed, Timestamp)> {
    let failed = claim.failed.as_deref()?;
    let wait = if failed.is_rejection() { COOL_DOWN } else { SLOW_DOWN };
    (failed.is_rejection() || claim.failures >= MANY_FAILURES).then(|| (failed, failed.at + wait))
}

/// True if an access token has expired, as far as its lifetime is known.
pub(crate) fn has_expired(times: Times, now: Timestamp) -> bool {
    let assumed = times.refreshed_at.map(|at| at + DOCUMENTED_LIFETIME);
    times.expires_at.or(assumed).is_some_and(|end| end <= now)
}

/// True if resumed tokens are too old for the trigger, so that the run refreshes once more.
pub(crate) fn is_still_due(resumed: Times, trigger: Trigger, now: Timestamp, min_lifetime: Duration) -> bool {
    match trigger {
        Trigger::Scheduled(scheduled) => since(resumed, scheduled, now).is_err(),
        // Asked for by hand, a refresh that a run before this one began is as good as one of its own, while it lasts.
        Trigger::Now | Trigger::IfNeeded => lives_long_enough(resumed, now, min_lifetime).is_err(),
    }
}

/// When a pair of tokens was made and how long it lasts, as far as that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub refreshed_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

impl From<&Credentials> for Times {
    fn from(credentials: &Credentials) -> Self {
        Self { refreshed_at: credentials.refreshed_at, expires_at: credentials.access_token_expires_at }
    }
}

fn since(times: Times, scheduled: Timestamp, now: Timestamp) -> Result<Fresh, Due> {
    match times.refreshed_at {
        // An event can arrive hours late, and a token may live less than a day.
        Some(_) if times.expires_at.is_some_and(|expires| expires <= now) => Err(Due::NotRefreshedSince { scheduled }),
        Some(at) if at >= crate::document::whole_seconds(scheduled) => Ok(Fresh::RefreshedSince { scheduled, at }),
        _ => Err(Due::NotRefreshedSince { scheduled }),
    }
}

fn lives_long_enough(times: Times, now: Timestamp, min_lifetime: Duration) -> Result<Fresh, Due> {
    let Some(refreshed_at) = times.refreshed_at else {
        return Err(Due::NeverRefreshed);
    };
    match times.expires_at {
        Some(expires) if expires <= now => Err(Due::Expired(expires)),
        Some(expires) if expires < now + min_lifetime => Err(Due::ExpiresSoon(expires)),
        Some(expires) => Ok(Fresh::LivesUntil(expires)),
        None if now + min_lifetime < refreshed_at + DOCUMENTED_LIFETIME => Ok(Fresh::RefreshedAt(refreshed_at)),
        None => Err(Due::LifetimeUnknown { refreshed_at }),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip(fresh) => write!(f, "skip: {fresh}"),
            Self::Resume => write!(f, "resume: a run before this one staged new tokens and did not promote them"),
            Self::Renew(due) => write!(f, "renew: {due}"),
            Self::Verify(due) => write!(f, "verify: {due}"),
            Self::CoolDown(failed) if failed.is_rejection() => {
                write!(f, "cool down: TikTok rejected the refresh token at {}", failed.at)
            }
            Self::CoolDown(failed) => write!(f, "cool down: other runs have failed, the latest at {}", failed.at),
        }
    }
}

impl fmt::Display for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RefreshedSince { scheduled, at } => {
                write!(f, "refreshed at {at}, which is not before the scheduled time {scheduled}")
            }
            Self::LivesUntil(expires) => write!(f, "the access token lives until {expires}"),
            Self::RefreshedAt(at) => write!(f, "refreshed at {at}"),
        }
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AskedFor => write!(f, "asked for"),
            Self::NotRefreshedSince { scheduled } => {
                write!(f, "not known to be refreshed since the scheduled time {scheduled}")
            }
            Self::NeverRefreshed => write!(f, "these tokens have not been refreshed by this function"),
            Self::Expired(at) => write!(f, "the access token expired at {at}"),
            Self::ExpiresSoon(at) => write!(f, "the access token expires at {at}"),
            Self::LifetimeUnknown { refreshed_at } => {
                write!(f, "TikTok gave no lifetime, and the last refresh was at {refreshed_at}")
            }
            Self::LastRunFailed => write!(f, "the last run did not finish"),
            Self::HasNoExpiry => write!(f, "a long-term token can be revoked at any time"),
        }
    }
}

#[cfg(test)]
mod tests;
