//! Input as people send and paste it.

mod codes;
mod fixtures;
mod messages;
mod secrets;
