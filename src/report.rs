//! What goes out: the response or the error of the invocation, and the metrics.

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

/// What there is to tell of a secret for which nothing failed.
#[derive(Debug)]
pub struct SecretResult {
    /// How it ended, where that is counted.
    outcome: Option<OutcomeKind>,
    /// As text, so that what a person wants first comes first.
    text: Box<RawValue>,
}

impl SecretResult {
    /// How the work on its tokens ended.
    #[must_use]
    pub fn outcome(secret_id: &str, outcome: &Outcome) -> Self {
        Self { outcome: Some(outcome.outcome), ..Self::of(secret_id, outcome) }
    }

    /// Whatever else there is.
    #[must_use]
    pub fn of(secret_id: &str, body: &impl Serialize) -> Self {
        // Numbers, texts and maps with text for keys, which always have a text.
        Self { outcome: None, text: to_raw_value(&Entry { secret_id, body }).unwrap_or_default() }
    }
}

/// The response of an invocation in which nothing failed.
#[derive(Debug, Serialize)]
pub struct Response {
    /// How many ended how, where there is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<BTreeMap<OutcomeKind, usize>>,
    pub results: Vec<Box<RawValue>>,
    /// How many results are left out, because the response would be too large with them.
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

/// How many bytes of results, and of what failed, a response has. Lambda takes six megabytes, but the event buses, the
/// queues and the state machines that an answer is handed on to take 256 kilobytes, with an envelope around it.
const MAX_RESULT_BYTES: usize = 100_000;
/// How many bytes of names of secrets that were left over.
const MAX_SKIPPED_BYTES: usize = 20_000;

/// What became of the secrets of an invocation. It stays small however many there are.
#[derive(Debug, Default)]
pub struct Tally {
    done: usize,
    counts: BTreeMap<OutcomeKind, usize>,
    results: Bounded<(usize, Box<RawValue>)>,
    failures: BTreeMap<Kind, usize>,
    failed: Bounded<(usize, String, Error)>,
    skipped: Bounded<String>,
}

/// The first of many, up to a number of bytes.
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
        // The first is kept in any case: no single one can be too large.
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
    /// Adds how the work on the secret with that place in the list ended.
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

    /// Adds secrets of which nothing is to be told but their number.
    pub fn add_fresh(&mut self, number: usize) {
        self.done += number;
        self.count(OutcomeKind::Fresh, number);
        self.results.omitted += number;
    }

    /// Adds a secret that was not begun, because the deadline was near.
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

    /// The response, or the error that makes the invocation a failed one: one failed secret is enough.
    ///
    /// # Errors
    /// The secret's own error where there is only one, or where all failed in the same way; `PartialFailure` otherwise.
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

    /// The response with the picture of each secret. One of which there is none has its error in it instead: who looks at
    /// several secrets because something is wrong with one of them wants to see them all.
    ///
    /// # Errors
    /// As [`Tally::respond`], where there is no picture of any.
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

/// The metrics of the work on one secret, as one line in CloudWatch's embedded metric format.
///
/// One line a secret, with the function's name as the only dimension: sums count outcomes, the minimum of a lifetime is
/// the secret that needs attention first, and the line itself, which names the secret, is found in the logs.
#[must_use]
pub fn metrics(
    source: (&str, &str),
    secret_id: &str,
    result: &Result<Outcome, Error>,
    trace: &Trace,
    now: Timestamp,
) -> String {
    let mut metrics = Metrics::default();
    // A dry run leaves no metrics, and so is not counted.
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
        // Always there, so that an alarm on it knows "no" from "nothing heard".
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

/// The metrics of a look at a fleet, in the same form: what nobody is told of each secret that needs nothing.
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
