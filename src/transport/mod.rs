//! Requests to Secrets Manager and TikTok, with rate limits, retries and the deadline.
//!
//! The traits [`Store`], [`Directory`] and [`TikTok`] have one method for each request, and a method is one attempt.
//! `Attempts` takes a permit from [`RateLimits`], limits the time of the attempt, and retries with backoff until the
//! deadline. [`Trace`] records the duration of each [`Step`].
//!
//! Input: a request and the [`InvocationContext`]. Output: the answer. Error: the error of the last attempt.

mod clock;
mod context;
mod ports;
mod rate_limits;
mod requests;
mod retry;
mod trace;

pub use clock::{Deadline, SystemClock};
pub use context::InvocationContext;
pub use ports::{
    Clock, Description, Directory, Label, Labels, Listed, Listing, Page, PutResult, Store, Stored, SwapResult, Tag,
    TikTok, TokenSet, VersionSelector,
};
pub use rate_limits::RateLimits;
pub(crate) use requests::Requests;
pub use retry::TIME_FOR_A_REFRESH;
pub(crate) use retry::{Attempts, READ_LAG, Request};
pub use trace::{Seen, Step, Trace};
