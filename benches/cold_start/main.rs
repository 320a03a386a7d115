//! The cost of a cold start, beside its floors and beside other languages: `cargo bench --bench cold_start`.
//!
//! `-- --rounds 21` for more rounds, `-- --quick` without Python and Node.js. `-- --counts` only counts the function's
//! instructions and fails if they have grown; `-- --counts --accept` takes what it counts as the new measure. `-- --window`
//! only measures how long the function has the one copy of a new refresh token.
//! benches/README.md says what all of it does and how to read the figures.

#![allow(clippy::print_stdout, reason = "showing figures is what a benchmark is for")]

mod authority;
#[path = "../harness/bootstrap.rs"]
mod bootstrap;
mod contestants;
mod lambda;
mod measure;
mod network;
mod plot;
mod results;

use std::{env, error::Error, fs, path::Path, time::Duration};

use authority::Authority;
use contestants::Places;
use lambda::Processor;
use measure::{Conditions, Instructions, Setting};
use plot::Panel;
use results::{Results, Table, Target, ms};
use serde_json::{Value, json};

/// Lambda gives a whole processor at 1,769 MB, and less in proportion.
const SMALLEST: Processor = Processor::Share(128.0 / 1769.0);

const CONDITIONS: [Conditions; 4] = [
    Conditions { name: "no latency", round_trip: Duration::ZERO, processor: Processor::Whole },
    Conditions { name: "20 ms", round_trip: Duration::from_millis(20), processor: Processor::Whole },
    Conditions { name: "80 ms", round_trip: Duration::from_millis(80), processor: Processor::Whole },
    Conditions { name: "20 ms, 128 MB", round_trip: Duration::from_millis(20), processor: SMALLEST },
];
const NEAR: usize = 0;
const AT_20: usize = 1;
const AT_80: usize = 2;
const SMALL: usize = 3;

/// TCP and TLS to Secrets Manager, while TikTok's connection opens beside it; then read, claim, redeem, stage and check at
/// once, promote.
const CRITICAL_PATH: f64 = 2.0 + 5.0;

/// The growth of instruction counts that needs no explanation. They repeat to less than one in a hundred.
const TOLERANCE: f64 = 1.05;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let rounds = arguments.iter().skip_while(|argument| *argument != "--rounds").nth(1);
    let rounds = rounds.map_or(Ok(11), |text| text.parse::<usize>())?;
    let (authority, places) = (Authority::new()?, Places::find()?);
    let function = places.function(&authority)?;
    let setting = Setting { authority: &authority, function: &function };
    if has("--counts") {
        return guard(setting, &places, has("--accept"));
    }
    let none = || CONDITIONS.iter().map(|_| Vec::new()).collect();
    let results = |contestant| Results { contestant, samples: none(), instructions: None };
    if has("--window") {
        return window(results(function.clone()), setting, rounds);
    }
    let mut all = vec![function.clone()];
    all.extend(places.floors(&authority)?);
    if !has("--quick") {
        all.extend([places.python(&authority)?, places.node(&authority)?]);
    }
    let mut all: Vec<Results> = all.into_iter().map(results).collect();
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        run_round(&mut all, setting)?;
    }
    for results in &mut all {
        println!("counting the instructions of {}", results.contestant.name);
        results.instructions = measure::instructions(&results.contestant, setting, &places).ok();
    }
    let round_trips =
        [network::round_trip(CONDITIONS[AT_20].round_trip)?, network::round_trip(CONDITIONS[AT_80].round_trip)?];
    let round_trips = round_trips.map(ms);
    let report = report(&all, round_trips, rounds);
    println!("\n{report}");
    if !has("--quick") {
        fs::write(places.root.join("benches/results.md"), report)?;
        fs::write(places.root.join("benches/results.svg"), plot::svg(&panels(&all)))?;
    }
    Ok(())
}

/// Every contestant once under every condition, side by side: what slows the machine for a minute slows all of them.
fn run_round(all: &mut [Results], setting: Setting<'_>) -> Result<(), Box<dyn Error>> {
    for (index, conditions) in CONDITIONS.iter().enumerate() {
        for results in &mut *all {
            if results.contestant.works || index == NEAR {
                let sample = measure::sample(&results.contestant, setting, *conditions);
                let sample = sample.map_err(|error| format!("{}: {error}", results.contestant.name))?;
                results.samples[index].push(sample);
            }
        }
    }
    Ok(())
}

/// Measures the time in which a crash would lose a refresh token.
fn window(function: Results, setting: Setting<'_>, rounds: usize) -> Result<(), Box<dyn Error>> {
    let mut all = [function];
    for _ in 0..rounds {
        run_round(&mut all, setting)?;
    }
    let mut table = Table::new(&all);
    for (index, Conditions { name, .. }) in CONDITIONS.iter().enumerate() {
        let of = |sample: &measure::Sample| ms(sample.window);
        table.row(&all, format!("ms from redeemed to staged: {name}"), 1, |results| results.spread(index, of));
        let longest = |results: &Results| results.samples[index].iter().map(of).max_by(f64::total_cmp);
        table.exact(&all, "… the longest", 1, longest);
    }
    println!("Medians of {rounds} rounds ± half of what lies between the quartiles.\n\n{}", table.markdown());
    Ok(())
}

fn report(all: &[Results], [rtt_20, rtt_80]: [f64; 2], rounds: usize) -> String {
    let path = [(AT_20, rtt_20), (AT_80, rtt_80)];
    let mut table = Table::new(all);
    let mega =
        |bytes: Option<u64>| bytes.and_then(|bytes| u32::try_from(bytes).ok()).map(|bytes| f64::from(bytes) / 1e6);
    table.exact(all, "zip, MB", 2, |results| mega(results.contestant.zip));
    table.exact(all, "unpacked, MB", 2, |results| mega(results.contestant.size));
    table.row(all, "init, ms of processor", 2, |results| results.spread(NEAR, |sample| ms(sample.init.cpu)));
    table.row(all, "first invocation, ms of processor", 2, |results| {
        results.spread(NEAR, |sample| ms(sample.first.cpu))
    });
    table.row(all, "warm invocation, ms of processor", 2, |results| results.spread(NEAR, |sample| ms(sample.warm.cpu)));
    for (index, Conditions { name, .. }) in CONDITIONS.iter().enumerate() {
        let whole = |results: &Results| results.spread(index, |sample| ms(sample.init.wall + sample.first.wall));
        table.row(all, format!("init and first invocation, ms: {name}"), 1, whole);
    }
    table.row(all, "warm invocation, ms: 20 ms", 1, |results| results.spread(AT_20, |sample| ms(sample.warm.wall)));
    table.row(all, "peak memory, MB", 1, |results| results.spread(NEAR, |sample| number(sample.peak_rss_kb) / 1e3));
    let count = |results: &Results, of: fn(&Instructions) -> u64| mega(results.instructions.as_ref().map(of));
    table.exact(all, "instructions, millions: init", 2, |results| count(results, |counts| counts.init));
    table.exact(all, "… first invocation", 2, |results| count(results, |counts| counts.first));
    table.exact(all, "… warm invocation", 2, |results| count(results, |counts| counts.warm));
    let works = |results: &Results| results.contestant.works.then_some(());
    table.row(all, "requests", 0, |results| works(results).and(results.spread(NEAR, |sample| number(sample.requests))));
    table.row(all, "connections", 0, |results| {
        works(results).and(results.spread(NEAR, |sample| number(sample.connections)))
    });
    table.exact(all, "round trips that the first invocation waits for", 1, |results| results.round_trips(path));
    let targets = targets(all, path);
    format!(
        "Medians of {rounds} rounds ± half of what lies between the quartiles, on {}; a round trip of 20 ms took {rtt_20:.2} ms.\n\n{}\n{}",
        env::consts::ARCH,
        table.markdown(),
        Target::markdown(&targets)
    )
}

fn number(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}

fn targets(all: &[Results], path: [(usize, f64); 2]) -> Vec<Target> {
    let ours = &all[0];
    let named = |name: &str| all.iter().find(|results| results.contestant.name.starts_with(name));
    let median = |results: &Results, of: fn(&measure::Sample) -> f64| results.spread(NEAR, of).map(|s| s.median);
    let init: fn(&measure::Sample) -> f64 = |sample| ms(sample.init.cpu);
    let cold: fn(&measure::Sample) -> f64 = |sample| ms(sample.init.cpu + sample.first.cpu);
    let times = |name: &str| Some(median(ours, cold)? / median(named(name)?, cold)? * 100.0);
    let millions = |of: fn(&Instructions) -> u64| ours.instructions.as_ref().map(|counts| number(of(counts)) / 1e6);
    let at_20 = ours.spread(AT_20, |sample| ms(sample.first.wall)).map(|spread| spread.median);
    vec![
        Target::new("zip", ours.contestant.zip.map(|bytes| number(bytes) / 1e6), 2.6, "MB"),
        Target::new("bootstrap", ours.contestant.size.map(|bytes| number(bytes) / 1e6), 5.6, "MB"),
        Target::new("init, instructions", millions(|counts| counts.init), 2.5, "M"),
        Target::new("first invocation, instructions", millions(|counts| counts.first), 10.0, "M"),
        Target::new("warm invocation, instructions", millions(|counts| counts.warm), 4.0, "M"),
        Target::new(
            "init beside hello world, processor time",
            named("hello").and_then(|hello| Some(median(ours, init)? / median(hello, init)?)),
            1.6,
            "×",
        ),
        Target::new("init and first beside Python, processor time", times("Python"), 100.0 / 40.0, "%"),
        Target::new("init and first beside Node.js, processor time", times("Node"), 100.0 / 25.0, "%"),
        Target::new("peak memory", median(ours, |sample| number(sample.peak_rss_kb) / 1e3), 8.0, "MB"),
        Target::new("round trips that the first invocation waits for", ours.round_trips(path), CRITICAL_PATH + 0.1, ""),
        Target::new(
            "first invocation at 20 ms beside its critical path",
            at_20.map(|wall| wall / (CRITICAL_PATH * path[0].1)),
            1.05,
            "×",
        ),
    ]
}

fn panels(all: &[Results]) -> [Panel; 2] {
    let bars = |condition: usize| {
        let of = |results: &Results| {
            let init = results.spread(condition, |sample| ms(sample.init.wall))?;
            let first = results.spread(condition, |sample| ms(sample.first.wall))?;
            results.contestant.works.then_some((results.contestant.name, init.median, first.median))
        };
        all.iter().filter_map(of).collect()
    };
    [
        Panel { heading: "Cold start, no latency, a whole processor".to_owned(), bars: bars(NEAR) },
        Panel { heading: "Cold start, round trips of 20 ms, the processor of 128 MB".to_owned(), bars: bars(SMALL) },
    ]
}

/// Counts, and compares with what was accepted last.
fn guard(setting: Setting<'_>, places: &Places, accept: bool) -> Result<(), Box<dyn Error>> {
    // Which of several handshakes comes first differs between runs; the median of three does not.
    let mut counted = Vec::new();
    for _ in 0..3 {
        counted.push(measure::instructions(setting.function, setting, places)?);
    }
    let median = |of: fn(&Instructions) -> u64| {
        let mut values: Vec<u64> = counted.iter().map(of).collect();
        values.sort_unstable();
        values[1]
    };
    let now = [
        ("init", median(|counts| counts.init)),
        ("first", median(|counts| counts.first)),
        ("warm", median(|counts| counts.warm)),
    ];
    let path = places.root.join("benches/baseline.json");
    let mut baseline = read(&path)?;
    if accept {
        baseline[env::consts::ARCH] = now.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
        fs::write(&path, format!("{baseline:#}\n"))?;
        println!("accepted: {}", baseline[env::consts::ARCH]);
        return Ok(());
    }
    let mut grown = Vec::new();
    for (name, count) in now {
        let Some(before) = baseline[env::consts::ARCH][name].as_f64() else {
            println!("{name}: {count} instructions; nothing was accepted on this architecture yet");
            continue;
        };
        let times = number(count) / before;
        println!("{name}: {count} instructions, {times:.3} times what was accepted");
        if times > TOLERANCE {
            grown.push(name);
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    let what = grown.join(" and ");
    Err(format!("{what} takes more than {TOLERANCE} times the instructions; if it is worth it, run this with --accept")
        .into())
}

fn read(path: &Path) -> Result<Value, Box<dyn Error>> {
    match fs::read(path) {
        Ok(content) => Ok(serde_json::from_slice(&content)?),
        Err(_) => Ok(json!({})),
    }
}
