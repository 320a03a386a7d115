//! The life of one secret in its own world: a sequence of turns with a real process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tiktok_token_refresh::transport::Label;
use tokio::time::sleep;

use super::{
    dice::Dice,
    oracle::{Oracle, Seen},
    process::{Held, Memory},
    tally::Tally,
    turn::{Errand, Turn},
};
use crate::support::{BINARY, SHORT, refresh};
use stand_ins::{
    APP_ID, Fault, Flow, Function, GrantSpec, Invocation, When, World,
    secrets_manager::{Body, client::new_token},
    tiktok::Renewal,
};

/// The time for which others leave a secret to a run that began now: its invocation, and 10 s of grace.
const CLAIM_IS_OVER: Duration = SHORT.saturating_add(Duration::from_millis(10_500));
/// The time after which a request has arrived that was on its way to a server when the process died.
const ARRIVES: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Far fewer turns than this make a refresh.
const TURNS_A_REFRESH: usize = 10;
/// After this part of its refreshes, and not before so many, a process has come to hold what it is going to hold.
const WARM: (usize, usize) = (5, 25);
const REDIRECT_URI: &str = "https://localhost:8080";

/// A kind of grant.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    pub flow: Flow,
    pub renewal: Renewal,
    /// True if a renewal ends the access token before.
    pub old_access_token_dies: bool,
}

impl Case {
    fn grant(&self) -> GrantSpec {
        let Self { flow, renewal, old_access_token_dies, .. } = *self;
        GrantSpec { flow, renewal, old_access_token_dies, ..GrantSpec::default() }
    }

    pub const fn rotates(&self) -> bool {
        matches!(self.renewal, Renewal::Rotating { .. })
    }
}

/// The treatment of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intensity {
    /// Nothing disturbs it, so that it can go on without a pause.
    Calm,
    /// Requests fail, and it is never killed.
    Steady,
    /// It is killed and restarted, and has a scheduled time each second.
    Rough,
}

/// The person whose secret it is.
#[derive(Debug)]
struct Person {
    world: Arc<World>,
    edits: AtomicU64,
}

impl Person {
    /// The field of theirs after so many edits, to the letter: neither number survives being read as a float.
    fn field(edits: u64) -> String {
        format!(r#"{{"edits":{edits},"exact":1.10,"large":9007199254740993}}"#)
    }

    fn mine(&self) -> String {
        Self::field(self.edits.load(Ordering::SeqCst))
    }

    /// Stores what is current with a change, as AWSCURRENT. No other write comes between the two.
    fn change(&self, change: impl FnOnce(String) -> String) {
        let mut core = self.world.secrets_manager.core();
        let current = core.labeled(&self.world.secret_id, Label::Current.name()).and_then(|version| version.body);
        let body = change(current.as_ref().and_then(Body::as_str).expect("AWSCURRENT is always there").to_owned());
        core.put_secret_value(&self.world.secret_id, &new_token(), Body::from(body.as_str()), &[])
            .expect("a person may write");
    }

    fn edit(&self) {
        let edits = self.edits.fetch_add(1, Ordering::SeqCst);
        self.change(|body| body.replacen(&Self::field(edits), &Self::field(edits + 1), 1));
    }

    /// Puts the tokens of a new grant where the old ones are.
    fn paste(&self, grant: GrantSpec) {
        let issued = self.world.tiktok.core().authorize(APP_ID, grant);
        self.change(|body| {
            let old: Value = serde_json::from_str(&body).expect("AWSCURRENT is a document");
            let new = [("access_token", Some(issued.access_token)), ("refresh_token", issued.refresh_token)];
            new.into_iter().fold(body, |body, (name, token)| match (old[name].as_str(), token) {
                (Some(old), Some(new)) => body.replace(old, &new),
                _ => body,
            })
        });
    }
}

/// A secret, its function, and what is known of both.
#[derive(Debug)]
pub struct Life {
    number: usize,
    seed: u64,
    case: &'static Case,
    intensity: Intensity,
    world: Arc<World>,
    function: Function,
    person: Arc<Person>,
    oracle: Oracle,
    /// The event that did not come to a good end: Lambda repeats it.
    again: Option<Value>,
    /// Until when a run that did not come to a good end may be taken to be at work.
    busy_until: Instant,
    has_died: bool,
    turns: usize,
    /// The number of refreshes before the memory of its process counts.
    warm_after: usize,
    tally: Tally,
}

impl Life {
    pub fn begin(seed: u64, number: usize, case: &'static Case, intensity: Intensity) -> Self {
        let consent = format!("https://www.tiktok.com/v2/auth/authorize?client_key={APP_ID}&response_type=code");
        let world = Arc::new(World::with_document(case.grant(), |document| {
            document["mine"] = json!("");
            document["authorization_url"] = json!(consent);
        }));
        // The worst case: TikTok's errors repeat what it was sent.
        world.tiktok.core().echo_secrets = true;
        let person = Arc::new(Person { world: Arc::clone(&world), edits: AtomicU64::new(0) });
        person.change(|body| body.replace(r#""mine":"""#, &format!(r#""mine":{}"#, person.mine())));
        // Every other secret has its function tell as much as it can be made to.
        let level = if number.is_multiple_of(2) { "INFO" } else { "DEBUG" };
        let function = world.function_with(BINARY, &[("AWS_LAMBDA_LOG_LEVEL", level)]);
        let oracle = Oracle::of(case, &world);
        let tally = Tally::default();
        let busy_until = Instant::now();
        let (again, has_died, turns, warm_after) = (None, false, 0, 0);
        Self {
            number,
            seed,
            case,
            intensity,
            world,
            function,
            person,
            oracle,
            again,
            busy_until,
            has_died,
            turns,
            warm_after,
            tally,
        }
    }

    /// Lives until so many refreshes are done, and once more without failures.
    pub async fn live(mut self, refreshes: usize) -> Tally {
        self.warm_after = WARM.1.max(refreshes / WARM.0);
        while self.tally.refreshes < refreshes {
            assert!(self.turns < refreshes * TURNS_A_REFRESH, "{}: too many turns: {:?}", self.name(), self.tally);
            let turn = Turn::draw(Dice::of(self.seed, self.number, self.turns), self.case, self.intensity);
            self.take(turn).await;
        }
        while self.again.is_some() || self.oracle.has_unfinished_work() {
            assert!(self.turns < refreshes * TURNS_A_REFRESH, "{}: it does not come to rest", self.name());
            self.take(Turn::quiet(Errand::Slot)).await;
        }
        self.tally
    }

    async fn wait_for_the_dead(&mut self) {
        sleep(self.busy_until.saturating_duration_since(Instant::now())).await;
        self.has_died = false;
        self.tally.waits += 1;
    }

    fn name(&self) -> String {
        format!(
            "seed {}, secret {} ({}, {:?}), turn {}",
            self.seed, self.number, self.case.name, self.intensity, self.turns
        )
    }

    /// An hour passes between two turns for the failures that claims tell of: after two of them the next run waits so long.
    fn let_an_hour_pass(&self) {
        self.world.secrets_manager.core().rewrite(&self.world.secret_id, |body| {
            let mut document: Value = serde_json::from_str(body).ok()?;
            let at = document.get_mut("claim")?.get_mut("failed")?.get_mut("at")?;
            let failed: jiff::Timestamp = at.as_str()?.parse().ok()?;
            *at = json!((failed - jiff::SignedDuration::from_hours(1)).to_string());
            Some(document.to_string())
        });
    }

    async fn take(&mut self, mut turn: Turn) {
        self.turns += 1;
        self.let_an_hour_pass();
        if self.has_died && !turn.at_once {
            self.wait_for_the_dead().await;
        }
        if turn.restarts {
            self.function.recycle();
            self.tally.restarts += 1;
        }
        if turn.edits {
            self.person.edit();
        }
        if self.oracle.needs_a_person() {
            return self.authorize_anew(turn).await;
        }
        if self.oracle.has_unfinished_work() {
            turn.troubles.retain(|trouble| !trouble.lies);
        }
        match turn.errand {
            Errand::Authorize if !self.oracle.has_unfinished_work() => self.authorize(turn).await,
            _ => {
                let event = self.event(&mut turn).await;
                self.run(&turn, event).await;
            }
        }
    }

    /// The event that the function is sent. Unfinished work of an earlier run comes first: by the same event, the hourly
    /// run, or a person.
    async fn event(&mut self, turn: &mut Turn) -> Value {
        if self.oracle.has_unfinished_work() && matches!(turn.errand, Errand::Slot | Errand::Authorize) {
            // An event that is repeated asks for what it asked for then.
            return self.again.clone().unwrap_or_else(|| json!({"action": "refresh", "if_needed": true}));
        }
        match turn.errand {
            Errand::Slot | Errand::Authorize => self.next_slot().await,
            Errand::IfNeeded => json!({"action": "refresh", "if_needed": true}),
            Errand::Refresh => {
                self.let_a_day_pass();
                refresh()
            }
            Errand::Status => json!({"action": "status"}),
        }
    }

    /// To Secrets Manager, which deletes versions without a label when they are a day old and there are too many.
    fn let_a_day_pass(&self) {
        if !self.oracle.has_unfinished_work() {
            self.world.secrets_manager.core().grow_old(DAY);
        }
    }

    /// Waits until the next second, which is the next scheduled time.
    async fn next_slot(&self) -> Value {
        let now = jiff::Timestamp::now();
        let slot = jiff::Timestamp::from_second(now.as_second() + 1).expect("a time");
        sleep(Duration::try_from(slot.duration_since(now)).expect("it is to come")).await;
        self.let_a_day_pass();
        json!({"action": "refresh", "scheduled_time": slot.to_string()})
    }

    /// A person authorizes the app again because the grant is at its end.
    async fn authorize_anew(&mut self, turn: Turn) {
        if turn.pastes {
            self.tally.pasted += 1;
            self.person.paste(self.case.grant());
            return self.oracle.pasted(&self.world).unwrap_or_else(|error| self.violated(&error, &turn, &[]));
        }
        self.authorize(turn).await;
    }

    /// Authorizes the app, with a new code as long as TikTok does not take the last one any more.
    async fn authorize(&mut self, turn: Turn) {
        let mut turn = Turn { errand: Errand::Authorize, races: false, ..turn };
        for _ in 0..3 {
            let code = self.world.tiktok.core().authorize_by_code(APP_ID, self.case.grant(), HOUR);
            let event = json!({"action": "exchange", "auth_code": code, "redirect_uri": REDIRECT_URI});
            for _ in 0..3 {
                let ending = self.run(&turn, event.clone()).await;
                turn = Turn::quiet(Errand::Authorize);
                match ending.as_str() {
                    "authorized" | "resumed" | "fresh" => {
                        self.tally.authorized += 1;
                        return;
                    }
                    "ReauthorizationRequired" => break,
                    _ if self.has_died => self.wait_for_the_dead().await,
                    _ => {}
                }
            }
            self.tally.codes_lost += 1;
        }
        panic!("{}: nobody could authorize the app", self.name());
    }

    /// Runs the function, once or twice at a time, and has what it did judged.
    async fn run(&mut self, turn: &Turn, event: Value) -> String {
        let was_cold = self.function.pid().is_none();
        let before = self.oracle.before(Instant::now() < self.busy_until);
        self.make_trouble(turn);
        let invocations = self.invoke(turn, &event).await;
        // The start of a process is not counted: the deadline is not yet set then.
        let took = invocations.iter().map(|invocation| invocation.duration).max().unwrap_or_default();
        let began = Instant::now().checked_sub(took).expect("it began after the machine did");
        let journal = self.world.faults.journal();
        self.world.faults.clear();
        let by_hand = event == refresh();
        let seen =
            Seen { by_hand, turn, before, invocations: &invocations, journal: &journal, mine: self.person.mine() };
        let verdict = self.oracle.judge(&self.world, &seen);
        let endings = verdict.unwrap_or_else(|error| self.violated(&error, turn, &invocations));
        self.again = (!endings.well && ![Errand::Status, Errand::Authorize].contains(&turn.errand)).then_some(event);
        if !endings.in_progress {
            self.busy_until = if endings.well { began } else { began + CLAIM_IS_OVER };
        }
        self.has_died = endings.died;
        self.tally.count(turn, &endings, &journal, was_cold);
        self.note_memory();
        if endings.in_progress && !endings.well {
            self.wait_for_the_dead().await;
        }
        endings.names.into_iter().next().unwrap_or_default()
    }

    /// Prepares what is going to strike, and the person who comes between two requests.
    fn make_trouble(&self, turn: &Turn) {
        self.world.faults.reset();
        for trouble in &turn.troubles {
            self.world.faults.at(trouble.when.clone(), trouble.fault.clone());
        }
        if turn.edits_meanwhile {
            let person = Arc::clone(&self.person);
            let edit = Fault::run_before(move || {
                let person = Arc::clone(&person);
                async move { person.edit() }
            });
            self.world.faults.at(When::any().nth(1 + self.turns as u64 % 7), edit);
        }
    }

    async fn invoke(&self, turn: &Turn, event: &Value) -> Vec<Invocation> {
        if !turn.races {
            let invocation = self.function.invoke(event.clone(), SHORT).await;
            if self.function.pid().is_none() {
                sleep(ARRIVES).await;
            }
            return vec![invocation];
        }
        let rival = self.world.function(BINARY);
        let (one, other) = tokio::join!(self.function.invoke(event.clone(), SHORT), rival.invoke(event.clone(), SHORT));
        self.world.faults.set_killer(self.function.killer());
        vec![one, other]
    }

    fn note_memory(&mut self) {
        let Some(pid) = self.function.pid().filter(|_| self.intensity != Intensity::Rough) else { return };
        let (held, refreshes) = (Held::by(pid), self.tally.refreshes);
        match self.tally.memory.first_mut() {
            Some(memory) => memory.note(held, refreshes),
            None if refreshes >= self.warm_after => {
                self.tally.memory.push(Memory::of(self.case.name, self.intensity, held, refreshes));
            }
            None => {}
        }
    }

    /// A promise was broken.
    fn violated(&self, what: &str, turn: &Turn, invocations: &[Invocation]) -> ! {
        let outcomes: Vec<_> = invocations.iter().map(|invocation| &invocation.outcome).collect();
        panic!("{}: {what}\n{turn:?}\n{outcomes:?}\n{:#?}\n{}", self.name(), self.oracle, self.world.faults.journal());
    }
}
