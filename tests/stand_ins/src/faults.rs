//! The fault plan: it says which request gets which fault. Both servers pass every request through one [`Faults`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::journal::{Ending, Entry, Journal, Service};
use super::wire::Answer;

/// An action between two requests.
pub type Action = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Changes an answer before it is sent.
pub type Reshape = Arc<dyn Fn(Answer) -> Answer + Send + Sync>;

/// Creates an answer from a request.
pub type AnswerFrom = Arc<dyn Fn(&Value) -> Answer + Send + Sync>;

/// Kills the function's process and returns when it is dead.
pub type Killer = Arc<dyn Fn() + Send + Sync>;

/// A fault: it replaces, precedes or follows the normal handling of a request.
///
/// "Applied" means that the server carries the request out. Otherwise its state does not change.
#[derive(Clone)]
pub enum Fault {
    /// Answered with this, not applied.
    Answer(Answer),
    /// Applied, then answered with this.
    AnswerAfterApplying(Answer),
    /// Held back this long before it takes its normal course.
    Delay(Duration),
    /// Not applied and never answered, the connection stays open.
    Hang,
    /// Applied and never answered, the connection stays open.
    HangAfter,
    /// The connection is closed, nothing applied.
    DropBefore,
    /// Applied, then the connection is closed without an answer.
    DropAfter,
    /// The connection is reset (RST), nothing applied.
    ResetBefore,
    /// Applied, then the connection is reset (RST) without an answer.
    ResetAfter,
    /// Applied; half of the body is sent, then the connection closes, although the content length promised all of it.
    TruncatedBody,
    /// Applied; the headers come at once, the body in small pieces over this time.
    SlowBody(Duration),
    /// Not applied; answered with a JSON string that goes on for this many bytes, without a content length.
    HugeBody(u64),
    /// Not applied; status 200 and the right content type around bytes that are neither JSON nor UTF-8.
    Garbage,
    /// Applied and rightly answered, but the content length promises more, and the connection closes behind the body.
    OverlongLength,
    /// The same, but the connection stays open.
    OverlongLengthHeld,
    /// Applied and rightly answered in chunks, but the last one never comes, and the connection stays open.
    EndlessChunks,
    /// Applied; what is answered goes through a function before it is sent.
    Reshaped(Reshape),
    /// Not applied; answered with what a function makes of the request's JSON. Secrets Manager alone does so.
    AnsweredFrom(AnswerFrom),
    /// Applied and rightly answered, but as `text/html`.
    WrongContentType,
    /// The function is killed, the connection closed, nothing applied.
    KillBefore,
    /// Applied, then the function is killed and the connection closed.
    KillAfter,
    /// The action runs first, then the request takes its normal course.
    RunBefore(Action),
    /// Applied, then the action runs, then the answer is sent.
    RunAfter(Action),
}

impl Fault {
    /// A made-up answer; the request is not applied.
    pub fn answer(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::Answer(Answer::new(status, content_type, body))
    }

    /// An error of AWS by the name of its exception; the request is not applied.
    pub fn aws_error(status: u16, exception: &str, message: &str) -> Self {
        let body = json!({ "__type": exception, "message": message }).to_string();
        Self::answer(status, "application/x-amz-json-1.1", body)
    }

    /// An error of TikTok: HTTP 200 with a code; the request is not applied.
    pub fn tiktok(code: u32, message: &str) -> Self {
        let body = json!({ "code": code, "message": message, "request_id": "stand-in-fault", "data": {} });
        Self::answer(200, "application/json", body.to_string())
    }

    /// An action right before the request is applied: a person edits the secret.
    pub fn run_before<F>(action: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::RunBefore(Arc::new(move || Box::pin(action())))
    }

    /// An action right after the request is applied and before its answer is sent.
    pub fn run_after<F>(action: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::RunAfter(Arc::new(move || Box::pin(action())))
    }

    /// Another form of the right answer to a request that is applied.
    pub fn reshaped(reshape: impl Fn(Answer) -> Answer + Send + Sync + 'static) -> Self {
        Self::Reshaped(Arc::new(reshape))
    }

    /// Another body in the right answer to a request that is applied.
    pub fn rewritten(rewrite: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::reshaped(move |answer| {
            let body = rewrite(std::str::from_utf8(&answer.body).expect("an answer is JSON")).into();
            Answer { body, ..answer }
        })
    }

    /// An answer that repeats what was sent.
    pub fn answered_from(answer: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Self {
        Self::AnsweredFrom(Arc::new(answer))
    }

    /// The same made-up answer for a request that *is* applied; other faults stay as they are.
    #[must_use]
    pub fn after_applying(self) -> Self {
        match self {
            Self::Answer(answer) => Self::AnswerAfterApplying(answer),
            other => other,
        }
    }

    /// The name in the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Answer(_) => "Answer",
            Self::AnswerAfterApplying(_) => "AnswerAfterApplying",
            Self::Delay(_) => "Delay",
            Self::Hang => "Hang",
            Self::HangAfter => "HangAfter",
            Self::DropBefore => "DropBefore",
            Self::DropAfter => "DropAfter",
            Self::ResetBefore => "ResetBefore",
            Self::ResetAfter => "ResetAfter",
            Self::TruncatedBody => "TruncatedBody",
            Self::SlowBody(_) => "SlowBody",
            Self::HugeBody(_) => "HugeBody",
            Self::Garbage => "Garbage",
            Self::OverlongLength => "OverlongLength",
            Self::OverlongLengthHeld => "OverlongLengthHeld",
            Self::EndlessChunks => "EndlessChunks",
            Self::Reshaped(_) => "Reshaped",
            Self::AnsweredFrom(_) => "AnsweredFrom",
            Self::WrongContentType => "WrongContentType",
            Self::KillBefore => "KillBefore",
            Self::KillAfter => "KillAfter",
            Self::RunBefore(_) => "RunBefore",
            Self::RunAfter(_) => "RunAfter",
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The requests that a rule is for. Counting starts when the rule is set.
#[derive(Clone, Debug)]
pub struct When {
    ordinal: Option<u64>,
    operation: Option<String>,
    details: Vec<String>,
    is_unlabeled: bool,
    caller: Option<String>,
    first: u64,
    times: u64,
}

impl When {
    /// The next request of any kind.
    pub fn any() -> Self {
        let (ordinal, operation, caller) = (None, None, None);
        Self { ordinal, operation, details: Vec::new(), is_unlabeled: false, caller, first: 1, times: 1 }
    }

    /// The k-th request overall, both servers counted together from the last reset.
    pub fn request(k: u64) -> Self {
        Self { ordinal: Some(k), ..Self::any() }
    }

    /// The next request of this operation: `PutSecretValue`, `oauth2/refresh_token`.
    pub fn operation(operation: &str) -> Self {
        Self { operation: Some(operation.to_owned()), ..Self::any() }
    }

    /// Only requests whose detail contains this: a label, a version id, part of the secret's name. Said twice, both.
    #[must_use]
    pub fn detail(mut self, part: &str) -> Self {
        self.details.push(part.to_owned());
        self
    }

    /// Only requests that name no label: a version is read by its id.
    #[must_use]
    pub fn unlabeled(mut self) -> Self {
        self.is_unlabeled = true;
        self
    }

    /// Only requests signed with this access key id (Secrets Manager alone has one).
    #[must_use]
    pub fn caller(mut self, access_key_id: &str) -> Self {
        self.caller = Some(access_key_id.to_owned());
        self
    }

    /// Not before the n-th request that fits, the first being 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.first = n;
        self
    }

    /// For `n` requests that fit instead of one.
    #[must_use]
    pub fn times(mut self, n: u64) -> Self {
        self.times = n;
        self
    }

    /// For every request that fits.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    fn fits(&self, entry: &Entry) -> bool {
        self.ordinal.is_none_or(|ordinal| ordinal == entry.ordinal)
            && self.operation.as_ref().is_none_or(|operation| *operation == entry.operation)
            && self.details.iter().all(|part| entry.detail.contains(part.as_str()))
            && !(self.is_unlabeled && entry.label().is_some())
            && self.caller.as_ref().is_none_or(|caller| *caller == entry.caller)
    }
}

struct Rule {
    when: When,
    fault: Fault,
    seen: u64,
    fired: u64,
}

impl Rule {
    /// Counts `entry` if it fits. Returns true if the rule is for it.
    fn is_due(&mut self, entry: &Entry) -> bool {
        let fits = self.when.fits(entry);
        self.seen += u64::from(fits);
        fits && self.seen >= self.when.first && self.fired < self.when.times
    }
}

/// The fault plan and the journal. Clones share both.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<State>>);

struct State {
    rules: Vec<Rule>,
    journal: Vec<Entry>,
    // The number of the last reset. A request from before the reset does not write into a new entry.
    epoch: u64,
    started: Instant,
    killer: Option<Killer>,
}

impl Default for Faults {
    fn default() -> Self {
        let state = State { rules: Vec::new(), journal: Vec::new(), epoch: 0, started: Instant::now(), killer: None };
        Self(Arc::new(Mutex::new(state)))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("rules", &self.state().rules.len()).finish_non_exhaustive()
    }
}

impl Faults {
    /// An empty plan.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule. Where several are due for a request, the oldest wins and the others only count it.
    pub fn at(&self, when: When, fault: Fault) {
        self.state().rules.push(Rule { when, fault, seen: 0, fired: 0 });
    }

    /// Forgets every rule.
    pub fn clear(&self) {
        self.state().rules.clear();
    }

    /// Empties the journal and starts the ordinals at 1 again. Rules stay.
    pub fn reset(&self) {
        let mut state = self.state();
        state.journal.clear();
        state.epoch += 1;
        state.started = Instant::now();
    }

    /// Returns the number of rules that have not fired; a rule for every request counts until it fired once. A test
    /// that ends with unfired rules has not tested its promise.
    pub fn unfired(&self) -> usize {
        let needed = |rule: &Rule| if rule.when.times == u64::MAX { 1 } else { rule.when.times };
        self.state().rules.iter().filter(|rule| rule.fired < needed(rule)).count()
    }

    /// Returns the requests since the last reset.
    pub fn journal(&self) -> Journal {
        Journal(self.state().journal.clone())
    }

    /// Names the process that `KillBefore` and `KillAfter` kill: one at a time, the last one named.
    pub fn set_killer(&self, killer: Killer) {
        self.state().killer = Some(killer);
    }

    /// Starts a request: numbers it, records it and looks up its fault.
    pub(super) fn enter(&self, request: Arrival) -> Call {
        let mut state = self.state();
        let mut entry = request.into_entry(state.journal.len() as u64 + 1, state.started.elapsed());
        // Every rule must see the request, hence no early end.
        let mut due = None;
        for rule in &mut state.rules {
            if rule.is_due(&entry) && due.is_none() {
                rule.fired += 1;
                due = Some(rule.fault.clone());
            }
        }
        entry.fault = due.as_ref().map(Fault::name);
        let call = Call { faults: self.clone(), epoch: state.epoch, index: state.journal.len(), fault: due };
        state.journal.push(entry);
        call
    }

    fn kill(&self) {
        let killer = self.state().killer.clone();
        // Without the lock: the killer waits for the process to be dead.
        killer.expect("a fault that kills needs Faults::set_killer")();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panicking test must not turn every other assertion into a poisoned lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The data of a request at its arrival.
pub(super) struct Arrival {
    pub service: Service,
    pub operation: String,
    pub detail: String,
    pub caller: String,
    pub connection: u64,
}

impl Arrival {
    fn into_entry(self, ordinal: u64, at: Duration) -> Entry {
        let Self { service, operation, detail, caller, connection } = self;
        let (fault, applied, ending, code) = (None, false, Ending::Open, None);
        Entry { ordinal, service, operation, detail, caller, connection, at, fault, applied, ending, code }
    }
}

/// A request in progress, with its fault and its entry in the journal.
pub(super) struct Call {
    faults: Faults,
    epoch: u64,
    index: usize,
    fault: Option<Fault>,
}

impl Call {
    /// The fault that the plan has for this request.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.clone()
    }

    /// Notes that the request was carried out.
    pub fn applied(&self) {
        self.note(|entry| entry.applied = true);
    }

    /// Notes the answer that is about to be sent.
    pub fn answered(&self, status: u16, code: Option<String>) {
        self.note(|entry| (entry.ending, entry.code) = (Ending::Status(status), code));
    }

    /// Notes that the connection is about to be cut.
    pub fn dropped(&self) {
        self.note(|entry| entry.ending = Ending::Dropped);
    }

    /// Kills the function and notes it.
    pub fn kill(&self) {
        self.note(|entry| entry.ending = Ending::Killed);
        self.faults.kill();
    }

    fn note(&self, change: impl FnOnce(&mut Entry)) {
        let mut state = self.faults.state();
        if state.epoch == self.epoch {
            change(&mut state.journal[self.index]);
        }
    }
}
