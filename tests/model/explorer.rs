//! Runs the real cycle over in-memory ports and explores every order in which its requests can be carried out.
//!
//! A request of a run waits at a gate. At each state the explorer may let any waiting request through, end any run on the
//! spot (a crash), which may leave a write on its way, or let a person write to the secret. It goes through all of them, depth first, by replaying choices from
//! the start: futures cannot be copied. Two paths that lead to the same state are followed once; a state is what the store
//! and TikTok hold, and what each run has been told so far.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    future::{Future, poll_fn},
    hash::{DefaultHasher, Hash, Hasher},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::world::World;

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The waiting request with that number of that run is carried out.
    Let { run: usize, gate: u64 },
    /// That run ends where it is.
    Crash { run: usize },
    /// That run ends, and the write with that number is on its way: it is carried out at any time after that.
    CrashBeforeWrite { run: usize, gate: u64 },
    /// A person writes to the secret.
    Person,
}

#[derive(Default)]
struct Progress {
    /// Requests that wait, by number, with the name that tells them apart.
    waiting: Vec<(u64, String)>,
    /// What the run was told, independent of the order in which parallel requests were answered.
    told: u64,
    asked: HashMap<String, u32>,
    /// Its run is over, and hears of nothing any more.
    is_over: bool,
}

/// What the gates of all runs share.
pub struct Shared {
    pub world: World,
    progress: Vec<Progress>,
    admitted: Option<u64>,
    gates: u64,
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

    /// Waits until the explorer lets this request through, then carries it out.
    pub async fn request<R: Hash>(&self, name: String, carry_out: impl FnOnce(&mut World) -> R) -> R {
        let gate = self.wait(&name);
        let mut carry_out = Some(carry_out);
        poll_fn(|_| {
            let mut shared = self.shared.borrow_mut();
            if shared.admitted != Some(gate) {
                return Poll::Pending;
            }
            shared.admitted = None;
            let result = carry_out.take().expect("a gate opens once")(&mut shared.world);
            if shared.progress[self.run].is_over {
                return Poll::Pending;
            }
            shared.progress[self.run].tell(&name, &result);
            Poll::Ready(result)
        })
        .await
    }

    fn wait(&self, name: &str) -> u64 {
        let mut shared = self.shared.borrow_mut();
        shared.gates += 1;
        let gate = shared.gates;
        shared.progress[self.run].waiting.push((gate, name.to_owned()));
        gate
    }
}

impl Progress {
    fn name(&self, gate: u64) -> &str {
        self.waiting.iter().find(|(number, _)| *number == gate).map_or("?", |(_, name)| name)
    }

    /// Writes to Secrets Manager that wait.
    fn writes(&self) -> impl Iterator<Item = u64> {
        let is_write = |name: &str| name.starts_with("put ") || name.starts_with("move ");
        self.waiting.iter().filter(move |(_, name)| is_write(name)).map(|(gate, _)| *gate)
    }

    fn tell(&mut self, name: &str, result: &impl Hash) {
        let times = self.asked.entry(name.to_owned()).or_default();
        *times += 1;
        self.told = self.told.wrapping_add(hash(&(name, *times, hash(result))));
    }
}

pub fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// What is explored.
pub struct Scenario {
    pub world: World,
    /// How many runs start together at the beginning.
    pub together: usize,
    pub crashes: u32,
    /// Whether a crash may leave a write on its way.
    pub writes_come_late: bool,
    /// How long after all others are over the next run is started.
    pub pause: Duration,
    /// Makes the run with a number; a run beyond those that start together is started when all before it are over, until
    /// one is over without having crashed.
    pub start: Rc<dyn Fn(Port) -> Task>,
    pub person: Option<fn(&mut World)>,
    /// Looks at the world after each step, and at the end.
    pub at_each_step: fn(&World),
    pub at_the_end: fn(&World),
}

/// What an exploration covered.
#[derive(Debug, Default)]
pub struct Coverage {
    pub states: usize,
    pub paths: usize,
    pub ends: usize,
}

struct Path<'a> {
    scenario: &'a Scenario,
    shared: Rc<RefCell<Shared>>,
    tasks: Vec<Option<Task>>,
    crashed: Vec<bool>,
    crashes_left: u32,
    person_left: bool,
}

impl<'a> Path<'a> {
    fn begin(scenario: &'a Scenario) -> Self {
        let shared = Shared { world: scenario.world.clone(), progress: Vec::new(), admitted: None, gates: 0 };
        let mut path = Self {
            scenario,
            shared: Rc::new(RefCell::new(shared)),
            tasks: Vec::new(),
            crashed: Vec::new(),
            crashes_left: scenario.crashes,
            person_left: scenario.person.is_some(),
        };
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

    fn choices(&mut self) -> Vec<Choice> {
        let over = self.tasks.iter().zip(&self.crashed).all(|(task, crashed)| task.is_none() || *crashed);
        let last_came_to_its_end = self.tasks.len() > self.scenario.together && self.crashed.last() == Some(&false);
        if over && !last_came_to_its_end {
            self.shared.borrow_mut().world.advance(self.scenario.pause);
            self.start_run();
        }
        let shared = self.shared.borrow();
        let mut choices = Vec::new();
        for (run, _) in self.tasks.iter().enumerate().filter(|(_, task)| task.is_some()) {
            choices.extend(shared.progress[run].waiting.iter().map(|(gate, _)| Choice::Let { run, gate: *gate }));
            if self.crashes_left > 0 && !self.crashed[run] {
                choices.push(Choice::Crash { run });
                let late = shared.progress[run].writes().filter(|_| self.scenario.writes_come_late);
                choices.extend(late.map(|gate| Choice::CrashBeforeWrite { run, gate }));
            }
        }
        if self.person_left && !choices.is_empty() {
            choices.push(Choice::Person);
        }
        choices
    }

    fn take(&mut self, choice: Choice) {
        match choice {
            Choice::Let { run, gate } => {
                let mut shared = self.shared.borrow_mut();
                shared.admitted = Some(gate);
                shared.progress[run].waiting.retain(|(waiting, _)| *waiting != gate);
                drop(shared);
                self.poll(run);
                if self.crashed[run] {
                    self.tasks[run] = None;
                }
            }
            Choice::Crash { run } => {
                self.tasks[run] = None;
                self.crash(run);
            }
            Choice::CrashBeforeWrite { run, gate } => {
                self.shared.borrow_mut().progress[run].waiting.retain(|(waiting, _)| *waiting == gate);
                self.crash(run);
            }
            Choice::Person => {
                self.person_left = false;
                self.scenario.person.expect("a person takes part")(&mut self.shared.borrow_mut().world);
            }
        }
        (self.scenario.at_each_step)(&self.shared.borrow().world);
    }

    fn crash(&mut self, run: usize) {
        self.crashed[run] = true;
        self.crashes_left -= 1;
        let mut shared = self.shared.borrow_mut();
        shared.progress[run].is_over = true;
        shared.world.crashed(run);
    }

    fn state(&self) -> u64 {
        let shared = self.shared.borrow();
        let mut hasher = DefaultHasher::new();
        shared.world.hash(&mut hasher);
        for (progress, (task, crashed)) in shared.progress.iter().zip(self.tasks.iter().zip(&self.crashed)) {
            (progress.told, task.is_some(), crashed).hash(&mut hasher);
            let late = progress.waiting.iter().filter(|_| *crashed && task.is_some());
            late.for_each(|(_, name)| name.hash(&mut hasher));
        }
        (self.crashes_left, self.person_left).hash(&mut hasher);
        hasher.finish()
    }
}

/// The world that one run of a scenario leaves behind if nobody disturbs it.
pub fn after_one_run(scenario: Scenario) -> World {
    let scenario = Scenario { together: 1, crashes: 0, person: None, ..scenario };
    let mut path = Path::begin(&scenario);
    while path.tasks[0].is_some() {
        let choice = path.choices()[0];
        path.take(choice);
    }
    path.shared.borrow().world.clone()
}

/// Explores a scenario completely. A violated promise panics with the path that leads to it.
pub fn explore(scenario: &Scenario) -> Coverage {
    let mut coverage = Coverage::default();
    let mut seen = HashSet::new();
    // The choice taken at each depth, as an index into what was possible there.
    let mut prefix: Vec<usize> = Vec::new();
    loop {
        let mut widths = Vec::new();
        walk(scenario, &mut prefix, &mut widths, &mut seen, &mut coverage);
        coverage.paths += 1;
        while let (Some(choice), Some(width)) = (prefix.pop(), widths.pop()) {
            if choice + 1 < width {
                prefix.push(choice + 1);
                break;
            }
        }
        if prefix.is_empty() {
            return coverage;
        }
    }
}

fn walk(
    scenario: &Scenario,
    prefix: &mut Vec<usize>,
    widths: &mut Vec<usize>,
    seen: &mut HashSet<u64>,
    coverage: &mut Coverage,
) {
    let mut path = Path::begin(scenario);
    let told = Told::default();
    let replayed = prefix.len();
    let mut depth = 0;
    loop {
        let choices = path.choices();
        if choices.is_empty() {
            (scenario.at_the_end)(&path.shared.borrow().world);
            coverage.ends += 1;
            return;
        }
        if depth == prefix.len() {
            prefix.push(0);
        }
        widths.push(choices.len());
        let choice = choices[prefix[depth]];
        told.note(&path, choice);
        path.take(choice);
        depth += 1;
        // The last choice of the prefix is new, and so is everything after it.
        if depth >= replayed && !seen.insert(path.state()) {
            return;
        }
        coverage.states = seen.len();
        assert!(depth < 500, "a run does not come to an end");
    }
}

/// Tells, when a promise is broken, how it came to that.
#[derive(Default)]
struct Told(RefCell<Vec<String>>);

impl Told {
    fn note(&self, path: &Path<'_>, choice: Choice) {
        let shared = path.shared.borrow();
        let line = match choice {
            Choice::Let { run, gate } => format!("run {run}: {}", shared.progress[run].name(gate)),
            Choice::Crash { run } => format!("run {run} crashes"),
            Choice::CrashBeforeWrite { run, gate } => {
                format!("run {run} crashes, and on its way is: {}", shared.progress[run].name(gate))
            }
            Choice::Person => "a person writes".to_owned(),
        };
        self.0.borrow_mut().push(line);
    }
}

#[allow(clippy::print_stderr, reason = "the path is what a broken promise needs beside its sentence")]
impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the path that breaks the promise:\n  {}", self.0.borrow().join("\n  "));
        }
    }
}
