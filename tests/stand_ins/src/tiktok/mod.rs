//! TikTok's Business API: apps, grants and tokens as a state machine, and its HTTP face; and the page for consent.

pub mod core;
pub mod grant;
pub mod http;
mod portal;
pub mod records;
pub mod shape;

pub use core::TikTok;
pub use grant::{Advertiser, Flow, GrantId, GrantSpec, Issued, Propagation, Renewal, Tokens};
pub use http::TikTokServer;
pub use records::{Alive, ApiError, Burned, Redeem, Refused};
pub use shape::{RefreshTokenField, RequestId, Shape};
