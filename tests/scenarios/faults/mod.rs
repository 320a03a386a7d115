//! The fault matrix: every request of every flow gets every kind of failure, each in its own world. The promises hold
//! during the run, and the next run without the fault finishes the work.

mod flows;
pub mod oracle;
mod table;
mod target;
mod troubles;

use std::{env, sync::Arc};

use serde_json::Value;
use tokio::sync::Semaphore;

use self::{
    flows::{FLOWS, Flow, Scene},
    oracle::Oracle,
    table::Table,
    target::Target,
    troubles::{Nature, Often, TROUBLES, Trouble},
};
use crate::support::{Scenario, refresh, strict};
use stand_ins::{Invocation, Outcome, World};

/// The number of worlds at a time. Most of their time they wait, and each has a process of some 30 MB.
const WORLDS: usize = 64;

/// The fewest requests that count as all: there were 137 when this was written. A leaner function may make a few less; a
/// flow that does not come to its end makes many less.
const LEAST_REQUESTS: usize = 130;

/// The memory that a flood may cost beyond the memory that the run takes without it, in kilobytes. Some answers may be long:
/// a list, and the values of twenty secrets. Much of them is read before it is too much, in a buffer that doubles.
fn flood(operation: &str) -> u64 {
    match operation {
        "oauth2/advertiser/get" | "advertiser/info" => 12 * 1024,
        "BatchGetSecretValue" => 20 * 1024,
        _ => 4 * 1024,
    }
}

/// The outcomes that say that the tokens in the secret work.
const PROOFS: [&str; 7] = ["authorized", "fresh", "kept", "promoted", "refreshed", "resumed", "verified"];

/// The result of a flow that nothing disturbs.
#[derive(Debug)]
struct Calm {
    ending: String,
    peak_kb: u64,
    /// The number of redeems that it takes, up to the end of the events that come next.
    redeems: usize,
}

/// A cell of the matrix.
#[derive(Debug)]
pub struct Cell {
    /// The endings of the disturbed run, of the run after it, and of a run by hand after that.
    endings: [String; 3],
    /// True if tokens were lost between TikTok and their write.
    lost: bool,
    runs: usize,
    broken: Vec<String>,
}

/// The ending of an invocation, in one word.
fn ending(invocation: &Invocation) -> String {
    match &invocation.outcome {
        Outcome::Error { error_type, .. } | Outcome::InitError { error_type, .. } => error_type.clone(),
        Outcome::Crashed(_) => "killed".to_owned(),
        Outcome::TimedOut => "timed out".to_owned(),
        Outcome::Response(response, _) => match response["counts"].as_object() {
            Some(counts) => counts.keys().cloned().collect::<Vec<_>>().join("+"),
            None => response["results"][0]["outcome"].as_str().unwrap_or("shown").to_owned(),
        },
    }
}

impl Scene {
    fn oracle(&self) -> Oracle<'_> {
        Oracle { world: &self.world, secrets: &self.secrets }
    }

    /// The failure is over, and every claim has expired.
    async fn let_it_pass(&self) {
        self.world.faults.clear();
        for secret in &self.secrets {
            self.world.let_the_claim_expire_on(&secret.secret_id).await;
        }
    }

    /// The runs of these events, one after the other, and what is broken after them.
    async fn go_on(&self, events: &[Value], repeats: bool) -> (Vec<Invocation>, Vec<String>) {
        let (mut runs, mut broken) = (Vec::new(), Vec::new());
        for event in events {
            let run = self.function.run(event.clone()).await;
            broken.extend(self.oracle().ended(&run, false));
            runs.push(run);
        }
        broken.extend([self.oracle().always(), self.oracle().healed(&runs, repeats)].concat());
        (runs, broken)
    }
}

/// Runs a flow that nothing disturbs: what it does, and its requests with their names.
async fn calm(flow: Flow) -> (Calm, Vec<(Target, String)>) {
    let scene = (flow.prepare)().await;
    let before = scene.world.faults.journal().len();
    let invocation = scene.function.run(scene.event.clone()).await;
    let journal = scene.world.faults.journal();
    let targets = Target::all(&scene, &journal[before..]);
    let titled = targets.into_iter().map(|target| (target.clone(), target.title(&scene))).collect();
    let (_, mut broken) = scene.go_on(&scene.next, true).await;
    broken.extend(scene.oracle().ended(&invocation, false));
    assert!(broken.is_empty(), "{} is broken where nothing disturbs it: {broken:#?}\n{journal}", flow.name);
    let peak_kb = invocation.peak_rss_kb.expect("the process lives");
    (Calm { ending: ending(&invocation), peak_kb, redeems: scene.oracle().stored_redeems() }, titled)
}

/// Runs a flow, with a failure at one of its requests, and then the next event.
async fn strike(flow: Flow, calm: &Calm, target: &Target, trouble: Trouble) -> Cell {
    let scene = (flow.prepare)().await;
    let oracle = scene.oracle();
    scene.world.faults.at(target.when(&scene, &trouble), trouble.fault(target.service, &target.operation));
    let first = scene.function.invoke(scene.event.clone(), trouble.time()).await;
    let mut broken = disturbed(&oracle, calm, (target, trouble), &first);
    let most = calm.peak_kb + flood(&target.operation);
    if let Some(peak) = first.peak_rss_kb.filter(|peak| trouble.is_flood() && *peak > most) {
        broken.push(format!("{peak} kB of memory, and {} kB without the flood", calm.peak_kb));
    }
    if scene.world.faults.journal().faults() == 0 {
        broken.push("the trouble did not strike".to_owned());
    }

    scene.let_it_pass().await;
    let (next, wrong) = scene.go_on(&scene.next, true).await;
    broken.extend(wrong);
    let (redeems, lost) = (oracle.stored_redeems(), oracle.lost());
    if lost && !may_lose(target, trouble) {
        broken.push("tokens were lost that could have been stored".to_owned());
    }
    // Where a consent was lost, the tokens of the one before it are refreshed instead.
    if redeems > calm.redeems + usize::from(lost) {
        broken.push(format!("{redeems} redeems, of {} that were needed", calm.redeems));
    }

    let (by_hand, wrong) = scene.go_on(&[refresh()], false).await;
    broken.extend(wrong);
    if !broken.is_empty() {
        broken.push(scene.world.faults.journal().to_string());
    }
    let runs: Vec<_> = [first].into_iter().chain(next).chain(by_hand).collect();
    let endings = [0, runs.len() - 2, runs.len() - 1].map(|place| ending(&runs[place]));
    Cell { endings, lost, runs: runs.len(), broken }
}

/// True if a failure of a request can lose TikTok's answer: the process dies with it, it does not arrive, or it cannot be
/// stored before the deadline.
fn may_lose(target: &Target, trouble: Trouble) -> bool {
    trouble.kills()
        || trouble.nature == Nature::LosesTheAnswer && target.gives_tokens()
        || trouble.often == Often::Always
}

/// The broken promises of the run with the failure, and of its results.
fn disturbed(
    oracle: &Oracle<'_>,
    calm: &Calm,
    (target, trouble): (&Target, Trouble),
    invocation: &Invocation,
) -> Vec<String> {
    let mut broken = [oracle.ended(invocation, trouble.kills()), oracle.always()].concat();
    let ending = ending(invocation);
    if ending.split('+').all(|outcome| PROOFS.contains(&outcome)) {
        broken.extend(oracle.success());
    }
    if let Outcome::Error { error_type, error_message } = &invocation.outcome
        && error_type == "PartialFailure"
    {
        broken.extend(oracle.partial_failure(error_message));
    }
    let passes = trouble.often == Often::Once && !matches!(trouble.nature, Nature::Refuses | Nature::Kills);
    // What is on its way is waited for until the deadline, so the next run makes up for an answer that never comes.
    let is_waited_for = target.is_waited_for() && trouble.is_silence();
    if passes && !is_waited_for && !oracle.lost() && ending != calm.ending {
        broken.push(format!("what passes at once was not outlasted: {:?}", invocation.outcome));
    }
    if invocation.duration >= trouble.time() {
        broken.push(format!("it took {:?}", invocation.duration));
    }
    broken
}

/// The flows that were asked for: all, or those whose name has in it what the variable FAULTS says.
fn flows() -> (Vec<Flow>, bool) {
    let wanted = env::var("FAULTS").unwrap_or_default();
    let flows: Vec<_> = FLOWS.into_iter().filter(|flow| flow.name.contains(&wanted)).collect();
    (flows, wanted.is_empty())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo test --test scenarios faults:: -- --ignored --nocapture"]
#[allow(clippy::print_stdout, reason = "the table is what this test shows")]
async fn whatever_befalls_any_request_of_any_flow_costs_no_token_and_shows_no_secret() {
    // Emulators keep neither the rules nor the history that the oracle looks at.
    if strict(World::empty()).is_none() {
        return;
    }
    let (flows, is_whole) = flows();
    let places = Arc::new(Semaphore::new(WORLDS));
    let mut rows = Vec::new();
    for flow in flows {
        let (calm, targets) = calm(flow).await;
        let calm = Arc::new(calm);
        for (target, title) in targets {
            let cells: Vec<_> = TROUBLES
                .into_iter()
                .map(|trouble| {
                    let (calm, target, places) = (Arc::clone(&calm), target.clone(), Arc::clone(&places));
                    tokio::spawn(async move {
                        let _place = places.acquire().await;
                        strike(flow, &calm, &target, trouble).await
                    })
                })
                .collect();
            rows.push((flow.name, title, cells));
        }
    }
    let mut table = Table::default();
    for (flow, request, cells) in rows {
        let mut row = Vec::new();
        for cell in cells {
            row.push(cell.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())));
        }
        table.add(flow, request, row);
    }
    println!("{table}");
    let least = LEAST_REQUESTS * TROUBLES.len();
    assert!(!is_whole || table.cells() >= least, "only {} cells were tried", table.cells());
    assert_eq!(table.broken(), Vec::<String>::new(), "see above");
}
