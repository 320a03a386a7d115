//! TikTok's error codes.
//!
//! Input: a code or an OAuth error name, the endpoint and the message. Output: the [`Kind`] of error and the advice.
//! Source: TikTok's list of return codes, its [SDK](https://github.com/tiktok/tiktok-business-api-sdk), and the reports
//! of other clients.

use crate::error::Kind;

/// Returns the kind of error for a code. Unlisted codes get the kind of their range.
pub(super) fn kind_of(code: i64, message: &str) -> Kind {
    match code {
        // Rate limits by the second, the minute and the day.
        40016 | 40100 | 40132 | 40133 | 61000 => Kind::TikTokThrottled,
        40000..=40099 if is_about_rate(message) => Kind::TikTokThrottled,
        // Internal errors and maintenance.
        40201 | 40202 | 40700 | 50000..=53999 | 60001 => Kind::TikTokUnavailable,
        // Expired, revoked or unknown tokens and codes.
        40101..=40103 | 40105..=40107 | 40109 | 40110 | 40114 | 40115 | 40120 | 40130 | 40131 => {
            Kind::ReauthorizationRequired
        }
        // Every other request that TikTok rejected.
        40000..=49999 | 70001 => Kind::TikTokMisconfigured,
        // Partial success (20001) and undocumented ranges. Such an answer never has tokens.
        _ => Kind::TikTokUnavailable,
    }
}

fn is_about_rate(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["too frequent", "too many requests", "rate limit"].iter().any(|part| message.contains(part))
}

/// Returns the kind of error for a name of RFC 6749, RFC 6750 or TikTok's newer endpoints.
pub(super) fn kind_of_name(name: &str) -> Kind {
    match name {
        "invalid_grant" | "access_denied" | "invalid_token" | "access_token_invalid" => Kind::ReauthorizationRequired,
        "slow_down" | "rate_limit_exceeded" => Kind::TikTokThrottled,
        "server_error" | "temporarily_unavailable" | "internal_error" => Kind::TikTokUnavailable,
        _ => Kind::TikTokMisconfigured,
    }
}

/// A rule that gives advice for an error. The first rule that matches counts.
struct AdviceRule {
    /// TikTok's codes. Empty for OAuth errors.
    codes: &'static [i64],
    /// OAuth's names. Empty for codes.
    names: &'static [&'static str],
    /// The endpoint. Empty for all endpoints.
    endpoint: &'static str,
    /// Lowercase texts of which the message contains one. Empty for all messages.
    message_contains: &'static [&'static str],
    /// True if the id of an account in the message is enough.
    or_has_id: bool,
    advice: &'static str,
}

const ANY: AdviceRule =
    AdviceRule { codes: &[], names: &[], endpoint: "", message_contains: &[], or_has_id: false, advice: "" };

const APP_IS_WRONG: &str = "Check 'app_id' and 'secret' in the secret against the app's page in TikTok's portal.";
const FLOW_IS_WRONG: &str = "Check 'flow' in the secret: the tokens seem to be of the other family.";

const ADVICE_RULES: [AdviceRule; 12] = [
    AdviceRule {
        codes: &[40109, 40110, 40131],
        endpoint: "tt_user/oauth2/token",
        advice: "The auth code of an account holder lives 10 minutes and works once, so open a new link and exchange its code within 10 minutes. If the app is an advertiser's, set 'flow' in the secret to \"business\": its codes do not work here.",
        ..ANY
    },
    AdviceRule {
        codes: &[40109, 40110, 40131],
        endpoint: "oauth2/access_token",
        advice: "An auth code lives 1 hour and works once, so open a new link and exchange its code. If the app is for TikTok account holders, set 'flow' in the secret to \"tt_user\": its codes do not work here.",
        ..ANY
    },
    AdviceRule {
        names: &["invalid_grant"],
        endpoint: "tt_user/oauth2/token",
        advice: "The auth code of an account holder lives 10 minutes and works once, so open a new link and exchange its code within 10 minutes.",
        ..ANY
    },
    AdviceRule {
        codes: &[40107],
        advice: "Authorize the app again. If TikTok gave you a long-term token, remove 'refresh_token' from the secret or set 'flow' to \"long_term\".",
        ..ANY
    },
    AdviceRule {
        codes: &[40001],
        message_contains: &[
            "operate advertiser",
            "operate this advertiser",
            "operate these advertisers",
            "operate the advertiser",
            "advertiser:",
            "advertiser_id",
            "advertiser id",
        ],
        or_has_id: true,
        advice: "The token works, but it may not operate this advertiser account. Give the person who authorized the app a role on the account in TikTok's Business Center, or authorize the app again without the account.",
        ..ANY
    },
    AdviceRule {
        codes: &[40001],
        names: &["insufficient_scope", "invalid_scope", "scope_not_authorized"],
        advice: "Tick 'Read Ad Account Information' among the app's permissions in TikTok's portal, then authorize the app again.",
        ..ANY
    },
    AdviceRule { codes: &[40113], names: &["invalid_client", "unauthorized_client"], advice: APP_IS_WRONG, ..ANY },
    AdviceRule { codes: &[40000], message_contains: &["app_id", "app id", "secret"], advice: APP_IS_WRONG, ..ANY },
    AdviceRule { codes: &[40108], names: &["unsupported_grant_type"], advice: FLOW_IS_WRONG, ..ANY },
    AdviceRule {
        codes: &[40002],
        message_contains: &["auth_code", "auth code"],
        advice: "An auth code works once, so open a new link and exchange its code, as a whole.",
        ..ANY
    },
    AdviceRule {
        codes: &[40002],
        message_contains: &["redirect_uri", "redirect url"],
        advice: "Use the redirect URL that the link was made with; it has to stand among the app's redirect URLs in TikTok's portal, letter by letter.",
        ..ANY
    },
    AdviceRule {
        names: &["invalid_request"],
        advice: "Check 'flow' in the secret, and whether a proxy stands between the function and TikTok.",
        ..ANY
    },
];

/// Returns the advice of the first rule that matches.
pub(super) fn advice(error: &Reported<'_>, endpoint: &str, message: &str) -> Option<&'static str> {
    let message = message.to_ascii_lowercase();
    let fits = |rule: &&AdviceRule| {
        let is_named = match error {
            Reported::Code(code) => rule.codes.contains(code),
            Reported::Name(name) => rule.names.contains(name),
        };
        is_named
            && (rule.endpoint.is_empty() || rule.endpoint == endpoint)
            // A name needs no further condition.
            && (rule.message_contains.is_empty()
                || rule.message_contains.iter().any(|part| message.contains(part))
                || rule.or_has_id && has_id(&message))
    };
    ADVICE_RULES.iter().find(fits).map(|rule| rule.advice)
}

/// Returns true if a message names an account by its id.
fn has_id(message: &str) -> bool {
    message.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() >= 10)
}

/// The form of an error in an answer.
#[derive(Clone, Copy)]
pub(super) enum Reported<'a> {
    /// TikTok's code.
    Code(i64),
    /// The name of an OAuth error.
    Name(&'a str),
}
