//! The error type of the function.
//!
//! An error has a [`Kind`] with a stable name, a sentence about what happened, a sentence about what to do, and
//! TikTok's code if there is one. Users read errors in alarm mails and terminals, often hours later. Alarms and retries
//! depend on the names, so the names never change.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stable names: the `errorType` of a failed invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// The function does not understand the event.
    InvalidEvent,
    /// An environment variable is missing or wrong.
    InvalidConfiguration,
    /// The content of the credentials secret is not valid.
    InvalidSecret,
    /// The secret does not exist, has no value, or is being deleted.
    SecretNotFound,
    /// IAM or KMS denied a request.
    AccessDenied,
    /// Neither token works. A person must authorize the app again.
    ReauthorizationRequired,
    /// TikTok rejected the request, and another attempt would be rejected too.
    TikTokMisconfigured,
    /// TikTok throttled the app until the deadline.
    TikTokThrottled,
    /// TikTok was unreachable or failed until the deadline.
    TikTokUnavailable,
    /// Secrets Manager was unreachable or failed until the deadline.
    SecretsManagerUnavailable,
    /// TikTok rejected an access token that it had just issued.
    NewTokenRejected,
    /// The secret has too many versions of the last 24 hours.
    SecretLimitExceeded,
    /// The deadline leaves no time for the next step.
    DeadlineExceeded,
    /// Some secrets failed, and others did not.
    PartialFailure,
}

/// The effect of a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A retry within seconds may succeed.
    Transient,
    /// A retry may succeed after a long wait.
    Throttled,
    /// A retry fails in the same way. A person must act.
    Permanent,
}

impl Kind {
    /// Every kind, for documentation and tests.
    pub const ALL: [Self; 14] = [
        Self::InvalidEvent,
        Self::InvalidConfiguration,
        Self::InvalidSecret,
        Self::SecretNotFound,
        Self::AccessDenied,
        Self::ReauthorizationRequired,
        Self::TikTokMisconfigured,
        Self::TikTokThrottled,
        Self::TikTokUnavailable,
        Self::SecretsManagerUnavailable,
        Self::NewTokenRejected,
        Self::SecretLimitExceeded,
        Self::DeadlineExceeded,
        Self::PartialFailure,
    ];

    /// Returns the stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidEvent => "InvalidEvent",
            Self::InvalidConfiguration => "InvalidConfiguration",
            Self::InvalidSecret => "InvalidSecret",
            Self::SecretNotFound => "SecretNotFound",
            Self::AccessDenied => "AccessDenied",
            Self::ReauthorizationRequired => "ReauthorizationRequired",
            Self::TikTokMisconfigured => "TikTokMisconfigured",
            Self::TikTokThrottled => "TikTokThrottled",
            Self::TikTokUnavailable => "TikTokUnavailable",
            Self::SecretsManagerUnavailable => "SecretsManagerUnavailable",
            Self::NewTokenRejected => "NewTokenRejected",
            Self::SecretLimitExceeded => "SecretLimitExceeded",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::PartialFailure => "PartialFailure",
        }
    }

    /// Returns the effect of a retry within the same run.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::TikTokUnavailable | Self::SecretsManagerUnavailable => Class::Transient,
            Self::TikTokThrottled => Class::Throttled,
            _ => Class::Permanent,
        }
    }

    /// Returns the general advice for this kind of error.
    const fn advice(self) -> &'static str {
        match self {
            Self::InvalidEvent => {
                "Send one of the events in the repository's folder events/, for example {\"action\":\"refresh\"}."
            }
            Self::InvalidConfiguration => "Correct the function's environment variables and deploy again.",
            Self::InvalidSecret => {
                "Put a corrected JSON object into the secret; docs/configuration.md lists its fields."
            }
            Self::SecretNotFound => "Create the secret, or correct SECRET_ID, its account and its region.",
            Self::AccessDenied => "Grant the missing permission to the function's role.",
            Self::ReauthorizationRequired => {
                "Authorize the app again: the event authorize_url answers with a link, and docs/authorize.md has the rest."
            }
            Self::TikTokMisconfigured => {
                "Check the app id, the app secret, the flow and the app's permissions in TikTok's portal."
            }
            Self::TikTokThrottled => {
                "Nothing is lost, and the next run tries again; if it stays, spread the runs out or ask TikTok for a higher limit."
            }
            Self::TikTokUnavailable => {
                "Nothing to do yet: the next run tries again. If it stays, look at TikTok's status page."
            }
            Self::SecretsManagerUnavailable => {
                "Nothing to do yet: the next run tries again. If it stays, look at the AWS Health Dashboard."
            }
            Self::NewTokenRejected => {
                "The new tokens are kept in the version labeled TIKTOK_STAGED, and the next run tries them again; if it stays, authorize the app again."
            }
            Self::SecretLimitExceeded => {
                "Find out what writes so many versions; a schedule that runs every hour does not. Secrets Manager removes versions without labels after a day, and the function goes on by itself then."
            }
            Self::DeadlineExceeded => {
                "Raise the function's timeout (60 seconds are ample for one secret); the next run goes on where this one stopped."
            }
            Self::PartialFailure => {
                "The secrets that are not named are in order; each error says what to do for its own."
            }
        }
    }
}

/// An error: its kind, a sentence about what happened, and the advice.
///
/// `Display` and `Debug` contain no token, app secret, URL or body, because constructors only get sentences.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    advice: Option<String>,
    code: Option<i64>,
    lost_answer: bool,
}

impl Error {
    /// Creates an error. `what` is a full sentence about what happened.
    #[must_use]
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), advice: None, code: None, lost_answer: false }
    }

    /// Replaces the general advice.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds TikTok's code.
    #[must_use]
    pub const fn with_code(mut self, code: i64) -> Self {
        self.code = Some(code);
        self
    }

    /// Marks the request as possibly carried out: it was sent, and no answer arrived.
    #[must_use]
    pub const fn with_lost_answer(mut self) -> Self {
        self.lost_answer = true;
        self
    }

    /// Names the place of the secret's id, unless that is `SECRET_ID`.
    #[must_use]
    pub fn named_in(mut self, place: &str) -> Self {
        let advice = self.advice();
        if advice.contains("SECRET_ID") {
            self.advice = Some(advice.replace("SECRET_ID", place));
        }
        self
    }

    /// Adds the context before the sentence.
    #[must_use]
    pub fn context(mut self, to: impl fmt::Display) -> Self {
        self.what = format!("{to}: {}", self.what);
        self
    }

    /// Returns the kind, which has the stable name.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns TikTok's code, if there is one.
    #[must_use]
    pub const fn code(&self) -> Option<i64> {
        self.code
    }

    /// Returns true if the failed request may have been carried out.
    #[must_use]
    pub const fn lost_answer(&self) -> bool {
        self.lost_answer
    }

    /// Returns what happened, without the advice.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Returns the message of TikTok or AWS that the sentence quotes.
    #[must_use]
    pub fn quoted(&self) -> &str {
        let after = self.what.split_once('"').map_or("", |(_, after)| after);
        after.rsplit_once('"').map_or("", |(quoted, _)| quoted)
    }

    /// Returns the advice.
    #[must_use]
    pub fn advice(&self) -> &str {
        self.advice.as_deref().unwrap_or_else(|| self.kind.advice())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.advice())
    }
}

impl std::error::Error for Error {}
