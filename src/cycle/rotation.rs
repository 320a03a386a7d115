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
//! # Why nothing is redeemed twice, and nothing is lost
//!
//! - A rotation **claims and stages as every run does**: its answer goes under the successor id of the pair that was spent,
//!   which the claim names and which everybody derives. Only then is the rotation's own version filled, with a copy. So a
//!   claim, a successor and a staged version mean the same to a run and to a rotation, whoever of them wrote it. A rotation
//!   that dies is finished by the next run, from the claim or from AWSPENDING, and a run that dies by the next rotation.
//! - AWSPENDING is on the successor until the rotation's version is filled and takes it back. So whoever comes next sees
//!   staged tokens that wait, and may promote them, or rotate them under the id of either version.
//! - The version of a rotation is written once. A repeated `createSecret` finds it filled and is over.
//! - While another run holds the claim, `createSecret` waits, and fails if that takes too long: it never ends well with an
//!   empty version. What the other run has redeemed since is copied, not redeemed again. A run that was over before
//!   `createSecret` was called is known by AWSPENDING, which it has taken away from this rotation's version.
//! - A secret with a long-term token has nothing to redeem. Its version is filled with what is current, and a new list.
//! - `finishSecret` **promotes by compare-and-swap**, and rebases as every run does: what a person wrote meanwhile is kept,
//!   and then another version than the rotation's becomes current. Tokens that a person pasted in win. In both cases
//!   AWSPENDING is moved to the version that is current, since it would keep the next rotation from beginning.
//! - Who is overtaken by a later refresh ends well and changes nothing: the current tokens descend from those of the
//!   rotation.
//!
//! Reading cannot tell an empty version from one that does not exist. An event with a made-up token fills a version of its
//! own, which is a refresh like any other, to everybody who may invoke the function.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    Clock, Cycle, Label, Moved, Outcome, OutcomeKind, Put, Run, Store, TikTok, Trace, Trigger, WAIT_FOR_OTHER_RUN,
    Which,
    attempts::Request,
    check::Checked,
    outcome::ListNews,
    plan::{self, Times},
    promote::{Promoted, same_content},
    read::{Pending, Snapshot, Version},
    renew::{Ended, Start},
    trace::Step,
};
use crate::{
    document::{Change, Credentials, Fingerprint, Flow, Reduction, fit},
    error::{Error, Kind},
};

/// The waits before a version that looks empty is believed to be: reads lag writes, and the step before this one has
/// just written it.
const READ_LAG: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

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
enum Standing {
    Current,
    /// It holds the current tokens, or tokens that descend from them.
    Waits,
    /// The current tokens descend from it: it was promoted, and a later run has refreshed.
    Overtaken,
    /// Somebody put other tokens into the secret.
    Superseded,
}

impl Standing {
    fn of(version: &Version, current: &Version) -> Self {
        let (ours, theirs) = (&version.credentials, &current.credentials);
        if version.id == current.id {
            Self::Current
        } else if ours.fingerprint == theirs.fingerprint || ours.follow(theirs) {
            Self::Waits
        } else if theirs.follow(ours) {
            Self::Overtaken
        } else {
            Self::Superseded
        }
    }
}

impl<'a, S: Store, T: TikTok, C: Clock> Cycle<'a, S, T, C> {
    /// One step of a rotation. `token` is the id of the version that Secrets Manager has created for it.
    pub async fn rotate(
        store: &'a S,
        tiktok: &'a T,
        clock: &'a C,
        run: &'a Run,
        secret: &'a str,
        step: RotationStep,
        token: &'a str,
    ) -> (Result<Rotated, Error>, Trace) {
        let fills = (step == RotationStep::CreateSecret).then_some(token);
        let cycle = Self { fills, ..Self::new(store, tiktok, clock, run, secret) };
        let rotated = match step {
            RotationStep::CreateSecret => cycle.create_secret(token).await,
            RotationStep::SetSecret => Ok(Rotated::new(step, StepOutcome::NothingToSet, token)),
            RotationStep::TestSecret => cycle.test_secret(token).await,
            RotationStep::FinishSecret => cycle.finish_secret(token).await,
        };
        (rotated, cycle.trace)
    }
}

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    async fn create_secret(&self, token: &str) -> Result<Rotated, Error> {
        let ended = |outcome, id: &str| Rotated::new(RotationStep::CreateSecret, outcome, id);
        let (mut first, mut held_up, mut rejected) = (None, None, None);
        loop {
            let (snapshot, filled) = self.read_with(token).await?;
            let current = &snapshot.current;
            if let Some(version) = filled {
                return Ok(match Standing::of(&version, current) {
                    Standing::Waits => ended(StepOutcome::Staged, token),
                    Standing::Current | Standing::Overtaken => ended(StepOutcome::Fresh, &current.id),
                    Standing::Superseded => superseded(ended(StepOutcome::Superseded, &current.id), current),
                });
            }
            if matches!(snapshot.pending, Pending::Foreign) {
                return Err(not_this_rotations());
            }
            let pair = &current.credentials.fingerprint;
            // Every other pair is somebody's work, so there are few of them before the deadline.
            if let Some((fingerprint, error)) = rejected.take()
                && fingerprint == *pair
            {
                return Err(error);
            }
            let waiting = snapshot.waiting();
            if waiting.is_none() {
                current.credentials.has_tokens()?;
            }
            if waiting.is_none() && current.credentials.flow == Flow::LongTerm {
                return self.fill_with_list(&snapshot, token).await;
            }
            if was_refreshed_since(&snapshot, first.as_ref()) {
                self.fill(&snapshot, &Change::default(), token).await?;
                return Ok(ended(StepOutcome::Staged, token));
            }
            first.get_or_insert_with(|| pair.clone());
            let start = waiting.map_or(Start::Redeem, |staged| Start::Resume(staged.clone()));
            match self.renew(&snapshot, start).await.map_err(|error| in_rotation(error, held_up))? {
                Ended::Done(outcome) if outcome.version_id == token => {
                    return Ok(ended(StepOutcome::Staged, token).warn(outcome.warnings));
                }
                Ended::Done(_) => return Err(not_a_descendant()),
                Ended::Rejected(rejection) => {
                    let error = self.give_back(rejection).await;
                    rejected = Some((pair.clone(), error.context("Nothing was rotated")));
                }
                Ended::InProgress { until } => {
                    held_up = Some(until);
                    self.clock.sleep(WAIT_FOR_OTHER_RUN).await;
                }
            }
        }
    }

    /// A long-term token stays as it is: the rotation brings the list of advertisers up to date.
    async fn fill_with_list(&self, snapshot: &Snapshot, token: &str) -> Result<Rotated, Error> {
        let current = &snapshot.current;
        let app = self.app(current).await?;
        let news = match self.check_and_look_up(&app, &current.credentials).await {
            Checked::Unknown(error) => return Err(error),
            checked => ListNews::of(&current.credentials, checked)
                .map_err(|rejection| rejection.context("Nothing was rotated, since TikTok rejects the access token"))?,
        };
        let change = Change { tokens: None, list: news.fetched.map(|list| (list, self.clock.now())) };
        self.fill(snapshot, &change, token).await?;
        let warnings = news.warning.into_iter();
        Ok(Rotated::new(RotationStep::CreateSecret, StepOutcome::Staged, token).warn(warnings))
    }

    async fn test_secret(&self, token: &str) -> Result<Rotated, Error> {
        let ended = |outcome, id: &str| Rotated::new(RotationStep::TestSecret, outcome, id);
        let (snapshot, filled) = self.read_with(token).await?;
        let current = &snapshot.current;
        // The app of today: a person may have changed its secret since the version was filled.
        let app = self.app(current).await?;
        let tested =
            filled.filter(|version| matches!(Standing::of(version, current), Standing::Current | Standing::Waits));
        // An empty version is how Secrets Manager tries the function out when rotation is switched on.
        let Some(version) = tested else {
            current.credentials.has_tokens()?;
            return Ok(ended(StepOutcome::NotTested, &current.id));
        };
        match self.check(&app, &version.credentials).await {
            Checked::Works(_) => Ok(ended(StepOutcome::Works, token)),
            // The old tokens may be dead by now, so doubt does not keep the new ones from being promoted.
            Checked::Unknown(error) => {
                let warning = format!("Whether the new access token works could not be told: {}", error.what());
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
        let (snapshot, filled) = self.read_with_patience(token).await?;
        let version = filled.ok_or_else(|| {
            let what = "The event's 'ClientRequestToken' names a version that holds nothing: createSecret comes before finishSecret.";
            Error::new(Kind::InvalidEvent, what).advise("Begin a rotation with: aws secretsmanager rotate-secret")
        })?;
        let current = &snapshot.current;
        let (outcome, refresh) = match Standing::of(&version, current) {
            Standing::Current | Standing::Overtaken => (StepOutcome::Fresh, Outcome::fresh(current)),
            Standing::Superseded => (StepOutcome::Superseded, Outcome::superseded(current)),
            Standing::Waits => self.promote_rotated(&snapshot, version).await?,
        };
        self.settle(token, &current.id, &refresh.version_id).await?;
        let refresh = Outcome { published: self.publish(&snapshot).await?, ..refresh };
        let rotated = Rotated::new(RotationStep::FinishSecret, outcome, &refresh.version_id);
        Ok(Rotated { refresh: Some(refresh.clone()), ..rotated.warn(refresh.warnings) })
    }

    async fn promote_rotated(&self, snapshot: &Snapshot, version: Version) -> Result<(StepOutcome, Outcome), Error> {
        let current = &snapshot.current;
        let change = change_of(&version, current);
        let kind = match (&change.tokens, version.credentials.flow) {
            (Some(_), _) => OutcomeKind::Refreshed,
            (None, Flow::LongTerm) => OutcomeKind::Verified,
            (None, _) => OutcomeKind::Fresh,
        };
        let (next, _) = fit(change.apply(&current.document, &current.id)?)?;
        if same_content(current, &next) && !same_content(&version, &next) {
            return Ok((StepOutcome::Fresh, Outcome::fresh(current)));
        }
        Ok(match self.promote(snapshot, &change, Some(version)).await? {
            Promoted::Ours { version, reduction } => {
                let told = ListNews::default();
                let outcome = Outcome::new(kind, &version).with_news(current, &version, told);
                (StepOutcome::Promoted, outcome.with_reduction(reduction))
            }
            Promoted::Theirs(theirs) => (StepOutcome::Superseded, Outcome::superseded(&theirs)),
        })
    }

    /// Sees to it that AWSPENDING does not keep the next rotation from beginning: from this rotation's version, or from
    /// another one of this function's that will not be current, it is moved to the version that is.
    ///
    /// `before` was current when this step began, and `after` when it had promoted: the same version if it did not.
    async fn settle(&self, token: &str, before: &str, after: &str) -> Result<(), Error> {
        loop {
            let (current, pending) = tokio::join!(self.read_current(), self.get(Which::Label(Label::Pending)));
            let (current, pending) = (current?, pending?);
            // Reads lag writes: what this step has replaced may still seem to be current.
            let holder = if current.id == before { after } else { &current.id };
            let Some(stored) = pending.filter(|stored| stored.version_id != holder) else { return Ok(()) };
            let is_left_behind = match Pending::of(Some(&stored), &current) {
                Pending::Done | Pending::Superseded => true,
                // A run has just staged it; or it is somebody else's.
                _ => stored.version_id == token,
            };
            if !is_left_behind {
                return Ok(());
            }
            let swap = || self.store.move_pending(self.secret, holder, &stored.version_id);
            if self.attempt(Request::write(Step::Promote), swap).await? == Moved::Conflict {
                self.clock.sleep(READ_LAG[0]).await;
            }
        }
    }

    /// The secret, and the version of this rotation, if there is anything in it.
    async fn read_with(&self, token: &str) -> Result<(Snapshot, Option<Version>), Error> {
        let (snapshot, stored) = tokio::join!(self.read_whole(), self.get(Which::Id(token)));
        let version = stored?.map(|stored| Version::of(&stored)).transpose();
        let version = version.map_err(|error| error.context("The version of this rotation"))?;
        Ok((snapshot?, version))
    }

    async fn read_with_patience(&self, token: &str) -> Result<(Snapshot, Option<Version>), Error> {
        for wait in READ_LAG {
            let read = self.read_with(token).await?;
            if read.1.is_some() || self.remaining() < wait * 2 {
                return Ok(read);
            }
            self.clock.sleep(wait).await;
        }
        self.read_with(token).await
    }

    /// Where a run that has tokens takes them: to AWSCURRENT or, while a rotation is created, to its version.
    pub(super) async fn land(&self, snapshot: &Snapshot, change: &Change, staged: Version) -> Result<Promoted, Error> {
        match self.fills {
            None => self.promote(snapshot, change, Some(staged)).await,
            Some(token) => {
                let (version, reduction) = self.fill(snapshot, change, token).await?;
                Ok(Promoted::Ours { version, reduction })
            }
        }
    }

    /// Fills the version of a rotation.
    async fn fill(
        &self,
        snapshot: &Snapshot,
        change: &Change,
        token: &str,
    ) -> Result<(Version, Option<Reduction>), Error> {
        let (next, reduction) = fit(change.apply(&snapshot.current.document, &snapshot.current.id)?)?;
        let body = next.to_body();
        let put = self.put(Request::write(Step::Stage), token, &[Label::Pending], &body);
        // Where another invocation of this step was faster, what that one wrote counts, and the steps after this one read it.
        let (Put::Written | Put::Taken) = put.await?;
        Ok((Version::new(token.to_owned(), next)?, reduction))
    }

    /// Whether staged tokens are not worth going on with. A rotation is asked for new ones, and the next comes when it comes.
    pub(super) fn is_over(&self, credentials: &Credentials) -> bool {
        let now = self.clock.now();
        let ends_soon = || plan::is_still_due(Times::from(credentials), Trigger::Now, now, self.run.min_token_lifetime);
        credentials.access_token_has_expired(now) || (self.fills.is_some() && ends_soon())
    }
}

/// Whether a run has refreshed the secret since the rotation began: since its first look at the secret or, seen from
/// AWSPENDING, before it.
fn was_refreshed_since(snapshot: &Snapshot, first: Option<&Fingerprint>) -> bool {
    let since_first = first.is_some_and(|first| snapshot.current.credentials.descends_from(first));
    since_first || matches!(snapshot.pending, Pending::Done)
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
            "The new tokens are kept, and the step tries them when Secrets Manager repeats it; if it stays, authorise the app again.",
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

fn not_a_descendant() -> Error {
    Error::new(Kind::InvalidSecret, "The tokens that were made of the secret's are not its descendants any more.")
        .advise("Authorise the app again and put the new tokens into the secret.")
}
