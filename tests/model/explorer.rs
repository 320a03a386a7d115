//! Runs the real refresh over in-memory ports and explores every order in which its requests can be carried out.
//!
//! A request of a run waits at a gate, and so does a run that sleeps. At each state the explorer may let any of them
//! through, lose an answer so that the time limit fires, show a read what there was a moment ago, end any run on the spot (a
//! crash), which may leave a write on its way, let time pass, or let a person write to the secret. It goes through all of
//! them, depth first, by replaying choices from the start: futures cannot be copied. Two paths that lead to the same state are followed once; a state is what the store
//! and TikTok hold, and what each run has been told so far.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    future::{Future, poll_fn},
    hash::{DefaultHasher, Hash, Hasher},
    mem,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use stand_ins::secrets_manager::SecretsManager;

use super::world::{self, Past, World};

/// A step that may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The waiting request with that number of that run is carried out and answered; a sleeping run wakes.
    Let { run: usize, gate: u64 },
    /// The same read is answered as of before some of the latest writes.
    Lag { run: usize, gate: u64, view: View },
    /// The request is carried out, and its connection breaks before the answer.
    Reset { run: usize, gate: u64 },
    /// The request is carried out, and the run waits for the answer until its time limit.
    Lose { run: usize, gate: u64 },
    /// The run waits until its time limit, and the request is carried out at any time after that.
    Delay { run: usize, gate: u64 },
    /// That run ends where it is.
    Crash { run: usize },
    /// That run ends, and the write with that number is on its way: it is carried out at any time after that.
    CrashBeforeWrite { run: usize, gate: u64 },
    /// A request that was on its way arrives.
    Arrive { late: usize },
    /// Time passes while TikTok has a request that works once.
    Stall,
    /// A person writes to the secret.
    Person,
}

/// The state that a lagging read shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// The state that the last lagging read of the run has shown.
    Same,
    /// The state before one of the latest writes.
    Before(usize),
}

/// The kind of a request, as far as that decides what can happen to it.
#[derive(Clone, Debug)]
pub enum Sort {
    Read {
        id: Option<String>,
        label: Option<&'static str>,
    },
    Write,
    /// It sends something that works once.
    Spend,
    Check,
    Sleep,
}

/// The answer of a request, as its run hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    TheAnswer,
    ABrokenConnection,
    Nothing,
}

/// The number of reads of a run that lag before it sees the present. Requests take no time here, so a second alone would not
/// end that.
const LAGGING_READS: u32 = 3;

/// The greatest number of writes that these reads miss.
const LAGGING_WRITES: usize = 2;

/// The time that a run reserves for the stage while it waits for TikTok.
const TIME_TO_STAGE: SignedDuration = SignedDuration::from_secs(5);

type CarryOut = Box<dyn FnOnce(&mut World, Hears) -> u64>;

/// A request that is not carried out yet.
struct Waiting {
    gate: u64,
    /// Tells it apart from other requests.
    name: Rc<str>,
    sort: Sort,
    /// Returns the hash of its result.
    carry_out: CarryOut,
}

#[derive(Default)]
struct Progress {
    waiting: Vec<Waiting>,
    /// The hash of the answers that the run got, independent of the order in which parallel requests were answered.
    told: u64,
    asked: HashMap<u64, u32>,
    /// When Lambda ends the invocation, by the run's own clock.
    deadline: Option<Timestamp>,
    /// The state that lagging reads show, and the time until which they may.
    view: Option<Past>,
    /// The number of reads that may still lag.
    lagging_reads: u32,
}

/// The state that the gates of all runs share.
pub struct Shared {
    pub world: World,
    progress: Vec<Progress>,
    own_time: bool,
    /// True if it makes a difference when a run was told something. What a run writes has its times in it, and where runs
    /// differ by seconds nothing else does.
    tells_times: bool,
    /// The time by which each run's clock is ahead of the world's.
    clocks: &'static [SignedDuration],
    /// The request whose time limit is over, and what is left to its run at least then.
    timed_out: Option<(u64, SignedDuration)>,
    gates: u64,
    /// The requests that are on their way although their runs have given them up.
    late: Vec<(usize, Waiting)>,
}

/// A run's way to the world.
#[derive(Clone)]
pub struct Port {
    shared: Rc<RefCell<Shared>>,
    pub run: usize,
}

impl Port {
    pub fn world<R>(&self, look: impl FnOnce(&mut World) -> R) -> R {
        look(&mut self.shared.borrow_mut().world)
    }

    /// The time by the run's own clock.
    pub fn time(&self) -> Timestamp {
        let shared = self.shared.borrow();
        shared.world.now + shared.clock(self.run)
    }

    /// Waits until that time.
    pub async fn wake_at(&self, time: Timestamp) {
        if self.shared.borrow().own_time {
            self.request("wake".to_owned(), Sort::Sleep, move |world| world.reach(time), || ()).await;
        } else {
            self.world(|world| world.reach(time));
        }
    }

    /// Lambda ends the run so long after this moment, whatever it is doing.
    pub fn deadline(&self, after: Duration) -> Timestamp {
        let deadline = self.time() + after;
        self.shared.borrow_mut().progress[self.run].deadline = Some(deadline);
        deadline
    }

    /// Waits until the explorer lets this request through, then carries it out. `reset` is what the run is told when the
    /// connection breaks.
    pub async fn request<R: Hash + 'static>(
        &self,
        name: String,
        sort: Sort,
        carry_out: impl FnOnce(&mut World) -> R + 'static,
        reset: impl FnOnce() -> R + 'static,
    ) -> R {
        let slot = Rc::new(RefCell::new(None));
        let answer = Rc::clone(&slot);
        let carry_out = Box::new(move |world: &mut World, hears| {
            let result = match hears {
                Hears::ABrokenConnection => {
                    carry_out(world);
                    reset()
                }
                Hears::TheAnswer | Hears::Nothing => carry_out(world),
            };
            let told = hash(&result);
            answer.replace(Some(result).filter(|_| hears != Hears::Nothing));
            told
        });
        self.wait(name, sort, carry_out);
        poll_fn(|_| slot.borrow_mut().take().map_or(Poll::Pending, Poll::Ready)).await
    }

    fn wait(&self, name: String, sort: Sort, carry_out: CarryOut) {
        let mut shared = self.shared.borrow_mut();
        shared.gates += 1;
        let gate = shared.gates;
        shared.progress[self.run].waiting.push(Waiting { gate, name: name.into(), sort, carry_out });
    }

    /// Waits for a request, or until the explorer says that this took too long.
    pub async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let ends = self.world(|world| world.now) + limit;
        let mut gate = None;
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            let mut shared = self.shared.borrow_mut();
            // An attempt is one request, and its first poll has opened that one's gate.
            let gate = *gate.get_or_insert(shared.gates);
            let Some((_, leaves)) = shared.timed_out.take_if(|(timed_out, _)| *timed_out == gate) else {
                return Poll::Pending;
            };
            shared.world.reach(ends);
            let time = shared.world.now + shared.clock(self.run);
            let is_patient =
                shared.progress[self.run].deadline.is_none_or(|deadline| deadline.duration_since(time) <= leaves);
            assert!(is_patient, "what TikTok takes once is waited for as long as there is time");
            Poll::Ready(None)
        })
        .await
    }
}

impl Shared {
    fn clock(&self, run: usize) -> SignedDuration {
        self.clocks.get(run).copied().unwrap_or_default()
    }

    fn take_waiting(&mut self, run: usize, gate: u64) -> Waiting {
        let waiting = &mut self.progress[run].waiting;
        let place = waiting.iter().position(|waiting| waiting.gate == gate).expect("a request that waits");
        waiting.remove(place)
    }

    /// The time limit of a request fires at the next poll of its run.
    fn time_out(&mut self, run: usize, gate: u64) {
        let is_spend = self.progress[run].find(gate).is_some_and(|waiting| matches!(waiting.sort, Sort::Spend));
        self.timed_out = Some((gate, if is_spend { TIME_TO_STAGE } else { SignedDuration::MAX }));
    }

    fn tell(&mut self, run: usize, name: &str, heard: u64) {
        let now = self.tells_times.then_some(self.world.now);
        let progress = &mut self.progress[run];
        let times = progress.asked.entry(hash(name)).or_default();
        *times += 1;
        progress.told = progress.told.wrapping_add(hash(&(name, *times, heard, now)));
    }

    /// Returns the states that lagging reads of a run may show in addition to the present one.
    fn views(&self, run: usize, sort: &Sort, lags_left: u32) -> Vec<View> {
        let Sort::Read { id, label } = sort else { return Vec::new() };
        let world = &self.world;
        if !world.keeps_past {
            return Vec::new();
        }
        let answer = |secrets: &SecretsManager| hash(&world::read(secrets, id.as_deref(), *label));
        let mut answers = vec![answer(&world.secrets)];
        let mut is_new = |past: &Past| {
            let answer = answer(&past.secrets);
            let is_new = world.is_recent(past) && !answers.contains(&answer);
            answers.push(answer);
            is_new
        };
        let progress = &self.progress[run];
        if let Some(view) = progress.view.as_ref().filter(|view| world.is_recent(view)) {
            return Some(View::Same).filter(|_| progress.lagging_reads > 0 && is_new(view)).into_iter().collect();
        }
        let past = world.past.iter().enumerate().rev().take(LAGGING_WRITES).filter(|_| lags_left > 0);
        past.filter(|(_, past)| is_new(past)).map(|(place, _)| View::Before(place)).collect()
    }
}

impl Progress {
    fn find(&self, gate: u64) -> Option<&Waiting> {
        self.waiting.iter().find(|waiting| waiting.gate == gate)
    }
}

pub fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A scenario that is explored.
pub struct Scenario {
    pub world: World,
    /// The number of runs that start together at the beginning.
    pub together: usize,
    pub crashes: u32,
    /// True if a crash may leave a write on its way.
    pub writes_come_late: bool,
    /// The number of requests that may get no answer.
    pub unanswered: u32,
    /// The number of times that the reads of a run may lag for a second.
    pub lags: u32,
    /// The number of runs that lags and missing answers may happen to: the first ones.
    pub troubled: usize,
    /// The time that TikTok may take for a request that works once, one time.
    pub stall: Option<Duration>,
    /// True if other runs may do something while one sleeps.
    pub own_time: bool,
    /// The time by which the clock of each run is ahead.
    pub clocks: &'static [SignedDuration],
    /// The time between the end of all other runs and the start of the next run.
    pub pause: Duration,
    /// Makes the run with a number; a run beyond those that start together is started when all before it are over, until
    /// one is over without having crashed.
    pub start: Rc<dyn Fn(Port) -> Task>,
    pub person: Option<fn(&mut World)>,
    /// Looks at the world after each step, and at the end.
    pub at_each_step: fn(&World),
    pub at_the_end: fn(&World),
}

/// The extent of an exploration.
#[derive(Debug, Default)]
pub struct Coverage {
    pub states: usize,
    pub paths: usize,
    pub ends: usize,
}

/// The events that may still happen.
#[derive(Clone, Copy, Hash)]
struct Left {
    crashes: u32,
    unanswered: u32,
    lags: u32,
    stall: bool,
    person: bool,
}

struct Path<'a> {
    scenario: &'a Scenario,
    shared: Rc<RefCell<Shared>>,
    tasks: Vec<Option<Task>>,
    crashed: Vec<bool>,
    left: Left,
}

impl<'a> Path<'a> {
    fn begin(scenario: &'a Scenario) -> Self {
        let mut world = scenario.world.clone();
        world.keeps_past = scenario.lags > 0;
        let shared = Shared {
            world,
            progress: Vec::new(),
            own_time: scenario.own_time,
            tells_times: scenario.own_time || scenario.unanswered > 0 || scenario.stall.is_some(),
            clocks: scenario.clocks,
            timed_out: None,
            gates: 0,
            late: Vec::new(),
        };
        let left = Left {
            crashes: scenario.crashes,
            unanswered: scenario.unanswered,
            lags: scenario.lags,
            stall: scenario.stall.is_some(),
            person: scenario.person.is_some(),
        };
        let shared = Rc::new(RefCell::new(shared));
        let mut path = Self { scenario, shared, tasks: Vec::new(), crashed: Vec::new(), left };
        (0..scenario.together).for_each(|_| path.start_run());
        path
    }

    fn start_run(&mut self) {
        let run = self.tasks.len();
        self.shared.borrow_mut().progress.push(Progress::default());
        let port = Port { shared: Rc::clone(&self.shared), run };
        self.tasks.push(Some((self.scenario.start)(port)));
        self.crashed.push(false);
        self.poll(run);
    }

    fn poll(&mut self, run: usize) {
        let Some(task) = self.tasks[run].as_mut() else { return };
        if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            self.tasks[run] = None;
        }
    }

    /// Starts another run where all before it are over.
    fn start_next_run(&mut self) {
        let is_over = self.tasks.iter().all(Option::is_none);
        let last_came_to_its_end = self.tasks.len() > self.scenario.together && self.crashed.last() == Some(&false);
        if is_over && !last_came_to_its_end {
            self.shared.borrow_mut().world.advance(self.scenario.pause);
            self.start_run();
        }
    }

    fn choices(&self) -> Vec<Choice> {
        let shared = self.shared.borrow();
        let mut choices = Vec::new();
        for (run, _) in self.tasks.iter().enumerate().filter(|(_, task)| task.is_some()) {
            let waiting = &shared.progress[run].waiting;
            choices.extend(waiting.iter().map(|waiting| Choice::Let { run, gate: waiting.gate }));
            for waiting in waiting {
                self.troubles(&shared, run, waiting, &mut choices);
            }
            if self.left.crashes > 0 {
                choices.push(Choice::Crash { run });
                let late = |waiting: &&Waiting| self.scenario.writes_come_late && matches!(waiting.sort, Sort::Write);
                let late = waiting.iter().filter(late);
                choices.extend(late.map(|waiting| Choice::CrashBeforeWrite { run, gate: waiting.gate }));
            }
        }
        choices.extend((0..shared.late.len()).map(|late| Choice::Arrive { late }));
        if self.left.person && !choices.is_empty() {
            choices.push(Choice::Person);
        }
        let is_sent = |progress: &Progress| progress.waiting.iter().any(|waiting| matches!(waiting.sort, Sort::Spend));
        if self.left.stall && shared.progress.iter().any(is_sent) {
            choices.push(Choice::Stall);
        }
        choices
    }

    /// Adds the faults that can happen to a request of a run that goes on.
    fn troubles(&self, shared: &Shared, run: usize, waiting: &Waiting, choices: &mut Vec<Choice>) {
        if run >= self.scenario.troubled {
            return;
        }
        let gate = waiting.gate;
        let views = shared.views(run, &waiting.sort, self.left.lags).into_iter();
        choices.extend(views.map(|view| Choice::Lag { run, gate, view }));
        if self.left.unanswered == 0 {
            return;
        }
        match waiting.sort {
            Sort::Read { .. } | Sort::Sleep => {}
            Sort::Check => choices.push(Choice::Lose { run, gate }),
            Sort::Write => choices.extend([Choice::Lose { run, gate }, Choice::Delay { run, gate }]),
            Sort::Spend => {
                choices.extend([Choice::Reset { run, gate }, Choice::Lose { run, gate }, Choice::Delay { run, gate }]);
            }
        }
    }

    fn take(&mut self, choice: Choice) {
        match choice {
            Choice::Let { run, gate } => self.carry_out(run, gate, Hears::TheAnswer),
            Choice::Lag { run, gate, view } => self.lag_read(run, gate, view),
            Choice::Reset { run, gate } => {
                self.left.unanswered -= 1;
                self.carry_out(run, gate, Hears::ABrokenConnection);
            }
            Choice::Lose { run, gate } => {
                self.left.unanswered -= 1;
                self.shared.borrow_mut().time_out(run, gate);
                self.carry_out(run, gate, Hears::Nothing);
            }
            Choice::Delay { run, gate } => {
                self.left.unanswered -= 1;
                self.delay(run, gate);
                self.poll(run);
            }
            Choice::Crash { run } => {
                self.left.crashes -= 1;
                self.crash(run);
            }
            Choice::CrashBeforeWrite { run, gate } => {
                self.left.crashes -= 1;
                self.delay(run, gate);
                self.crash(run);
            }
            Choice::Arrive { late } => {
                let mut shared = self.shared.borrow_mut();
                let (_, waiting) = shared.late.remove(late);
                shared.world.is_late = true;
                (waiting.carry_out)(&mut shared.world, Hears::Nothing);
                shared.world.is_late = false;
            }
            Choice::Stall => {
                self.left.stall = false;
                self.shared.borrow_mut().world.advance(self.scenario.stall.expect("TikTok is slow"));
            }
            Choice::Person => {
                self.left.person = false;
                let mut shared = self.shared.borrow_mut();
                shared.world.write(self.scenario.person.expect("a person takes part"));
            }
        }
        self.end_what_is_overdue();
    }

    fn carry_out(&mut self, run: usize, gate: u64, hears: Hears) {
        let mut shared = self.shared.borrow_mut();
        let waiting = shared.take_waiting(run, gate);
        shared.world.loses_answer = hears != Hears::TheAnswer;
        let told = (waiting.carry_out)(&mut shared.world, hears);
        shared.world.loses_answer = false;
        shared.tell(run, &waiting.name, if hears == Hears::Nothing { 0 } else { told });
        drop(shared);
        self.poll(run);
    }

    /// Carries a read out on what there was before.
    fn lag_read(&mut self, run: usize, gate: u64, view: View) {
        let mut shared = self.shared.borrow_mut();
        if let View::Before(place) = view {
            self.left.lags -= 1;
            shared.progress[run].view = Some(shared.world.past[place].clone());
            shared.progress[run].lagging_reads = LAGGING_READS;
        }
        shared.progress[run].lagging_reads -= 1;
        let mut seen = SecretsManager::clone(&shared.progress[run].view.as_ref().expect("a view").secrets);
        let waiting = shared.take_waiting(run, gate);
        mem::swap(&mut shared.world.secrets, &mut seen);
        let heard = (waiting.carry_out)(&mut shared.world, Hears::TheAnswer);
        mem::swap(&mut shared.world.secrets, &mut seen);
        shared.tell(run, &waiting.name, heard);
        drop(shared);
        self.poll(run);
    }

    /// A run gives a request up that is still on its way.
    fn delay(&mut self, run: usize, gate: u64) {
        let mut shared = self.shared.borrow_mut();
        shared.time_out(run, gate);
        let waiting = shared.take_waiting(run, gate);
        shared.tell(run, &waiting.name, 1);
        shared.late.push((run, waiting));
    }

    fn crash(&mut self, run: usize) {
        self.crashed[run] = true;
        self.tasks[run] = None;
        let mut shared = self.shared.borrow_mut();
        shared.progress[run].waiting.clear();
        shared.timed_out = None;
        shared.world.crashed(run);
    }

    /// Lambda ends an invocation at its deadline.
    fn end_what_is_overdue(&mut self) {
        for run in 0..self.tasks.len() {
            let shared = self.shared.borrow();
            let now = shared.world.now + shared.clock(run);
            let is_overdue = shared.progress[run].deadline.is_some_and(|deadline| deadline <= now);
            drop(shared);
            if is_overdue && self.tasks[run].is_some() {
                self.crash(run);
            }
        }
    }

    fn state(&self) -> u64 {
        let shared = self.shared.borrow();
        let mut hasher = DefaultHasher::new();
        shared.world.hash(&mut hasher);
        for (progress, (task, crashed)) in shared.progress.iter().zip(self.tasks.iter().zip(&self.crashed)) {
            (progress.told, task.is_some(), crashed).hash(&mut hasher);
            let view = progress.view.as_ref().filter(|view| task.is_some() && shared.world.is_recent(view));
            view.map(|view| (view.at, view.hash, progress.lagging_reads)).hash(&mut hasher);
        }
        for (run, waiting) in &shared.late {
            (run, &waiting.name).hash(&mut hasher);
        }
        if self.left.lags > 0 {
            let recent = shared.world.past.iter().filter(|past| shared.world.is_recent(past));
            recent.for_each(|past| (past.at, past.hash).hash(&mut hasher));
        }
        self.left.hash(&mut hasher);
        hasher.finish()
    }
}

/// The world that one run of a scenario leaves behind if nobody disturbs it.
pub fn after_one_run(scenario: Scenario) -> World {
    let scenario = Scenario { together: 1, ..scenario };
    let mut path = Path::begin(&scenario);
    while path.tasks[0].is_some() {
        let choice = path.choices()[0];
        path.take(choice);
    }
    path.shared.borrow().world.clone()
}

/// The choices at one depth of a path, and the one that is taken.
struct Branch {
    choices: Vec<Choice>,
    taken: usize,
}

/// Explores a scenario completely. A violated promise panics with the path that leads to it.
pub fn explore(scenario: &Scenario) -> Coverage {
    let mut coverage = Coverage::default();
    let mut seen = HashSet::new();
    let mut prefix: Vec<Branch> = Vec::new();
    loop {
        walk(scenario, &mut prefix, &mut seen, &mut coverage);
        coverage.paths += 1;
        while let Some(branch) = prefix.last_mut() {
            branch.taken += 1;
            if branch.taken < branch.choices.len() {
                break;
            }
            prefix.pop();
        }
        if prefix.is_empty() {
            return coverage;
        }
    }
}

/// Takes the choices of the prefix, of which the last is new, and goes on from there to a state that was seen before, or to
/// the end.
fn walk(scenario: &Scenario, prefix: &mut Vec<Branch>, seen: &mut HashSet<u64>, coverage: &mut Coverage) {
    let mut path = Path::begin(scenario);
    let mut told = Told::default();
    let replayed = prefix.len();
    for depth in 0.. {
        assert!(depth < 500, "a run does not come to an end");
        path.start_next_run();
        if depth == prefix.len() {
            prefix.push(Branch { choices: path.choices(), taken: 0 });
        }
        let branch = &prefix[depth];
        let Some(&choice) = branch.choices.get(branch.taken) else {
            (scenario.at_the_end)(&path.shared.borrow().world);
            coverage.ends += 1;
            return;
        };
        told.note(&path, choice);
        path.take(choice);
        if depth + 1 < replayed {
            continue;
        }
        (scenario.at_each_step)(&path.shared.borrow().world);
        if !seen.insert(path.state()) {
            return;
        }
        coverage.states = seen.len();
    }
}

/// Tells, when a promise is broken, how it came to that.
#[derive(Default)]
struct Told(Vec<(Choice, Option<Named>)>);

/// A run, and the name of a request of its.
type Named = (usize, Rc<str>);

impl Told {
    fn note(&mut self, path: &Path<'_>, choice: Choice) {
        let shared = path.shared.borrow();
        let waiting = |run: usize, gate| Some((run, Rc::clone(&shared.progress[run].find(gate)?.name)));
        let request = match choice {
            Choice::Let { run, gate }
            | Choice::Lag { run, gate, .. }
            | Choice::Reset { run, gate }
            | Choice::Lose { run, gate }
            | Choice::Delay { run, gate }
            | Choice::CrashBeforeWrite { run, gate } => waiting(run, gate),
            Choice::Arrive { late } => shared.late.get(late).map(|(run, waiting)| (*run, Rc::clone(&waiting.name))),
            Choice::Crash { .. } | Choice::Stall | Choice::Person => None,
        };
        self.0.push((choice, request));
    }
}

fn line(choice: Choice, request: Option<&Named>) -> String {
    let request = request.map(|(run, name)| format!("run {run}: {name}")).unwrap_or_default();
    match choice {
        Choice::Let { .. } => request,
        Choice::Lag { view, .. } => format!("{request}, and is shown {view:?}"),
        Choice::Reset { .. } => format!("{request}, and the connection breaks"),
        Choice::Lose { .. } => format!("{request}, and the answer is lost"),
        Choice::Delay { .. } => format!("{request} is given up, and on its way"),
        Choice::Crash { run } => format!("run {run} crashes"),
        Choice::CrashBeforeWrite { .. } => format!("{request}, and the run crashes while that is on its way"),
        Choice::Arrive { .. } => format!("late, {request}"),
        Choice::Stall => "TikTok takes its time".to_owned(),
        Choice::Person => "a person writes".to_owned(),
    }
}

#[allow(clippy::print_stderr, reason = "the path is what a broken promise needs beside its sentence")]
impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines: Vec<_> = self.0.iter().map(|(choice, request)| line(*choice, request.as_ref())).collect();
            eprintln!("the path that breaks the promise:\n  {}", lines.join("\n  "));
        }
    }
}
