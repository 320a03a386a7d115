//! Scenarios through the public face of the function. Each name is a promise.

mod model;
#[path = "../stand_ins/mod.rs"]
mod stand_ins;
