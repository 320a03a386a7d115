use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Clock, Cycle, Label, Put, Store, Stored, TikTok, Which, attempts::Request, read::Version, trace::Step};
use crate::{
    document::{Fingerprint, json_text, whole_seconds},
    error::{Error, Kind},
};

/// How long others wait beyond a claim's expiry: more than clocks of Lambda hosts differ.
pub(super) const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// The namespace of the version ids that this project derives, drawn once at random. Changing it would make a run blind to
/// the claims and staged versions of the release before it.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0c_4d3e_92b7_4c55_a1e8_3d74_58c2_9b16);

/// The announcement that one run is about to redeem a pair of tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Claim {
    /// The how-manieth claim on this pair it is.
    pub n: u32,
    /// Of the pair that is to be redeemed.
    pub fingerprint: String,
    pub nonce: String,
    pub claimed_by: String,
    pub claimed_at: Timestamp,
    /// The deadline of the run that holds it.
    pub expires_at: Timestamp,
    /// The version that will hold what TikTok answers.
    pub result_version_id: String,
    /// Whether this is the end of a claim: its run failed in good order, and with a definite answer. Nobody redeems, and
    /// nothing was spent. Without it, the claim of a run that is over tells nothing about what it spent.
    #[serde(default)]
    pub answered: bool,
    /// Why its run has no new tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Box<Failed>>,
}

/// How a redeem failed in good order, for the runs after it: they need not ask TikTok again at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failed {
    pub at: Timestamp,
    /// [`Kind::ReauthorizationRequired`] where TikTok rejected the refresh token for good.
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    pub what: String,
    pub advice: String,
    /// The fingerprint of the current pair, if its access token still worked then; none if TikTok rejected that too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

impl Failed {
    pub fn new(error: &Error, at: Timestamp, kept: Option<&Fingerprint>) -> Self {
        Self {
            at: whole_seconds(at),
            kind: error.kind(),
            code: error.code(),
            what: error.what().to_owned(),
            advice: error.advice().to_owned(),
            kept: kept.map(|pair| pair.as_str().to_owned()),
        }
    }

    /// Whether TikTok rejected the refresh token for good.
    pub fn is_rejection(&self) -> bool {
        self.kind == Kind::ReauthorizationRequired
    }

    /// The same error once more, in a run that did not ask TikTok.
    pub fn error(&self) -> Error {
        let (what, at) = (&self.what, self.at);
        let what = if self.is_rejection() {
            format!(
                "{what} TikTok said so at {at}, and is asked again once a day, or by the event {{\"action\":\"refresh\"}}."
            )
        } else {
            format!(
                "{what} That was at {at}, after many runs had failed; TikTok is asked again once an hour, or by the event {{\"action\":\"refresh\"}}."
            )
        };
        let error = Error::new(self.kind, what).advise(self.advice.clone());
        self.code.map_or_else(|| error.clone(), |code| error.clone().with_code(code))
    }
}

/// A claim that a run still holds although it has nothing more to redeem. It has to be given back.
#[derive(Debug)]
#[must_use]
pub(super) struct Held {
    pub arn: String,
    pub pair: Fingerprint,
    pub n: u32,
    /// As in [`Claim`].
    pub answered: bool,
}

impl Claim {
    /// Reads a claim; anything else is none, since only this project uses the label.
    pub(super) fn read(stored: &Stored) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            claim: Claim,
        }
        let body = stored.body.expose_secret();
        serde_json::from_str(body).ok().map(|Body { claim }| claim)
    }

    /// Whether its run may still be at work.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at + GRACE
    }
}

/// What came of a claim.
#[derive(Debug)]
pub(super) enum Claimed {
    /// This run, and no other, may redeem the pair. `spent_before` says that an earlier run may have done so, and left no
    /// answer behind.
    Won { n: u32, spent_before: bool },
    /// The pair was redeemed, and this version holds the answer.
    Finished(Version),
    /// Another run may be redeeming it at this moment.
    InProgress { until: Timestamp },
}

/// When a claim ends.
enum Ends {
    AtTheDeadline,
    Now { answered: bool, failed: Option<Failed> },
}

/// What an existing claim means to this run.
enum Verdict {
    Settled(Claimed),
    /// Its run is over and left nothing behind.
    Over {
        answered: bool,
    },
}

/// The id under which a version of a secret is written: the same for everybody who writes the same thing.
pub(super) fn version_id(arn: &str, what: &str, detail: &str) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{arn}\n{what}\n{detail}").as_bytes()).to_string()
}

/// The id of the version that is the n-th claim on a pair.
pub(super) fn claim_id(arn: &str, pair: &Fingerprint, n: u32) -> String {
    version_id(arn, "claim", &format!("{}\n{n}", pair.as_str()))
}

/// The id of the version that holds what redeeming a pair gave.
pub(super) fn successor_id(arn: &str, pair: &Fingerprint) -> String {
    version_id(arn, "next", pair.as_str())
}

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Claims the right to redeem a pair: the first to write the version wins. `seen` is the claim that the label showed.
    pub(super) async fn claim(&self, arn: &str, pair: &Fingerprint, seen: Option<&Claim>) -> Result<Claimed, Error> {
        self.timed(Step::Claim, self.claim_from(arn, pair, seen)).await
    }

    async fn claim_from(&self, arn: &str, pair: &Fingerprint, seen: Option<&Claim>) -> Result<Claimed, Error> {
        let (mut n, mut spent_before) = (0, false);
        if let Some(claim) = seen.filter(|claim| claim.fingerprint == pair.as_str()) {
            match self.judge(arn, pair, claim).await? {
                Verdict::Settled(claimed) => return Ok(claimed),
                Verdict::Over { answered } => (n, spent_before) = (claim.n + 1, !answered),
            }
        }
        // Every turn costs a request, and requests end at the deadline.
        loop {
            let id = claim_id(arn, pair, n);
            let body = self.claim_body(arn, pair, n, Ends::AtTheDeadline);
            if self.put(Request::claim(Step::Claim), &id, &[Label::Claim], &body).await? == Put::Written {
                return Ok(Claimed::Won { n, spent_before });
            }
            match self.judge_version(arn, pair, &id).await? {
                Verdict::Settled(claimed) => return Ok(claimed),
                Verdict::Over { answered } => (n, spent_before) = (n + 1, !answered),
            }
        }
    }

    /// Ends a claim of this run's, so that the next run need not wait until it expires: Lambda repeats a failed event after
    /// a minute. Not being able to costs that wait and nothing else, so nobody hears of it.
    pub(super) async fn release(&self, held: Held, failed: Option<Failed>) {
        let Held { arn, pair, n, answered } = held;
        let id = claim_id(&arn, &pair, n + 1);
        let body = self.claim_body(&arn, &pair, n + 1, Ends::Now { answered, failed });
        let released = Box::pin(self.put(Request::write(Step::Claim), &id, &[Label::Claim], &body)).await;
        tracing::info!(secret_id = self.secret, released = released.is_ok(), "gave the claim back");
    }

    fn claim_body(&self, arn: &str, pair: &Fingerprint, n: u32, ends: Ends) -> SecretString {
        #[derive(Serialize)]
        struct Body {
            claim: Claim,
        }
        let now = self.clock.now();
        let (expires_at, answered, failed) = match ends {
            Ends::AtTheDeadline => (self.run.deadline.time(), false, None),
            Ends::Now { answered, failed } => (now - GRACE, answered, failed.map(Box::new)),
        };
        let claim = Claim {
            n,
            fingerprint: pair.as_str().to_owned(),
            nonce: self.run.nonce.clone(),
            claimed_by: self.run.request_id.clone(),
            claimed_at: now,
            expires_at,
            result_version_id: successor_id(arn, pair),
            answered,
            failed,
        };
        SecretString::from(json_text(&Body { claim }))
    }

    async fn judge_version(&self, arn: &str, pair: &Fingerprint, id: &str) -> Result<Verdict, Error> {
        let stored = self.get(Which::Id(id)).await?;
        match stored.as_ref().and_then(Claim::read) {
            Some(claim) => self.judge(arn, pair, &claim).await,
            // Taken a moment ago, and reads lag behind writes: whoever it is has just begun.
            None => Ok(Verdict::Settled(self.in_progress(self.clock.now() + GRACE))),
        }
    }

    async fn judge(&self, arn: &str, pair: &Fingerprint, claim: &Claim) -> Result<Verdict, Error> {
        // Not one that this run has given back: somebody else may have taken the next.
        if claim.nonce == self.run.nonce && claim.is_live(self.clock.now()) {
            return Ok(Verdict::Settled(Claimed::Won { n: claim.n, spent_before: claim.n > 0 }));
        }
        if let Some(result) = self.read_version(&claim.result_version_id).await? {
            return Ok(Verdict::Settled(Claimed::Finished(result)));
        }
        // One that was given back is followed by its end, which the label shows unless another claim has taken it away.
        let end = claim_id(arn, pair, claim.n + 1);
        Ok(if claim.is_live(self.clock.now()) && self.get(Which::Id(&end)).await?.is_none() {
            Verdict::Settled(self.in_progress(claim.expires_at))
        } else {
            Verdict::Over { answered: claim.answered }
        })
    }

    fn in_progress(&self, until: Timestamp) -> Claimed {
        self.trace.claim_conflict();
        Claimed::InProgress { until }
    }
}
