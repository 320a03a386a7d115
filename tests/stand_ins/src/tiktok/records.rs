//! The errors of the endpoints, and the records for tests.

use super::grant::{Flow, GrantId};

/// A refusal: TikTok's code and sentence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiError {
    /// TikTok's code, never 0.
    pub code: u32,
    /// TikTok's sentence.
    pub message: String,
}

impl ApiError {
    /// A refusal.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The result of an endpoint.
pub type Result<T> = std::result::Result<T, ApiError>;

/// A redeem that was carried out, even if its answer was not received.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Redeem {
    /// The grant.
    pub grant: GrantId,
    /// The refresh token that was redeemed.
    pub refresh_token: String,
    /// The number of that refresh token in its grant, the first being 0.
    pub refresh_number: u32,
    /// The access token that came out.
    pub access_token: String,
    /// The number of that access token in its grant; the consent's own is 0.
    pub access_number: u32,
    /// The refresh token that is valid afterwards.
    pub next_refresh_token: String,
}

/// A redeem that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refused {
    /// The value that was sent as the refresh token.
    pub refresh_token: String,
    /// TikTok's code.
    pub code: u32,
}

/// A refresh token that was sent to the other flow's endpoint and no longer works.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Burned {
    /// The grant.
    pub grant: GrantId,
    /// The refresh token.
    pub refresh_token: String,
    /// The flow whose endpoint it was sent to.
    pub sent_to: Flow,
}

/// The state of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alive {
    /// It does, or will as soon as it has propagated.
    Yes,
    /// It was replaced by a newer one.
    Replaced,
    /// It was revoked: by a person, or because a used refresh token came back.
    Revoked,
    /// It was sent to the other flow's endpoint.
    Burned,
    /// Its time is over.
    Expired,
    /// It never was one.
    Unknown,
}
