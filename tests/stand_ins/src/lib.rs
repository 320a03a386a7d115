//! Stand-ins: HTTP servers on loopback that act as AWS Secrets Manager, TikTok's Business API and AWS Lambda.
//!
//! [`World`] starts what a scenario needs:
//!
//! ```text
//!             events             ┌── Secrets Manager ──┐
//!   test ───► Lambda ── binary ──┤                     ├── one fault plan, one journal
//!                                └────── TikTok ───────┘
//! ```
//!
//! | module | content |
//! |---|---|
//! | [`faults`] | the fault of each request |
//! | [`journal`] | all requests, in order |
//! | [`rate`] | rate limits and request counts |
//! | [`secrets_manager`] | a strict state machine, or a proxy to another emulator |
//! | [`tiktok`] | apps, grants, tokens, the consent page |
//! | [`lambda`] | the Runtime API for a real process, and a Function URL |
//!
//! Each server runs on its own thread and stops when it is dropped, so async and other tests can use it.

#![allow(clippy::missing_panics_doc, reason = "a stand-in that is used wrongly, or cannot start, fails the test")]
#![allow(clippy::missing_errors_doc, reason = "the errors are AWS's and TikTok's own, by their names")]

pub mod background;
mod build;
pub mod clock;
mod exchange;
pub mod faults;
pub mod journal;
pub mod lambda;
pub mod rate;
pub mod secrets_manager;
mod steps;
pub mod tiktok;
pub mod wire;
mod world;

pub use build::build_function;
pub use faults::{Fault, Faults, When};
pub use journal::{Ending, Entry, Journal, Service};
pub use lambda::{Function, FunctionConfig, FunctionUrl, Invocation, Outcome};
pub use rate::{Limit, Rate};
pub use secrets_manager::{Backend, SecretsManager, SecretsManagerServer};
pub use tiktok::{Flow, GrantSpec, TikTok, TikTokServer};
pub use world::{APP_ID, APP_SECRET, Member, World, add_advertisers, credentials};
