//! The claim: the right to replace a token pair. The first run to write the version `claim(pair, attempt)` has it.

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Serialize;

use super::{
    Refresher,
    chain::Chain,
    claim_record::{Claim, ClaimState, Failed, GRACE, Purpose},
    ids::{claim_id, successor_id},
    version::Version,
    version_budget::VersionBudget,
    work::Work,
};
use crate::{
    document::{Fingerprint, json_text},
    error::Error,
    fault_switch::FaultSwitch,
    transport::{Clock, Label, PutResult, Step, Store, TikTok, VersionSelector},
};

/// The time for which an exchange holds its claim: TikTok answers within two seconds. A run that begins before a slow answer
/// meets it at the stage, where both answers find a place.
const EXCHANGE_TIME: SignedDuration = SignedDuration::from_secs(8);

/// A claim that this run holds, or is about to write.
#[derive(Debug)]
pub(crate) struct HeldClaim {
    pub arn: String,
    pub pair: Fingerprint,
    pub attempt: u32,
    /// True if an earlier run may have redeemed the pair without staging an answer.
    pub sent_before: bool,
    /// True if the run before did not release its claim. It may have died with a write on its way.
    pub is_taken_over: bool,
    /// The number of failed claims in a row before this one.
    pub failures: u32,
}

impl HeldClaim {
    /// The first claim on a pair.
    fn first(pair: &Version) -> Self {
        let (arn, pair) = (pair.claim_key(), pair.credentials.fingerprint.clone());
        Self { arn, pair, attempt: 0, sent_before: false, is_taken_over: false, failures: 0 }
    }

    /// The id of its version.
    fn id(&self) -> String {
        claim_id(&self.arn, &self.pair, self.attempt)
    }

    /// The claim that follows another run's.
    fn after(self, claim: &Claim, work: Work<'_>) -> Self {
        Self {
            attempt: claim.attempt + 1,
            sent_before: work.may_have_been_sent_under(claim),
            is_taken_over: !claim.released,
            failures: if claim.released { claim.failures } else { claim.failures + 1 },
            ..self
        }
    }
}

/// The result of an attempt to claim a pair.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// This run, and no other, may replace the pair.
    Won(HeldClaim),
    /// The pair has a successor that this run does not know yet.
    Replaced,
    /// Another run may be replacing it at this moment.
    InProgress { until: Timestamp },
    /// A run failed recently, and TikTok is not called again yet.
    CoolDown(Box<Failed>),
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Claims the right to replace a pair of the chain.
    pub(crate) async fn claim(
        &self,
        chain: &Chain,
        pair: &Version,
        work: Work<'_>,
        budget: &VersionBudget,
    ) -> Result<Claimed, Error> {
        self.timed(Step::Claim, self.claim_from_first(chain, pair, work, budget)).await
    }

    async fn claim_from_first(
        &self,
        chain: &Chain,
        pair: &Version,
        work: Work<'_>,
        budget: &VersionBudget,
    ) -> Result<Claimed, Error> {
        let mut held = HeldClaim::first(pair);
        let mut knows_newest = false;
        // Every turn costs a request, and requests end at the deadline.
        loop {
            self.ensure_versions_left(budget, held.attempt, work).await?;
            if work.code().is_some() && FaultSwitch::AuthorizeWithoutClaim.is_on() {
                return Ok(Claimed::Won(held));
            }
            let put = self.put_claim(&held, work).await?;
            if put == PutResult::Written || FaultSwitch::RedeemWithoutClaim.is_on() {
                return Ok(Claimed::Won(held));
            }
            let Some(mut claim) = self.read_claim(VersionSelector::Id(&pair.claim_id(held.attempt))).await? else {
                if FaultSwitch::TrustLaggingClaim.is_on() {
                    held.attempt += 1;
                    continue;
                }
                // Written a moment ago, and reads lag.
                return Ok(self.in_progress(self.clock.now() + GRACE));
            };
            if claim.state(&self.nonce, self.clock.now()) == ClaimState::Ours {
                let sent_before = held.attempt > 0;
                return Ok(Claimed::Won(HeldClaim { sent_before, failures: claim.failures, ..held }));
            }
            if let Some(successor) = self.read_version(&pair.successor_id()).await?
                && !chain.contains(&successor.credentials.fingerprint)
            {
                return Ok(Claimed::Replaced);
            }
            if !knows_newest {
                claim = self.newest_since(pair, claim).await?;
                knows_newest = true;
            }
            if let Some(wait) = self.wait_for(pair, &claim, work).await? {
                return Ok(wait);
            }
            held = held.after(&claim, work);
        }
    }

    /// The end of a run that cannot claim a pair after the newest claim on it; `None` if it can.
    async fn wait_for(&self, pair: &Version, newest: &Claim, work: Work<'_>) -> Result<Option<Claimed>, Error> {
        if let ClaimState::Held { until } = newest.state(&self.nonce, self.clock.now())
            && !work.may_pass(newest)
            && self.get(VersionSelector::Id(&pair.claim_id(newest.attempt + 1))).await?.is_none()
        {
            return Ok(Some(self.in_progress(until)));
        }
        let failed = work.cools_down(newest, self.clock.now());
        Ok(failed.map(|failed| Claimed::CoolDown(Box::new(failed))))
    }

    /// The newest claim on a pair; `None` if it was never claimed.
    pub(crate) async fn newest_claim(&self, pair: &Version) -> Result<Option<Claim>, Error> {
        let Some(first) = self.read_claim(VersionSelector::Id(&pair.claim_id(0))).await? else { return Ok(None) };
        self.newest_since(pair, first).await.map(Some)
    }

    /// The newest claim on a pair, of which an earlier one is known. It has the label, unless it was withdrawn.
    async fn newest_since(&self, pair: &Version, known: Claim) -> Result<Claim, Error> {
        let labeled = self.read_claim(VersionSelector::Label(Label::Claim)).await?;
        let labeled = labeled.filter(|it| it.fingerprint == known.fingerprint && it.attempt >= known.attempt);
        match labeled {
            Some(labeled) => Ok(labeled),
            None => self.last_claim(pair, known).await,
        }
    }

    /// Finds the last claim by its number. The numbers have no gaps, so reads at growing distances find it.
    async fn last_claim(&self, pair: &Version, known: Claim) -> Result<Claim, Error> {
        let (mut last, mut step, mut grows) = (known, 1, true);
        while step > 0 {
            let id = pair.claim_id(last.attempt + step);
            match self.read_claim(VersionSelector::Id(&id)).await? {
                Some(later) => last = later,
                None => grows = false,
            }
            step = if grows { step * 2 } else { step / 2 };
        }
        Ok(last)
    }

    /// Releases a claim of this run, so that the next run need not wait until it expires. Lambda repeats a failed event after
    /// a minute. If the write fails, the claim expires instead.
    pub(crate) async fn release(&self, held: HeldClaim, answered: bool, failed: Option<Failed>) {
        let failures = if failed.is_some() { held.failures + 1 } else { 0 };
        let end = HeldClaim { attempt: held.attempt + 1, failures, ..held };
        let record = self.record(&end, Purpose::Refresh, self.clock.now());
        let body = Claim { released: true, answered, failed: failed.map(Box::new), ..record }.to_body();
        let requests = self.requests();
        let released = Box::pin(requests.put_release(self.secret, &end.id(), &body)).await;
        tracing::info!(secret_id = self.secret, released = released.is_ok(), "released claim");
    }

    /// Withdraws the claim of an exchange whose auth code TikTok refused. Taking the label off costs no version.
    pub(crate) async fn withdraw(&self, held: &HeldClaim) {
        let requests = self.requests();
        let withdrawn = Box::pin(requests.detach_claim(self.secret, &held.id())).await;
        tracing::info!(secret_id = self.secret, withdrawn = withdrawn.is_ok(), "withdrew claim");
    }

    /// Marks a pair as one that has a successor. A run that finds this pair current then follows the chain.
    pub(crate) async fn mark(&self, end: &Version) -> Result<(), Error> {
        let held = HeldClaim::first(end);
        let record = self.record(&held, Purpose::Append, self.clock.now());
        let body = Claim { released: true, ..record }.to_body();
        let (PutResult::Written | PutResult::Taken) = self.requests().put_mark(self.secret, &held.id(), &body).await?;
        Ok(())
    }

    async fn read_claim(&self, which: VersionSelector<'_>) -> Result<Option<Claim>, Error> {
        Ok(self.get(which).await?.as_ref().and_then(Claim::read))
    }

    async fn put_claim(&self, held: &HeldClaim, work: Work<'_>) -> Result<PutResult, Error> {
        let deadline = self.run.deadline.time();
        let expires_at = match work {
            Work::Exchange(_) => deadline.min(self.clock.now() + EXCHANGE_TIME),
            Work::Refresh(_) | Work::Rotation => deadline,
        };
        let body = Claim { code: work.code().cloned(), ..self.record(held, work.purpose(), expires_at) }.to_body();
        self.requests().put_claim(self.secret, &held.id(), &body).await
    }

    /// The record of a claim that this run writes.
    fn record(&self, held: &HeldClaim, purpose: Purpose, expires_at: Timestamp) -> Claim {
        Claim {
            attempt: held.attempt,
            fingerprint: held.pair.clone(),
            nonce: self.nonce.clone(),
            claimed_by: self.run.request_id.clone(),
            claimed_at: self.clock.now(),
            expires_at,
            result_version_id: successor_id(&held.arn, &held.pair),
            purpose,
            code: None,
            released: false,
            answered: false,
            failures: held.failures,
            failed: None,
        }
    }

    fn in_progress(&self, until: Timestamp) -> Claimed {
        self.trace.claim_conflict();
        Claimed::InProgress { until }
    }
}

impl Claim {
    /// The version's content.
    fn to_body(&self) -> SecretString {
        #[derive(Serialize)]
        struct Body<'c> {
            claim: &'c Claim,
        }
        SecretString::from(json_text(&Body { claim: self }))
    }
}
