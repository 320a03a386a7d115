//! The warnings of a status.
//!
//! Input: the versions and claims of a secret. Output: sentences and their urgency.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;

use super::{
    ClaimStatus,
    words::{about, day, minute},
};
use crate::{
    document::{Credentials, Flow, MAX_BYTES, field, leaves_room_for_tokens},
    refresh::{
        claim_record::{Claim, Failed},
        plan::hourly_run_waits,
        version::Version,
    },
};

/// The alarm about the end of the grant comes at the same time. It takes time to find a person who may authorize.
const GRANT_ENDS_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// 25 hours: the daily run can start late, and the hourly run repairs it.
const REFRESH_IS_OVERDUE: SignedDuration = SignedDuration::from_hours(25);
/// 90 %. A few more advertisers would lose their names.
const NEARLY_FULL: usize = MAX_BYTES / 10 * 9;

/// The urgency, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Jobs fail until a person acts.
    JobsFail,
    /// A person must authorize the app before the access token expires.
    Authorize,
    /// Runs fail or did not finish.
    RunsFail,
    /// Outdated or close to expiry. The next run corrects it.
    OutOfDate,
    /// For information.
    Note,
}

/// A sentence and its urgency.
pub(crate) type Warning = (Urgency, String);

/// The versions and claims that a status reads.
pub(crate) struct Findings<'a> {
    pub current: &'a Version,
    /// The staged version that the next run promotes.
    pub waiting: Option<&'a Version>,
    /// The newest claim on the pair that is replaced next.
    pub next_claim: Option<&'a Claim>,
    /// True if AWSPENDING is on a version of another program.
    pub pending_is_foreign: bool,
    /// The claim on the current tokens.
    pub claim: Option<&'a ClaimStatus>,
    pub now: Timestamp,
    pub min_lifetime: Duration,
}

impl Findings<'_> {
    pub fn warnings(&self) -> Vec<Warning> {
        let warnings = [
            self.tokens(),
            self.rejection(),
            self.grant(),
            self.access_token(),
            self.last_refresh(),
            self.pending(),
            self.claim(),
            self.list(),
            self.size(),
        ];
        warnings.into_iter().flatten().collect()
    }

    /// Returns the time at which TikTok rejected both tokens, if it did.
    pub fn rejected_both_at(&self) -> Option<Timestamp> {
        let (failed, _) = self.failure().filter(|(failed, _)| failed.is_rejection())?;
        (!self.was_kept(failed)).then_some(failed.at)
    }

    fn credentials(&self) -> &Credentials {
        &self.current.credentials
    }

    /// Returns the failure that causes the cooldown, and the end of the cooldown for the hourly run.
    fn failure(&self) -> Option<(&Failed, Timestamp)> {
        hourly_run_waits(self.next_claim?)
    }

    /// Returns true if the access token worked after the refresh token was rejected, and has not expired since.
    fn was_kept(&self, failed: &Failed) -> bool {
        let credentials = self.credentials();
        failed.kept.as_ref() == Some(&credentials.fingerprint) && !credentials.access_token_has_expired(self.now)
    }

    fn tokens(&self) -> Option<Warning> {
        self.credentials().has_tokens().err().map(|error| (Urgency::JobsFail, error.to_string()))
    }

    fn grant(&self) -> Option<Warning> {
        let end = self.credentials().refresh_token_expires_at.filter(|_| self.credentials().flow != Flow::LongTerm)?;
        if end <= self.now {
            let is_over = self.credentials().access_token_has_expired(self.now);
            let urgency = if is_over { Urgency::JobsFail } else { Urgency::Authorize };
            return Some((urgency, format!("The refresh token ended at {}. Authorize the app again.", minute(end))));
        }
        let left = end.duration_since(self.now);
        (left < GRANT_ENDS_SOON).then(|| {
            let (day, left) = (day(end), about(left));
            let what = format!("The refresh token ends on {day} (in {left}), and no refresh extends it.");
            (Urgency::Authorize, format!("{what} Authorize the app again by then."))
        })
    }

    fn access_token(&self) -> Option<Warning> {
        let credentials = self.credentials();
        let is_own = credentials.origin.is_some();
        Some(match credentials.access_token_expires_at {
            // Another warning covers this case.
            _ if credentials.has_tokens().is_err() => return None,
            _ if credentials.access_token.is_none() => (
                Urgency::JobsFail,
                "The secret has no access token, and jobs fail until it is refreshed. Run {\"action\":\"refresh\"} and read its answer."
                    .to_owned(),
            ),
            Some(end) if end <= self.now => {
                let at = minute(end);
                let what = format!("The access token expired at {at}, and jobs fail until it is refreshed.");
                (Urgency::JobsFail, format!("{what} Run {{\"action\":\"refresh\"}} and read its answer."))
            }
            Some(end) if end < self.now + self.min_lifetime => {
                let left = about(end.duration_since(self.now));
                let what = format!("The access token ends in {left}, which is less than MIN_TOKEN_LIFETIME.");
                (Urgency::OutOfDate, format!("{what} The next hourly run refreshes it."))
            }
            Some(_) => return None,
            None if credentials.flow == Flow::LongTerm && credentials.advertisers_fetched_at.is_some() => return None,
            None if credentials.flow == Flow::LongTerm => (
                Urgency::Note,
                "The long-term token was put in by hand and has not been checked yet. The next run checks it."
                    .to_owned(),
            ),
            None if is_own => (
                Urgency::Note,
                "TikTok gave no lifetime with the access token. It is taken to live for 24 hours after its refresh."
                    .to_owned(),
            ),
            None => (
                Urgency::Note,
                "The tokens were put in by hand, and how long they live is not known before the next refresh."
                    .to_owned(),
            ),
        })
    }

    fn last_refresh(&self) -> Option<Warning> {
        let at = self.credentials().refreshed_at.filter(|_| self.credentials().flow != Flow::LongTerm)?;
        let ago = self.now.duration_since(at);
        (ago > REFRESH_IS_OVERDUE).then(|| {
            let (at, ago) = (minute(at), about(ago));
            let what = format!("The last refresh was at {at}, {ago} ago.");
            (Urgency::RunsFail, format!("{what} The daily run fails or is not started. Its log says which."))
        })
    }

    fn pending(&self) -> Option<Warning> {
        if let Some(waiting) = self.waiting {
            let what = format!("New tokens wait in version {}, because an earlier run did not finish.", waiting.id);
            return Some((Urgency::RunsFail, format!("{what} The next run makes them current.")));
        }
        self.pending_is_foreign.then(|| {
            let what = "The version labeled AWSPENDING was not written by this function, and stays as it is.";
            (Urgency::Note, what.to_owned())
        })
    }

    /// Returns the reason for the cooldown.
    fn rejection(&self) -> Option<Warning> {
        let (failed, until) = self.failure()?;
        let (at, until) = (minute(failed.at), minute(until));
        let when = format!(
            "The refresh is retried by the next daily run, by the hourly run from {until}, or at once with {{\"action\":\"refresh\"}}."
        );
        if !failed.is_rejection() {
            let what = format!("Other runs have failed, the latest at {at}: {}", failed.what);
            return Some((Urgency::RunsFail, format!("{what} {when}")));
        }
        let code = failed.code.map(|code| format!(" (code {code})")).unwrap_or_default();
        Some(if self.was_kept(failed) {
            let what =
                format!("TikTok rejected the refresh token at {at}{code}, and the access token still worked then.");
            (Urgency::Authorize, format!("{what} Authorize the app again before it ends. {when}"))
        } else {
            let what = format!("TikTok rejected both tokens at {at}{code}, and jobs fail.");
            (Urgency::JobsFail, format!("{what} Authorize the app again. {when}"))
        })
    }

    fn claim(&self) -> Option<Warning> {
        if self.failure().is_some() {
            return None;
        }
        let ClaimStatus { claimed_by, claimed_at, expires_at, live, .. } = self.claim?;
        let (since, until) = (minute(*claimed_at), minute(*expires_at));
        let what = format!("The run {claimed_by} claimed these tokens at {since}");
        Some(if *live {
            (
                Urgency::Note,
                format!("{what}, and its claim ends at {until}. It is at work, or it stopped without a result."),
            )
        } else {
            (Urgency::RunsFail, format!("{what} and did not finish. Its log says why, and the next run takes over."))
        })
    }

    fn list(&self) -> Option<Warning> {
        let credentials = self.credentials();
        let fetched_at = credentials.advertisers_fetched_at;
        if credentials.list_is_stale() {
            let of = fetched_at.map_or_else(|| "from before".to_owned(), |at| format!("of {}", minute(at)));
            let what = "The advertisers could not be listed when the tokens were refreshed.";
            return Some((Urgency::OutOfDate, format!("{what} The list is the one {of}.")));
        }
        fetched_at?;
        let list = &credentials.advertisers;
        if list.is_empty() {
            let what =
                "TikTok lists no advertisers. Authorize the app again, and tick the accounts that the jobs read.";
            return Some((Urgency::OutOfDate, what.to_owned()));
        }
        let has_no_names = list.iter().all(|advertiser| advertiser.name.is_none());
        has_no_names.then(|| (Urgency::Note, self.why_there_are_no_names().to_owned()))
    }

    /// Returns the reason: a document that would be too large, or an answer without names.
    fn why_there_are_no_names(&self) -> &'static str {
        let advertisers = self.current.document.get(field::ADVERTISERS);
        let is_reduced = advertisers.is_none_or(|json| ["[]", "null"].contains(&json.expose_secret()));
        if is_reduced {
            "The advertisers are without names, because with them the secret would be larger than Secrets Manager takes."
        } else {
            "TikTok gave no names for the advertisers."
        }
    }

    fn size(&self) -> Option<Warning> {
        let document = &self.current.document;
        if let Err(error) = leaves_room_for_tokens(document) {
            return Some((Urgency::RunsFail, error.to_string()));
        }
        let bytes = document.size();
        (bytes > NEARLY_FULL).then(|| {
            let what = format!("The secret has {bytes} of the {MAX_BYTES} bytes that Secrets Manager takes.");
            (Urgency::Note, format!("{what} Advertisers' names that do not fit are left out."))
        })
    }
}
