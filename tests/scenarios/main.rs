//! Scenarios through the public face of the function. Each name is a promise.

mod bounds;
mod crash_sweep;
mod daily_refresh;
mod failures;
mod leaks;
mod model;
mod person;
mod publish;
#[path = "../stand_ins/mod.rs"]
mod stand_ins;
mod support;
mod tiktok_answers;
mod two_runs;
