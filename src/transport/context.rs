use std::{cell::Cell, time::Duration};

use super::{Deadline, RateLimits};
use crate::document::hex;
use crate::fault_switch::FaultSwitch;

/// What one invocation is, for every secret that it works on.
#[derive(Debug)]
pub struct InvocationContext {
    /// Lambda's request id; retries of an event share it.
    pub request_id: String,
    /// 128 random bits that no other invocation has, in hexadecimal.
    pub nonce: String,
    /// How many cycles the invocation has begun. Its nonce and this number tell a cycle's claim from all others.
    pub nonces_issued: Cell<u32>,
    pub deadline: Deadline,
    /// The top-up refreshes a token that has less than this to live.
    pub min_token_lifetime: Duration,
    /// Whether TikTok is asked for more about each advertiser than its id and its name.
    pub advertiser_info: bool,
    /// The turns that the secrets take at TikTok and at Secrets Manager.
    pub rate_limits: RateLimits,
}

impl InvocationContext {
    /// A run with a nonce of its own.
    ///
    /// # Errors
    /// When the operating system has no random numbers to give.
    pub fn begin(
        request_id: String,
        deadline: Deadline,
        min_token_lifetime: Duration,
        advertiser_info: bool,
        rate_limits: RateLimits,
    ) -> Result<Self, getrandom::Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        let (nonce, nonces_issued) = (hex(&nonce), Cell::default());
        Ok(Self { request_id, nonce, nonces_issued, deadline, min_token_lifetime, advertiser_info, rate_limits })
    }

    /// What tells the claims of one cycle from those of all others, also of the same secret in the same invocation.
    pub(crate) fn next_nonce(&self) -> String {
        let number = self.nonces_issued.replace(self.nonces_issued.get() + 1);
        if FaultSwitch::ClaimWithoutNonce.is_on() {
            return String::new();
        }
        format!("{}-{number}", self.nonce)
    }
}
