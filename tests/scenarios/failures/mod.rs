//! Failures: each has a stable name and advice, and loses nothing. After the cause is gone, the next run succeeds.

mod aws;
mod cool_down;
mod secret;
mod settings;
mod tiktok;
