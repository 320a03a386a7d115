//! Storing TikTok's answer: it is staged and, beside that, checked; then it is promoted.

use std::ops::ControlFlow;

use jiff::Timestamp;

use super::{
    Outcome, OutcomeKind,
    claim::HeldClaim,
    claim_record::Failed,
    new_tokens::NewTokens,
    outcome::AdvertiserUpdate,
    promote::{Promoted, Promotion},
    replace::{Progress, Replaced, Replacement},
    version::Version,
    work::Work,
};
use crate::{
    document::{Change, Credentials},
    error::{Error, Kind},
    fault_switch::FaultSwitch,
    transport::{Clock, Store, TikTok, TokenSet},
};

impl<S: Store, T: TikTok, C: Clock> Replacement<'_, '_, S, T, C> {
    /// Stages, checks and promotes what TikTok gave for `tip`, or for an auth code under the claim on `tip`.
    pub(super) async fn store(&mut self, tip: &Version, held: HeldClaim, answer: &TokenSet) -> Progress {
        let (refresher, current) = (self.refresher, &self.current);
        let (now, request_id) = (refresher.clock.now(), &refresher.run.request_id);
        let new = NewTokens::of((current, self.work), &self.chain, tip, answer, now, request_id);
        let credentials = Credentials::of(&new.document(current, self.chain.end())?)?;
        if self.chain.knows(&credentials.fingerprint) {
            return self.store_known_pair(tip, held, &new, &credentials).await;
        }
        let stage = refresher.stage(&self.chain, current, tip, &new);
        let check = refresher.check(&self.app, &credentials);
        let (staged, checked) = if FaultSwitch::CheckBeforeStage.is_on() {
            let checked = check.await;
            (stage.await, checked)
        } else {
            tokio::join!(stage, check)
        };
        let (staged, chain) = staged?;
        self.chain = chain;
        if self.chain.tip(&[]).is_some_and(|tip| !tip.holds_pair_of(&staged)) {
            // Another run had an answer, too, and that one's authorization is newer.
            return Ok(ControlFlow::Continue(()));
        }
        let checked = match checked.despite(answer.reported_error.as_ref()) {
            Ok(checked) => checked,
            Err(error) => {
                let failed = Failed::new(&error, refresher.clock.now(), None);
                refresher.release_after(held, &error, Some(failed)).await;
                return Err(error);
            }
        };
        let checked = refresher.look_up(&self.app, checked, &credentials).await;
        let update = new.update(&self.current, checked);
        let change = Change { tokens: staged.tokens_over(&self.current), list: None };
        let progress = self.finish(change, Some(staged), (update, new.at), new.kind).await?;
        Ok(with_warnings(progress, &answer.warnings))
    }

    /// TikTok answered with a pair that the chain has already, with new lifetimes or for a new authorization. It is no
    /// link: a pair has one successor.
    async fn store_known_pair(&self, tip: &Version, held: HeldClaim, new: &NewTokens, pair: &Credentials) -> Progress {
        let is_tip = tip.credentials.fingerprint == pair.fingerprint;
        let provenance = if is_tip { new.unmoved(&tip.credentials) } else { new.provenance(self.chain.end()) };
        let tokens = (new.fields.clone(), provenance);
        let change = Change { tokens: Some(tokens), list: None };
        let document = change.apply(&self.current.document, &self.current.id)?;
        let credentials = Credentials::of(&document)?;
        let checked = self.refresher.check_and_look_up(&self.app, &credentials).await;
        let update = new.update(&self.current, checked);
        let finished = self.finish(change, None, (update, new.at), new.kind).await;
        self.refresher.release(held, true, None).await;
        finished
    }

    /// Promotes tokens with what the check says of them.
    pub(super) async fn finish(
        &self,
        change: Change,
        staged: Option<Version>,
        (update, at): (Result<AdvertiserUpdate, Error>, Timestamp),
        kind: OutcomeKind,
    ) -> Progress {
        let current = &self.current;
        let update = match update {
            Err(_) if FaultSwitch::PromoteRejected.is_on() => AdvertiserUpdate::default(),
            update => update.map_err(|rejection| new_token_rejected(&rejection))?,
        };
        let change = Change { list: update.fetched.clone().map(|list| (list, at)), ..change };
        let promotion = Promotion { change: &change, authorizes: self.work.code().is_some() };
        let (outcome, version) = match self.refresher.commit(current, promotion, staged).await? {
            Promoted::Ours { version, reduction } => {
                let outcome = Outcome::new(kind, &version).with_update(current, &version, update);
                (outcome.with_reduction(reduction), version)
            }
            Promoted::Theirs(theirs) => {
                let is_ours =
                    matches!(self.work, Work::Exchange(code) if theirs.credentials.is_of_code(&code.fingerprint));
                let outcome = if is_ours { Outcome::fresh(&theirs) } else { Outcome::superseded(&theirs) };
                (outcome, theirs)
            }
        };
        Ok(ControlFlow::Break(Replaced::Done(outcome, version)))
    }
}

fn with_warnings(progress: ControlFlow<Replaced>, warnings: &[String]) -> ControlFlow<Replaced> {
    match progress {
        ControlFlow::Break(Replaced::Done(mut outcome, version)) => {
            outcome.warnings.extend_from_slice(warnings);
            ControlFlow::Break(Replaced::Done(outcome, version))
        }
        other => other,
    }
}

/// The error of a run whose new access token TikTok rejects.
pub(super) fn new_token_rejected(rejection: &Error) -> Error {
    let what = format!("TikTok does not accept the access token that it has just issued: {}", rejection.what());
    let error = Error::new(Kind::NewTokenRejected, what);
    rejection.code().map_or_else(|| error.clone(), |code| error.clone().with_code(code))
}
