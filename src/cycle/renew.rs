//! From a claim or a staged version to the end: the part of the cycle in which tokens change.

use jiff::Timestamp;

use super::{
    Clock, Cycle, Label, Outcome, OutcomeKind, Store, TikTok, Which,
    attempts::Request,
    check::Checked,
    claim::{Claimed, Failed, Held, successor_id},
    outcome::ListNews,
    promote::Promoted,
    read::{Snapshot, Version},
    redeem::Redeemed,
    trace::Step,
};
use crate::{
    document::{
        Advertiser, App, Change, Credentials, Fingerprint, Flow, Provenance, TokenFields, fit, leaves_room_for_tokens,
    },
    error::{Error, Kind},
};

/// How far a chain of successors is followed: as far as a document remembers its ancestors.
const MAX_CHAIN: usize = 16;

/// Where a renewal begins.
pub(super) enum Start {
    /// With the pair that is current.
    Redeem,
    /// With tokens that wait in a staged version.
    Resume(Version),
}

/// How a renewal ended.
pub(super) enum Ended {
    Done(Outcome),
    /// TikTok rejected the refresh token, and nothing newer was found in the secret.
    Rejected(Rejection),
    /// Another run holds the claim.
    InProgress {
        until: Timestamp,
    },
}

/// A rejected refresh token.
pub(super) struct Rejection {
    pub error: Error,
    /// The claim under which it was sent; none if that was another run's.
    pub held: Option<Held>,
}

enum Next {
    Redeem(Version),
    Resume(Version),
}

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Gets new tokens into AWSCURRENT: those that an earlier run left, as long as they work, or freshly redeemed ones.
    pub(super) async fn renew(&self, snapshot: &Snapshot, start: Start) -> Result<Ended, Error> {
        leaves_room_for_tokens(&snapshot.current.document)?;
        let app = self.app(&snapshot.current).await?;
        let mut next = match start {
            Start::Redeem => Next::Redeem(snapshot.current.clone()),
            Start::Resume(staged) => Next::Resume(staged),
        };
        let mut tried: Vec<Fingerprint> = Vec::new();
        for _ in 0..MAX_CHAIN {
            next = match next {
                Next::Resume(staged) => {
                    tried.push(staged.credentials.fingerprint.clone());
                    match self.resume(snapshot, &app, &staged).await {
                        Ok(Some(outcome)) => return Ok(Ended::Done(outcome)),
                        Ok(None) => Next::Redeem(staged),
                        // A new grant that cannot be used is no reason to let the old one run out.
                        Err(error) if error.kind() == Kind::NewTokenRejected && can_be_renewed(&snapshot.current) => {
                            tracing::warn!(secret_id = self.secret, version_id = staged.id, "{}", error.what());
                            Next::Redeem(snapshot.current.clone())
                        }
                        Err(error) => return Err(error),
                    }
                }
                Next::Redeem(holder) => match self.claim_and_redeem(snapshot, &app, &holder, &tried).await? {
                    Redeeming::Found(version) => Next::Resume(version),
                    Redeeming::Ended(ended) => return Ok(ended),
                },
            };
        }
        Err(Error::new(Kind::InvalidSecret, "The secret's versions lead from one to the next without an end.")
            .advise("Authorise the app again: its new tokens begin a chain of their own."))
    }

    /// Checks and promotes staged tokens; `None` if TikTok does not take them any more.
    pub(super) async fn resume(
        &self,
        snapshot: &Snapshot,
        app: &App,
        staged: &Version,
    ) -> Result<Option<Outcome>, Error> {
        let credentials = &staged.credentials;
        let current = &snapshot.current.credentials.fingerprint;
        if credentials.fingerprint == *current {
            return Ok(Some(Outcome::fresh(&snapshot.current)));
        }
        if !credentials.follow(&snapshot.current.credentials) {
            return Ok(Some(Outcome::superseded(&snapshot.current)));
        }
        let can_be_renewed = can_be_renewed(staged);
        if can_be_renewed && self.is_over(credentials) {
            return Ok(None);
        }
        tracing::info!(secret_id = self.secret, version_id = staged.id, "resuming with staged tokens");
        let checked = self.check_and_look_up(app, credentials).await;
        if can_be_renewed && matches!(checked, Checked::Rejected(_)) {
            return Ok(None);
        }
        let Some(tokens) = staged.tokens_over(&snapshot.current) else { return Ok(None) };
        let change = Change { tokens: Some(tokens), list: None };
        // An unchanged list keeps its time, so that the staged version can be promoted as it is.
        let fetched_at = match &checked {
            Checked::Works(listed) if listed.advertisers == credentials.advertisers && !credentials.list_is_stale() => {
                credentials.advertisers_fetched_at
            }
            _ => None,
        };
        let fetched_at = fetched_at.unwrap_or_else(|| self.clock.now());
        let current = &snapshot.current.credentials;
        let is_new_grant = credentials.authorized_at != current.authorized_at;
        let news =
            if is_new_grant { ListNews::of_authorization(checked, None) } else { ListNews::of(current, checked) };
        self.finish(snapshot, change, staged.clone(), (news, fetched_at), OutcomeKind::Resumed).await.map(Some)
    }

    async fn claim_and_redeem(
        &self,
        snapshot: &Snapshot,
        app: &App,
        holder: &Version,
        tried: &[Fingerprint],
    ) -> Result<Redeeming, Error> {
        let pair = &holder.credentials.fingerprint;
        let untried = |version: &Version| !tried.contains(&version.credentials.fingerprint);
        // A claim that no redeem can follow would only stand in the way of a run that has more time.
        self.attempts().room_for(Request::redeem(Step::Redeem, app)).await?;
        let (n, spent_before) = match self.claim(&snapshot.arn, pair, snapshot.claim.as_ref()).await? {
            Claimed::InProgress { until } => return Ok(Redeeming::Ended(Ended::InProgress { until })),
            Claimed::Finished(version) if untried(&version) => return Ok(Redeeming::Found(version)),
            Claimed::Finished(_) => {
                let what = "TikTok rejects the tokens that the secret holds, and those that were redeemed for them.";
                let error = Error::new(Kind::ReauthorizationRequired, what);
                return Ok(Redeeming::Ended(Ended::Rejected(Rejection { error, held: None })));
            }
            Claimed::Won { n, spent_before } => (n, spent_before),
        };
        if n > 0
            && let Some(left) = self.left_by_others(snapshot, pair).await?.filter(untried)
        {
            return Ok(Redeeming::Found(left));
        }
        let error = match self.redeem(app, holder, spent_before).await {
            Ok(redeemed) => {
                let provenance = Provenance {
                    grant: snapshot.settled_grant(&holder.credentials),
                    ..Provenance::after(&holder.credentials, &self.run.request_id, redeemed.asked_at)
                };
                let tokens = (redeemed.token_fields(holder), provenance);
                let outcome = self.stage_and_finish(snapshot, app, pair, tokens, &redeemed).await?;
                return Ok(Redeeming::Ended(Ended::Done(outcome)));
            }
            Err(error) => error,
        };
        // After a lost answer the token may be spent, and the next run has to know.
        let answered = !error.lost_answer() && !spent_before;
        let held = Held { arn: snapshot.arn.clone(), pair: pair.clone(), n, answered };
        // On the heap, because it is rare, and would make every renewal's future larger.
        Box::pin(self.not_redeemed(snapshot, pair, Rejection { error, held: Some(held) }, untried)).await
    }

    /// TikTok gave no tokens for a pair. If it rejected the refresh token, later ones may be there.
    async fn not_redeemed(
        &self,
        snapshot: &Snapshot,
        pair: &Fingerprint,
        rejection: Rejection,
        untried: impl Fn(&Version) -> bool,
    ) -> Result<Redeeming, Error> {
        let later = match rejection.error.kind() {
            Kind::ReauthorizationRequired => self.later_tokens(snapshot, pair).await.map(|later| later.filter(untried)),
            _ => Err(rejection.error.clone()),
        };
        match later.transpose() {
            None => Ok(Redeeming::Ended(Ended::Rejected(rejection))),
            Some(later) => {
                self.give_back(rejection).await;
                later.map(Redeeming::Found)
            }
        }
    }

    /// Gives back the claim under which nothing was redeemed. That TikTok rejected the pair is not noted: only who knows
    /// whether the access token still works can say what that comes to.
    pub(super) async fn give_back(&self, rejection: Rejection) -> Error {
        let Rejection { error, held } = rejection;
        if let Some(held) = held {
            let failed = Failed::new(&error, self.clock.now(), None);
            self.release(held, Some(failed).filter(|failed| !failed.is_rejection())).await;
        }
        error
    }

    /// Stages redeemed tokens as what `spent` was spent for and, beside that, checks them.
    pub(super) async fn stage_and_finish(
        &self,
        snapshot: &Snapshot,
        app: &App,
        spent: &Fingerprint,
        tokens: (TokenFields, Provenance),
        redeemed: &Redeemed,
    ) -> Result<Outcome, Error> {
        let current = &snapshot.current;
        let at = redeemed.asked_at;
        let (granted, label, kind) = if tokens.1.authorizes {
            (redeemed.granted_list(&current.credentials.advertisers), Label::Grant, OutcomeKind::Authorized)
        } else {
            (None, snapshot.pending.label_to_stage_under(), OutcomeKind::Refreshed)
        };
        // Whoever finds the label on the current version looks for nothing else.
        let labels = if snapshot.leaves_waiting(&tokens.1.lineage) { &[label][..] } else { &[label, Label::Claim] };
        let change = Change { tokens: Some(tokens), list: None };
        // The usual day: the list has not changed. Staged as if checked already, it can be promoted without another write.
        let expected = granted.clone().or_else(|| known_list(&current.credentials));
        let usual = Change { list: expected.map(|list| (list, at)), ..change.clone() };
        let (next, _) = fit(usual.apply(&current.document, &current.id)?)?;
        let credentials = Credentials::of(&next)?;
        let (staged, checked) = tokio::join!(self.stage(snapshot, labels, spent, next), self.check(app, &credentials));
        let staged = staged?;
        let checked = self.look_up(app, checked, &credentials).await;
        let news = match kind {
            OutcomeKind::Authorized => ListNews::of_authorization(checked, granted),
            _ => ListNews::of(&current.credentials, checked),
        };
        self.finish(snapshot, change, staged, (news, at), kind).await
    }

    /// Promotes staged tokens with what the check told of them.
    async fn finish(
        &self,
        snapshot: &Snapshot,
        change: Change,
        staged: Version,
        (news, at): (Result<ListNews, Error>, Timestamp),
        kind: OutcomeKind,
    ) -> Result<Outcome, Error> {
        let news = news.map_err(|rejection| {
            let what = format!("TikTok does not accept the access token that it has just issued: {}", rejection.what());
            let error = Error::new(Kind::NewTokenRejected, what);
            rejection.code().map_or_else(|| error.clone(), |code| error.clone().with_code(code))
        })?;
        let change = Change { list: news.fetched.clone().map(|list| (list, at)), ..change };
        Ok(match self.land(snapshot, &change, staged).await? {
            Promoted::Ours { version, reduction } => {
                Outcome::new(kind, &version).with_news(&snapshot.current, &version, news).with_reduction(reduction)
            }
            Promoted::Theirs(theirs) => Outcome::superseded(&theirs),
        })
    }

    /// What those left behind who claimed a pair before.
    async fn left_by_others(&self, snapshot: &Snapshot, pair: &Fingerprint) -> Result<Option<Version>, Error> {
        let successor = self.successor(&snapshot.arn, pair).await?;
        if successor.is_some() || snapshot.is_whole() {
            return Ok(successor);
        }
        // They came after this run had looked at the labels of the current version alone.
        let snapshot = self.look_around(snapshot.arn.clone(), snapshot.current.clone()).await?;
        Ok(snapshot.waiting().cloned())
    }

    /// Follows what was redeemed from a pair to the end of its chain.
    pub(super) async fn successor(&self, arn: &str, pair: &Fingerprint) -> Result<Option<Version>, Error> {
        let mut seen = vec![pair.clone()];
        let mut last = None;
        while seen.len() <= MAX_CHAIN {
            let id = successor_id(arn, &seen[seen.len() - 1]);
            let Some(version) = self.read_version(&id).await? else { break };
            let fingerprint = version.credentials.fingerprint.clone();
            if version.credentials.origin.is_none() || seen.contains(&fingerprint) {
                break;
            }
            seen.push(fingerprint);
            last = Some(version);
        }
        Ok(last)
    }

    /// Where TikTok rejects a pair, the secret may hold what it was redeemed for: as its successor, or as the version that
    /// somebody rolled back from.
    async fn later_tokens(&self, snapshot: &Snapshot, pair: &Fingerprint) -> Result<Option<Version>, Error> {
        if let Some(successor) = self.successor(&snapshot.arn, pair).await? {
            return Ok(Some(successor));
        }
        let previous = self.get(Which::Label(Label::Previous)).await?;
        let previous = previous.and_then(|stored| Version::of(&stored).ok());
        Ok(previous.filter(|version| version.credentials.descends_from(&snapshot.current.credentials.fingerprint)))
    }
}

enum Redeeming {
    /// Nothing was spent: these tokens were there already.
    Found(Version),
    Ended(Ended),
}

fn known_list(credentials: &Credentials) -> Option<Vec<Advertiser>> {
    (!credentials.advertisers.is_empty()).then(|| credentials.advertisers.clone())
}

pub(super) fn can_be_renewed(version: &Version) -> bool {
    version.credentials.flow != Flow::LongTerm && version.credentials.refresh_token.is_some()
}
