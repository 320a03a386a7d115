//! The claim as it is stored, and what its record says to other runs.

use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::{
    document::{Fingerprint, whole_seconds},
    error::{Error, Kind},
    fault_switch::FaultSwitch,
    transport::{Label, Stored},
};

/// The time for which other runs wait beyond a claim's expiry: more than the clocks of Lambda hosts differ.
pub(crate) const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// The purpose of a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// To redeem the pair's refresh token.
    #[default]
    Refresh,
    /// To exchange an auth code, which does not send the refresh token.
    Exchange,
    /// To append a pair behind this one. Nothing is sent to TikTok.
    Append,
}

/// The record of a claim, as it is stored. Its serialized names are a contract.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The number of the claim on this pair, from zero.
    #[serde(rename = "n")]
    pub attempt: u32,
    /// Of the pair that is to be replaced.
    pub fingerprint: Fingerprint,
    pub nonce: String,
    pub claimed_by: String,
    pub claimed_at: Timestamp,
    /// The deadline of the run that holds it.
    pub expires_at: Timestamp,
    /// The version that will hold the successor.
    pub result_version_id: String,
    #[serde(default)]
    pub purpose: Purpose,
    /// The fingerprint of the auth code that is exchanged under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Fingerprint>,
    /// True if its run is over, and released it.
    #[serde(default)]
    pub released: bool,
    /// True if TikTok certainly issued no tokens under it. An expired claim leaves that open.
    #[serde(default)]
    pub answered: bool,
    /// The number of failed claims in a row.
    #[serde(default)]
    pub failures: u32,
    /// The failure of its run, if it got no new tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Box<Failed>>,
}

/// The failure of a redeem, for the cooldown of later runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub at: Timestamp,
    /// [`Kind::ReauthorizationRequired`] where TikTok rejected the refresh token for good.
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    pub what: String,
    pub advice: String,
    /// The fingerprint of the current pair, if its access token still worked then; none if TikTok rejected that too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Fingerprint>,
}

impl Failed {
    pub fn new(error: &Error, at: Timestamp, kept: Option<&Fingerprint>) -> Self {
        Self {
            at: whole_seconds(at),
            kind: error.kind(),
            code: error.code(),
            what: error.what().to_owned(),
            advice: error.advice().to_owned(),
            kept: kept.cloned(),
        }
    }

    /// True if TikTok rejected the refresh token for good.
    pub fn is_rejection(&self) -> bool {
        self.kind == Kind::ReauthorizationRequired
    }

    /// The same error, for a run that did not call TikTok.
    pub fn error(&self) -> Error {
        let (what, at) = (&self.what, self.at);
        let what = if self.is_rejection() {
            format!(
                "{what} TikTok's answer is from {at}. The next daily run tries again; the event {{\"action\":\"refresh\"}} tries at once."
            )
        } else {
            format!(
                "{what} That was at {at}, after other runs had failed. Runs try again once an hour; the event {{\"action\":\"refresh\"}} tries at once."
            )
        };
        let error = Error::new(self.kind, what).advise(self.advice.clone());
        self.code.map_or_else(|| error.clone(), |code| error.clone().with_code(code))
    }
}

/// The state of a claim, as another run sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimState {
    /// This run holds it.
    Ours,
    /// Another run may hold it until then.
    Held { until: Timestamp },
    /// It was released, or has expired.
    Over,
}

impl Claim {
    /// Reads a claim; anything else is none, since only this project uses the label.
    pub(crate) fn read(stored: &Stored) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            claim: Claim,
        }
        let body = stored.body.expose_secret();
        let Body { mut claim } = serde_json::from_str(body).ok()?;
        // Only the newest claim is judged, and it has the label unless it was withdrawn.
        let is_withdrawn = claim.purpose == Purpose::Exchange && !stored.labels.contains(&Label::Claim);
        claim.released |= is_withdrawn;
        claim.answered |= is_withdrawn;
        Some(claim)
    }

    /// True if its run may still be at work.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        let has_none = self.purpose == Purpose::Exchange || FaultSwitch::ClaimWithoutGrace.is_on();
        let grace = if has_none { SignedDuration::ZERO } else { GRACE };
        !self.released && (now < self.expires_at + grace || FaultSwitch::KeepExpiredClaim.is_on())
    }

    pub(crate) fn state(&self, nonce: &str, now: Timestamp) -> ClaimState {
        if !self.is_live(now) {
            ClaimState::Over
        } else if self.nonce == nonce {
            ClaimState::Ours
        } else {
            ClaimState::Held { until: self.expires_at }
        }
    }

    /// True if its run was to redeem the pair and did not finish, or an answer of TikTok's was lost under it.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.purpose == Purpose::Refresh && !(self.released && self.answered && self.failed.is_none())
    }
}

#[cfg(test)]
mod tests;
