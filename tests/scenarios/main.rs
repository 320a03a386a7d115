//! Scenarios through the public face of the function. Each name is a promise.

mod daily_refresh;
mod model;
#[path = "../stand_ins/mod.rs"]
mod stand_ins;
mod support;
