//! Scenarios through the public face of the function. Each name is a promise.

mod crash_sweep;
mod daily_refresh;
mod document;
mod error_texts;
mod events;
mod evidence;
mod model;
mod person;
mod schemas;
mod settings;
#[path = "../stand_ins/mod.rs"]
mod stand_ins;
mod support;
mod telemetry;
mod two_runs;
