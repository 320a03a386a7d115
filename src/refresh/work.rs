//! The work that replaces a token pair: a refresh, a rotation, or an exchange of an auth code.

use jiff::Timestamp;

use super::{
    Trigger,
    claim_record::{Claim, Failed, Purpose},
    plan,
};
use crate::{authorize::AuthCode, document::Fingerprint};

/// The reason why a pair is replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work<'w> {
    Refresh(Trigger),
    Rotation,
    Exchange(&'w AuthCode),
}

impl Work<'_> {
    /// The purpose that the claim names.
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::Exchange(_) => Purpose::Exchange,
            Self::Refresh(_) | Self::Rotation => Purpose::Refresh,
        }
    }

    /// The auth code that is exchanged; none if a refresh token is redeemed.
    pub const fn code(&self) -> Option<&Fingerprint> {
        match self {
            Self::Exchange(code) => Some(&code.fingerprint),
            Self::Refresh(_) | Self::Rotation => None,
        }
    }

    /// True if this run need not wait for the holder of the claim: exchanges of different auth codes send different things.
    pub fn may_pass(self, claim: &Claim) -> bool {
        self.code().is_some_and(|code| claim.code.as_ref().is_some_and(|held| held != code))
    }

    /// True if what this run is going to send may have been sent under an earlier claim, and the answer was lost.
    pub fn may_have_been_sent_under(self, claim: &Claim) -> bool {
        let is_same = match self {
            Self::Refresh(_) | Self::Rotation => claim.purpose == Purpose::Refresh,
            Self::Exchange(code) => claim.code.as_ref() == Some(&code.fingerprint),
        };
        is_same && !claim.answered
    }

    /// The failure after which TikTok is not called again yet.
    pub fn cools_down(self, claim: &Claim, now: Timestamp) -> Option<Failed> {
        match self {
            Self::Refresh(trigger) => plan::cools_down(claim, trigger, now).cloned(),
            Self::Rotation | Self::Exchange(_) => None,
        }
    }
}
