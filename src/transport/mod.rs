//! The way from the protocol to Secrets Manager and TikTok: each request in its turn, again after a failure, and within the
//! deadline.
//!
//! The [ports](Store) are one attempt a method. `Attempts` waits, repeats and gives up, so the protocol chooses no time-out.
//! It takes permits from [`RateLimits`], and [`Trace`] notes how long each [`Step`] took. Errors are those of the last attempt.

mod clock;
mod context;
mod ports;
mod rate_limits;
mod retry;
mod trace;

pub use clock::{Deadline, SystemClock};
pub use context::InvocationContext;
pub use ports::{
    Clock, Description, Directory, Label, Labels, Listed, Listing, Page, PutResult, Store, Stored, SwapResult, Tag,
    TikTok, TokenSet, VersionSelector,
};
pub use rate_limits::RateLimits;
pub use retry::TIME_FOR_A_REFRESH;
pub(crate) use retry::{Attempts, READ_LAG, Request};
pub use trace::{Seen, Step, Trace};
