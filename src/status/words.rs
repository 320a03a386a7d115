//! Times and durations for a person, and the summary of a status.

use jiff::{SignedDuration, Timestamp};

use crate::document::{Credentials, Flow, whole_seconds};

/// Returns the state of a secret in one sentence.
///
/// `rejected_both_at` is the time at which TikTok rejected both tokens.
pub fn summary(credentials: &Credentials, rejected_both_at: Option<Timestamp>, now: Timestamp) -> String {
    if credentials.access_token.is_none() && credentials.refresh_token.is_none() {
        return "Not authorized yet.".to_owned();
    }
    let rejected = |at| format!("Authorize the app again: TikTok rejected both tokens at {}", minute(at));
    let tokens = rejected_both_at.map_or_else(|| access_token(credentials, now), rejected);
    let parts = [Some(tokens), Some(advertisers(credentials)), grant(credentials, now)];
    format!("{}.", parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

fn access_token(credentials: &Credentials, now: Timestamp) -> String {
    match credentials.access_token_expires_at {
        _ if credentials.access_token.is_none() => "Has no access token before the next refresh".to_owned(),
        Some(end) if end <= now => format!("Expired at {} ({} ago)", minute(end), about(now.duration_since(end))),
        Some(end) => format!("Works until {} (in {})", minute(end), about(end.duration_since(now))),
        None if credentials.flow == Flow::LongTerm => "Works until the advertiser withdraws it".to_owned(),
        None if credentials.origin.is_none() => {
            "Holds tokens that were put in by hand and not refreshed yet".to_owned()
        }
        None => "Holds an access token that TikTok gave no lifetime".to_owned(),
    }
}

fn advertisers(credentials: &Credentials) -> String {
    let count = match credentials.advertisers.len() {
        0 => "no advertisers".to_owned(),
        1 => "1 advertiser".to_owned(),
        count => format!("{count} advertisers"),
    };
    match credentials.advertisers_fetched_at {
        Some(at) => format!("{count} as of {}", minute(at)),
        None => "the advertisers are not listed yet".to_owned(),
    }
}

/// Returns the end of the grant. `None` for a grant that does not end.
fn grant(credentials: &Credentials, now: Timestamp) -> Option<String> {
    match credentials.refresh_token_expires_at {
        _ if credentials.flow == Flow::LongTerm => None,
        Some(end) if end <= now => {
            Some(format!("the grant ended {} ({} ago)", day(end), about(now.duration_since(end))))
        }
        Some(end) => Some(format!("the grant ends {} (in {})", day(end), about(end.duration_since(now)))),
        None => Some("when the grant ends is not known".to_owned()),
    }
}

/// Formats a time to the minute: `2026-11-23T03:00Z`.
pub fn minute(time: Timestamp) -> String {
    let text = whole_seconds(time).to_string();
    text.get(.."2026-11-23T03:00".len()).map(|minute| format!("{minute}Z")).unwrap_or(text)
}

/// Formats a day: `2026-11-23`.
pub fn day(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(.."2026-11-23".len()).map(str::to_owned).unwrap_or(text)
}

/// Formats a duration, rounded down, in the largest unit that it has at least two of.
pub fn about(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match (seconds / 86_400, seconds / 3_600, seconds / 60) {
        (days @ 2.., ..) => format!("{days} days"),
        (_, hours @ 2.., _) => format!("{hours} h"),
        (.., minutes @ 2..) => format!("{minutes} min"),
        _ => format!("{seconds} s"),
    }
}
