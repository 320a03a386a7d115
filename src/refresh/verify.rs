//! Tokens that are not replaced: a long-term token, or one whose refresh token TikTok rejects.
//!
//! The access token is checked, and the advertiser list is brought up to date.

use crate::{
    document::Change,
    error::{Error, Kind},
};
use crate::{
    refresh::{
        Outcome, OutcomeKind, Refresher,
        check::Checked,
        claim_record::Failed,
        outcome::AdvertiserUpdate,
        promote::{Promoted, Promotion},
        replace::Rejection,
        version::Version,
    },
    transport::{Clock, Store, TikTok},
};

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Checks a long-term token and brings the list of advertisers up to date.
    pub(crate) async fn verify(&self, current: &Version) -> Result<(Outcome, Version), Error> {
        let app = self.app(current).await?;
        match self.check_and_look_up(&app, &current.credentials).await {
            Checked::Unknown(error) if !is_refused_list(&error, current) => Err(error),
            checked => self.update_list(current, checked, OutcomeKind::Verified).await,
        }
    }

    /// TikTok rejected the refresh token. The access token, which downstream jobs need, may still work.
    ///
    /// The claim is released after the check, so that it records both results.
    pub(crate) async fn fall_back_to_access_token(
        &self,
        current: &Version,
        rejection: Rejection,
    ) -> Result<(Outcome, Version), Error> {
        let credentials = &current.credentials;
        let checked = match self.app(current).await {
            Ok(app) => self.check_and_look_up(&app, credentials).await,
            Err(error) => Checked::Unknown(error),
        };
        let Rejection { error: rejection, held } = rejection;
        let (error, kept) = match &checked {
            Checked::Works(_) | Checked::Proven => (rejection.clone(), Some(&credentials.fingerprint)),
            Checked::Rejected(_) => (rejection.clone(), None),
            Checked::Unknown(error) => {
                let note = format!("{} Whether the access token still works could not be told", rejection.what());
                (error.clone().context(note), None)
            }
        };
        let failed = Failed::new(&error, self.clock.now(), kept);
        self.release_after(held, &rejection, Some(failed)).await;
        if kept.is_none() {
            return Err(error);
        }
        let (outcome, version) = self.update_list(current, checked, OutcomeKind::Kept).await?;
        let warning = format!("{} The access token still works and was kept. {}", error.what(), error.advice());
        Ok((outcome.warn(warning), version))
    }

    /// Repeats the result of a failed redeem during its cooldown.
    pub(crate) fn replay_recorded_failure(&self, current: &Version, failed: &Failed) -> Result<Outcome, Error> {
        let error = failed.error();
        let worked = failed.kept.as_ref() == Some(&current.credentials.fingerprint);
        if !worked || current.credentials.access_token_has_expired(self.clock.now()) {
            return Err(error);
        }
        let warning = format!("{} The access token still worked then and was kept. {}", error.what(), error.advice());
        Ok(Outcome::new(OutcomeKind::Kept, current).unproven().warn(warning))
    }

    async fn update_list(
        &self,
        current: &Version,
        checked: Checked,
        kind: OutcomeKind,
    ) -> Result<(Outcome, Version), Error> {
        let update = AdvertiserUpdate::of(&current.credentials, checked).map_err(|rejection| {
            let what = format!("TikTok rejects the access token: {}", rejection.what());
            let error = Error::new(Kind::ReauthorizationRequired, what);
            rejection.code().map_or_else(|| error.clone(), |code| error.clone().with_code(code))
        })?;
        let unchanged = Outcome::new(kind, current);
        let Some(list) = update.fetched.clone() else {
            return Ok((unchanged.with_update(current, current, update), current.clone()));
        };
        let change = Change { tokens: None, list: Some((list, self.clock.now())) };
        if changes_nothing(current, &change)? {
            return Ok((unchanged.with_update(current, current, update), current.clone()));
        }
        let promotion = Promotion { change: &change, authorizes: false };
        Ok(match self.promote(current, promotion, None).await? {
            Promoted::Ours { version, reduction } => {
                let outcome =
                    Outcome::new(kind, &version).with_update(current, &version, update).with_reduction(reduction);
                (outcome, version)
            }
            Promoted::Theirs(theirs) => (Outcome::superseded(&theirs), theirs),
        })
    }
}

/// True if TikTok refused the list and not the token, and the list is known. TikTok answers 40001 to tokens that work: it is
/// about a permission or an advertiser.
fn is_refused_list(error: &Error, current: &Version) -> bool {
    error.code() == Some(40001) && !current.credentials.advertisers.is_empty()
}

/// True if a change would set nothing but a newer time on the same list.
fn changes_nothing(current: &Version, change: &Change) -> Result<bool, Error> {
    let (Some(fetched_at), false) = (current.credentials.advertisers_fetched_at, current.credentials.list_is_stale())
    else {
        return Ok(false);
    };
    let same_time = Change { tokens: None, list: change.list.clone().map(|(list, _)| (list, fetched_at)) };
    let (next, _) = crate::document::fit(same_time.apply(&current.document, &current.id)?)?;
    Ok(super::promote::same_content(current, &next))
}
