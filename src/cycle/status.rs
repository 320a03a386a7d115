//! A person's window on the system. It reads Secrets Manager alone: whether TikTok still takes a token is what a dry run
//! finds out.

mod readers;
mod warnings;
mod words;

use jiff::{SignedDuration, Timestamp};
pub use readers::{ReaderState, ReaderStatus};
use serde::Serialize;
use warnings::Sight;

use super::{Clock, Cycle, Store, TikTok, claim::Claim, read::Pending};
use crate::{
    document::{Advertiser, Flow},
    error::Error,
};

/// What a secret holds, without a token. What a person wants first comes first.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The essence, in one sentence.
    pub summary: String,
    /// What a person should know or do, the most urgent first.
    pub warnings: Vec<String>,
    pub flow: Flow,
    pub has_access_token: bool,
    pub has_refresh_token: bool,
    pub access_token_expires_at: Option<Timestamp>,
    pub access_token_seconds_remaining: Option<i64>,
    pub refresh_token_expires_at: Option<Timestamp>,
    pub refresh_token_seconds_remaining: Option<i64>,
    pub refreshed_at: Option<Timestamp>,
    pub refreshed_seconds_ago: Option<i64>,
    pub advertisers: usize,
    pub advertisers_fetched_at: Option<Timestamp>,
    pub advertisers_fetched_seconds_ago: Option<i64>,
    pub advertisers_stale: bool,
    /// The reader secrets that the field `publish` names.
    pub readers: Vec<ReaderStatus>,
    /// `none`, `waiting` (the next run promotes it), `superseded` (ignored) or `foreign` (not this function's).
    pub staged: &'static str,
    /// The claim on the pair that is current: a run is at work, or died.
    pub claim: Option<ClaimStatus>,
    pub version_id: String,
    /// How large the document is; Secrets Manager takes 65,536.
    pub bytes: usize,
}

/// A claim, as a person needs to see it.
#[derive(Clone, Debug, Serialize)]
pub struct ClaimStatus {
    pub claimed_by: String,
    pub claimed_at: Timestamp,
    pub claimed_seconds_ago: i64,
    pub expires_at: Timestamp,
    pub live: bool,
}

impl ClaimStatus {
    fn of(claim: &Claim, now: Timestamp) -> Self {
        Self {
            claimed_by: claim.claimed_by.clone(),
            claimed_at: claim.claimed_at,
            claimed_seconds_ago: seconds(now.duration_since(claim.claimed_at)),
            expires_at: claim.expires_at,
            live: claim.is_live(now),
        }
    }
}

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// The advertisers that the secret holds.
    ///
    /// # Errors
    /// When the secret cannot be read or understood.
    pub async fn advertisers(&self) -> Result<Vec<Advertiser>, Error> {
        Ok(self.read_current().await?.credentials.advertisers)
    }

    /// Reads the secret, and the reader secrets that it fills, and says what they hold.
    ///
    /// # Errors
    /// When the secret cannot be read or understood. What is wrong beside it is a warning.
    pub async fn status(&self) -> Result<Status, Error> {
        let snapshot = self.read_whole().await?;
        let (readers, of_readers) = self.look_at_readers(&snapshot).await;
        let (current, now) = (&snapshot.current, self.clock.now());
        let credentials = &current.credentials;
        let claim = snapshot.claim.as_ref().filter(|claim| claim.fingerprint == credentials.fingerprint.as_str());
        let claim = claim.map(|claim| ClaimStatus::of(claim, now));
        let sight =
            Sight { snapshot: &snapshot, claim: claim.as_ref(), now, min_lifetime: self.run.min_token_lifetime };
        let mut warnings = sight.warnings();
        warnings.extend(of_readers);
        warnings.sort_by_key(|(urgency, _)| *urgency);
        let remaining = |end: Option<Timestamp>| end.map(|end| seconds(end.duration_since(now)));
        let ago = |time: Option<Timestamp>| time.map(|time| seconds(now.duration_since(time)));
        Ok(Status {
            summary: words::summary(credentials, sight.rejected_both_at(), now),
            warnings: warnings.into_iter().map(|(_, warning)| warning).collect(),
            flow: credentials.flow,
            has_access_token: credentials.access_token.is_some(),
            has_refresh_token: credentials.refresh_token.is_some(),
            access_token_expires_at: credentials.access_token_expires_at,
            access_token_seconds_remaining: remaining(credentials.access_token_expires_at),
            refresh_token_expires_at: credentials.refresh_token_expires_at,
            refresh_token_seconds_remaining: remaining(credentials.refresh_token_expires_at),
            refreshed_at: credentials.refreshed_at,
            refreshed_seconds_ago: ago(credentials.refreshed_at),
            advertisers: credentials.advertisers.len(),
            advertisers_fetched_at: credentials.advertisers_fetched_at,
            advertisers_fetched_seconds_ago: ago(credentials.advertisers_fetched_at),
            advertisers_stale: credentials.list_is_stale(),
            readers,
            staged: match snapshot.pending {
                _ if snapshot.waiting().is_some() => "waiting",
                Pending::Unseen | Pending::None | Pending::Done | Pending::Descendant(_) => "none",
                Pending::Superseded => "superseded",
                Pending::Foreign => "foreign",
            },
            claim,
            version_id: current.id.clone(),
            bytes: current.document.size(),
        })
    }
}

/// Whole seconds, and none below zero: clocks differ, and what is over has nothing left.
fn seconds(duration: SignedDuration) -> i64 {
    duration.as_secs().max(0)
}
