//! Lambda around one process: the Runtime API, the clocks, and a processor that is not there all the time.
//!
//! Unlike the tests' stand-in it reads the process's CPU clock at the very moments that divide a start from an invocation.

use std::{
    error::Error,
    fs,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use hyper::{Method, Request, Response};
use nix::{
    sys::signal::{Signal, kill},
    time::{ClockId, clock_getcpuclockid},
    unistd::Pid,
};
use stand_ins::wire::{Answer, Cut, Handler, Payload, Server};
use tokio::sync::oneshot;

/// Longer than anything takes, valgrind included.
const PATIENCE: Duration = Duration::from_mins(5);
const PATH: &str = "/2018-06-01/runtime/";

/// The program that is started for a function, and the variables that it needs in addition to Lambda's own.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    pub command: Vec<String>,
    pub variables: Vec<(String, String)>,
}

/// A stretch of a process's life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub wall: Duration,
    pub cpu: Duration,
}

/// The share of the processor that a function has while it is invoked. Its start always has all of it, as on Lambda.
#[derive(Clone, Copy, Debug)]
pub enum Processor {
    Whole,
    /// A share, handed out in periods as Linux does.
    Share(f64),
}

enum Moment {
    Polled(Instant, oneshot::Sender<Answer>),
    Ended(Instant, Result<(), String>),
}

/// A running function.
pub struct Sandbox {
    child: Child,
    moments: mpsc::Receiver<Moment>,
    next: Option<oneshot::Sender<Answer>>,
    /// Processor time up to the last poll.
    used: Duration,
    pub init: Cost,
    _api: Server,
}

impl Sandbox {
    /// Starts the process and waits until it asks for an event.
    pub fn start(bootstrap: &Bootstrap) -> Result<Self, Box<dyn Error>> {
        let (sender, moments) = mpsc::channel();
        let api = Server::start("lambda", RuntimeApi(Mutex::new(sender)));
        let started = Instant::now();
        let child = command(bootstrap, &api).spawn()?;
        let mut sandbox = Self { child, moments, next: None, used: Duration::ZERO, init: Cost::default(), _api: api };
        let polled = sandbox.wait_for_poll()?;
        let cpu = sandbox.cpu()?;
        sandbox.used = cpu;
        sandbox.init = Cost { wall: polled.duration_since(started), cpu };
        Ok(sandbox)
    }

    /// Hands the process an event and waits until it asks for the next.
    pub fn invoke(&mut self, event: &str, processor: Processor) -> Result<Cost, Box<dyn Error>> {
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH)? + PATIENCE;
        let answer = Answer::new(200, "application/json", event.to_owned())
            .with_header("lambda-runtime-aws-request-id", &uuid::Uuid::new_v4().to_string())
            .with_header("lambda-runtime-deadline-ms", &deadline.as_millis().to_string())
            .with_header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:123456789012:function:bench")
            .with_header(
                "lambda-runtime-trace-id",
                "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
            );
        let throttle = Throttle::start(self.pid(), processor)?;
        let started = Instant::now();
        let poll = self.next.take().ok_or("the function did not ask for an event")?;
        poll.send(answer).map_err(|_| "the function has gone away")?;
        let ended = match self.moment()? {
            Moment::Ended(at, outcome) => outcome.map(|()| at)?,
            Moment::Polled(..) => return Err("the function asked for another event without an answer".into()),
        };
        self.wait_for_poll()?;
        drop(throttle);
        let cpu = self.cpu()?;
        let cost = Cost { wall: ended.duration_since(started), cpu: cpu.saturating_sub(self.used) };
        self.used = cpu;
        Ok(cost)
    }

    /// The most memory that the process ever held, in kilobytes.
    pub fn peak_rss_kb(&self) -> Result<u64, Box<dyn Error>> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("Linux tells no peak")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Ends the process in a way that lets a tool around it write its results.
    pub fn terminate(mut self) -> Result<(), Box<dyn Error>> {
        kill(self.pid(), Signal::SIGTERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for the next poll or outcome of the process. Fails if the process ends before that.
    fn moment(&mut self) -> Result<Moment, Box<dyn Error>> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.moments.recv_timeout(Duration::from_millis(100)) {
                Ok(moment) => return Ok(moment),
                Err(_) if Instant::now() > until => return Err("the function takes too long".into()),
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the function has ended: {status}").into());
            }
        }
    }

    fn wait_for_poll(&mut self) -> Result<Instant, Box<dyn Error>> {
        match self.moment()? {
            Moment::Polled(at, next) => {
                self.next = Some(next);
                Ok(at)
            }
            Moment::Ended(_, outcome) => {
                Err(outcome.err().unwrap_or_else(|| "an answer without an event".into()).into())
            }
        }
    }

    /// Processor time of all threads, of those that have ended too.
    fn cpu(&self) -> Result<Duration, Box<dyn Error>> {
        cpu_time(clock_getcpuclockid(self.pid())?)
    }

    fn pid(&self) -> Pid {
        pid(&self.child)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or_default())
}

fn cpu_time(clock: ClockId) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::from(clock.now()?))
}

fn command(bootstrap: &Bootstrap, api: &Server) -> Command {
    let mut command = Command::new(&bootstrap.command[0]);
    command.args(&bootstrap.command[1..]).env_clear().envs([
        ("AWS_LAMBDA_RUNTIME_API", api.address().to_string().as_str()),
        ("AWS_LAMBDA_FUNCTION_NAME", "bench"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "ASIABENCH00000000000"),
        ("AWS_SECRET_ACCESS_KEY", "not-a-secret"),
        ("AWS_SESSION_TOKEN", "not-a-token"),
        ("LANG", "en_US.UTF-8"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
        ("TZ", ":UTC"),
    ]);
    command.envs(bootstrap.variables.iter().map(|(name, value)| (name, value)));
    // What a contestant complains of is seen; what it logs is of no interest, but has to be written.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    command
}

struct RuntimeApi(Mutex<mpsc::Sender<Moment>>);

impl RuntimeApi {
    fn tell(&self, moment: Moment) {
        // Without a listener the sandbox is gone, and the process with it.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).send(moment);
    }
}

impl Handler for RuntimeApi {
    async fn handle(&self, request: Request<Bytes>, _: u64) -> Result<Response<Payload>, Cut> {
        let at = Instant::now();
        let path = request.uri().path().strip_prefix(PATH).unwrap_or_default();
        let body = || String::from_utf8_lossy(request.body()).into_owned();
        let answer = match (request.method(), path.rsplit('/').next()) {
            (&Method::GET, Some("next")) => {
                let (sender, event) = oneshot::channel();
                self.tell(Moment::Polled(at, sender));
                event.await.map_err(|_| Cut::Close)?
            }
            (&Method::POST, Some(end)) => {
                self.tell(Moment::Ended(at, if end == "response" { Ok(()) } else { Err(body()) }));
                Answer::new(202, "application/json", r#"{"status":"OK"}"#)
            }
            _ => Answer::new(404, "application/json", "{}"),
        };
        Ok(answer.into())
    }
}

/// Gives a process its share of the processor, by stopping it whenever it has used up what a period holds.
struct Throttle {
    done: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Throttle {
    /// The period in which Lambda's hosts hand out processor time.
    const PERIOD: Duration = Duration::from_millis(20);
    /// The time between two looks. Processor time that is used beyond the share in between is taken from the next period.
    const TICK: Duration = Duration::from_micros(200);

    fn start(pid: Pid, processor: Processor) -> Result<Self, Box<dyn Error>> {
        let done = Arc::new(AtomicBool::new(false));
        let Processor::Share(share) = processor else { return Ok(Self { done, thread: None }) };
        let clock = clock_getcpuclockid(pid)?;
        let seen = Arc::clone(&done);
        let thread = thread::spawn(move || {
            // An error is the end of the process.
            let _ = throttle(pid, clock, share, &seen);
            let _ = kill(pid, Signal::SIGCONT);
        });
        Ok(Self { done, thread: Some(thread) })
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn throttle(pid: Pid, clock: ClockId, share: f64, done: &AtomicBool) -> Result<(), Box<dyn Error>> {
    let quota = Throttle::PERIOD.mul_f64(share);
    let mut debt = Duration::ZERO;
    let mut period_ends = Instant::now() + Throttle::PERIOD;
    while !done.load(Ordering::Relaxed) {
        let began = cpu_time(clock)?;
        let allowed = quota.saturating_sub(debt);
        let mut used = Duration::ZERO;
        while used < allowed && Instant::now() < period_ends && !done.load(Ordering::Relaxed) {
            thread::sleep(Throttle::TICK);
            used = cpu_time(clock)?.saturating_sub(began);
        }
        if used >= allowed {
            kill(pid, Signal::SIGSTOP)?;
            thread::sleep(period_ends.saturating_duration_since(Instant::now()));
            kill(pid, Signal::SIGCONT)?;
        }
        debt = (debt + cpu_time(clock)?.saturating_sub(began)).saturating_sub(quota);
        period_ends += Throttle::PERIOD;
    }
    Ok(())
}
