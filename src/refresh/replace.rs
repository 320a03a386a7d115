//! Replacing the current token pair. A scheduled refresh, an exchange of an auth code and a rotation all go this way.
//!
//! A replacement begins at the tip of the chain: the pair that counts. A staged tip is resumed (`resume.rs`). Any other tip
//! is claimed, its refresh token redeemed or the auth code exchanged, and the answer stored (`answer.rs`). Where the chain
//! turns out to be longer, or the tip to be dead, the replacement begins again at the next tip.

use std::ops::ControlFlow;

use jiff::Timestamp;

use super::{
    Outcome, Refresher,
    chain::Chain,
    claim::{Claimed, HeldClaim},
    claim_record::Failed,
    version::Version,
    version_budget::VersionBudget,
    work::Work,
};
use crate::{
    document::{App, Fingerprint, leaves_room_for_tokens},
    error::{Error, Kind},
    fault_switch::FaultSwitch,
    transport::{Clock, READ_LAG, Store, TikTok},
};

/// The end of a replacement.
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

/// The result of a step: the end, or another step at the tip of the chain that is known by now.
pub(super) type Progress = Result<ControlFlow<Replaced>, Error>;

/// A replacement in progress.
pub(super) struct Replacement<'r, 'a, S, T, C> {
    pub refresher: &'r Refresher<'a, S, T, C>,
    pub app: App,
    pub work: Work<'r>,
    pub budget: VersionBudget,
    /// The version that was AWSCURRENT when the replacement began.
    pub current: Version,
    pub chain: Chain,
    /// Pairs that TikTok rejects.
    pub dead: Vec<Fingerprint>,
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Gets tokens that count into AWSCURRENT: those that the chain holds, as long as they work, or new ones.
    ///
    /// # Errors
    /// When that did not succeed. What TikTok answered until then is staged.
    pub(crate) async fn replace(&self, chain: Chain, work: Work<'_>) -> Result<Replaced, Error> {
        let current = chain.current().clone();
        leaves_room_for_tokens(&current.document)?;
        let app = self.app(&current).await?;
        let budget = self.version_budget(&current, work);
        let mut replacement = Replacement { refresher: self, app, work, budget, current, chain, dead: Vec::new() };
        loop {
            if let ControlFlow::Break(replaced) = replacement.step().await? {
                return Ok(replaced);
            }
        }
    }

    /// Releases the claim under which nothing was redeemed. It does not record that TikTok rejected the pair: only the run
    /// that has checked the access token knows what follows from that.
    pub(crate) async fn give_back(&self, rejection: Rejection) -> Error {
        let failed = Failed::new(&rejection.error, self.clock.now(), None);
        let failed = Some(failed).filter(|failed| !failed.is_rejection());
        self.release_after(rejection.held, &rejection.error, failed).await;
        rejection.error
    }

    /// Releases a claim after an error. After a lost answer TikTok may have redeemed the token, and the claim says so.
    pub(crate) async fn release_after(&self, held: HeldClaim, error: &Error, failed: Option<Failed>) {
        let answered = !error.lost_answer() && !held.sent_before || FaultSwitch::ForgetLostAnswer.is_on();
        self.release(held, answered, failed).await;
    }
}

impl<S: Store, T: TikTok, C: Clock> Replacement<'_, '_, S, T, C> {
    /// Resumes or replaces the pair that counts.
    async fn step(&mut self) -> Progress {
        let Some(tip) = self.chain.tip(&self.dead).cloned() else { return Err(nothing_works()) };
        if let Work::Exchange(code) = self.work {
            match self.chain.of_code(&code.fingerprint) {
                // A person has authorized the app anew, so the staged tokens do not count.
                None => return self.claim(&tip).await,
                // Another authorization came after it, or these tokens are current already.
                Some(_) if !tip.credentials.is_of_code(&code.fingerprint) => {
                    return Ok(self.done(Outcome::superseded(&self.current)));
                }
                Some(_) => {}
            }
        }
        if !tip.holds_pair_of(&self.current)
            && let Some(progress) = self.resume(&tip).await?
        {
            return Ok(progress);
        }
        self.claim(&tip).await
    }

    /// Claims a pair and, if this run gets the claim, replaces it.
    async fn claim(&mut self, tip: &Version) -> Progress {
        let refresher = self.refresher;
        // A claim that no request can follow would only stand in the way of a run that has more time.
        refresher.requests().wait_for_redeem(&self.app).await?;
        match refresher.claim(&self.chain, tip, self.work, &self.budget).await? {
            Claimed::Won(held) => Box::pin(self.send(tip, held)).await,
            Claimed::InProgress { until } => Ok(ControlFlow::Break(Replaced::InProgress { until })),
            Claimed::Replaced => {
                let walked = refresher.walk(&self.current).await?;
                if walked.ends_like(&self.chain) {
                    refresher.clock.sleep(READ_LAG).await;
                }
                self.chain = walked;
                Ok(ControlFlow::Continue(()))
            }
            Claimed::CoolDown(failed) => {
                self.dead.push(tip.credentials.fingerprint.clone());
                if failed.is_rejection() && self.has_another() {
                    return Ok(ControlFlow::Continue(()));
                }
                Ok(self.done(refresher.replay_recorded_failure(&self.current, &failed)?))
            }
        }
    }

    /// Redeems the refresh token, or exchanges the auth code, under a claim.
    async fn send(&mut self, tip: &Version, held: HeldClaim) -> Progress {
        if held.is_taken_over && !FaultSwitch::TrustLaggingChain.is_on() {
            // The last write of a run that died may have arrived just now, and reads lag writes.
            self.refresher.clock.sleep(READ_LAG).await;
        }
        if self.may_have_grown(tip, &held) && !FaultSwitch::ForgetEarlierClaim.is_on() {
            let walked = self.refresher.walk(&self.current).await?;
            let is_same =
                walked.ends_like(&self.chain) && walked.tip(&self.dead).is_some_and(|it| it.holds_pair_of(tip));
            self.chain = walked;
            if !is_same {
                return Ok(ControlFlow::Continue(()));
            }
        }
        let answer = match self.work {
            Work::Exchange(code) => self.refresher.exchange_code(&self.app, code, held.sent_before).await,
            Work::Refresh(_) | Work::Rotation => self.refresher.redeem(&self.app, tip, held.sent_before).await,
        };
        match answer {
            Ok(tokens) => self.store(tip, held, &tokens).await,
            Err(error) if self.work.code().is_some() => {
                if !error.lost_answer() && !held.sent_before {
                    self.refresher.withdraw(&held).await;
                }
                Err(error)
            }
            Err(error) => self.not_redeemed(tip, Rejection { error, held }).await,
        }
    }

    /// True if something may have been staged between the last look at the chain and the claim.
    fn may_have_grown(&self, tip: &Version, held: &HeldClaim) -> bool {
        held.attempt > 0 || !self.current.is_newest_staged || !tip.holds_pair_of(&self.current)
    }

    /// TikTok gave no tokens for a pair. If it rejected the refresh token, the chain may hold others.
    async fn not_redeemed(&mut self, tip: &Version, rejection: Rejection) -> Progress {
        let refresher = self.refresher;
        if rejection.error.kind() != Kind::ReauthorizationRequired {
            return Err(refresher.give_back(rejection).await);
        }
        let walked = refresher.walk(&self.current).await?;
        let has_grown = !walked.ends_like(&self.chain);
        self.chain = walked;
        if has_grown {
            refresher.give_back(rejection).await;
            return Ok(ControlFlow::Continue(()));
        }
        self.dead.push(tip.credentials.fingerprint.clone());
        if !self.has_another() {
            return Ok(ControlFlow::Break(Replaced::Rejected(rejection)));
        }
        let failed = Failed::new(&rejection.error, refresher.clock.now(), None);
        refresher.release_after(rejection.held, &rejection.error, Some(failed)).await;
        Ok(ControlFlow::Continue(()))
    }

    /// True if the chain holds a pair that is not known to be dead and can be redeemed.
    pub(super) fn has_another(&self) -> bool {
        self.chain.tip(&self.dead).is_some_and(|tip| tip.credentials.can_be_renewed())
    }

    /// The end with the current version as it is.
    fn done(&self, outcome: Outcome) -> ControlFlow<Replaced> {
        ControlFlow::Break(Replaced::Done(outcome, self.current.clone()))
    }
}

fn nothing_works() -> Error {
    Error::new(Kind::ReauthorizationRequired, "TikTok rejects all tokens that the secret holds.")
}
