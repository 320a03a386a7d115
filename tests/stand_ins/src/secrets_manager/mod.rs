//! AWS Secrets Manager: a strict state machine of what AWS documents, and its JSON 1.1 face.

pub mod access;
pub mod client;
pub mod core;
pub mod error;
pub mod http;
mod json;
mod listing;
pub mod records;
mod rules;
pub mod versions;

pub use access::{Caller, Denial};
pub use client::Client;
pub use core::SecretsManager;
pub use error::{Error, Exception};
pub use http::{Backend, SecretsManagerServer};
pub use listing::{Failed, Filter, Page};
pub use records::{NewSecret, Replay, SecretEntry, SecretValue, Semantics, Tags, Write, Written};
pub use versions::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, Body, Version};
