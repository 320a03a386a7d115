//! Resuming with staged tokens: an earlier run staged them and did not come to promote them.

use std::ops::ControlFlow;

use jiff::{SignedDuration, Timestamp};

use super::{
    OutcomeKind, PromotionTarget, Refresher, Trigger,
    answer::new_token_rejected,
    check::Checked,
    outcome::AdvertiserUpdate,
    plan::{self, Times},
    replace::{Progress, Replaced, Replacement},
    version::Version,
};
use crate::{
    document::{Change, Credentials},
    error::Error,
    fault_switch::FaultSwitch,
    transport::{Clock, Store, TikTok},
};

/// The age from which the rejection of a token that cannot be renewed is final.
const REJECTION_IS_FINAL: SignedDuration = SignedDuration::from_hours(1);

impl<S: Store, T: TikTok, C: Clock> Replacement<'_, '_, S, T, C> {
    /// Checks and promotes staged tokens. `None` if their time is over, and the pair has to be redeemed.
    pub(super) async fn resume(&mut self, staged: &Version) -> Result<Option<ControlFlow<Replaced>>, Error> {
        let (refresher, credentials) = (self.refresher, &staged.credentials);
        let is_over = refresher.is_over(credentials) && !FaultSwitch::KeepExpiredSuccessor.is_on();
        if credentials.can_be_renewed() && is_over {
            return Ok(None);
        }
        tracing::info!(secret_id = refresher.secret, version_id = staged.id, "resuming with staged tokens");
        let checked = refresher.check_and_look_up(&self.app, credentials).await;
        if let Checked::Rejected(rejection) = &checked
            && refresher.is_dead(credentials)
        {
            return self.pass_over(staged, new_token_rejected(rejection)).map(Some);
        }
        let Some(tokens) = staged.tokens_over(&self.current) else { return Ok(None) };
        let change = Change { tokens: Some(tokens), list: None };
        let fetched_at = known_since(credentials, &checked).unwrap_or_else(|| refresher.clock.now());
        let is_new_grant = credentials.authorized_at != self.current.credentials.authorized_at;
        let update = if is_new_grant {
            AdvertiserUpdate::of_authorization(checked, None)
        } else {
            AdvertiserUpdate::of(&self.current.credentials, checked)
        };
        self.finish(change, Some(staged.clone()), (update, fetched_at), OutcomeKind::Resumed).await.map(Some)
    }

    /// Leaves a dead pair out of the chain.
    ///
    /// # Errors
    /// Its rejection, if the chain holds no other pair to go on with.
    fn pass_over(&mut self, staged: &Version, error: Error) -> Progress {
        tracing::warn!(secret_id = self.refresher.secret, version_id = staged.id, "{}", error.what());
        self.dead.push(staged.credentials.fingerprint.clone());
        if self.has_another() { Ok(ControlFlow::Continue(())) } else { Err(error) }
    }
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// True if staged tokens are too old to go on with. A rotation is asked for new ones.
    fn is_over(&self, credentials: &Credentials) -> bool {
        let now = self.clock.now();
        let ends_soon = || plan::is_still_due(Times::from(credentials), Trigger::Now, now, self.run.min_token_lifetime);
        plan::has_expired(credentials.into(), now) || (self.target != PromotionTarget::Current && ends_soon())
    }

    /// True if TikTok's rejection of a staged access token is final. A pair that can be renewed is redeemed when the access
    /// token has expired.
    fn is_dead(&self, credentials: &Credentials) -> bool {
        let issued_at = credentials.refreshed_at.unwrap_or(Timestamp::MIN);
        let is_old = self.clock.now().duration_since(issued_at) >= REJECTION_IS_FINAL;
        credentials.is_doubtful() || is_old && !credentials.can_be_renewed()
    }
}

/// The time of an unchanged list, which it keeps, so that the staged version can be promoted as it is.
fn known_since(staged: &Credentials, checked: &Checked) -> Option<Timestamp> {
    match checked {
        Checked::Works(listed) if listed.advertisers == staged.advertisers && !staged.list_is_stale() => {
            staged.advertisers_fetched_at
        }
        _ => None,
    }
}
