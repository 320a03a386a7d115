//! The traces of a run that a person can read: the secret, the log and the metrics.

use serde_json::Value;
use stand_ins::{Invocation, Outcome};

/// The sentence of a failed invocation.
#[track_caller]
pub fn error_message(invocation: &Invocation) -> &str {
    match &invocation.outcome {
        Outcome::Error { error_message, .. } => error_message,
        other => panic!("expected an error, got {other:?}"),
    }
}

/// The lines of the log that are meant for people and searches, each a JSON object.
#[track_caller]
pub fn log(invocation: &Invocation) -> Vec<Value> {
    json_lines(invocation).into_iter().filter(|line| line.get("_aws").is_none()).collect()
}

/// The lines that CloudWatch takes metrics from: one for each secret.
#[track_caller]
pub fn all_metrics(invocation: &Invocation) -> Vec<Value> {
    json_lines(invocation).into_iter().filter(|line| line.get("_aws").is_some()).collect()
}

/// The metrics of the only secret.
#[track_caller]
pub fn metrics(invocation: &Invocation) -> Value {
    let mut lines = all_metrics(invocation);
    assert_eq!(lines.len(), 1, "one line of metrics for one secret");
    lines.remove(0)
}

fn json_lines(invocation: &Invocation) -> Vec<Value> {
    let lines = invocation.logs.iter().map(|line| serde_json::from_str(line));
    lines.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error} in {:#?}", invocation.logs))
}
