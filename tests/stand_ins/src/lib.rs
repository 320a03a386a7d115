//! Stand-ins: real HTTP servers on loopback that play AWS Secrets Manager, TikTok's Business API and AWS Lambda.
//!
//! [`World`] starts what a scenario needs:
//!
//! ```text
//!             events             ┌── Secrets Manager ──┐
//!   test ───► Lambda ── binary ──┤                     ├── one fault plan, one journal
//!                                └────── TikTok ───────┘
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`faults`] | which request meets what trouble |
//! | [`journal`] | what was asked, in which order |
//! | [`rate`] | how much was asked at a time, and how much may be |
//! | [`secrets_manager`] | a strict state machine, or a proxy before another emulator |
//! | [`tiktok`] | apps, grants, tokens, the page for consent |
//! | [`lambda`] | the Runtime API around a real process, and a Function URL for browsers |
//!
//! Each server runs on a thread of its own and stops when it is dropped, so they serve async tests and plain code alike.

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
