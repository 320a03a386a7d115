//! The response or the error of an invocation, and its metrics.
//!
//! [`Tally`] collects the result of each secret. [`Tally::respond`] returns the response, or the error if a secret
//! failed. [`metrics`] and [`fleet_metrics`] return lines in CloudWatch's [embedded metric
//! format](https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
//!
//! The names in them are a contract: they change by addition.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    error::{Error, Kind},
    fleet::Fresh,
    refresh::{Outcome, OutcomeKind},
    transport::{Seen, Step, Trace},
};

/// The result of a secret without a failure.
#[derive(Debug)]
pub struct SecretResult {
    /// The outcome, if it is counted.
    outcome: Option<OutcomeKind>,
    /// JSON with its fields in order, the most useful first.
    text: Box<RawValue>,
}

impl SecretResult {
    /// The outcome of a refresh or an exchange. It is counted.
    #[must_use]
    pub fn outcome(secret_id: &str, outcome: &Outcome) -> Self {
        Self { outcome: Some(outcome.outcome), ..Self::of(secret_id, outcome) }
    }

    /// Any other result. It is not counted.
    #[must_use]
    pub fn of(secret_id: &str, body: &impl Serialize) -> Self {
        // Serialization of numbers, strings and maps with string keys cannot fail.
        Self { outcome: None, text: to_raw_value(&Entry { secret_id, body }).unwrap_or_default() }
    }
}

/// The response of an invocation without a failure.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The number of secrets by outcome. Absent for a single secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<BTreeMap<OutcomeKind, usize>>,
    pub results: Vec<Box<RawValue>>,
    /// The number of results that are left out to limit the size of the response.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[derive(Serialize)]
struct Entry<'a, T: Serialize> {
    secret_id: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Serialize)]
struct FailedEntry<'a> {
    secret_id: &'a str,
    error_type: &'a str,
    error_message: String,
}

/// The limit for results and for errors, in bytes. Lambda accepts 6 MB, but event buses, queues and state machines
/// accept 256 kB with an envelope.
const MAX_RESULT_BYTES: usize = 100_000;
/// The limit for the names of skipped secrets, in bytes.
const MAX_SKIPPED_BYTES: usize = 20_000;

/// The results of an invocation. Their size is limited for any number of secrets.
#[derive(Debug, Default)]
pub struct Tally {
    done: usize,
    counts: BTreeMap<OutcomeKind, usize>,
    results: Bounded<(usize, Box<RawValue>)>,
    failures: BTreeMap<Kind, usize>,
    failed: Bounded<(usize, String, Error)>,
    skipped: Bounded<String>,
}

/// The first items of a list, up to a number of bytes.
#[derive(Debug)]
struct Bounded<T> {
    items: Vec<T>,
    bytes: usize,
    omitted: usize,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self { items: Vec::new(), bytes: 0, omitted: 0 }
    }
}

impl<T> Bounded<T> {
    fn push(&mut self, item: T, bytes: usize, most: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        // The first item is always kept, because no single item exceeds the limit of a response.
        if self.items.is_empty() || self.bytes <= most {
            self.items.push(item);
        } else {
            self.omitted += 1;
        }
    }

    const fn total(&self) -> usize {
        self.items.len() + self.omitted
    }
}

impl Tally {
    /// Adds the result of the secret at position `place` of the list.
    pub fn add(&mut self, place: usize, secret_id: &str, result: Result<SecretResult, Error>) {
        match result {
            Ok(SecretResult { outcome, text }) => {
                self.done += 1;
                if let Some(kind) = outcome {
                    self.count(kind, 1);
                }
                let bytes = text.get().len();
                self.results.push((place, text), bytes, MAX_RESULT_BYTES);
            }
            Err(error) => {
                *self.failures.entry(error.kind()).or_default() += 1;
                let bytes = secret_id.len() + error.what().len() + error.advice().len();
                self.failed.push((place, secret_id.to_owned(), error), bytes, MAX_RESULT_BYTES);
            }
        }
    }

    /// Adds fresh secrets. Only their number is reported.
    pub fn add_fresh(&mut self, number: usize) {
        self.done += number;
        self.count(OutcomeKind::Fresh, number);
        self.results.omitted += number;
    }

    /// Adds a secret that was not started before the deadline.
    pub fn skip(&mut self, secret_id: &str) {
        self.skipped.push(secret_id.to_owned(), secret_id.len(), MAX_SKIPPED_BYTES);
    }

    fn count(&mut self, kind: OutcomeKind, number: usize) {
        if number > 0 {
            *self.counts.entry(kind).or_default() += number;
        }
    }

    fn all(&self) -> usize {
        self.done + self.failed.total() + self.skipped.total()
    }

    /// Returns the response.
    ///
    /// # Errors
    /// If any secret failed or was skipped: the error of the only secret, the common error type of all secrets, or
    /// `PartialFailure`.
    pub fn respond(mut self) -> Result<Response, Error> {
        if self.all() == self.done {
            return Ok(self.response());
        }
        self.failed.items.sort_by_key(|(place, ..)| *place);
        match self.failed.items.as_slice() {
            [(.., error)] if self.all() == 1 => Err(error.clone()),
            _ => Err(self.failure_of_several()),
        }
    }

    /// Returns a response in which a failed secret has its error. A status of several secrets is most useful if one of
    /// them fails.
    ///
    /// # Errors
    /// As [`Tally::respond`], if every secret failed.
    pub fn into_partial_response(mut self) -> Result<Response, Error> {
        if self.done == 0 {
            return self.respond();
        }
        for (place, secret_id, error) in std::mem::take(&mut self.failed.items) {
            let (error_type, error_message) = (error.kind().name(), error.to_string());
            let text =
                to_raw_value(&FailedEntry { secret_id: &secret_id, error_type, error_message }).unwrap_or_default();
            self.results.items.push((place, text));
        }
        self.results.omitted += self.failed.omitted + self.skipped.total();
        Ok(self.response())
    }

    fn response(mut self) -> Response {
        self.results.items.sort_by_key(|(place, _)| *place);
        Response {
            counts: (self.done > 1 && !self.counts.is_empty()).then_some(self.counts),
            results: self.results.items.into_iter().map(|(_, text)| text).collect(),
            omitted: self.results.omitted,
        }
    }

    fn failure_of_several(self) -> Error {
        let (all, failed, skipped) = (self.all(), self.failed.total(), self.skipped.total());
        let each = self.failed.items.iter().map(|(_, id, error)| format!("{id}: {}: {error}", error.kind().name()));
        let mut each: Vec<String> = each.collect();
        if self.failed.omitted > 0 {
            let kinds: Vec<String> = self.failures.iter().map(|(kind, n)| format!("{n} {}", kind.name())).collect();
            each.push(format!("and {} more, which are in the log ({} in all)", self.failed.omitted, kinds.join(", ")));
        }
        let mut what = format!("{failed} of {all} secrets failed. {}", each.join(" | "));
        if skipped > 0 {
            let more = self.skipped.omitted;
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let names = self.skipped.items.join(", ");
            what =
                format!("{} {skipped} of {all} were not started before the deadline: {names}{more}.", what.trim_end());
        }
        let mut kinds = self.failures.keys().copied();
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) if failed == all => {
                Error::new(kind, what).advise("The error of each secret says what to do.")
            }
            (None, _) => Error::new(if skipped == all { Kind::DeadlineExceeded } else { Kind::PartialFailure }, what)
                .advise("The next run continues with those. If this happens every day, see docs/fleet.md."),
            _ if self.failed.omitted + skipped > 0 => {
                Error::new(Kind::PartialFailure, what).advise("The error of each secret says what to do.")
            }
            _ => Error::new(Kind::PartialFailure, what),
        }
    }
}

/// Returns the metrics of one secret as one line.
///
/// The function's name is the only dimension. A sum counts outcomes, and the minimum of a lifetime belongs to the
/// secret that expires first. The line in the log names the secret.
#[must_use]
pub fn metrics(
    source: (&str, &str),
    secret_id: &str,
    result: &Result<Outcome, Error>,
    trace: &Trace,
    now: Timestamp,
) -> String {
    let mut metrics = Metrics::default();
    // A dry run has no metrics, so its outcome is not counted.
    for kind in OutcomeKind::ALL.into_iter().filter(|kind| *kind != OutcomeKind::DryRun) {
        let is_it = result.as_ref().is_ok_and(|outcome| outcome.outcome == kind);
        metrics.count(kind.name(), u64::from(is_it));
    }
    let proven = result.as_ref().is_ok_and(|outcome| outcome.proven);
    metrics.count("Succeeded", u64::from(proven));
    let error = result.as_ref().err().map(Error::kind);
    metrics.count("Failed", u64::from(error.is_some()));
    if let Some(kind) = error {
        metrics.count(kind.name(), 1);
    }
    if error != Some(Kind::ReauthorizationRequired) {
        // Always present, so that an alarm can tell zero from missing data.
        metrics.count(Kind::ReauthorizationRequired.name(), 0);
    }
    if let Ok(outcome) = result {
        metrics.outcome(outcome, now);
    } else if let Some(seen) = trace.seen() {
        metrics.seen(&seen, now);
    }
    metrics.count("ClaimConflicts", u64::from(trace.claim_conflicts()));
    for step in Step::ALL {
        if let Some(took) = trace.duration(step) {
            let milliseconds = (took.as_secs_f64() * 100_000.0).round() / 100.0;
            metrics.add(format!("{}Duration", capitalized(step.name())), Measured::Milliseconds(milliseconds));
        }
    }
    metrics.line(source, Some(secret_id), error, now)
}

/// Returns the metrics of a fleet as one line. They include the fresh secrets, which have no lines of their own.
#[must_use]
pub fn fleet_metrics(source: (&str, &str), fresh: &Fresh, tally: &Tally, now: Timestamp) -> String {
    let mut metrics = Metrics::default();
    metrics.count(OutcomeKind::Fresh.name(), fresh.number as u64);
    metrics.count("Secrets", tally.all() as u64);
    metrics.count("LeftOver", tally.skipped.total() as u64);
    metrics.remaining("AccessTokenSecondsRemaining", fresh.access_token_expires_at, now);
    metrics.remaining("RefreshTokenSecondsRemaining", fresh.refresh_token_expires_at, now);
    metrics.line(source, None, None, now)
}

/// A value in one of CloudWatch's units.
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

/// Names and values, each name once. They are serialized as a map.
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

    /// A failed run reports the lifetimes that it found, because an alarm needs them then.
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

    fn line(
        &self,
        (namespace, function): (&str, &str),
        secret_id: Option<&str>,
        error: Option<Kind>,
        now: Timestamp,
    ) -> String {
        let directive = Directive { namespace, dimensions: [["FunctionName"]], metrics: self.definitions() };
        let metadata = Metadata { timestamp: now.as_millisecond(), directives: [directive] };
        let line = EmfLine { metadata, function, secret_id, error_type: error.map(Kind::name), values: self };
        // Serialization of numbers and strings cannot fail.
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

/// A line in the embedded metric format. It is serialized directly, because a tree of `serde_json::Value` was the most
/// expensive part of a run.
#[derive(Serialize)]
struct EmfLine<'a> {
    #[serde(rename = "_aws")]
    metadata: Metadata<'a>,
    #[serde(rename = "FunctionName")]
    function: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_id: Option<&'a str>,
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

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
