//! One process of the function with a Runtime API of its own, from its start to its end.
//!
//! Each process gets its own port, so that a poll that a dead process left behind cannot swallow the next one's event.

use std::fs;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::super::wire::{listen, serve};
use super::runtime_api::{Event, Report, RuntimeApi};
use super::{FunctionConfig, SETTLING};

#[derive(Debug)]
pub(super) struct Sandbox {
    process: ProcessHandle,
    events: mpsc::UnboundedSender<Event>,
    reports: mpsc::UnboundedReceiver<Report>,
    logs: Logs,
    readers: JoinSet<()>,
    // Dropped with the sandbox, and the API and the process with it.
    _api: JoinSet<()>,
    _monitor: JoinSet<()>,
}

impl Sandbox {
    pub async fn start(config: &FunctionConfig) -> Self {
        let (events, queue) = mpsc::unbounded_channel();
        let (reporter, reports) = mpsc::unbounded_channel();
        let listener = listen().await;
        let address = listener.local_addr().expect("a bound listener has an address");
        let mut api = JoinSet::new();
        api.spawn(serve(listener, Arc::new(RuntimeApi::new(queue, reporter))));
        let mut child = command(config, address).spawn().unwrap_or_else(|error| {
            panic!("the function's binary {} does not start: {error}", config.binary.display())
        });
        let (logs, mut readers) = (Logs::default(), JoinSet::new());
        readers.spawn(logs.clone().read(child.stdout.take().expect("stdout is piped")));
        readers.spawn(logs.clone().read(child.stderr.take().expect("stderr is piped")));
        let mut monitor = JoinSet::new();
        let process = ProcessHandle::watch(child, &mut monitor);
        Self { process, events, reports, logs, readers, _api: api, _monitor: monitor }
    }

    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    pub fn process(&self) -> ProcessHandle {
        self.process.clone()
    }

    /// Gives the process an event as soon as it asks for one.
    pub fn hand_out(&self, event: Event) {
        // A dead process takes no event. Its exit is the next report.
        let _ = self.events.send(event);
    }

    /// Returns the next report of the process, or its exit status. Reports before the exit come first.
    pub async fn next_report(&mut self) -> Result<Report, ExitStatus> {
        tokio::select! {
            biased;
            Some(report) = self.reports.recv() => Ok(report),
            status = self.process.exit() => Err(status),
        }
    }

    /// Waits until the process has written all that belongs to the invocation, and takes its lines.
    pub async fn settle(&mut self, polls_again: bool) -> Vec<String> {
        if polls_again && self.is_running() {
            let idle = async { while !matches!(self.next_report().await, Ok(Report::Polled) | Err(_)) {} };
            let _ = timeout(SETTLING, idle).await;
        }
        if self.is_running() {
            // Output from before the next request for an event is in the pipe. One pass of the reactor reads it.
            sleep(Duration::from_millis(1)).await;
        } else {
            // A grandchild may hold the pipes open, hence the limit.
            let _ = timeout(SETTLING, async { while self.readers.join_next().await.is_some() {} }).await;
        }
        self.logs.take()
    }
}

/// The environment that Lambda gives, with the test's own on top.
fn command(config: &FunctionConfig, runtime_api: SocketAddr) -> Command {
    let (runtime_api, memory) = (runtime_api.to_string(), config.memory_mb.to_string());
    let mut command = Command::new(&config.binary);
    command.env_clear().envs([
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.as_str()),
        ("AWS_LAMBDA_FUNCTION_NAME", "stand-in"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory.as_str()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/stand-in"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "ASIASTANDIN000000000"),
        ("AWS_SECRET_ACCESS_KEY", "canary-aws-secret-access-key"),
        ("AWS_SESSION_TOKEN", "canary-aws-session-token"),
        ("_HANDLER", "bootstrap"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
        ("LANG", "en_US.UTF-8"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
        ("TZ", ":UTC"),
    ]);
    command.envs(config.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// A handle to the process, which can be shared. Another task waits for the exit.
#[derive(Clone, Debug)]
pub(super) struct ProcessHandle {
    pid: u32,
    kill: Arc<Notify>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl ProcessHandle {
    fn watch(mut child: Child, tasks: &mut JoinSet<()>) -> Self {
        let kill = Arc::new(Notify::new());
        let (exited, exit) = watch::channel(None);
        let pid = child.id().expect("a child that was not waited for has an id");
        let killed = Arc::clone(&kill);
        tasks.spawn(async move {
            let status = tokio::select! {
                status = child.wait() => status,
                () = killed.notified() => {
                    // It may have ended in the meantime.
                    let _ = child.start_kill();
                    child.wait().await
                }
            };
            exited.send_replace(Some(status.expect("the end of a child can be waited for")));
        });
        Self { pid, kill, exit }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn is_running(&self) -> bool {
        // A monitor that is gone has taken its process with it.
        self.exit.borrow().is_none() && self.exit.has_changed().is_ok()
    }

    /// Waits for the end.
    pub async fn exit(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await.expect("a monitor lives as long as its sandbox");
        ended.expect("just waited for it")
    }

    /// Kills the process and waits until it is dead.
    pub async fn kill(&self) {
        self.kill.notify_one();
        self.exit().await;
    }

    /// Kills the process from another thread and returns when it is dead. A connection may only be closed after that,
    /// or the process could react to it.
    pub fn kill_blocking(&self) {
        self.kill.notify_one();
        while self.is_running() {
            thread::sleep(Duration::from_micros(100));
        }
    }

    /// Returns the peak of resident memory. Linux reports it while the process exists.
    pub fn peak_rss_kb(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }
}

/// The lines that the process wrote and the test has not read.
#[derive(Clone, Debug, Default)]
struct Logs(Arc<Mutex<Vec<String>>>);

impl Logs {
    async fn read(self, pipe: impl AsyncRead + Unpin) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        // Bytes and not `lines()`, because a line that is not UTF-8 must not end the log.
        while pipe.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            self.lines().push(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines())
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
