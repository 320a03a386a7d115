//! The Runtime API, through which a process requests events and reports results.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Request, Response};
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};

use super::super::wire::{Answer, Cut, Handler, Payload};
use super::Outcome;

const VERSION: &str = "/2018-06-01/runtime/";
const FUNCTION_ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:stand-in";
const TRACE_ID: &str = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0";

/// An event on its way to the function.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub request_id: String,
    pub body: Value,
    /// From the Unix epoch.
    pub deadline: Duration,
}

/// A report of a process.
#[derive(Clone, Debug)]
pub(super) enum Report {
    /// It asks for an event.
    Polled,
    /// The event of this request id is done.
    Ended(String, Outcome),
    /// It could not initialize itself.
    InitFailed(Outcome),
}

/// The API as one process sees it.
pub(super) struct RuntimeApi {
    events: Mutex<mpsc::UnboundedReceiver<Event>>,
    reports: mpsc::UnboundedSender<Report>,
}

impl RuntimeApi {
    pub fn new(events: mpsc::UnboundedReceiver<Event>, reports: mpsc::UnboundedSender<Report>) -> Self {
        Self { events: Mutex::new(events), reports }
    }

    /// Waits for an event. Lambda freezes the process during the wait; this stand-in does not.
    async fn next(&self) -> Answer {
        // If the sandbox is gone, the report is not needed.
        let _ = self.reports.send(Report::Polled);
        match self.events.lock().await.recv().await {
            Some(event) => Answer::new(200, "application/json", event.body.to_string())
                .with_header("lambda-runtime-aws-request-id", &event.request_id)
                .with_header("lambda-runtime-deadline-ms", &event.deadline.as_millis().to_string())
                .with_header("lambda-runtime-invoked-function-arn", FUNCTION_ARN)
                .with_header("lambda-runtime-trace-id", TRACE_ID),
            None => Answer::new(500, "application/json", "{}"),
        }
    }

    fn accept(&self, report: Report) -> Answer {
        let _ = self.reports.send(report);
        Answer::new(202, "application/json", r#"{"status":"OK"}"#)
    }
}

impl Handler for RuntimeApi {
    async fn handle(&self, request: Request<Bytes>, _: u64) -> Result<Response<Payload>, Cut> {
        let path = request.uri().path().strip_prefix(VERSION).unwrap_or_default();
        let parts: Vec<&str> = path.split('/').collect();
        let body = || serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let answer = match (request.method(), parts.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => {
                let text = String::from_utf8_lossy(request.body()).into_owned();
                self.accept(Report::Ended((*id).to_owned(), Outcome::Response(body(), text)))
            }
            (&Method::POST, ["invocation", id, "error"]) => {
                let (error_type, error_message) = error(&body());
                self.accept(Report::Ended((*id).to_owned(), Outcome::Error { error_type, error_message }))
            }
            (&Method::POST, ["init", "error"]) => {
                let (error_type, error_message) = error(&body());
                self.accept(Report::InitFailed(Outcome::InitError { error_type, error_message }))
            }
            _ => Answer::new(404, "application/json", r#"{"errorType":"InvalidPath","errorMessage":"unknown path"}"#),
        };
        Ok(answer.into())
    }
}

fn error(body: &Value) -> (String, String) {
    let text = |member: &str| body.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("errorType"), text("errorMessage"))
}
