//! Scenarios through the public face of the function. Each name is a promise.

mod advertiser_info;
mod authorize;
mod bounds;
mod connection_ahead;
mod connection_kept;
mod crash_sweep;
mod daily_refresh;
mod document;
mod error_texts;
mod events;
mod evidence;
mod failures;
mod faults;
mod fleet;
mod leaks;
mod limits;
mod model;
mod page;
mod person;
mod publish;
mod rotation;
mod schemas;
mod settings;
mod soak;
#[path = "../stand_ins/mod.rs"]
mod stand_ins;
mod support;
mod telemetry;
mod tiktok_answers;
mod two_runs;
