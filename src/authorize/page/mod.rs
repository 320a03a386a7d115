//! The page that TikTok sends a browser back to: a Lambda Function URL, which a deployment has only if it asks for it.
//!
//! Anybody who learns of the URL can send requests to it. So a request that is not TikTok's redirect gets a short 404, and a
//! redirect is believed after its state was verified. A request that is refused is an answer and not a failed invocation:
//! anybody could ring the alarms otherwise.
//!
//! The address bar and the history of the browser keep the redirect with its code and its state. Both are spent by the time
//! that the page is there: a code works once, and a link for one authorization. The page itself passes neither on: it loads
//! nothing, leads nowhere, and forbids the browser to name its address to others.

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

/// A secret after the exchange.
#[derive(Clone, Debug)]
pub struct Connected {
    pub secret_id: String,
    pub outcome: Outcome,
    /// Absent if the list could not be read once more.
    pub advertisers: Option<Vec<Advertiser>>,
}

/// Whether an event is a request to the function's URL. No other event has these members, and no request can do without
/// them: Lambda makes the event, and the browser fills in texts.
#[must_use]
pub fn is_request(event: &Value) -> bool {
    event["requestContext"]["http"].is_object()
}

/// Answers a request to the function's URL. `connect` is asked only for a redirect that may be genuine; `reference` is what
/// finds the request in the function's log.
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

/// Not as an error: the person who sent the request sees the answer, and may be anybody. Never with the query.
fn log(error: &Error) {
    tracing::warn!(error_type = error.kind().name(), code = error.code(), "the page refused: {error}");
}
