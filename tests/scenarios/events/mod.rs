//! Events and their effects.

mod dry_run;
mod if_needed;
mod parse;
mod status;

pub use parse::{examples, mistakes};
