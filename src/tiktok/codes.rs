//! What TikTok's codes mean for a run.

use crate::error::Kind;

/// The kind of error that a code stands for. Codes that are not listed are TikTok's to explain, so their number is in
/// every message.
pub(super) fn kind_of(code: i64, message: &str) -> Kind {
    match code {
        // Rate limits, by the second, the minute and the day.
        40016 | 40100 | 40132 | 40133 | 61000 => Kind::TikTokThrottled,
        40000 if message.to_ascii_lowercase().contains("too frequent") => Kind::TikTokThrottled,
        // Internal errors and maintenance.
        40201 | 40202 | 40700 | 50000..=53999 | 60001 => Kind::TikTokUnavailable,
        // Tokens and codes that are expired, revoked or unknown.
        40101..=40103 | 40105..=40107 | 40109 | 40110 | 40114 | 40115 | 40120 | 40130 | 40131 => {
            Kind::ReauthorizationRequired
        }
        // Every other request that TikTok understood and refused.
        40000..=49999 | 70001 => Kind::TikTokMisconfigured,
        // Partial success (20001) and codes from ranges that are not documented: nothing that a token may be taken from.
        _ => Kind::TikTokUnavailable,
    }
}

/// What to do about a code, where more is known than about its kind.
pub(super) const fn advice(code: i64) -> Option<&'static str> {
    match code {
        40107 => Some(
            "Authorise the app again. If TikTok gave you a long-term token, remove 'refresh_token' from the secret or set 'flow' to \"long_term\".",
        ),
        40001 => Some(
            "Tick 'Read Ad Account Information' among the app's permissions in TikTok's portal, then authorise the app again.",
        ),
        40113 => Some("Check 'app_id' and 'secret' in the secret against the app's page in TikTok's portal."),
        40108 => Some("Check 'flow' in the secret: the tokens seem to be of the other family."),
        _ => None,
    }
}
