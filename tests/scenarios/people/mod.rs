//! What people send and paste.

mod codes;
mod fixtures;
mod messages;
mod secrets;
