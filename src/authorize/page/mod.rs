//! The page on the function's URL, to which TikTok redirects the browser. It is optional.
//!
//! Input: the event of a Lambda Function URL. Output: an HTTP answer. Anyone can send requests to the URL. So every
//! other request gets a short 404, and a redirect counts only after its state was verified. A rejected request is no
//! failed invocation, so that strangers cannot trigger the alarms.
//!
//! `docs/threat-model.md` covers what an outsider can do with the page.

mod answer;
mod html;
mod request;
mod view;

pub use answer::Answer;
use jiff::Timestamp;
use serde_json::Value;

use self::request::Visit;
use crate::{
    authorize::AuthorizationResponse,
    document::Advertiser,
    error::Error,
    refresh::{Outcome, OutcomeKind},
};

/// A secret after a successful exchange.
#[derive(Clone, Debug)]
pub struct Connected {
    pub secret_id: String,
    pub outcome: Outcome,
    /// `None` if the list could not be read again.
    pub advertisers: Option<Vec<Advertiser>>,
}

/// Returns true if the event is a request to the function's URL. Lambda creates these members, and a browser only
/// controls their values.
#[must_use]
pub fn is_request(event: &Value) -> bool {
    event["requestContext"]["http"].is_object()
}

/// Answers a request. It calls `connect` only for a redirect that may be genuine. `reference` identifies the request in
/// the log.
pub async fn answer(
    event: &Value,
    reference: &str,
    now: Timestamp,
    connect: impl AsyncFnOnce(AuthorizationResponse) -> Result<Connected, Error>,
) -> Answer {
    let redirect = match Visit::read(event) {
        None => return Answer::not_found(),
        Some(Visit::Declined) => return Answer::declined(reference),
        Some(Visit::Consented(redirect)) => redirect,
    };
    let connected = match redirect.consent(now) {
        Ok(consent) => connect(consent).await,
        Err((error, is_too_late)) => {
            log(&error);
            return if is_too_late { Answer::too_late(&error, reference) } else { Answer::failed(&error, reference) };
        }
    };
    match connected {
        Ok(Connected { outcome, .. }) if outcome.outcome == OutcomeKind::InProgress => Answer::in_progress(reference),
        Ok(connected) => Answer::connected(&connected, reference),
        Err(error) => {
            log(&error);
            Answer::failed(&error, reference)
        }
    }
}

/// Logs a warning and no error, because anyone can send a request. The query is never logged.
fn log(error: &Error) {
    tracing::warn!(error_type = error.kind().name(), code = error.code(), "the page refused: {error}");
}
