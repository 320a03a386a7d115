//! What people send and paste.

mod codes;
mod secrets;
