//! Checking an access token: TikTok lists its advertisers, or tells what an account holder's token is for.
//!
//! A check never fails. It says whether the token works, is rejected, or could not be checked.

use std::time::Duration;

use crate::{
    document::{Advertiser, App, Credentials, Flow},
    error::{Error, Kind},
};
use crate::{
    refresh::Refresher,
    transport::{Clock, Listing, Step, Store, TikTok},
};

/// The waits after which a rejected new token is checked again: TikTok can take seconds to accept it.
const WAITS_FOR_A_NEW_TOKEN: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// The time for which a token counts as new.
const NEW: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// The result of a check.
#[derive(Clone, Debug)]
pub(crate) enum Checked {
    /// The token works.
    Works(Listed),
    /// The token works. It is an account holder's and has no advertisers.
    Proven,
    /// TikTok rejects the token.
    Rejected(Error),
    /// The answer did not come, or proves neither.
    Unknown(Error),
}

impl Checked {
    /// Passes a check on that proves the token, or beside whose token TikTok reported no error.
    ///
    /// # Errors
    /// The reported error. The tokens stay staged, and a later run checks them again.
    pub fn despite(self, reported: Option<&Error>) -> Result<Self, Error> {
        match (self, reported) {
            (Self::Rejected(_) | Self::Unknown(_), Some(error)) => {
                let what = "TikTok gave new tokens together with an error, and the check does not prove that they work";
                Err(error.clone().context(what))
            }
            (checked, _) => Ok(checked),
        }
    }
}

/// The advertisers of a token that works.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub advertisers: Vec<Advertiser>,
    /// A sentence about facts that are missing.
    pub warning: Option<String>,
    /// True if facts about them were not asked for, because they would not fit into the secret.
    pub left_out: bool,
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Checks the access token. An advertiser's token yields the list, too.
    pub(crate) async fn check(&self, app: &App, credentials: &Credentials) -> Checked {
        self.timed(Step::Check, self.check_patiently(app, credentials)).await
    }

    async fn check_patiently(&self, app: &App, credentials: &Credentials) -> Checked {
        let Some(token) = &credentials.access_token else {
            return Checked::Rejected(Error::new(Kind::ReauthorizationRequired, "There is no access token."));
        };
        let is_new = credentials.refreshed_at.is_some_and(|at| self.clock.now().duration_since(at) < NEW);
        let mut waits = WAITS_FOR_A_NEW_TOKEN.iter().filter(|_| is_new);
        loop {
            let checked = if credentials.flow == Flow::TtUser {
                self.requests().token_info(app, token).await.map(|()| Checked::Proven)
            } else {
                self.requests().advertisers(app, token).await.map(|it| Checked::Works(it.into()))
            };
            let error = match checked {
                Ok(checked) => return checked,
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

impl From<Listing> for Listed {
    fn from(Listing { advertisers, dropped }: Listing) -> Self {
        let advertisers = sorted(advertisers);
        let warning = (dropped > 0).then(|| {
            let all = advertisers.len() + dropped;
            format!(
                "TikTok's list of advertisers has {all} entries, and {dropped} of them without an id were left out."
            )
        });
        Self { advertisers, warning, left_out: false }
    }
}

/// Sorted by id, each once, so that equal lists are equal documents.
pub(crate) fn sorted(mut list: Vec<Advertiser>) -> Vec<Advertiser> {
    list.sort_by(|a, b| a.id.cmp(&b.id));
    list.dedup_by(|a, b| a.id == b.id);
    list
}
