//! The one error type of the function: its stable name, its class and its advice.
//!
//! An error reaches a person in an alarm's e-mail or in a terminal, hours after it happened. So it says what happened,
//! names the TikTok or AWS code where there is one, and ends with the sentence that says what to do now. The name never
//! changes: alarms and retries are built on it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stable names: `errorType` of the failed invocation, and what alarms match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// The event is not one that the function understands.
    InvalidEvent,
    /// An environment variable is missing or wrong.
    InvalidConfiguration,
    /// The credentials secret does not hold what it should.
    InvalidSecret,
    /// The secret does not exist, has no value, or is being deleted.
    SecretNotFound,
    /// IAM or KMS refused a call.
    AccessDenied,
    /// Neither token works any more: a person has to authorize the app again.
    ReauthorizationRequired,
    /// TikTok refused the request for a reason that another attempt does not change.
    TikTokMisconfigured,
    /// TikTok's rate limit held until the deadline.
    TikTokThrottled,
    /// TikTok could not be reached, or did not answer sensibly, until the deadline.
    TikTokUnavailable,
    /// Secrets Manager could not be reached, or failed, until the deadline.
    SecretsManagerUnavailable,
    /// TikTok rejects the access token that it has just issued.
    NewTokenRejected,
    /// The secret takes no more versions for now.
    SecretLimitExceeded,
    /// The time that the invocation has is not enough for the next step.
    DeadlineExceeded,
    /// Some of several secrets failed.
    PartialFailure,
}

/// What a retry can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Another attempt may succeed within the second.
    Transient,
    /// Another attempt may succeed, after a long wait.
    Throttled,
    /// Another attempt ends the same way; somebody has to act.
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

    /// The name that alarms and callers match on.
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

    /// Whether trying again within the same run can help.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::TikTokUnavailable | Self::SecretsManagerUnavailable => Class::Transient,
            Self::TikTokThrottled => Class::Throttled,
            _ => Class::Permanent,
        }
    }

    /// What the reader of the error should do now, where the error itself knows nothing better.
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
                "The new tokens are kept in the version labelled TIKTOK_STAGED, and the next run tries them again; if it stays, authorize the app again."
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

/// What went wrong, and what to do about it.
///
/// Neither `Display` nor `Debug` ever holds a token, an app secret, a URL or a body: every constructor is given sentences.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    advice: Option<String>,
    code: Option<i64>,
    lost_answer: bool,
}

impl Error {
    /// An error of a kind; `what` is a sentence.
    #[must_use]
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), advice: None, code: None, lost_answer: false }
    }

    /// Replaces the kind's general advice with one that knows more.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The code that TikTok answered with.
    #[must_use]
    pub const fn with_code(mut self, code: i64) -> Self {
        self.code = Some(code);
        self
    }

    /// The request left and its answer did not arrive: it may have been carried out.
    #[must_use]
    pub const fn with_lost_answer(mut self) -> Self {
        self.lost_answer = true;
        self
    }

    /// Names the place where the id of the secret in question stands, if that is not `SECRET_ID`.
    #[must_use]
    pub fn named_in(mut self, place: &str) -> Self {
        let advice = self.advice();
        if advice.contains("SECRET_ID") {
            self.advice = Some(advice.replace("SECRET_ID", place));
        }
        self
    }

    /// Says, before what happened, what it happened to.
    #[must_use]
    pub fn context(mut self, to: impl fmt::Display) -> Self {
        self.what = format!("{to}: {}", self.what);
        self
    }

    /// The kind, whose name is stable.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// TikTok's code, where TikTok answered with one.
    #[must_use]
    pub const fn code(&self) -> Option<i64> {
        self.code
    }

    /// Whether the request may have been carried out although it failed.
    #[must_use]
    pub const fn lost_answer(&self) -> bool {
        self.lost_answer
    }

    /// What happened, without the advice.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What the other side said, as far as the sentence quotes it.
    #[must_use]
    pub fn quoted(&self) -> &str {
        let after = self.what.split_once('"').map_or("", |(_, after)| after);
        after.rsplit_once('"').map_or("", |(quoted, _)| quoted)
    }

    /// What to do now.
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
