//! The four steps of a [Secrets Manager
//! rotation](https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html).
//!
//! | step | part of a refresh |
//! | --- | --- |
//! | `createSecret` | claim, redeem, stage, check; then the rotation's version gets a copy |
//! | `setSecret` | nothing: TikTok issued the tokens and knows them |
//! | `testSecret` | check |
//! | `finishSecret` | promote, publish |
//!
//! Input: the step, the secret and the rotation's version id, which AWS calls the token. Output: the outcome of the
//! step. After an error Secrets Manager repeats the step. The rotation ends when AWSPENDING is on the version with
//! AWSCURRENT or on none. `docs/design.md` has the rules, `docs/rotation.md` the use.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    document::{Change, Credentials, Flow, Reduction, Relation, fit},
    error::{Error, Kind},
    fault_switch::FaultSwitch,
};
use crate::{
    refresh::{
        Outcome, OutcomeKind, PromotionTarget, Refresher, WAIT_FOR_OTHER_RUN,
        chain::Chain,
        check::Checked,
        outcome::AdvertiserUpdate,
        promote::{Promoted, Promotion, same_content},
        replace::Replaced,
        version::Version,
        work::Work,
    },
    transport::{
        Clock, InvocationContext, Label, PutResult, READ_LAG, Step, Store, Stored, SwapResult, TikTok, Trace,
        VersionSelector,
    },
};

/// The waits before a version counts as empty. Reads lag writes, and the step before has just written the version.
const WAITS_FOR_THE_VERSION: [Duration; 2] = [READ_LAG, Duration::from_millis(800)];

/// A step of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RotationStep {
    CreateSecret,
    SetSecret,
    TestSecret,
    FinishSecret,
}

impl RotationStep {
    /// Every step, in AWS's order.
    pub const ALL: [Self; 4] = [Self::CreateSecret, Self::SetSecret, Self::TestSecret, Self::FinishSecret];

    /// Returns the name of the step in events and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateSecret => "createSecret",
            Self::SetSecret => "setSecret",
            Self::TestSecret => "testSecret",
            Self::FinishSecret => "finishSecret",
        }
    }
}

/// The outcome of a step that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// The rotation's version holds the tokens to promote.
    Staged,
    /// `setSecret` has nothing to do.
    NothingToSet,
    /// TikTok accepts the access token of the rotation's version.
    Works,
    /// The rotation's version is empty, or TikTok could not be reached.
    NotTested,
    /// The content of the rotation's version is current.
    Promoted,
    /// The version was current before this step, or a successor of it is.
    Fresh,
    /// Newer tokens of a person or of another program are current.
    Superseded,
}

impl StepOutcome {
    /// Every outcome, for documentation and tests.
    pub const ALL: [Self; 7] =
        [Self::Staged, Self::NothingToSet, Self::Works, Self::NotTested, Self::Promoted, Self::Fresh, Self::Superseded];
}

/// The report of a step. It holds no token.
#[derive(Clone, Debug, Serialize)]
pub struct Rotated {
    pub step: RotationStep,
    pub outcome: StepOutcome,
    /// The rotation's version, or the version with AWSCURRENT if the step was about that.
    pub version_id: String,
    pub warnings: Vec<String>,
    /// The outcome of the whole refresh, after the last step.
    #[serde(skip)]
    pub refresh: Option<Outcome>,
}

impl Rotated {
    fn new(step: RotationStep, outcome: StepOutcome, version_id: &str) -> Self {
        Self { step, outcome, version_id: version_id.to_owned(), warnings: Vec::new(), refresh: None }
    }

    fn warn(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        self.warnings.extend(warnings);
        self
    }
}

/// The rotation's version compared with AWSCURRENT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VersionState {
    Current,
    /// The version holds the current tokens or a successor of them.
    Staged,
    /// The version was promoted, and a later run refreshed its tokens.
    Replaced,
    /// A person put other tokens into the secret.
    Superseded,
}

impl VersionState {
    fn of(version: &Version, current: &Version) -> Self {
        if version.id == current.id {
            return Self::Current;
        }
        match version.credentials.relation(&current.credentials) {
            Relation::Same | Relation::Ancestor => Self::Staged,
            Relation::Later => Self::Replaced,
            Relation::Unrelated => Self::Superseded,
        }
    }
}

impl<'a, S: Store, T: TikTok, C: Clock> Refresher<'a, S, T, C> {
    /// Runs one step. `token` is the id of the version that Secrets Manager created for the rotation.
    pub async fn rotate(
        store: &'a S,
        tiktok: &'a T,
        clock: &'a C,
        run: &'a InvocationContext,
        secret: &'a str,
        step: RotationStep,
        token: &'a str,
    ) -> (Result<Rotated, Error>, Trace) {
        let target = match step {
            RotationStep::CreateSecret => PromotionTarget::RotationVersion(token),
            _ => PromotionTarget::Current,
        };
        let refresher = Self::new(store, tiktok, clock, run, secret).with_target(target);
        let rotated = match step {
            RotationStep::CreateSecret => refresher.create_secret(token).await,
            RotationStep::SetSecret => Ok(Rotated::new(step, StepOutcome::NothingToSet, token)),
            RotationStep::TestSecret => refresher.test_secret(token).await,
            RotationStep::FinishSecret => refresher.finish_secret(token).await,
        };
        (rotated, refresher.trace)
    }
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    async fn create_secret(&self, token: &str) -> Result<Rotated, Error> {
        let ended = |outcome, id: &str| Rotated::new(RotationStep::CreateSecret, outcome, id);
        let (mut first, mut held_up, mut rejected) = (None, None, None);
        loop {
            let (current, written) = self.read_with(token).await?;
            if let Some(version) = written {
                return Ok(match VersionState::of(&version, &current) {
                    VersionState::Staged => ended(StepOutcome::Staged, token),
                    VersionState::Current | VersionState::Replaced => ended(StepOutcome::Fresh, &current.id),
                    VersionState::Superseded => superseded(ended(StepOutcome::Superseded, &current.id), &current),
                });
            }
            if matches!(self.read_pending().await?, Some(None)) {
                return Err(not_this_rotations());
            }
            let pair = current.credentials.fingerprint.clone();
            // Every other pair is the work of another run, so the loop ends soon.
            if let Some((fingerprint, error)) = rejected.take()
                && fingerprint == pair
            {
                return Err(error);
            }
            self.ensure_tokens(&current).await?;
            let mut chain = Chain::of(current.clone());
            if current.credentials.flow == Flow::LongTerm {
                (chain, _) = self.look_behind(&current).await?;
                if chain.tip(&[]).is_none_or(|tip| tip.holds_pair_of(&current)) {
                    return self.write_list(&current, token).await;
                }
            }
            if was_refreshed_since(&current, first.as_ref()) {
                self.write_rotation_version(&current, &Change::default(), token).await?;
                return Ok(ended(StepOutcome::Staged, token));
            }
            first.get_or_insert_with(|| current.credentials.clone());
            match self.replace(chain, Work::Rotation).await.map_err(|error| in_rotation(error, held_up))? {
                Replaced::Done(outcome, version) if version.id == token => {
                    return Ok(ended(StepOutcome::Staged, token).warn(outcome.warnings));
                }
                Replaced::Done(..) => return Err(not_in_the_chain()),
                Replaced::Rejected(rejection) => {
                    let error = self.give_back(rejection).await;
                    rejected = Some((pair, error.context("Nothing was rotated")));
                }
                Replaced::InProgress { until } => {
                    held_up = Some(until);
                    self.clock.sleep(WAIT_FOR_OTHER_RUN).await;
                }
            }
        }
    }

    /// Updates the advertiser list. A long-term token does not change.
    async fn write_list(&self, current: &Version, token: &str) -> Result<Rotated, Error> {
        let app = self.app(current).await?;
        let update = match self.check_and_look_up(&app, &current.credentials).await {
            Checked::Unknown(error) => return Err(error),
            checked => AdvertiserUpdate::of(&current.credentials, checked)
                .map_err(|rejection| rejection.context("Nothing was rotated, since TikTok rejects the access token"))?,
        };
        let change = Change { tokens: None, list: update.fetched.map(|list| (list, self.clock.now())) };
        self.write_rotation_version(current, &change, token).await?;
        let warnings = update.warning.into_iter();
        Ok(Rotated::new(RotationStep::CreateSecret, StepOutcome::Staged, token).warn(warnings))
    }

    async fn test_secret(&self, token: &str) -> Result<Rotated, Error> {
        let ended = |outcome, id: &str| Rotated::new(RotationStep::TestSecret, outcome, id);
        let (current, written) = self.read_with(token).await?;
        let current = &current;
        // The current app is used, because a person may have changed its secret since createSecret.
        let app = self.app(current).await?;
        let tested = written.filter(|version| {
            matches!(VersionState::of(version, current), VersionState::Current | VersionState::Staged)
        });
        // Secrets Manager tests the function with an empty version when rotation is enabled.
        let Some(version) = tested else {
            self.ensure_tokens(current).await?;
            return Ok(ended(StepOutcome::NotTested, &current.id));
        };
        match self.check(&app, &version.credentials).await {
            Checked::Works(_) | Checked::Proven => Ok(ended(StepOutcome::Works, token)),
            // The old tokens may no longer work, so an unknown result does not prevent the promotion.
            Checked::Unknown(error) => {
                let warning = format!("The new access token could not be checked: {}", error.what());
                Ok(ended(StepOutcome::NotTested, token).warn([warning]))
            }
            Checked::Rejected(rejection) => {
                let what = format!("TikTok does not accept the access token of this rotation: {}", rejection.what());
                let error = Error::new(Kind::NewTokenRejected, what).advise(
                    "Nothing is lost: the next scheduled run, or events/refresh.json, gets other tokens, and the rotation ends by itself.",
                );
                Err(rejection.code().map_or_else(|| error.clone(), |code| error.clone().with_code(code)))
            }
        }
    }

    async fn finish_secret(&self, token: &str) -> Result<Rotated, Error> {
        let (current, written) = self.read_until_written(token).await?;
        let version = written.ok_or_else(|| {
            let what = "The event's 'ClientRequestToken' names a version that holds nothing: createSecret comes before finishSecret.";
            Error::new(Kind::InvalidEvent, what).advise("Begin a rotation with: aws secretsmanager rotate-secret")
        })?;
        let (outcome, refresh, after) = match VersionState::of(&version, &current) {
            VersionState::Current | VersionState::Replaced => {
                (StepOutcome::Fresh, Outcome::fresh(&current), current.clone())
            }
            VersionState::Staged if !self.was_rolled_back_from(&version, &current).await? => {
                self.promote_rotated(&current, version).await?
            }
            VersionState::Staged | VersionState::Superseded => {
                (StepOutcome::Superseded, Outcome::superseded(&current), current.clone())
            }
        };
        if !FaultSwitch::KeepPending.is_on() {
            self.clear_stale_pending(token, &current.id, &after).await?;
        }
        let refresh = Outcome { published: self.publish(&current, &after).await?, ..refresh };
        let rotated = Rotated::new(RotationStep::FinishSecret, outcome, &refresh.version_id);
        Ok(Rotated { refresh: Some(refresh.clone()), ..rotated.warn(refresh.warnings) })
    }

    /// Returns true if a person rolled back to an authorization before the version's.
    async fn was_rolled_back_from(&self, version: &Version, current: &Version) -> Result<bool, Error> {
        if version.credentials.authorization() <= current.credentials.authorization() {
            return Ok(false);
        }
        Ok(self.walk(current).await?.is_rolled_back())
    }

    async fn promote_rotated(
        &self,
        current: &Version,
        version: Version,
    ) -> Result<(StepOutcome, Outcome, Version), Error> {
        let change = change_of(&version, current);
        let kind = match (&change.tokens, version.credentials.flow) {
            (Some(_), _) => OutcomeKind::Refreshed,
            (None, Flow::LongTerm) => OutcomeKind::Verified,
            (None, _) => OutcomeKind::Fresh,
        };
        let (next, _) = fit(change.apply(&current.document, &current.id)?)?;
        if same_content(current, &next) && !same_content(&version, &next) {
            return Ok((StepOutcome::Fresh, Outcome::fresh(current), current.clone()));
        }
        let promotion = Promotion { change: &change, authorizes: false };
        Ok(match self.promote(current, promotion, Some(version)).await? {
            Promoted::Ours { version, reduction } => {
                let update = AdvertiserUpdate::default();
                let outcome = Outcome::new(kind, &version).with_update(current, &version, update);
                (StepOutcome::Promoted, outcome.with_reduction(reduction), version)
            }
            Promoted::Theirs(theirs) => (StepOutcome::Superseded, Outcome::superseded(&theirs), theirs),
        })
    }

    /// Moves AWSPENDING to the current version, because it would block the next rotation. It is moved from this
    /// rotation's version and from older versions of the function, and stays on versions of other programs.
    ///
    /// `before` was current at the start of the step. `after` is current at its end; both are the same version if
    /// nothing was promoted.
    async fn clear_stale_pending(&self, token: &str, before: &str, after: &Version) -> Result<(), Error> {
        loop {
            let (current, pending) =
                tokio::join!(self.read_current(), self.get(VersionSelector::Label(Label::Pending)));
            let (current, pending) = (current?, pending?);
            // Reads lag writes: the version that this step replaced can still appear to be current.
            let current = if current.id == before { after } else { &current };
            let is_behind = |version: &Version| {
                let relation = version.credentials.relation(&current.credentials);
                version.credentials.origin.is_some() && relation != Relation::Ancestor
            };
            let is_stale = |stored: &Stored| {
                stored.version_id == token || Version::of(stored).is_ok_and(|version| is_behind(&version))
            };
            let from = match &pending {
                // A read that lags shows this rotation's version empty, or without its label.
                None if FaultSwitch::TrustLaggingPending.is_on() => return Ok(()),
                None => token,
                Some(stored) if is_stale(stored) => &stored.version_id,
                Some(_) => return Ok(()),
            };
            if from == current.id {
                return Ok(());
            }
            match self.requests().move_pending(self.secret, &current.id, from).await? {
                SwapResult::Conflict if pending.is_some() => self.clock.sleep(READ_LAG).await,
                SwapResult::Conflict => return Ok(()),
                SwapResult::Swapped => {}
            }
        }
    }

    /// Reads AWSCURRENT and the rotation's version. `None` stands for an empty version, which cannot be told from a
    /// missing one.
    async fn read_with(&self, token: &str) -> Result<(Version, Option<Version>), Error> {
        let (current, stored) = tokio::join!(self.read_current(), self.get(VersionSelector::Id(token)));
        let version = stored?.map(|stored| Version::of(&stored)).transpose();
        let version = version.map_err(|error| error.context("The version of this rotation"))?;
        Ok((current?, version))
    }

    async fn read_until_written(&self, token: &str) -> Result<(Version, Option<Version>), Error> {
        for wait in WAITS_FOR_THE_VERSION {
            let read = self.read_with(token).await?;
            if read.1.is_some() || self.remaining() < wait * 2 {
                return Ok(read);
            }
            self.clock.sleep(wait).await;
        }
        self.read_with(token).await
    }

    /// Writes tokens to the target of the run: AWSCURRENT, or the rotation's version during createSecret.
    pub(crate) async fn commit(
        &self,
        current: &Version,
        promotion: Promotion<'_>,
        staged: Option<Version>,
    ) -> Result<Promoted, Error> {
        match self.target {
            PromotionTarget::Current => self.promote(current, promotion, staged).await,
            PromotionTarget::RotationVersion(token) => {
                let (version, reduction) = self.write_rotation_version(current, promotion.change, token).await?;
                Ok(Promoted::Ours { version, reduction })
            }
        }
    }

    async fn write_rotation_version(
        &self,
        current: &Version,
        change: &Change,
        token: &str,
    ) -> Result<(Version, Option<Reduction>), Error> {
        let (next, reduction) = fit(change.apply(&current.document, &current.id)?)?;
        let body = next.to_body();
        let labels = [Label::Pending, Label::Staged];
        let requests = self.requests();
        let put = requests.write(Step::Stage, self.secret, token, &labels, &body);
        // If another invocation of this step was first, its version counts. The next steps read it.
        let (PutResult::Written | PutResult::Taken) = put.await?;
        Ok((Version::new(current.arn.clone(), token.to_owned(), next)?, reduction))
    }
}

/// Returns true if a run has refreshed the secret since this step first read it.
fn was_refreshed_since(current: &Version, first: Option<&Credentials>) -> bool {
    first.is_some_and(|first| first.relation(&current.credentials) == Relation::Later)
}

/// Returns the tokens and the list that the rotation's version has and the current one does not.
fn change_of(version: &Version, current: &Version) -> Change {
    let (ours, theirs) = (&version.credentials, &current.credentials);
    let has_other_tokens = ours.fingerprint != theirs.fingerprint;
    let tokens = has_other_tokens.then(|| version.tokens_over(current)).flatten();
    let fetched_at =
        ours.advertisers_fetched_at.filter(|at| theirs.advertisers_fetched_at.is_none_or(|known| known <= *at));
    Change { tokens, list: fetched_at.map(|at| (ours.advertisers.clone(), at)) }
}

fn superseded(rotated: Rotated, current: &Version) -> Rotated {
    rotated.warn(Outcome::superseded(current).warnings)
}

/// Adapts an error of the refresh to a rotation. `held_up` is the expiry of another run's claim, if the step waited for
/// it.
fn in_rotation(error: Error, held_up: Option<Timestamp>) -> Error {
    match (error.kind(), held_up) {
        (Kind::DeadlineExceeded, Some(until)) => {
            let what = format!("Another run, which has until {until}, is refreshing this secret.");
            Error::new(Kind::DeadlineExceeded, what).advise("Nothing to do: Secrets Manager repeats the step.")
        }
        (Kind::NewTokenRejected, _) => error.advise(
            "The new tokens are kept, and the step tries them when Secrets Manager repeats it; if it stays, authorize the app again.",
        ),
        _ => error,
    }
}

fn not_this_rotations() -> Error {
    let what = "The version labeled AWSPENDING is neither this rotation's nor this function's, and was left alone.";
    Error::new(Kind::InvalidSecret, what).advise(
        "Take the label off it (aws secretsmanager update-secret-version-stage --version-stage AWSPENDING --remove-from-version-id ID) and rotate again.",
    )
}

fn not_in_the_chain() -> Error {
    Error::new(Kind::InvalidSecret, "Other tokens were put into the secret while its tokens were rotated.")
        .advise("Nothing to do: Secrets Manager repeats the step with the new tokens.")
}
