//! The values of one invocation: request id, nonce, deadline, settings and rate limits.

use std::{cell::Cell, time::Duration};

use super::{Deadline, RateLimits};
use crate::document::hex;
use crate::fault_switch::FaultSwitch;

/// The values that all secrets of one invocation share.
#[derive(Debug)]
pub struct InvocationContext {
    /// Lambda's request id. Lambda's retries of an event share it.
    pub request_id: String,
    /// 128 random bits in hexadecimal, unique to the invocation.
    pub nonce: String,
    /// The number of nonces given out so far. A claim is identified by `nonce` and its number.
    pub nonces_issued: Cell<u32>,
    pub deadline: Deadline,
    /// The hourly run refreshes an access token that expires within this time.
    pub min_token_lifetime: Duration,
    /// True if the function asks TikTok for each advertiser's currency, time zone and status.
    pub advertiser_info: bool,
    /// The rate limits of TikTok and Secrets Manager.
    pub rate_limits: RateLimits,
}

impl InvocationContext {
    /// Creates a context with a random nonce.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
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

    /// Returns a nonce that no other claim has, not even one of the same secret in the same invocation.
    pub(crate) fn next_nonce(&self) -> String {
        let number = self.nonces_issued.replace(self.nonces_issued.get() + 1);
        if FaultSwitch::ClaimWithoutNonce.is_on() {
            return String::new();
        }
        format!("{}-{number}", self.nonce)
    }
}
