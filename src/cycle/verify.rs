//! Tokens that stay as they are: a long-term token, or one whose refresh token TikTok rejects.

use super::{
    Clock, Cycle, Outcome, OutcomeKind, Store, TikTok,
    check::Checked,
    claim::Failed,
    outcome::ListNews,
    promote::Promoted,
    read::{Snapshot, Version},
    renew::Rejection,
};
use crate::{
    document::Change,
    error::{Error, Kind},
};

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Checks a long-term token and brings the list of advertisers up to date.
    pub(super) async fn verify(&self, snapshot: &Snapshot) -> Result<Outcome, Error> {
        let app = self.app(&snapshot.current).await?;
        match self.check_and_look_up(&app, &snapshot.current.credentials).await {
            Checked::Unknown(error) => Err(error),
            checked => self.update_list(snapshot, checked, OutcomeKind::Verified).await,
        }
    }

    /// TikTok rejected the refresh token. Downstream jobs need the access token, and that may still work.
    ///
    /// The claim is given back only now, so that the runs after this one know both.
    pub(super) async fn keep(&self, snapshot: &Snapshot, rejection: Rejection) -> Result<Outcome, Error> {
        let current = &snapshot.current.credentials;
        let checked = match self.app(&snapshot.current).await {
            Ok(app) => self.check_and_look_up(&app, current).await,
            Err(error) => Checked::Unknown(error),
        };
        let Rejection { error: rejection, held } = rejection;
        let (error, kept) = match &checked {
            Checked::Works(_) => (rejection, Some(&current.fingerprint)),
            Checked::Rejected(_) => (rejection, None),
            Checked::Unknown(error) => {
                let note = format!("{} Whether the access token still works could not be told", rejection.what());
                (error.clone().context(note), None)
            }
        };
        if let Some(held) = held {
            self.release(held, Some(Failed::new(&error, self.clock.now(), kept))).await;
        }
        if kept.is_none() {
            return Err(error);
        }
        let outcome = self.update_list(snapshot, checked, OutcomeKind::Kept).await?;
        let warning = format!("{} The access token still works and was kept. {}", error.what(), error.advice());
        Ok(outcome.warn(warning))
    }

    /// A redeem failed not long ago: what the run that tried it found still stands.
    pub(super) fn stay(&self, current: &Version, failed: &Failed) -> Result<Outcome, Error> {
        let error = failed.error();
        let worked = failed.kept.as_deref() == Some(current.credentials.fingerprint.as_str());
        if !worked || current.credentials.access_token_has_expired(self.clock.now()) {
            return Err(error);
        }
        let warning = format!("{} The access token still worked then and was kept. {}", error.what(), error.advice());
        Ok(Outcome::new(OutcomeKind::Kept, current).unproven().warn(warning))
    }

    async fn update_list(&self, snapshot: &Snapshot, checked: Checked, kind: OutcomeKind) -> Result<Outcome, Error> {
        let current = &snapshot.current;
        let news = ListNews::of(&current.credentials, checked).map_err(|rejection| {
            let what = format!("TikTok rejects the access token: {}", rejection.what());
            let error = Error::new(Kind::ReauthorizationRequired, what);
            rejection.code().map_or_else(|| error.clone(), |code| error.clone().with_code(code))
        })?;
        let unchanged = Outcome::new(kind, current);
        let Some(list) = news.fetched.clone() else {
            return Ok(unchanged.with_news(current, current, news));
        };
        let change = Change { tokens: None, list: Some((list, self.clock.now())) };
        if changes_nothing(current, &change)? {
            return Ok(unchanged.with_news(current, current, news));
        }
        Ok(match self.promote(snapshot, &change, None).await? {
            Promoted::Ours { version, reduction } => {
                Outcome::new(kind, &version).with_news(current, &version, news).with_reduction(reduction)
            }
            Promoted::Theirs(theirs) => Outcome::superseded(&theirs),
        })
    }
}

/// Whether a change would only set a newer time on the same list.
fn changes_nothing(current: &Version, change: &Change) -> Result<bool, Error> {
    let (Some(fetched_at), false) = (current.credentials.advertisers_fetched_at, current.credentials.list_is_stale())
    else {
        return Ok(false);
    };
    let same_time = Change { tokens: None, list: change.list.clone().map(|(list, _)| (list, fetched_at)) };
    let (next, _) = crate::document::fit(same_time.apply(&current.document, &current.id)?)?;
    Ok(super::promote::same_content(current, &next))
}
