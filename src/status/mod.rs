//! The status of a secret, for a person.
//!
//! Input: a secret. Output: [`Status`], without tokens. Errors: the secret cannot be read or parsed. It sends no
//! request to TikTok: a dry run checks the access token.

mod readers;
mod warnings;
mod words;

use jiff::{SignedDuration, Timestamp};
pub use readers::{ReaderState, ReaderStatus};
use serde::Serialize;
use warnings::Findings;

use crate::{
    document::{Advertiser, Flow},
    error::Error,
};
use crate::{
    refresh::{
        Refresher,
        claim_record::{Claim, Purpose},
        version::Version,
    },
    transport::{Clock, Label, Store, TikTok, VersionSelector},
};

/// The state of a secret, without tokens. The most useful fields come first.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The state in one sentence.
    pub summary: String,
    /// Sentences about what a person should do, the most urgent first.
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
    /// The reader secrets of the field `publish`.
    pub readers: Vec<ReaderStatus>,
    /// `none`, `waiting` (the next run promotes it), `superseded` (ignored) or `foreign` (of another program).
    pub staged: &'static str,
    /// The claim on the current pair. Its run is in progress or crashed.
    pub claim: Option<ClaimStatus>,
    pub version_id: String,
    /// The size of the document. The limit is 65,536.
    pub bytes: usize,
}

/// A claim.
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

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Returns the advertisers of the secret.
    ///
    /// # Errors
    /// If the secret cannot be read or parsed.
    pub async fn advertisers(&self) -> Result<Vec<Advertiser>, Error> {
        Ok(self.read_current().await?.credentials.advertisers)
    }

    /// Returns the status of the secret and of its reader secrets.
    ///
    /// # Errors
    /// If the secret cannot be read or parsed. Other problems are warnings.
    pub async fn status(&self) -> Result<Status, Error> {
        let current = self.read_current().await?;
        let (chain, pending) = tokio::join!(self.walk(&current), self.read_pending());
        let (chain, pending) = (chain?, pending?);
        let (readers, reader_warnings) = self.reader_statuses(&current).await;
        let waiting = chain.tip(&[]).filter(|tip| !tip.holds_pair_of(&current));
        let next_claim = self.newest_claim(waiting.unwrap_or(&current)).await?;
        let now = self.clock.now();
        let credentials = &current.credentials;
        // A claim that was released after a failure belongs to a run that did not finish.
        let concerns = |claim: &&Claim| claim.purpose != Purpose::Append && (!claim.released || claim.failed.is_some());
        let claim = next_claim.as_ref().filter(|_| waiting.is_none()).filter(concerns);
        let claim = claim.map(|claim| ClaimStatus::of(claim, now));
        let pending_is_foreign = matches!(pending, Some(None));
        let findings = Findings {
            current: &current,
            waiting,
            next_claim: next_claim.as_ref(),
            claim: claim.as_ref(),
            pending_is_foreign,
            now,
            min_lifetime: self.run.min_token_lifetime,
        };
        let is_superseded = |staged: &Version| !staged.holds_pair_of(&current);
        let mut warnings = findings.warnings();
        warnings.extend(reader_warnings);
        warnings.sort_by_key(|(urgency, _)| *urgency);
        let remaining = |end: Option<Timestamp>| end.map(|end| seconds(end.duration_since(now)));
        let ago = |time: Option<Timestamp>| time.map(|time| seconds(now.duration_since(time)));
        Ok(Status {
            summary: words::summary(credentials, findings.rejected_both_at(), now),
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
            staged: match (waiting, chain.newest_staged()) {
                (Some(_), _) => "waiting",
                _ if pending_is_foreign => "foreign",
                (None, Some(staged)) if is_superseded(staged) => "superseded",
                _ => "none",
            },
            claim,
            version_id: current.id.clone(),
            bytes: current.document.size(),
        })
    }
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Reads the version with AWSPENDING. `Some(None)` is a version of another program.
    pub(crate) async fn read_pending(&self) -> Result<Option<Option<Version>>, Error> {
        let stored = self.get(VersionSelector::Label(Label::Pending)).await?;
        let of_ours = |version: &Version| version.credentials.origin.is_some();
        Ok(stored.map(|stored| Version::of(&stored).ok().filter(of_ours)))
    }
}

/// Returns whole seconds. Negative durations are zero, because clocks differ.
fn seconds(duration: SignedDuration) -> i64 {
    duration.as_secs().max(0)
}
