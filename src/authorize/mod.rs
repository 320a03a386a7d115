//! A person authorizes the app: the link to TikTok's consent page, and the exchange of what the browser brings back.
//!
//! Between the two nothing is stored. The link carries a [`State`], which TikTok hands back untouched: signed with the
//! app's secret, bound to one credentials secret, and over after a while. What the exchange yields goes the way of all
//! tokens: staged before anything else can fail, checked, promoted by compare-and-swap.

mod exchange;
mod link;
pub mod page;
mod redirect;
mod state;

pub(crate) use exchange::AuthCode;
pub use exchange::AuthorizationResponse;
pub use link::{DEFAULT_REDIRECT_URI, Link, LinkRequest, MAX_VALIDITY_HOURS, VALIDITY, is_https_or_on_this_machine};
pub use state::UnverifiedState;
