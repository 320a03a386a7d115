//! What the Function URL is answered with.

use serde_json::{Value, json};

use super::{Connected, view};
use crate::error::{Error, Kind};

/// Nothing may be loaded, sent or framed; the one style sheet is known by its hash (SHA-256, base64). A browser that finds
/// another style in the page ignores it, and so does it with anything that got into the page in spite of all.
const POLICY: &str = "default-src 'none'; style-src 'sha256-9vYRPg974Luf76p+to/OPeX9n945wDRotJzTAJeqjIE='; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// A year, for the host of this function alone.
const TRANSPORT: &str = "max-age=31536000";

/// An answer to a browser.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
}

impl Answer {
    /// The answer to a request for anything but the callback.
    #[must_use]
    pub fn not_found() -> Self {
        Self::page(404, view::NOT_FOUND.to_owned())
    }

    /// The exchange succeeded. `reference` is what to look for in the function's log.
    #[must_use]
    pub fn connected(connected: &Connected, reference: &str) -> Self {
        Self::page(200, view::connected(connected, reference))
    }

    /// The exchange failed.
    #[must_use]
    pub fn failed(error: &Error, reference: &str) -> Self {
        Self::page(status(error.kind()), view::failed(error, reference))
    }

    /// There is no code to exchange.
    #[must_use]
    pub fn declined(reference: &str) -> Self {
        Self::page(400, view::declined(reference))
    }

    /// The link's time is over.
    #[must_use]
    pub fn too_late(error: &Error, reference: &str) -> Self {
        Self::page(410, view::failed(error, reference))
    }

    /// Another request with the same code is at work.
    #[must_use]
    pub fn in_progress(reference: &str) -> Self {
        Self::page(503, view::in_progress(reference))
    }

    fn page(status: u16, body: String) -> Self {
        Self { status, content_type: "text/html; charset=utf-8", body }
    }
}

/// As far as the kind of an error tells it apart.
const fn status(kind: Kind) -> u16 {
    match kind {
        Kind::InvalidEvent => 400,
        // The code has been used, or its hour is over.
        Kind::ReauthorizationRequired => 410,
        Kind::TikTokMisconfigured | Kind::TikTokUnavailable | Kind::NewTokenRejected => 502,
        Kind::TikTokThrottled | Kind::SecretsManagerUnavailable | Kind::DeadlineExceeded => 503,
        _ => 500,
    }
}

/// Payload format 2.0.
impl From<Answer> for Value {
    fn from(answer: Answer) -> Self {
        json!({
            "statusCode": answer.status,
            "headers": {
                "content-type": answer.content_type,
                "cache-control": "no-store",
                "content-security-policy": POLICY,
                "cross-origin-opener-policy": "same-origin",
                "cross-origin-resource-policy": "same-origin",
                "permissions-policy": "camera=(), geolocation=(), microphone=()",
                "referrer-policy": "no-referrer",
                "strict-transport-security": TRANSPORT,
                "x-content-type-options": "nosniff",
                "x-frame-options": "DENY",
                "x-robots-tag": "noindex",
            },
            "body": answer.body,
        })
    }
}
