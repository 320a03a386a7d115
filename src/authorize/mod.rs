//! Authorization: the link to TikTok's consent page, the exchange of the auth code, and the page of the function.
//!
//! [`Link`] and [`AuthorizationResponse`] are the output and the input. Nothing is stored between them: the link has a
//! [`UnverifiedState`], which TikTok returns unchanged. It is signed with the app's secret, limited to one credentials
//! secret and valid for a limited time. Errors: an invalid link or address, or a rejected code.

mod exchange;
mod link;
pub mod page;
mod redirect;
mod state;

pub(crate) use exchange::AuthCode;
pub use exchange::AuthorizationResponse;
pub use link::{DEFAULT_REDIRECT_URI, Link, LinkRequest, MAX_VALIDITY_HOURS, VALIDITY, is_https_or_on_this_machine};
pub use state::UnverifiedState;
