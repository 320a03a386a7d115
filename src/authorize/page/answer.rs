//! The HTTP answers of the function's page.

use serde_json::{Value, json};

use super::{Connected, view};
use crate::error::{Error, Kind};

/// The Content-Security-Policy. The page loads, sends and frames nothing, and its one style sheet is allowed by its
/// SHA-256 hash. Injected styles and scripts have no effect.
const POLICY: &str = "default-src 'none'; style-src 'sha256-9vYRPg974Luf76p+to/OPeX9n945wDRotJzTAJeqjIE='; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// One year, for this host.
const TRANSPORT: &str = "max-age=31536000";

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
}

impl Answer {
    /// Answers any other request.
    #[must_use]
    pub fn not_found() -> Self {
        Self::page(404, view::NOT_FOUND.to_owned())
    }

    /// Answers after a successful exchange. `reference` identifies the request in the log.
    #[must_use]
    pub fn connected(connected: &Connected, reference: &str) -> Self {
        Self::page(200, view::connected(connected, reference))
    }

    /// Answers after a failed exchange.
    #[must_use]
    pub fn failed(error: &Error, reference: &str) -> Self {
        Self::page(status(error.kind()), view::failed(error, reference))
    }

    /// Answers a redirect without a code.
    #[must_use]
    pub fn declined(reference: &str) -> Self {
        Self::page(400, view::declined(reference))
    }

    /// Answers a redirect whose link has expired.
    #[must_use]
    pub fn too_late(error: &Error, reference: &str) -> Self {
        Self::page(410, view::failed(error, reference))
    }

    /// Answers a redirect whose code another request is exchanging.
    #[must_use]
    pub fn in_progress(reference: &str) -> Self {
        Self::page(503, view::in_progress(reference))
    }

    fn page(status: u16, body: String) -> Self {
        Self { status, content_type: "text/html; charset=utf-8", body }
    }
}

/// Returns the HTTP status for a kind of error.
const fn status(kind: Kind) -> u16 {
    match kind {
        Kind::InvalidEvent => 400,
        // The code was used, or its hour is over.
        Kind::ReauthorizationRequired => 410,
        Kind::TikTokMisconfigured | Kind::TikTokUnavailable | Kind::NewTokenRejected => 502,
        Kind::TikTokThrottled | Kind::SecretsManagerUnavailable | Kind::DeadlineExceeded => 503,
        _ => 500,
    }
}

/// Payload format 2.0 of [Lambda Function URLs](https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html).
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
