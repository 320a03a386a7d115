//! The cost of a fleet of one to ten thousand authorizations, refreshed by one invocation: `cargo bench --bench fleet`.
//!
//! `-- --long` adds what takes a quarter of an hour; `-- --quick` leaves out the large fleets and writes nothing.
//! benches/README.md says how to read the figures.

#![allow(clippy::print_stdout, reason = "showing figures is what a benchmark is for")]

#[path = "../harness/bootstrap.rs"]
mod bootstrap;
mod cases;
mod measure;
mod plot;
mod table;

use std::{env, error::Error, fs, path::Path};

use cases::{CASES, Case, Effort, Limits};
use measure::Sample;

/// Of how many requests one may be refused. On a machine that stalls for a moment, what was to be sent in that moment is sent
/// at once; wrong rate limits cause far more rejections.
const TOLERATED: u64 = 100;

/// A case, and what its rounds showed.
struct Measured {
    case: &'static Case,
    samples: Vec<Sample>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let has = |name: &str| env::args().any(|argument| argument == name);
    let most = if has("--long") {
        Effort::QuarterOfAnHour
    } else if has("--quick") {
        Effort::Seconds
    } else {
        Effort::Minutes
    };
    let bootstrap = bootstrap::find(&bootstrap::target()?)?;
    let mut all = Vec::new();
    for case in CASES.iter().filter(|case| case.effort <= most) {
        let mut measured = Measured { case, samples: Vec::new() };
        for round in 1..=case.rounds {
            let sample = measure::sample(&bootstrap, case)
                .map_err(|error| format!("{}, {} secrets: {error}", case.name, case.secrets))?;
            println!("{}, {} secrets, round {round} of {}: {sample}", case.name, case.secrets, case.rounds);
            measured.samples.push(sample);
        }
        all.push(measured);
    }
    let report = table::markdown(&all);
    println!("\n{report}");
    if most > Effort::Seconds {
        let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        fs::write(benches.join("fleet.md"), report)?;
        fs::write(benches.join("fleet.svg"), plot::svg(&all))?;
    }
    let kept =
        all.iter().filter(|measured| measured.case.limits == Limits::Kept).flat_map(|measured| &measured.samples);
    let (asked, refused) =
        kept.fold((0, 0), |(asked, refused), sample| (asked + sample.first.tiktok as u64, refused + sample.refused));
    if refused * TOLERATED > asked {
        return Err(format!("{refused} of {asked} requests came too fast").into());
    }
    Ok(())
}
