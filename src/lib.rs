//! An AWS Lambda function that keeps the TikTok Ads credentials in AWS Secrets Manager usable.
//!
//! # The map of the house
//!
//! | room | what it does | what it knows |
//! |---|---|---|
//! | [`event`] | what may come in | the event's JSON |
//! | [`handler`] | one invocation, from its event to its report | the cycle |
//! | [`report`] | what goes out: the response and the metrics | the outcomes |
//! | [`page`] | the browser's way to authorise: a Function URL's requests, and pages | HTTP, HTML |
//! | [`cycle`] | the refresh of one secret, one file a step | its own ports, and the document |
//! | [`document`] | the credentials document: its fields, unknown fields, size | JSON |
//! | [`store`] | Secrets Manager behind [`cycle::Store`] | the AWS SDK, alone |
//! | [`tiktok`] | TikTok's Business API behind [`cycle::TikTok`] | TikTok's envelope and codes, alone |
//! | [`http`] | the one HTTP client that both of them use | TLS, reqwest, the SDK's connector |
//! | [`settings`], [`logging`] | the environment, and what is logged | |
//! | [`error`] | one error type: a stable name, a class, advice | |
//! | [`masking`] | hides secrets in what a server says | |
//!
//! Dependencies point inward, from `main` to `handler` to `cycle` to `document`; `store` and `tiktok` are plugged in from
//! outside. How the cycle keeps its promises is told in [`cycle`].

pub mod authorize;
pub mod document;
pub mod error;
pub mod event;
#[doc(hidden)]
pub mod fault_switch;
pub mod fleet;
pub mod handler;
pub mod http;
pub mod logging;
pub mod masking;
pub mod refresh;
pub mod report;
pub mod rotation;
pub mod secretsmanager;
pub mod settings;
pub mod status;
pub mod tiktok;
pub mod transport;
