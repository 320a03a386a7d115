//! Secrets Manager's rotation: the same cycle, cut at the four steps that Secrets Manager asks for.
//!
//! | step | of the cycle |
//! |---|---|
//! | `createSecret` | claim, redeem, stage, check; then the version of this rotation is filled with what came of it |
//! | `setSecret` | nothing: TikTok made the tokens and knows them |
//! | `testSecret` | check |
//! | `finishSecret` | promote, publish |
//!
//! Secrets Manager creates an empty version, whose id is the token of the event, puts AWSPENDING on it, and repeats the
//! steps until each has ended well. The rotation is over when AWSPENDING is on the version that has AWSCURRENT, or on none;
//! before that no other rotation begins.
//!
//! A rotation claims and stages as every run does: its answer is the successor of the pair that was spent. Only then is the
//! rotation's own version filled, with a copy. So a rotation that crashes is finished by the next run, and a run that
//! crashes by the next rotation. `docs/design.md` has the rules.
//!
//! Reading cannot tell an empty version from one that does not exist. An event with a made-up token fills a version of its
//! own, which is a refresh like any other, to everybody who may invoke the function.

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
        Clock, InvocationContext, Label, PutResult, READ_LAG, Request, Step, Store, SwapResult, TikTok, Trace,
        VersionSelector,
    },
};

/// The waits before a version is taken as empty: the step before this one has just written it, and a read may lag by up to a
/// second.
const WAITS_FOR_THE_VERSION: [Duration; 2] = [READ_LAG, Duration::from_millis(800)];

/// A step of a rotation, by AWS's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RotationStep {
    CreateSecret,
    SetSecret,
    TestSecret,
    FinishSecret,
}

impl RotationStep {
    /// Every step, in the order in which Secrets Manager asks for them.
    pub const ALL: [Self; 4] = [Self::CreateSecret, Self::SetSecret, Self::TestSecret, Self::FinishSecret];

    /// Its name in events and logs.
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

/// How a step ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// The version of this rotation holds what is to be current.
    Staged,
    /// There is nothing to set.
    NothingToSet,
    /// TikTok accepts the access token in the version of this rotation.
    Works,
    /// There was nothing to test, or TikTok could not be asked.
    NotTested,
    /// What the version of this rotation held is current.
    Promoted,
    /// It was current before this step, or later tokens are.
    Fresh,
    /// Somebody's newer tokens are current.
    Superseded,
}

impl StepOutcome {
    /// Every outcome, for documentation and tests.
    pub const ALL: [Self; 7] =
        [Self::Staged, Self::NothingToSet, Self::Works, Self::NotTested, Self::Promoted, Self::Fresh, Self::Superseded];
}

/// What a step of a rotation has to report. Never holds a token of TikTok's.
#[derive(Clone, Debug, Serialize)]
pub struct Rotated {
    pub step: RotationStep,
    pub outcome: StepOutcome,
    /// The version that the step was about: this rotation's, or the one that is AWSCURRENT instead.
    pub version_id: String,
    pub warnings: Vec<String>,
    /// Of the last step alone: how the refresh ended that the whole rotation is.
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

/// The version of a rotation, seen from AWSCURRENT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VersionState {
    Current,
    /// It holds the current tokens, or tokens that descend from them.
    Staged,
    /// The current tokens descend from it: it was promoted, and a later run has refreshed.
    Replaced,
    /// Somebody put other tokens into the secret.
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
    /// One step of a rotation. `token` is the id of the version that Secrets Manager has created for it.
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
        let refresher = Self { target, ..Self::new(store, tiktok, clock, run, secret) };
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
            // Every other pair is another run's work, so there are few of them before the deadline.
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

    /// A long-term token stays as it is: the rotation brings the list of advertisers up to date.
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
        // The app of today: a person may have changed its secret since the version was filled.
        let app = self.app(current).await?;
        let tested = written.filter(|version| {
            matches!(VersionState::of(version, current), VersionState::Current | VersionState::Staged)
        });
        // An empty version is how Secrets Manager tries the function out when rotation is switched on.
        let Some(version) = tested else {
            self.ensure_tokens(current).await?;
            return Ok(ended(StepOutcome::NotTested, &current.id));
        };
        match self.check(&app, &version.credentials).await {
            Checked::Works(_) | Checked::Proven => Ok(ended(StepOutcome::Works, token)),
            // The old tokens may be dead by now, so doubt does not keep the new ones from being promoted.
            Checked::Unknown(error) => {
                let warning = format!("Whether the new access token works could not be update: {}", error.what());
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

    /// Whether a person went back to an earlier authorization than the one that the rotation's version is of.
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

    /// Sees to it that AWSPENDING does not keep the next rotation from beginning: from this rotation's version, or from
    /// another one of this function's that will not be current, it is moved to the version that is.
    ///
    /// `before` was current when this step began, and `after` when it had promoted: the same version if it did not.
    async fn clear_stale_pending(&self, token: &str, before: &str, after: &Version) -> Result<(), Error> {
        loop {
            let (current, pending) =
                tokio::join!(self.read_current(), self.get(VersionSelector::Label(Label::Pending)));
            let (current, pending) = (current?, pending?);
            // Reads lag writes: what this step has replaced may still seem to be current.
            let current = if current.id == before { after } else { &current };
            let Some(stored) = pending.filter(|stored| stored.version_id != current.id) else { return Ok(()) };
            let is_behind = |version: &Version| {
                let relation = version.credentials.relation(&current.credentials);
                version.credentials.origin.is_some() && relation != Relation::Ancestor
            };
            if stored.version_id != token && !Version::of(&stored).is_ok_and(|version| is_behind(&version)) {
                return Ok(());
            }
            let swap = || self.store.move_pending(self.secret, &current.id, &stored.version_id);
            if self.attempt(Request::write(Step::Promote), swap).await? == SwapResult::Conflict {
                self.clock.sleep(READ_LAG).await;
            }
        }
    }

    /// The secret, and the version of this rotation, if there is anything in it.
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

    /// Takes tokens to where the run promotes them: to AWSCURRENT or, while a rotation is created, to its version.
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
        let put = self.put(Request::write(Step::Stage), token, &labels, &body);
        // Where another invocation of this step was faster, what that one wrote counts, and the steps after this one read it.
        let (PutResult::Written | PutResult::Taken) = put.await?;
        Ok((Version::new(current.arn.clone(), token.to_owned(), next)?, reduction))
    }
}

/// Whether a run has refreshed the secret since this step's first look at it.
fn was_refreshed_since(current: &Version, first: Option<&Credentials>) -> bool {
    first.is_some_and(|first| first.relation(&current.credentials) == Relation::Later)
}

/// What the version of a rotation has to say that the current one does not know.
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

/// What a failed run of the cycle means to a rotation, which may have been held up by another run until that time.
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
    let what = "The version labelled AWSPENDING is neither this rotation's nor this function's, and was left alone.";
    Error::new(Kind::InvalidSecret, what).advise(
        "Take the label off it (aws secretsmanager update-secret-version-stage --version-stage AWSPENDING --remove-from-version-id ID) and rotate again.",
    )
}

fn not_in_the_chain() -> Error {
    Error::new(Kind::InvalidSecret, "Other tokens were put into the secret while its tokens were rotated.")
        .advise("Nothing to do: Secrets Manager repeats the step with the new tokens.")
}
