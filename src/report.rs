//! What goes out: the response or the error of the invocation, and the metrics.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    cycle::{Outcome, OutcomeKind, Seen, Step, Trace},
    error::{Error, Kind},
};

/// How the work on one secret ended.
#[derive(Debug)]
pub struct Ending<T> {
    pub secret_id: String,
    pub result: Result<T, Error>,
}

/// The response of an invocation in which nothing failed, and what is logged in any case.
#[derive(Debug, Serialize)]
pub struct Response {
    /// As text, so that what a person wants first comes first.
    pub results: Vec<Box<RawValue>>,
}

#[derive(Serialize)]
struct Entry<'a, T: Serialize> {
    secret_id: &'a str,
    #[serde(flatten)]
    outcome: &'a T,
}

#[derive(Serialize)]
struct Unseen<'a> {
    secret_id: &'a str,
    error_type: &'a str,
    error_message: String,
}

/// The response, or the error that makes the invocation a failed one: one failed secret is enough.
///
/// # Errors
/// The secret's own error where there is only one, or where all failed in the same way; `PartialFailure` otherwise.
pub fn respond<T: Serialize>(endings: &[Ending<T>]) -> Result<Response, Error> {
    let failed: Vec<(&str, &Error)> =
        endings.iter().filter_map(|ending| Some((ending.secret_id.as_str(), ending.result.as_ref().err()?))).collect();
    match failed.as_slice() {
        [] => Ok(response(endings)),
        [(_, error)] if endings.len() == 1 => Err((*error).clone()),
        _ => Err(failure_of_several(&failed, endings.len())),
    }
}

/// The response with the picture of each secret. One of which there is none has its error in it instead: who looks at
/// several secrets because something is wrong with one of them wants to see them all.
///
/// # Errors
/// As [`respond`], where there is no picture of any.
pub fn picture<T: Serialize>(endings: &[Ending<T>]) -> Result<Response, Error> {
    if endings.iter().any(|ending| ending.result.is_ok()) { Ok(response(endings)) } else { respond(endings) }
}

/// What happened to each secret, failed or not.
#[must_use]
pub fn response<T: Serialize>(endings: &[Ending<T>]) -> Response {
    let entry = |ending: &Ending<T>| {
        let secret_id = ending.secret_id.as_str();
        match &ending.result {
            Ok(outcome) => to_raw_value(&Entry { secret_id, outcome }),
            Err(error) => {
                let (error_type, error_message) = (error.kind().name(), error.to_string());
                to_raw_value(&Unseen { secret_id, error_type, error_message })
            }
        }
    };
    // Numbers, texts and maps with text for keys, which always have a text.
    Response { results: endings.iter().filter_map(|ending| entry(ending).ok()).collect() }
}

fn failure_of_several(failed: &[(&str, &Error)], of: usize) -> Error {
    let each: Vec<String> =
        failed.iter().map(|(id, error)| format!("{id}: {}: {error}", error.kind().name())).collect();
    let what = format!("{} of {of} secrets failed. {}", failed.len(), each.join(" | "));
    let first = failed[0].1.kind();
    if failed.len() == of && failed.iter().all(|(_, error)| error.kind() == first) {
        return Error::new(first, what).advise("Each secret's own sentence says what to do.");
    }
    Error::new(Kind::PartialFailure, what)
}

/// The metrics of the work on one secret, as one line in CloudWatch's embedded metric format.
///
/// One line a secret, with the function's name as the only dimension: sums count outcomes, the minimum of a lifetime is
/// the secret that needs attention first, and the line itself, which names the secret, is found in the logs.
#[must_use]
pub fn metrics(namespace: &str, function: &str, ending: &Ending<Outcome>, trace: &Trace, now: Timestamp) -> String {
    let mut metrics = Metrics::default();
    // A dry run leaves no metrics, and so is not counted.
    for kind in OutcomeKind::ALL.into_iter().filter(|kind| *kind != OutcomeKind::DryRun) {
        let is_it = ending.result.as_ref().is_ok_and(|outcome| outcome.outcome == kind);
        metrics.count(kind.name(), u64::from(is_it));
    }
    let proven = ending.result.as_ref().is_ok_and(|outcome| outcome.outcome.proves_tokens());
    metrics.count("Succeeded", u64::from(proven));
    let error = ending.result.as_ref().err().map(Error::kind);
    metrics.count("Failed", u64::from(error.is_some()));
    if let Some(kind) = error {
        metrics.count(kind.name(), 1);
    }
    if error != Some(Kind::ReauthorizationRequired) {
        // Always there, so that an alarm on it knows "no" from "nothing heard".
        metrics.count(Kind::ReauthorizationRequired.name(), 0);
    }
    if let Ok(outcome) = &ending.result {
        metrics.outcome(outcome, now);
    } else if let Some(seen) = trace.seen() {
        metrics.seen(&seen, now);
    }
    metrics.count("ClaimConflicts", u64::from(trace.claim_conflicts()));
    for step in Step::ALL {
        if let Some(took) = trace.duration(step) {
            let milliseconds = (took.as_secs_f64() * 100_000.0).round() / 100.0;
            metrics.add(format!("{}Duration", capitalised(step.name())), Measured::Milliseconds(milliseconds));
        }
    }
    metrics.line(namespace, function, &ending.secret_id, error, now)
}

/// What a metric says, in CloudWatch's units.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Measured {
    Count(u64),
    Seconds(i64),
    Milliseconds(f64),
}

impl Measured {
    const fn unit(self) -> &'static str {
        match self {
            Self::Count(_) => "Count",
            Self::Seconds(_) => "Seconds",
            Self::Milliseconds(_) => "Milliseconds",
        }
    }
}

/// Each name once. Written as a map, it is the values of the line.
#[derive(Default)]
struct Metrics(Vec<(Cow<'static, str>, Measured)>);

impl Metrics {
    fn add(&mut self, name: impl Into<Cow<'static, str>>, measured: Measured) {
        self.0.push((name.into(), measured));
    }

    fn count(&mut self, name: &'static str, value: u64) {
        self.add(name, Measured::Count(value));
    }

    fn outcome(&mut self, outcome: &Outcome, now: Timestamp) {
        self.remaining("AccessTokenSecondsRemaining", outcome.access_token_expires_at, now);
        self.remaining("RefreshTokenSecondsRemaining", outcome.refresh_token_expires_at, now);
        self.count("Advertisers", outcome.advertisers as u64);
        self.count("AdvertisersStale", u64::from(outcome.advertisers_stale));
        self.count("AdvertisersReduced", u64::from(outcome.advertisers_reduced));
    }

    /// A failed run still tells how long what it found will last: that is when it matters.
    fn seen(&mut self, seen: &Seen, now: Timestamp) {
        self.remaining("AccessTokenSecondsRemaining", seen.access_token_expires_at, now);
        self.remaining("RefreshTokenSecondsRemaining", seen.refresh_token_expires_at, now);
        self.count("Advertisers", seen.advertisers as u64);
        self.count("AdvertisersStale", u64::from(seen.advertisers_stale));
    }

    fn remaining(&mut self, name: &'static str, expires: Option<Timestamp>, now: Timestamp) {
        if let Some(expires) = expires {
            let left = expires.duration_since(now).max(SignedDuration::ZERO);
            self.add(name, Measured::Seconds(left.as_secs()));
        }
    }

    fn line(&self, namespace: &str, function: &str, secret_id: &str, error: Option<Kind>, now: Timestamp) -> String {
        let directive = Directive { namespace, dimensions: [["FunctionName"]], metrics: self.definitions() };
        let metadata = Metadata { timestamp: now.as_millisecond(), directives: [directive] };
        let line = Line { metadata, function, secret_id, error_type: error.map(Kind::name), values: self };
        // Numbers and texts, which always have a text.
        serde_json::to_string(&line).unwrap_or_default()
    }

    fn definitions(&self) -> Vec<Definition<'_>> {
        self.0.iter().map(|(name, measured)| Definition { name, unit: measured.unit() }).collect()
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, measured)| (name, measured)))
    }
}

/// A line in the embedded metric format. Serialised as it is, without a tree of values in between: of all that a run
/// does for itself, this was the most expensive.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "_aws")]
    metadata: Metadata<'a>,
    #[serde(rename = "FunctionName")]
    function: &'a str,
    secret_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'static str>,
    #[serde(flatten)]
    values: &'a Metrics,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    timestamp: i64,
    #[serde(rename = "CloudWatchMetrics")]
    directives: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'a str,
    dimensions: [[&'static str; 1]; 1],
    metrics: Vec<Definition<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition<'a> {
    name: &'a str,
    unit: &'static str,
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
