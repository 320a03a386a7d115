use jiff::Timestamp;
use serde::Serialize;

use super::{Clock, Cycle, Store, TikTok, read::Pending};
use crate::{
    document::{Advertiser, Flow},
    error::Error,
};

/// What a secret holds, without a token: a person's window on the system.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    pub flow: Flow,
    pub version_id: String,
    pub has_access_token: bool,
    pub has_refresh_token: bool,
    pub access_token_expires_at: Option<Timestamp>,
    pub refresh_token_expires_at: Option<Timestamp>,
    pub refreshed_at: Option<Timestamp>,
    pub advertisers: usize,
    pub advertisers_fetched_at: Option<Timestamp>,
    pub advertisers_stale: bool,
    /// `none`, `waiting` (the next run promotes it), `superseded` (ignored) or `foreign` (not this function's).
    pub staged: &'static str,
    /// The claim on the pair that is current: a run is at work, or died.
    pub claim: Option<ClaimStatus>,
}

/// A claim, as a person needs to see it.
#[derive(Clone, Debug, Serialize)]
pub struct ClaimStatus {
    pub claimed_by: String,
    pub claimed_at: Timestamp,
    pub expires_at: Timestamp,
    pub live: bool,
}

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// The advertisers that the secret holds.
    ///
    /// # Errors
    /// When the secret cannot be read or understood.
    pub async fn advertisers(&self) -> Result<Vec<Advertiser>, Error> {
        Ok(self.read_current().await?.credentials.advertisers)
    }

    /// Reads the secret and says what it holds.
    ///
    /// # Errors
    /// When the secret cannot be read or understood.
    pub async fn status(&self) -> Result<Status, Error> {
        let snapshot = self.read().await?;
        let credentials = &snapshot.current.credentials;
        let claim = snapshot.claim.as_ref().filter(|claim| claim.fingerprint == credentials.fingerprint.as_str());
        Ok(Status {
            flow: credentials.flow,
            has_access_token: credentials.access_token.is_some(),
            has_refresh_token: credentials.refresh_token.is_some(),
            access_token_expires_at: credentials.access_token_expires_at,
            refresh_token_expires_at: credentials.refresh_token_expires_at,
            refreshed_at: credentials.refreshed_at,
            advertisers: credentials.advertisers.len(),
            advertisers_fetched_at: credentials.advertisers_fetched_at,
            advertisers_stale: credentials.list_is_stale(),
            staged: match snapshot.pending {
                _ if snapshot.waiting().is_some() => "waiting",
                Pending::None | Pending::Done => "none",
                Pending::Descendant(_) => "waiting",
                Pending::Superseded => "superseded",
                Pending::Foreign => "foreign",
            },
            claim: claim.map(|claim| ClaimStatus {
                claimed_by: claim.claimed_by.clone(),
                claimed_at: claim.claimed_at,
                expires_at: claim.expires_at,
                live: claim.is_live(self.clock.now()),
            }),
            version_id: snapshot.current.id.clone(),
        })
    }
}
