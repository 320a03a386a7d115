//! Replacing the current token pair: what a scheduled run, an exchange of an auth code and a rotation have in common.

use std::{cell::Cell, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    authorize::AuthCode,
    fault_switch::FaultSwitch,
    refresh::{
        Outcome, OutcomeKind, PromotionTarget, Refresher, Trigger,
        chain::Chain,
        check::Checked,
        claim::{Claim, Claimed, Failed, HeldClaim, Purpose},
        outcome::AdvertiserUpdate,
        plan::{self, Times},
        promote::{Promoted, Promotion},
        redeem::Redeemed,
        version::Version,
    },
    transport::{Clock, Request, Step, Store, TikTok},
};
use crate::{
    document::{
        Advertiser, App, Change, Credentials, Fingerprint, Flow, Provenance, TokenFields, fit, leaves_room_for_tokens,
    },
    error::{Error, Kind},
};

/// How many versions of a secret may be younger than a day: Secrets Manager keeps about a hundred, and deletes none that is
/// younger. A day's scheduled refreshes that are not counted take twenty at most.
const MAX_VERSIONS: usize = 96;
const MAX_VERSIONS_BY_HAND: usize = 76;
/// Every wrong auth code costs a version. A person can still authorize the app after a day on which every refresh failed,
/// which takes 54 versions, and what is left is enough for the refreshes of a day.
const MAX_VERSIONS_OF_EXCHANGES: usize = 64;
/// Claim, stage, rebase, release: what one replacement writes at most, if nobody disturbs it.
const VERSIONS_OF_A_REPLACEMENT: usize = 4;
/// Runs that follow each other faster are counted: so many refreshes of a day fit into what is left.
const UNCOUNTED_INTERVAL: SignedDuration = SignedDuration::from_hours(4);
/// The time that Secrets Manager keeps every version for at least.
const VERSIONS_ARE_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// A token that never expires is given up when it is rejected this long after TikTok issued it.
const REJECTION_IS_FINAL: SignedDuration = SignedDuration::from_hours(1);

/// The wait before a walk is repeated that has not found what was there a moment ago: reads lag writes.
const READ_LAG: Duration = Duration::from_millis(200);

/// What a pair is replaced for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work<'w> {
    Refresh(Trigger),
    Rotation,
    Exchange(&'w AuthCode),
}

impl Work<'_> {
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::Exchange(_) => Purpose::Exchange,
            Self::Refresh(_) | Self::Rotation => Purpose::Refresh,
        }
    }

    pub const fn code(&self) -> Option<&Fingerprint> {
        match self {
            Self::Exchange(code) => Some(&code.fingerprint),
            Self::Refresh(_) | Self::Rotation => None,
        }
    }

    /// Whether the run need not wait for the one that holds a claim: exchanges of different auth codes send different things.
    pub fn may_pass(self, claim: &Claim) -> bool {
        let other = |code: &Fingerprint| claim.code.as_deref().is_some_and(|held| held != code.as_str());
        self.code().is_some_and(other)
    }

    /// Whether what this run is going to send may have been sent under an earlier claim, and the answer was lost.
    pub fn may_have_been_sent_under(self, claim: &Claim) -> bool {
        let is_same = match self {
            Self::Refresh(_) | Self::Rotation => claim.purpose == Purpose::Refresh,
            Self::Exchange(code) => claim.code.as_deref() == Some(code.fingerprint.as_str()),
        };
        is_same && !claim.answered
    }

    /// The failure for which TikTok is not to be asked again yet.
    pub fn cools_down(self, claim: &Claim, now: Timestamp) -> Option<Failed> {
        match self {
            Self::Refresh(trigger) => plan::cools_down(claim, trigger, now).cloned(),
            Self::Rotation | Self::Exchange(_) => None,
        }
    }

    const fn max_versions(self) -> usize {
        match self {
            Self::Refresh(Trigger::Slot(_) | Trigger::IfNeeded) | Self::Rotation => MAX_VERSIONS,
            Self::Refresh(Trigger::Now) => MAX_VERSIONS_BY_HAND,
            Self::Exchange(_) => MAX_VERSIONS_OF_EXCHANGES,
        }
    }
}

/// Whether the secret is known to have room for what a replacement writes.
#[derive(Debug)]
pub(crate) struct Room(Cell<RoomState>);

#[derive(Clone, Copy, Debug)]
enum RoomState {
    /// So few versions were written lately that there is room for a first attempt.
    Assumed,
    Unknown,
    Counted,
}

/// How a replacement ended.
pub(crate) enum Replaced {
    Done(Outcome, Version),
    /// TikTok rejected the refresh token, and the chain holds nothing else.
    Rejected(Rejection),
    /// Another run holds the claim.
    InProgress {
        until: Timestamp,
    },
}

/// A rejected refresh token, and the claim under which it was sent.
pub(crate) struct Rejection {
    pub error: Error,
    pub held: HeldClaim,
}

/// What came of a staged pair.
enum Resumed {
    Done(Outcome, Version),
    /// Its access token's time is over: it has to be redeemed.
    Expired,
    /// TikTok rejects it for good, and it cannot be redeemed.
    Dead(Error),
}

/// What came of a claim that was won.
enum Spent {
    Ended(Replaced),
    /// The chain has grown, or a part of it is dead.
    Again(Chain),
}

/// What stays the same during a replacement.
struct Task<'t> {
    current: &'t Version,
    app: App,
    work: Work<'t>,
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Gets tokens that count into AWSCURRENT: those that the chain holds, as long as they work, or new ones.
    pub(crate) async fn replace(&self, chain: Chain, work: Work<'_>) -> Result<Replaced, Error> {
        let current = chain.current().clone();
        leaves_room_for_tokens(&current.document)?;
        let task = Task { app: self.app(&current).await?, current: &current, work };
        let room = self.room(&current, work);
        let (mut chain, mut dead) = (chain, Vec::new());
        loop {
            let Some(tip) = chain.tip(&dead).cloned() else { return Err(nothing_works()) };
            if let Some(ended) = self.take_up(&task, &chain, &tip, &mut dead).await? {
                return Ok(ended);
            }
            if dead.contains(&tip.credentials.fingerprint) {
                continue;
            }
            // A claim that no request can follow would only stand in the way of a run that has more time.
            self.attempts().room_for(Request::redeem(Step::Redeem, &task.app)).await?;
            match self.claim(&chain, &tip, work, &room).await? {
                Claimed::InProgress { until } => return Ok(Replaced::InProgress { until }),
                Claimed::Replaced => chain = self.walk_on(&chain).await?,
                Claimed::CoolDown(failed) => {
                    dead.push(tip.credentials.fingerprint.clone());
                    if !failed.is_rejection() || !has_another(&chain, &dead) {
                        let outcome = self.replay_recorded_failure(&current, &failed)?;
                        return Ok(Replaced::Done(outcome, current));
                    }
                }
                Claimed::Won(held) => match Box::pin(self.spend(&task, chain, &tip, held, &mut dead)).await? {
                    Spent::Ended(ended) => return Ok(ended),
                    Spent::Again(again) => chain = again,
                },
            }
        }
    }

    /// Goes on with a pair that an earlier run staged, if it serves this one. `None` if it has to be replaced.
    async fn take_up(
        &self,
        task: &Task<'_>,
        chain: &Chain,
        tip: &Version,
        dead: &mut Vec<Fingerprint>,
    ) -> Result<Option<Replaced>, Error> {
        if let Work::Exchange(code) = task.work {
            match chain.of_code(&code.fingerprint) {
                None => return Ok(None),
                // Another authorization came after it, or these tokens are current already.
                Some(_) if !tip.credentials.is_of_code(&code.fingerprint) => {
                    let outcome = Outcome::superseded(task.current);
                    return Ok(Some(Replaced::Done(outcome, task.current.clone())));
                }
                Some(_) => {}
            }
        }
        if tip.holds_pair_of(task.current) {
            return Ok(None);
        }
        match self.resume(task, tip).await? {
            Resumed::Done(outcome, version) => Ok(Some(Replaced::Done(outcome, version))),
            Resumed::Expired => Ok(None),
            Resumed::Dead(error) => {
                tracing::warn!(secret_id = self.secret, version_id = tip.id, "{}", error.what());
                dead.push(tip.credentials.fingerprint.clone());
                if has_another(chain, dead) { Ok(None) } else { Err(error) }
            }
        }
    }

    /// Checks and promotes staged tokens.
    async fn resume(&self, task: &Task<'_>, staged: &Version) -> Result<Resumed, Error> {
        let credentials = &staged.credentials;
        let is_over = self.is_over(credentials) && !FaultSwitch::KeepExpiredSuccessor.is_on();
        if credentials.can_be_renewed() && is_over {
            return Ok(Resumed::Expired);
        }
        tracing::info!(secret_id = self.secret, version_id = staged.id, "resuming with staged tokens");
        let checked = self.check_and_look_up(&task.app, credentials).await;
        let issued_at = credentials.refreshed_at.unwrap_or(Timestamp::MIN);
        let is_old = self.clock.now().duration_since(issued_at) >= REJECTION_IS_FINAL;
        if let Checked::Rejected(rejection) = &checked
            && (credentials.is_doubtful() || is_old && !credentials.can_be_renewed())
        {
            return Ok(Resumed::Dead(new_token_rejected(rejection)));
        }
        let Some(tokens) = staged.tokens_over(task.current) else { return Ok(Resumed::Expired) };
        let change = Change { tokens: Some(tokens), list: None };
        // An unchanged list keeps its time, so that the staged version can be promoted as it is.
        let fetched_at = match &checked {
            Checked::Works(listed) if listed.advertisers == credentials.advertisers && !credentials.list_is_stale() => {
                credentials.advertisers_fetched_at
            }
            _ => None,
        };
        let fetched_at = fetched_at.unwrap_or_else(|| self.clock.now());
        let current = &task.current.credentials;
        let is_new_grant = credentials.authorized_at != current.authorized_at;
        let news = if is_new_grant {
            AdvertiserUpdate::of_authorization(checked, None)
        } else {
            AdvertiserUpdate::of(current, checked)
        };
        let (news, kind) = ((news, fetched_at), OutcomeKind::Resumed);
        let (outcome, version) = self.finish(task, change, Some(staged.clone()), news, kind).await?;
        Ok(Resumed::Done(outcome, version))
    }

    /// Sends what there is to send under a claim, and brings the answer into the secret.
    async fn spend(
        &self,
        task: &Task<'_>,
        chain: Chain,
        tip: &Version,
        held: HeldClaim,
        dead: &mut Vec<Fingerprint>,
    ) -> Result<Spent, Error> {
        let mut chain = chain;
        let may_have_grown = held.attempt > 0 || !chain.current().is_newest_staged || !tip.holds_pair_of(task.current);
        if may_have_grown && !FaultSwitch::ForgetEarlierClaim.is_on() {
            // Something may have been staged between the last look at the chain and the claim.
            let walked = self.walk(task.current).await?;
            let is_same = walked.ends_like(&chain) && walked.tip(dead).is_some_and(|it| it.holds_pair_of(tip));
            chain = walked;
            if !is_same {
                return Ok(Spent::Again(chain));
            }
        }
        let answer = match task.work {
            Work::Exchange(code) => self.exchange_code(&task.app, code, held.spent_before).await,
            Work::Refresh(_) | Work::Rotation => self.redeem(&task.app, tip, held.spent_before).await,
        };
        match answer {
            Ok(redeemed) => self.store_answer(task, chain, tip, held, &redeemed).await,
            Err(error) if matches!(task.work, Work::Exchange(_)) => {
                if !error.lost_answer() && !held.spent_before {
                    self.withdraw(&held).await;
                }
                Err(error)
            }
            Err(error) => self.not_redeemed(task, chain, tip, Rejection { error, held }, dead).await,
        }
    }

    /// TikTok gave no tokens for a pair. If it rejected the refresh token, other tokens may be there.
    async fn not_redeemed(
        &self,
        task: &Task<'_>,
        chain: Chain,
        tip: &Version,
        rejection: Rejection,
        dead: &mut Vec<Fingerprint>,
    ) -> Result<Spent, Error> {
        if rejection.error.kind() != Kind::ReauthorizationRequired {
            return Err(self.give_back(rejection).await);
        }
        let walked = self.walk(task.current).await?;
        if !walked.ends_like(&chain) {
            self.give_back(rejection).await;
            return Ok(Spent::Again(walked));
        }
        dead.push(tip.credentials.fingerprint.clone());
        if has_another(&walked, dead) {
            self.give_back_rejected(rejection).await;
            return Ok(Spent::Again(walked));
        }
        Ok(Spent::Ended(Replaced::Rejected(rejection)))
    }

    /// Releases the claim under which nothing was redeemed. That TikTok rejected the pair is not noted: only the run that
    /// knows whether the access token still works can say what that comes to.
    pub(crate) async fn give_back(&self, rejection: Rejection) -> Error {
        let failed = Failed::new(&rejection.error, self.clock.now(), None);
        let failed = Some(failed).filter(|failed| !failed.is_rejection());
        self.release_after(rejection.held, &rejection.error, failed).await;
        rejection.error
    }

    async fn give_back_rejected(&self, rejection: Rejection) {
        let failed = Failed::new(&rejection.error, self.clock.now(), None);
        self.release_after(rejection.held, &rejection.error, Some(failed)).await;
    }

    /// After a lost answer the token may be spent, and the next run has to know.
    pub(crate) async fn release_after(&self, held: HeldClaim, error: &Error, failed: Option<Failed>) {
        let answered = !error.lost_answer() && !held.spent_before;
        self.release(held, answered, failed).await;
    }

    /// Stages what TikTok gave and, beside that, checks it; then promotes it.
    async fn store_answer(
        &self,
        task: &Task<'_>,
        chain: Chain,
        tip: &Version,
        held: HeldClaim,
        redeemed: &Redeemed,
    ) -> Result<Spent, Error> {
        let current = task.current;
        let new = NewTokens::of(task, &chain, tip, redeemed, self.clock.now(), &self.run.request_id);
        let at = redeemed.asked_at;
        let credentials = Credentials::of(&new.document(current, chain.end())?)?;
        if chain.knows(&credentials.fingerprint) {
            return self.write_known_pair(task, &chain, tip, held, (&new, &credentials.fingerprint)).await;
        }
        let (staged, checked) = if FaultSwitch::CheckBeforeStage.is_on() {
            let checked = self.check(&task.app, &credentials).await;
            (self.stage(&chain, current, tip, &new).await, checked)
        } else {
            tokio::join!(self.stage(&chain, current, tip, &new), self.check(&task.app, &credentials))
        };
        let (staged, chain) = staged?;
        if chain.tip(&[]).is_some_and(|tip| !tip.holds_pair_of(&staged)) {
            // Another run had an answer, too, and that one's authorization is newer.
            return Ok(Spent::Again(chain));
        }
        let checked = match checked.despite(redeemed.grant.reported_error.as_ref()) {
            Ok(checked) => checked,
            Err(error) => {
                let failed = Failed::new(&error, self.clock.now(), None);
                self.release_after(held, &error, Some(failed)).await;
                return Err(error);
            }
        };
        let checked = self.look_up(&task.app, checked, &credentials).await;
        let news = new.news(current, checked);
        let change = Change { tokens: staged.tokens_over(current), list: None };
        let (mut outcome, version) = self.finish(task, change, Some(staged), (news, at), new.kind).await?;
        outcome.warnings.extend_from_slice(&redeemed.grant.warnings);
        Ok(Spent::Ended(Replaced::Done(outcome, version)))
    }

    /// TikTok answered with a pair that the chain has already, with new lifetimes or for a new authorization. It is no
    /// link: a pair has one successor.
    async fn write_known_pair(
        &self,
        task: &Task<'_>,
        chain: &Chain,
        tip: &Version,
        held: HeldClaim,
        (new, pair): (&NewTokens, &Fingerprint),
    ) -> Result<Spent, Error> {
        let provenance = if tip.credentials.fingerprint == *pair {
            let unmoved = Provenance::unmoved(&tip.credentials, new.authorization, &self.run.request_id, new.at);
            new.code.as_ref().map_or(unmoved.clone(), |code| unmoved.with_code(code))
        } else {
            new.provenance(chain.end())
        };
        let change = Change { tokens: Some((new.fields.clone(), provenance)), list: None };
        let next =
            Version::new(tip.arn.clone(), String::new(), change.apply(&task.current.document, &task.current.id)?)?;
        let checked = self.check_and_look_up(&task.app, &next.credentials).await;
        let news = new.news(task.current, checked);
        let finished = self.finish(task, change, None, (news, new.at), new.kind).await;
        self.release(held, true, None).await;
        let (outcome, version) = finished?;
        Ok(Spent::Ended(Replaced::Done(outcome, version)))
    }

    /// Promotes tokens with what the check told of them.
    async fn finish(
        &self,
        task: &Task<'_>,
        change: Change,
        staged: Option<Version>,
        (news, at): (Result<AdvertiserUpdate, Error>, Timestamp),
        kind: OutcomeKind,
    ) -> Result<(Outcome, Version), Error> {
        let current = task.current;
        let news = match news {
            Err(_) if FaultSwitch::PromoteRejected.is_on() => AdvertiserUpdate::default(),
            news => news.map_err(|rejection| new_token_rejected(&rejection))?,
        };
        let change = Change { list: news.fetched.clone().map(|list| (list, at)), ..change };
        let promotion = Promotion { change: &change, authorizes: matches!(task.work, Work::Exchange(_)) };
        Ok(match self.commit(current, promotion, staged).await? {
            Promoted::Ours { version, reduction } => {
                let outcome = Outcome::new(kind, &version).with_news(current, &version, news).with_reduction(reduction);
                (outcome, version)
            }
            Promoted::Theirs(theirs) => {
                let is_ours =
                    matches!(task.work, Work::Exchange(code) if theirs.credentials.is_of_code(&code.fingerprint));
                let outcome = if is_ours { Outcome::fresh(&theirs) } else { Outcome::superseded(&theirs) };
                (outcome, theirs)
            }
        })
    }

    /// Follows the chain once more, after something was seen behind its known end.
    async fn walk_on(&self, chain: &Chain) -> Result<Chain, Error> {
        let walked = self.walk(chain.current()).await?;
        if walked.ends_like(chain) {
            self.clock.sleep(READ_LAG).await;
        }
        Ok(walked)
    }

    /// What is known of the room in a secret: a scheduled refresh of the newest staged pair, hours after the last one,
    /// needs no count.
    fn room(&self, current: &Version, work: Work<'_>) -> Room {
        let is_scheduled = matches!(work, Work::Refresh(Trigger::Slot(_) | Trigger::IfNeeded));
        let refreshed_at = current.credentials.refreshed_at.unwrap_or(self.clock.now());
        let is_old = self.clock.now().duration_since(refreshed_at) >= UNCOUNTED_INTERVAL;
        let is_routine = is_scheduled && current.is_newest_staged && is_old;
        Room(Cell::new(if is_routine { RoomState::Assumed } else { RoomState::Unknown }))
    }

    /// Fails if the secret may have no room for what follows a claim: nothing is redeemed that could not be stored.
    pub(crate) async fn ensure_room(&self, room: &Room, attempt: u32, work: Work<'_>) -> Result<(), Error> {
        match room.0.get() {
            RoomState::Counted => return Ok(()),
            RoomState::Assumed if attempt == 0 => return Ok(()),
            RoomState::Assumed | RoomState::Unknown => {}
        }
        let since = self.clock.now() - VERSIONS_ARE_KEPT;
        let count = || self.store.count_versions(self.secret, since);
        let number = self.attempt(Request::read(Step::Claim), count).await?;
        if number + VERSIONS_OF_A_REPLACEMENT > work.max_versions() {
            return Err(too_many_versions(number, work));
        }
        room.0.set(RoomState::Counted);
        Ok(())
    }

    /// Whether staged tokens are not worth going on with. A rotation is asked for new ones.
    fn is_over(&self, credentials: &Credentials) -> bool {
        let now = self.clock.now();
        let ends_soon = || plan::is_still_due(Times::from(credentials), Trigger::Now, now, self.run.min_token_lifetime);
        plan::has_expired(credentials.into(), now) || (self.target != PromotionTarget::Current && ends_soon())
    }
}

/// New tokens on their way from TikTok into the secret.
pub(crate) struct NewTokens {
    fields: TokenFields,
    /// The advertisers that the answer names, if it names any.
    granted: Option<Vec<Advertiser>>,
    kind: OutcomeKind,
    grant: Credentials,
    code: Option<Fingerprint>,
    authorization: u64,
    /// Whether TikTok reported an error beside them.
    doubtful: bool,
    run: String,
    at: Timestamp,
}

impl NewTokens {
    fn of(task: &Task<'_>, chain: &Chain, tip: &Version, redeemed: &Redeemed, now: Timestamp, run: &str) -> Self {
        let current = task.current;
        let (fields, granted, code, authorization, kind) = match task.work {
            Work::Exchange(code) => (
                redeemed.new_grant_fields(current, code.family, &code.redirect_uri),
                redeemed.granted_list(&current.credentials.advertisers),
                Some(code.fingerprint.clone()),
                chain.next_authorization(now),
                OutcomeKind::Authorized,
            ),
            Work::Refresh(_) | Work::Rotation => {
                (redeemed.token_fields(tip), None, None, chain.authorization_of(tip), OutcomeKind::Refreshed)
            }
        };
        let (grant, run, at) = (tip.credentials.clone(), run.to_owned(), redeemed.asked_at);
        let doubtful = redeemed.grant.reported_error.is_some();
        Self { fields, granted, kind, grant, code, authorization, doubtful, run, at }
    }

    /// The document that follows `end` in the chain.
    ///
    /// The usual day: the list has not changed. Staged as if checked already, it can be promoted without another write.
    pub fn document(&self, current: &Version, end: &Version) -> Result<crate::document::Document, Error> {
        let expected = self.granted.clone().or_else(|| known_list(&current.credentials));
        let change = Change {
            tokens: Some((self.fields.clone(), self.provenance(end))),
            list: expected.map(|list| (list, self.at)),
        };
        Ok(fit(change.apply(&current.document, &current.id)?)?.0)
    }

    /// What the check told about the advertisers of these tokens.
    fn news(&self, current: &Version, checked: Checked) -> Result<AdvertiserUpdate, Error> {
        match self.kind {
            OutcomeKind::Authorized => AdvertiserUpdate::of_authorization(checked, self.granted.clone()),
            _ => AdvertiserUpdate::of(&current.credentials, checked),
        }
    }

    fn provenance(&self, end: &Version) -> Provenance {
        let end = &end.credentials;
        let provenance = match &self.code {
            Some(code) => {
                // Newer than everything before it, also than what another run has appended meanwhile.
                let authorization = self.authorization.max(end.authorization().saturating_add(1));
                Provenance::authorized(end, authorization, code, &self.run, self.at)
            }
            None => Provenance::renewed(end, &self.grant, self.authorization, &self.run, self.at),
        };
        provenance.doubtful(self.doubtful)
    }
}

fn has_another(chain: &Chain, dead: &[Fingerprint]) -> bool {
    chain.tip(dead).is_some_and(|tip| tip.credentials.can_be_renewed())
}

fn known_list(credentials: &Credentials) -> Option<Vec<Advertiser>> {
    // An account holder's list is not fetched, so it keeps its time.
    let is_listed = credentials.flow != Flow::TtUser && !credentials.advertisers.is_empty();
    is_listed.then(|| credentials.advertisers.clone())
}

fn new_token_rejected(rejection: &Error) -> Error {
    let what = format!("TikTok does not accept the access token that it has just issued: {}", rejection.what());
    let error = Error::new(Kind::NewTokenRejected, what);
    rejection.code().map_or_else(|| error.clone(), |code| error.clone().with_code(code))
}

fn too_many_versions(number: usize, work: Work<'_>) -> Error {
    let max = work.max_versions();
    let what = format!(
        "Nothing was spent. The secret has {number} versions that are younger than a day, and a run of this kind needs room for {VERSIONS_OF_A_REPLACEMENT} more within {max}. Secrets Manager takes about a hundred."
    );
    Error::new(Kind::SecretLimitExceeded, what)
}

fn nothing_works() -> Error {
    Error::new(Kind::ReauthorizationRequired, "TikTok rejects all tokens that the secret holds.")
}
