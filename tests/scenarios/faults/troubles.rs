//! The columns of the fault matrix: the failures of a request.

use std::time::Duration;

use bytes::Bytes;
use stand_ins::{Fault, Service};

use crate::support::SHORT;

/// Ample for a run that waits once for whatever does not come, TikTok's ten seconds included, and then begins again.
const AMPLE: Duration = Duration::from_secs(30);

/// Long enough to be noticed, and shorter than any timeout.
const SLOWLY: Duration = Duration::from_secs(2);
/// Long after every deadline.
const FOR_EVER: Duration = Duration::from_mins(10);
/// More than any answer may cost in memory.
const FLOOD: u64 = 1 << 30;

/// The frequency with which a request is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Often {
    Once,
    /// And every other request of its kind after it, until the run is over.
    Always,
}

/// The nature of a fault, which decides what a run can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Temporary: a retry succeeds, and the request had no effect.
    Passes,
    /// It passes, but the request was carried out, and its answer did not arrive.
    LosesTheAnswer,
    /// The answer arrives all the same.
    Harmless,
    /// A rejection that a retry does not change.
    Refuses,
    /// The process is dead.
    Kills,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    pub name: &'static str,
    pub often: Often,
    pub nature: Nature,
    fault: fn(Service, &str) -> Fault,
}

impl Trouble {
    const fn once(name: &'static str, nature: Nature, fault: fn(Service, &str) -> Fault) -> Self {
        Self { name, often: Often::Once, nature, fault }
    }

    const fn always(name: &'static str, nature: Nature, fault: fn(Service, &str) -> Fault) -> Self {
        Self { name, often: Often::Always, nature, fault }
    }

    pub fn fault(&self, service: Service, operation: &str) -> Fault {
        (self.fault)(service, operation)
    }

    /// True if an answer stays out and the connection stays open.
    pub fn is_silence(&self) -> bool {
        ["hang", "drip"].iter().any(|silence| self.name.starts_with(silence))
    }

    /// The time of the invocation that meets it. What goes on for ever need not go on for long.
    pub const fn time(&self) -> Duration {
        match self.often {
            Often::Once => AMPLE,
            Often::Always => SHORT,
        }
    }

    /// True if the process is ended.
    pub fn kills(&self) -> bool {
        self.nature == Nature::Kills
    }

    pub fn is_flood(&self) -> bool {
        matches!(self.fault(Service::TikTok, ""), Fault::HugeBody(_))
    }
}

/// All columns. A `+` says that the request was carried out, and a `*` that the failure stays.
pub const TROUBLES: [Trouble; 24] = [
    Trouble::once("error", Nature::Refuses, error),
    Trouble::once("refuse", Nature::Refuses, refusal),
    Trouble::once("thrtl", Nature::Passes, throttling),
    Trouble::once("5xx", Nature::Passes, failure),
    Trouble::once("5xx+", Nature::LosesTheAnswer, |to, operation| failure(to, operation).after_applying()),
    Trouble::once("hang", Nature::Passes, |_, _| Fault::Hang),
    Trouble::once("hang+", Nature::LosesTheAnswer, |_, _| Fault::HangAfter),
    Trouble::once("reset", Nature::Passes, |_, _| Fault::ResetBefore),
    Trouble::once("reset+", Nature::LosesTheAnswer, |_, _| Fault::ResetAfter),
    Trouble::once("slow", Nature::Harmless, |_, _| Fault::SlowBody(SLOWLY)),
    Trouble::once("drip+", Nature::LosesTheAnswer, |_, _| Fault::SlowBody(FOR_EVER)),
    Trouble::once("trunc+", Nature::LosesTheAnswer, |_, _| Fault::TruncatedBody),
    Trouble::once("garb", Nature::Passes, |_, _| Fault::Garbage),
    Trouble::once("garb+", Nature::LosesTheAnswer, garbage_for_an_answer),
    Trouble::once("type", Nature::Harmless, |_, _| Fault::WrongContentType),
    Trouble::once("huge", Nature::Passes, |_, _| Fault::HugeBody(FLOOD)),
    Trouble::once("kill", Nature::Kills, |_, _| Fault::KillBefore),
    Trouble::once("kill+", Nature::Kills, |_, _| Fault::KillAfter),
    Trouble::always("error*", Nature::Refuses, error),
    Trouble::always("refuse*", Nature::Refuses, lasting_refusal),
    Trouble::always("thrtl*", Nature::Passes, throttling),
    Trouble::always("5xx*", Nature::Passes, failure),
    Trouble::always("hang*", Nature::Passes, |_, _| Fault::Hang),
    Trouble::always("reset*", Nature::LosesTheAnswer, |_, _| Fault::ResetAfter),
];

/// A permission was removed.
fn error(to: Service, _: &str) -> Fault {
    match to {
        Service::SecretsManager => {
            Fault::aws_error(400, "AccessDeniedException", "User: x is not authorized to perform this")
        }
        Service::TikTok => Fault::tiktok(40001, "No permission to operate this advertiser."),
    }
}

/// A refusal of a right request. The thing that it asks for is not there, or its content is not accepted.
fn refusal(to: Service, operation: &str) -> Fault {
    match (to, operation) {
        (Service::SecretsManager, _) => {
            Fault::aws_error(400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        }
        (Service::TikTok, "oauth2/access_token") => Fault::tiktok(40110, "Auth_code is invalid."),
        (Service::TikTok, operation) if operation.ends_with("oauth2/refresh_token") => {
            Fault::tiktok(40107, "Refresh token is invalid.")
        }
        (Service::TikTok, _) => Fault::tiktok(40105, "Access token is incorrect or has been revoked."),
    }
}

/// The same, permanently: the secret is marked for deletion. A read that lags would be temporary.
fn lasting_refusal(to: Service, operation: &str) -> Fault {
    match to {
        Service::SecretsManager => Fault::aws_error(
            400,
            "InvalidRequestException",
            "You can't perform this operation on the secret because it was marked for deletion.",
        ),
        Service::TikTok => refusal(to, operation),
    }
}

fn throttling(to: Service, _: &str) -> Fault {
    match to {
        Service::SecretsManager => Fault::aws_error(400, "ThrottlingException", "Rate exceeded"),
        Service::TikTok => Fault::tiktok(40100, "Requests made too frequently."),
    }
}

fn failure(to: Service, _: &str) -> Fault {
    match to {
        Service::SecretsManager => {
            Fault::aws_error(500, "InternalServiceError", "An error occurred on the server side.")
        }
        Service::TikTok => Fault::answer(502, "text/html", "<html>Bad Gateway</html>"),
    }
}

/// A success without a readable answer.
fn garbage_for_an_answer(to: Service, _: &str) -> Fault {
    let content_type = match to {
        Service::SecretsManager => "application/x-amz-json-1.1",
        Service::TikTok => "application/json",
    };
    Fault::answer(200, content_type, Bytes::from_static(b"\xff\xfe{\"code\":0,\x00<")).after_applying()
}
