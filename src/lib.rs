//! An AWS Lambda function that keeps the TikTok Ads credentials in AWS Secrets Manager usable.
//!
//! # The data flow of one refresh
//!
//! ```text
//! event ─► handler ─► refresh: read AWSCURRENT ─► plan ─► claim ─► redeem ─► stage ∥ check ─► promote ─► publish ─► report
//! ```
//!
//! # Modules
//!
//! | module | what it does |
//! |---|---|
//! | [`event`], [`report`] | the event that comes in; the response and the metrics that go out |
//! | [`handler`] | one invocation, from its event to its report |
//! | [`refresh`] | the refresh of one secret, one file a step; decisions are pure functions |
//! | [`rotation`] | the four steps of a Secrets Manager rotation |
//! | [`authorize`] | the link to TikTok's consent page, the exchange of the auth code, and the page |
//! | [`status`] | what a secret holds, for a person |
//! | [`fleet`] | all secrets with a tag |
//! | [`document`] | the credentials document: its fields, unknown fields, size, reader formats |
//! | [`transport`] | the ports, and retries, rate limits, deadlines and timing around them |
//! | [`secretsmanager`] | the port to Secrets Manager; the only module that knows the AWS SDK |
//! | [`tiktok`] | the port to TikTok; the only module that knows TikTok's envelope and codes |
//! | [`http`] | the HTTP client under both; the only module that knows reqwest |
//! | [`settings`], [`logging`], [`masking`] | the environment, the log, and secrets in the messages of others |
//! | [`error`] | one error type: a stable name, a class, what happened, what to do now |
//! | [`fault_switch`] | lines that a test can break, in debug builds only |
//!
//! Dependencies point inward: `main` to `handler` to [`refresh`], [`rotation`] and [`authorize`], and those to [`document`].
//! `docs/design.md` has the protocol, its promises and the argument for them.

pub mod authorize;
pub mod document;
pub mod error;
pub mod event;
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
