//! What a person should know or do about a secret: sentences, the most urgent first.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    ClaimStatus,
    words::{about, day, minute},
};
use crate::{
    cycle::{claim::Claim, plan::hourly_run_waits, read::Version},
    document::{Credentials, Flow, MAX_BYTES, leaves_room_for_tokens},
};

/// The alarm on the end of the grant comes as early: time to find the person who may authorise the app.
const GRANT_ENDS_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// A day and an hour: the daily run may come late, and the hourly one makes up for it.
const REFRESH_IS_OVERDUE: SignedDuration = SignedDuration::from_hours(25);
/// From nine tenths on, a few advertisers more are enough to lose their names.
const NEARLY_FULL: usize = MAX_BYTES / 10 * 9;

/// What is looked at.
pub(super) struct Sight<'a> {
    pub current: &'a Version,
    /// The version that the next run makes current.
    pub waiting: Option<&'a Version>,
    /// The newest claim on the pair that is replaced next.
    pub next_claim: Option<&'a Claim>,
    /// The claim on the tokens that are current.
    pub claim: Option<&'a ClaimStatus>,
    /// Whether AWSPENDING is on a version that is not this function's.
    pub pending_is_foreign: bool,
    pub now: Timestamp,
    pub min_lifetime: Duration,
}

impl Sight<'_> {
    pub fn warnings(&self) -> Vec<String> {
        let warnings = [
            self.tokens(),
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

    fn credentials(&self) -> &Credentials {
        &self.current.credentials
    }

    fn tokens(&self) -> Option<String> {
        self.credentials().has_tokens().err().map(|error| error.to_string())
    }

    fn grant(&self) -> Option<String> {
        let end = self.credentials().refresh_token_expires_at.filter(|_| self.credentials().flow != Flow::LongTerm)?;
        if end <= self.now {
            return Some(format!("The refresh token ended at {}: authorise the app again.", minute(end)));
        }
        let left = end.duration_since(self.now);
        (left < GRANT_ENDS_SOON).then(|| {
            let (day, left) = (day(end), about(left));
            format!("The refresh token ends on {day} (in {left}), and no refresh extends it: authorise the app again by then.")
        })
    }

    fn access_token(&self) -> Option<String> {
        let credentials = self.credentials();
        let is_own = credentials.origin.is_some();
        match credentials.access_token_expires_at {
            // There is something worse to say of these.
            _ if credentials.has_tokens().is_err() => None,
            Some(end) if end <= self.now => Some(format!(
                "The access token expired at {}, and jobs fail until it is refreshed: run {{\"action\":\"refresh\"}} and see what it says.",
                minute(end)
            )),
            Some(end) if end < self.now + self.min_lifetime => Some(format!(
                "The access token ends in {}, which is less than MIN_TOKEN_LIFETIME: the next run with if_needed refreshes it.",
                about(end.duration_since(self.now))
            )),
            Some(_) => None,
            None if credentials.flow == Flow::LongTerm => credentials.advertisers_fetched_at.is_none().then(|| {
                "The long-term token was put in by hand and has not been checked yet: the next run does that."
                    .to_owned()
            }),
            None if is_own => Some(
                "TikTok gave no lifetime with the access token: it is taken to live for 24 hours after its refresh."
                    .to_owned(),
            ),
            None => Some(
                "The tokens were put in by hand: how long they live is not known before the next run refreshes them."
                    .to_owned(),
            ),
        }
    }

    fn last_refresh(&self) -> Option<String> {
        let at = self.credentials().refreshed_at.filter(|_| self.credentials().flow != Flow::LongTerm)?;
        let ago = self.now.duration_since(at);
        (ago > REFRESH_IS_OVERDUE).then(|| {
            let (at, ago) = (minute(at), about(ago));
            format!(
                "The last refresh was at {at}, {ago} ago: the daily run fails or does not come; its log says which."
            )
        })
    }

    fn pending(&self) -> Option<String> {
        if let Some(waiting) = self.waiting {
            let id = &waiting.id;
            return Some(format!(
                "New tokens wait in version {id}, since an earlier run did not get to the end: the next one makes them current."
            ));
        }
        self.pending_is_foreign.then(|| "The version labelled AWSPENDING is not this function's, and is left alone.".to_owned())
    }

    /// Why TikTok is left alone, where it is.
    fn cool_down(&self) -> Option<String> {
        let (failed, until) = hourly_run_waits(self.next_claim?)?;
        let (at, until) = (minute(failed.at), minute(until));
        let when = format!(
            "TikTok is asked again at the next slot, by a top-up not before {until}, and by {{\"action\":\"refresh\"}} at once."
        );
        if !failed.is_rejection() {
            return Some(format!("Other runs have failed, the latest at {at}: {} {when}", failed.what));
        }
        let code = failed.code.map(|code| format!(" (code {code})")).unwrap_or_default();
        let access_token = if failed.kept.as_deref() == Some(self.credentials().fingerprint.as_str()) {
            "the access token still worked"
        } else {
            "the access token did not work either"
        };
        Some(format!(
            "TikTok rejected the refresh token at {at}{code}, when {access_token}: authorise the app again. {when}"
        ))
    }

    fn claim(&self) -> Option<String> {
        if let Some(cool_down) = self.cool_down() {
            return Some(cool_down);
        }
        let ClaimStatus { claimed_by, claimed_at, expires_at, live, .. } = self.claim?;
        let (since, until) = (minute(*claimed_at), minute(*expires_at));
        Some(if *live {
            format!(
                "The run {claimed_by} claimed these tokens at {since} and has until {until}: it is at work, or died on the way."
            )
        } else {
            format!(
                "The run {claimed_by} claimed these tokens at {since} and did not get to the end: its log says why, and the next run takes over."
            )
        })
    }

    fn list(&self) -> Option<String> {
        let credentials = self.credentials();
        let fetched_at = credentials.advertisers_fetched_at;
        if credentials.list_is_stale() {
            let of = fetched_at.map_or_else(|| "from before".to_owned(), |at| format!("of {}", minute(at)));
            return Some(format!(
                "The advertisers could not be listed when the tokens were refreshed: the list is the one {of}."
            ));
        }
        fetched_at?;
        let list = &credentials.advertisers;
        if list.is_empty() {
            return Some("TikTok lists no advertisers: tick their accounts when you authorise the app.".to_owned());
        }
        list.iter().all(|advertiser| advertiser.name.is_none()).then(|| {
            "The advertisers are without names: with them the secret would be larger than Secrets Manager takes."
                .to_owned()
        })
    }

    fn size(&self) -> Option<String> {
        let document = &self.current.document;
        if let Err(error) = leaves_room_for_tokens(document) {
            return Some(error.to_string());
        }
        let bytes = document.size();
        (bytes > NEARLY_FULL).then(|| {
            format!("The secret has {bytes} of the {MAX_BYTES} bytes that Secrets Manager takes; what does not fit of the advertisers is left out.")
        })
    }
}
