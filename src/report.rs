//! What goes out: the response or the error of the invocation, and the metrics.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};

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
            metrics.add(
                &format!("{}Duration", capitalised(step.name())),
                "Milliseconds",
                (took.as_secs_f64() * 100_000.0).round() / 100.0,
            );
        }
    }
    metrics.line(namespace, function, &ending.secret_id, error, now)
}

#[derive(Default)]
struct Metrics {
    definitions: Vec<Value>,
    values: Map<String, Value>,
}

impl Metrics {
    fn add(&mut self, name: &str, unit: &str, value: impl Into<Value>) {
        self.definitions.push(json!({"Name": name, "Unit": unit}));
        self.values.insert(name.to_owned(), value.into());
    }

    fn count(&mut self, name: &str, value: u64) {
        self.add(name, "Count", value);
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

    fn remaining(&mut self, name: &str, expires: Option<Timestamp>, now: Timestamp) {
        if let Some(expires) = expires {
            let left = expires.duration_since(now).max(SignedDuration::ZERO);
            self.add(name, "Seconds", left.as_secs());
        }
    }

    fn line(self, namespace: &str, function: &str, secret_id: &str, error: Option<Kind>, now: Timestamp) -> String {
        let mut line = self.values;
        line.insert("FunctionName".to_owned(), function.into());
        line.insert("secret_id".to_owned(), secret_id.into());
        if let Some(kind) = error {
            line.insert("error_type".to_owned(), kind.name().into());
        }
        line.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": now.as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": namespace,
                    "Dimensions": [["FunctionName"]],
                    "Metrics": self.definitions,
                }],
            }),
        );
        Value::Object(line).to_string()
    }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
