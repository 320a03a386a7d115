//! AWS Lambda around a real binary: the Runtime API, one process at a time, the result of its exit, and the Function
//! URL for browsers.

mod function_url;
mod runtime_api;
mod sandbox;

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

pub use self::function_url::{FunctionUrl, event as url_event};
use self::runtime_api::{Event, Report};
use self::sandbox::{ProcessHandle, Sandbox};
use super::background::Background;
use super::clock::wall;
use super::faults::Killer;

/// Lambda's limit for the initialization of a function.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest wait for a runtime to request the next event after its answer. Only complete logs need it.
const SETTLING: Duration = Duration::from_secs(1);

/// The configuration of a function.
#[derive(Clone, Debug)]
pub struct FunctionConfig {
    /// The `bootstrap`.
    pub binary: PathBuf,
    /// Variables beside Lambda's own, which they override.
    pub env: Vec<(String, String)>,
    /// The memory size in the function's environment. The stand-in does not enforce it.
    pub memory_mb: u32,
    /// The timeout of [`Function::run`].
    pub timeout: Duration,
}

impl FunctionConfig {
    /// 128 MB and 30 seconds.
    pub fn new(binary: impl Into<PathBuf>, env: Vec<(String, String)>) -> Self {
        Self { binary: binary.into(), env, memory_mb: 128, timeout: Duration::from_secs(30) }
    }
}

/// The result of an invocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The response, as a value and as text.
    Response(Value, String),
    /// The function reported an error.
    Error {
        /// `errorType`.
        error_type: String,
        /// `errorMessage`.
        error_message: String,
    },
    /// The function reported an error of its initialization.
    InitError {
        /// `errorType`.
        error_type: String,
        /// `errorMessage`.
        error_message: String,
    },
    /// The process ended before it answered.
    Crashed(ExitStatus),
    /// The deadline passed, and the process was killed, as Lambda does.
    TimedOut,
}

impl Outcome {
    /// The response.
    ///
    /// # Panics
    /// If there is none.
    pub fn response(&self) -> &Value {
        match self {
            Self::Response(response, _) => response,
            other => panic!("expected a response, got {other:?}"),
        }
    }

    /// The response as it was written.
    ///
    /// # Panics
    /// If there is none.
    pub fn text(&self) -> &str {
        match self {
            Self::Response(_, text) => text,
            other => panic!("expected a response, got {other:?}"),
        }
    }

    /// The type of the error that the function reported, at its start or for this event.
    pub fn error_type(&self) -> Option<&str> {
        match self {
            Self::Error { error_type, .. } | Self::InitError { error_type, .. } => Some(error_type),
            _ => None,
        }
    }
}

/// One invocation, as a caller sees it.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The result.
    pub outcome: Outcome,
    /// The lines that the process wrote to stdout and stderr, those of its start included if it was started for this.
    pub logs: Vec<String>,
    /// From the event to the outcome, without the start of the process.
    pub duration: Duration,
    /// From the start of the process to its first request for an event; none if it was warm.
    pub init_duration: Option<Duration>,
    /// The request id.
    pub request_id: String,
    /// The peak memory of the process. `None` if the process has ended.
    pub peak_rss_kb: Option<u64>,
}

/// A function with one sandbox: invocations wait for one another. For two at once, start two functions.
///
/// A process that ended is replaced by the next invocation. Dropping the function kills it. A binary that cannot be
/// started at all makes the first invocation panic.
#[derive(Debug)]
pub struct Function {
    shared: Arc<Shared>,
    background: Background,
}

#[derive(Debug)]
struct Shared {
    config: FunctionConfig,
    sandbox: tokio::sync::Mutex<Option<Sandbox>>,
    // Beside the sandbox, because a killer cannot wait for the invocation that it is to kill.
    process: Mutex<Option<ProcessHandle>>,
}

impl Function {
    /// A function. Its process starts with the first invocation.
    pub fn start(config: FunctionConfig) -> Self {
        let (sandbox, process) = (tokio::sync::Mutex::new(None), Mutex::new(None));
        let shared = Arc::new(Shared { config, sandbox, process });
        Self { shared, background: Background::start("lambda") }
    }

    /// Invokes the function and waits for the end, at most for `timeout` from when it receives the event.
    pub async fn invoke(&self, event: Value, timeout: Duration) -> Invocation {
        let shared = Arc::clone(&self.shared);
        let invocation = self.background.handle().spawn(async move { shared.invoke(event, timeout).await });
        invocation.await.expect("an invocation runs to its end")
    }

    /// Invokes the function with its configured timeout.
    pub async fn run(&self, event: Value) -> Invocation {
        self.invoke(event, self.shared.config.timeout).await
    }

    /// Invokes the function with its configured timeout, from code that is not async.
    pub fn run_blocking(&self, event: Value) -> Invocation {
        let shared = Arc::clone(&self.shared);
        self.background.block_on(async move { shared.invoke(event, shared.config.timeout).await })
    }

    /// Ends the process, if there is one, so that the next invocation starts cold.
    pub fn recycle(&self) {
        self.shared.kill();
    }

    /// Returns a function that kills this function's process for the fault plan.
    pub fn killer(&self) -> Killer {
        let shared = Arc::clone(&self.shared);
        Arc::new(move || shared.kill())
    }

    /// The process id, if a process runs.
    pub fn pid(&self) -> Option<u32> {
        self.shared.process().filter(ProcessHandle::is_running).map(|process| process.pid())
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // The runtime would kill the process too, but not wait until it is dead.
        self.shared.kill();
    }
}

impl Shared {
    async fn invoke(&self, event: Value, limit: Duration) -> Invocation {
        let mut slot = self.sandbox.lock().await;
        let (mut sandbox, start) = match slot.take().filter(Sandbox::is_running) {
            Some(warm) => (warm, Ok(None)),
            None => self.start().await,
        };
        let request_id = Uuid::new_v4().to_string();
        let begun = Instant::now();
        let outcome = match &start {
            Ok(_) => {
                let event = Event { request_id: request_id.clone(), body: event, deadline: wall() + limit };
                handle(&mut sandbox, event, limit).await
            }
            Err(outcome) => outcome.clone(),
        };
        let duration = begun.elapsed();
        let logs = sandbox.settle(matches!(outcome, Outcome::Response(..) | Outcome::Error { .. })).await;
        let peak_rss_kb = sandbox.process().peak_rss_kb();
        *slot = Some(sandbox);
        let init_duration = start.ok().flatten();
        Invocation { outcome, logs, duration, init_duration, request_id, peak_rss_kb }
    }

    /// Starts a process and waits for its first request for an event. Returns the duration or the failure.
    async fn start(&self) -> (Sandbox, Result<Option<Duration>, Outcome>) {
        let begun = Instant::now();
        let mut sandbox = Sandbox::start(&self.config).await;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(sandbox.process());
        let outcome = match timeout(INIT_TIMEOUT, sandbox.next_report()).await {
            Ok(Ok(Report::Polled)) => return (sandbox, Ok(Some(begun.elapsed()))),
            Ok(Ok(Report::Ended(_, outcome) | Report::InitFailed(outcome))) => outcome,
            Ok(Err(status)) => Outcome::Crashed(status),
            Err(_) => Outcome::TimedOut,
        };
        sandbox.process().kill().await;
        (sandbox, Err(outcome))
    }

    fn process(&self) -> Option<ProcessHandle> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn kill(&self) {
        if let Some(process) = self.process() {
            process.kill_blocking();
        }
    }
}

/// Sends one event to a waiting process and waits for the result.
async fn handle(sandbox: &mut Sandbox, event: Event, limit: Duration) -> Outcome {
    let request_id = event.request_id.clone();
    sandbox.hand_out(event);
    let ending = async {
        loop {
            match sandbox.next_report().await {
                Ok(Report::Ended(id, outcome)) if id == request_id => return outcome,
                Ok(_) => {}
                Err(status) => return Outcome::Crashed(status),
            }
        }
    };
    let Ok(outcome) = timeout(limit, ending).await else {
        sandbox.process().kill().await;
        return Outcome::TimedOut;
    };
    outcome
}
