use std::time::Duration;

use super::{Clock, Cycle, Store, TikTok, attempts::Request, trace::Step};
use crate::{
    document::{Advertiser, App, Credentials},
    error::{Error, Kind},
};

/// TikTok can take seconds to accept a token that it has just issued, so a rejection is believed after these waits.
const WAITS_FOR_A_NEW_TOKEN: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// A token counts as new for this long.
const NEW: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// What a check told about an access token.
#[derive(Clone, Debug)]
pub(super) enum Checked {
    /// It works.
    Works(Listed),
    /// TikTok rejects it.
    Rejected(Error),
    /// Nobody knows: the answer did not come, or does not prove a dead token.
    Unknown(Error),
}

/// The advertisers of a token that works.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub advertisers: Vec<Advertiser>,
    /// What there is to say of facts about them that are missing.
    pub warning: Option<String>,
    /// Whether facts about them were not asked for, because they would not fit into the secret.
    pub left_out: bool,
}

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Lists the advertisers with the access token of these credentials: proves the token and yields the list.
    pub(super) async fn check(&self, app: &App, credentials: &Credentials) -> Checked {
        self.timed(Step::Check, self.check_patiently(app, credentials)).await
    }

    async fn check_patiently(&self, app: &App, credentials: &Credentials) -> Checked {
        let Some(token) = &credentials.access_token else {
            return Checked::Rejected(Error::new(Kind::ReauthorizationRequired, "There is no access token."));
        };
        let is_new = credentials.refreshed_at.is_some_and(|at| self.clock.now().duration_since(at) < NEW);
        let mut waits = WAITS_FOR_A_NEW_TOKEN.iter().filter(|_| is_new);
        loop {
            let list = || self.tiktok.advertisers(app, token);
            let error = match self.attempt(Request::check(Step::Check, app), list).await {
                Ok(list) => return Checked::Works(sorted(list).into()),
                Err(error) if error.kind() == Kind::ReauthorizationRequired => error,
                Err(error) => return Checked::Unknown(error),
            };
            match waits.next() {
                Some(wait) if self.remaining() > *wait + Duration::from_secs(3) => self.clock.sleep(*wait).await,
                _ => return Checked::Rejected(error),
            }
        }
    }
}

impl From<Vec<Advertiser>> for Listed {
    fn from(advertisers: Vec<Advertiser>) -> Self {
        Self { advertisers, warning: None, left_out: false }
    }
}

/// Sorted by id, each once, so that equal lists are equal documents.
pub(super) fn sorted(mut list: Vec<Advertiser>) -> Vec<Advertiser> {
    list.sort_by(|a, b| a.id.cmp(&b.id));
    list.dedup_by(|a, b| a.id == b.id);
    list
}
