//! Fault switches: each one breaks one line of the protocol in a debug build.
//!
//! A process that starts with `FAULT_SWITCH=<name>` runs the broken line. `tests/model/switches.rs` names the scenario
//! that must fail then, which proves that the scenario tests the line. In a release build [`FaultSwitch::is_on`] is
//! `false` at compile time.

use std::{env, sync::OnceLock};

/// Declares the switches with their names in the environment.
macro_rules! switches {
    ($($(#[$doc:meta])+ $switch:ident = $name:literal,)+) => {
        /// A fault, named after its effect.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FaultSwitch {
            $($(#[$doc])+ $switch,)+
        }

        impl FaultSwitch {
            /// Every switch.
            pub const ALL: &[Self] = &[$(Self::$switch,)+];

            /// Returns the value of `FAULT_SWITCH` that enables the fault.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$switch => $name,)+
                }
            }
        }
    };
}

switches! {
    /// A refresh token is redeemed although another run holds the claim on its pair.
    RedeemWithoutClaim = "redeem-without-claim",
    /// AWSCURRENT moves from the version that holds it, not from the version that was read.
    PromoteWithoutCompare = "promote-without-compare",
    /// New tokens are checked before they are staged.
    CheckBeforeStage = "check-before-stage",
    /// A rebase drops the fields that a person changed.
    RebaseDropsFields = "rebase-drops-fields",
    /// The id of a claim is derived from the version that was read, not from its tokens.
    ClaimOnVersion = "claim-on-version",
    /// A run that wins a later claim does not look for the successor that an earlier claim left.
    ForgetEarlierClaim = "forget-earlier-claim",
    /// Two deliveries of one event share a nonce.
    ClaimWithoutNonce = "claim-without-nonce",
    /// An authorization replaces tokens without holding the claim on them.
    AuthorizeWithoutClaim = "authorize-without-claim",
    /// A run that finds the current pair fresh does not look for a claim on it.
    NoSecondLook = "no-second-look",
    /// The last pair of a chain counts, even if a newer authorization exists.
    LastPairCounts = "last-pair-counts",
    /// A run that finds the successor's version id taken drops its own answer.
    DropLateAnswer = "drop-late-answer",
    /// The last step of a rotation leaves AWSPENDING where it is.
    KeepPending = "keep-pending",
    /// Tokens that TikTok rejects are promoted.
    PromoteRejected = "promote-rejected",
    /// Staged tokens that expired are not refreshed.
    KeepExpiredSuccessor = "keep-expired-successor",
    /// A claim whose run died is never over.
    KeepExpiredClaim = "keep-expired-claim",
    /// A claim is over at its deadline, although clocks differ.
    ClaimWithoutGrace = "claim-without-grace",
    /// TikTok is not waited for longer than ten seconds.
    ImpatientRedeem = "impatient-redeem",
    /// A stage that got no answer is not repeated.
    GiveUpStage = "give-up-stage",
    /// A promotion whose answer was lost counts as another run's.
    LostPromoteIsForeign = "lost-promote-is-foreign",
    /// A claim whose answer was lost is released as if TikTok had refused.
    ForgetLostAnswer = "forget-lost-answer",
    /// A run that takes a claim over does not wait until reads show the last writes.
    TrustLaggingChain = "trust-lagging-chain",
    /// A claim that a lagging read does not show counts as over.
    TrustLaggingClaim = "trust-lagging-claim",
    /// A conflict is judged by one read, which may lag.
    TrustLaggingConflict = "trust-lagging-conflict",
    /// A version that a lagging read shows empty counts as one without AWSPENDING.
    TrustLaggingPending = "trust-lagging-pending",
}

impl FaultSwitch {
    /// Returns true if the process runs this fault.
    pub fn is_on(self) -> bool {
        static ON: OnceLock<Option<String>> = OnceLock::new();
        cfg!(debug_assertions) && ON.get_or_init(|| env::var("FAULT_SWITCH").ok()).as_deref() == Some(self.name())
    }
}
