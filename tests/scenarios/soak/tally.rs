//! The totals of a soak.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

use super::{
    oracle::Endings,
    process::Memory,
    turn::{Errand, Turn},
};
use stand_ins::{Ending, Entry, Journal};

/// The endings that renew or prove a token.
const REFRESHES: [&str; 3] = ["refreshed", "resumed", "verified"];

/// Counts, of one secret or of all.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub refreshes: usize,
    pub invocations: usize,
    pub races: usize,
    pub cold_starts: usize,
    pub restarts: usize,
    pub waits: usize,
    pub edits: usize,
    pub authorized: usize,
    pub pasted: usize,
    pub codes_lost: usize,
    pub in_vain: usize,
    requests: usize,
    /// Refreshes that nothing disturbed, and their requests.
    quiet: (usize, usize),
    pub endings: BTreeMap<String, usize>,
    pub faults: BTreeMap<String, usize>,
    pub windows: BTreeMap<String, usize>,
    pub memory: Vec<Memory>,
}

impl Tally {
    pub fn count(&mut self, turn: &Turn, endings: &Endings, journal: &Journal, was_cold: bool) {
        self.invocations += endings.names.len();
        self.races += usize::from(turn.races);
        self.cold_starts += usize::from(was_cold);
        self.edits += usize::from(turn.edits);
        self.in_vain += endings.in_vain;
        self.requests += journal.len();
        for name in &endings.names {
            self.refreshes += usize::from(REFRESHES.contains(&name.as_str()));
            *self.endings.entry(name.clone()).or_default() += 1;
        }
        if endings.quiet && turn.errand == Errand::Slot && endings.names == ["refreshed"] {
            self.quiet = (self.quiet.0 + 1, self.quiet.1 + journal.len());
        }
        for entry in journal.iter().filter(|entry| entry.fault.is_some()) {
            *self.faults.entry(name_of_fault(entry)).or_default() += 1;
        }
        if let Some(why) = &endings.window {
            *self.windows.entry(why.clone()).or_default() += 1;
        }
    }
}

fn mean((number, sum): (usize, usize)) -> String {
    // To a tenth, without floats.
    let tenths = sum * 10 / number.max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The fault by its name, and what was answered where that is made up.
fn name_of_fault(entry: &Entry) -> String {
    let name = entry.fault.unwrap_or_default();
    match (&entry.code, entry.ending) {
        _ if name == "RunBefore" => "a person's edit during the run".to_owned(),
        (Some(code), _) if name.starts_with("Answer") => format!("{name} {code}"),
        (None, Ending::Status(status)) if name.starts_with("Answer") => format!("{name} {status}"),
        _ => name.to_owned(),
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        let counts = [
            (&mut self.refreshes, other.refreshes),
            (&mut self.invocations, other.invocations),
            (&mut self.races, other.races),
            (&mut self.cold_starts, other.cold_starts),
            (&mut self.restarts, other.restarts),
            (&mut self.waits, other.waits),
            (&mut self.edits, other.edits),
            (&mut self.authorized, other.authorized),
            (&mut self.pasted, other.pasted),
            (&mut self.codes_lost, other.codes_lost),
            (&mut self.in_vain, other.in_vain),
            (&mut self.requests, other.requests),
            (&mut self.quiet.0, other.quiet.0),
            (&mut self.quiet.1, other.quiet.1),
        ];
        for (mine, theirs) in counts {
            *mine += theirs;
        }
        let maps =
            [(&mut self.endings, other.endings), (&mut self.faults, other.faults), (&mut self.windows, other.windows)];
        for (mine, theirs) in maps {
            for (name, count) in theirs {
                *mine.entry(name).or_default() += count;
            }
        }
        self.memory.extend(other.memory);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refreshes, invocations, races, cold_starts, restarts, waits, requests, quiet, .. } = self;
        let Self { edits, authorized, pasted, codes_lost, in_vain, .. } = self;
        writeln!(f, "{refreshes} refreshes in {invocations} invocations, {races} times two at once")?;
        writeln!(
            f,
            "{cold_starts} cold starts, {restarts} of them in the place of a process that had done nothing wrong"
        )?;
        writeln!(f, "{requests} requests; {} for each of {} refreshes that nothing disturbed", mean(*quiet), quiet.0)?;
        writeln!(f, "{waits} times a claim of a dead run was waited for; {edits} edits by a person between two runs")?;
        writeln!(
            f,
            "{authorized} authorizations by event, {pasted} pasted; {codes_lost} auth codes were spent in vain"
        )?;
        for (title, counts) in [("ended as", &self.endings), ("faults that struck", &self.faults)] {
            let total: usize = counts.values().sum();
            writeln!(f, "{title} ({total}):")?;
            counts.iter().try_for_each(|(name, count)| writeln!(f, "  {count:>6} {name}"))?;
        }
        let windows: usize = self.windows.values().sum();
        writeln!(f, "refresh tokens lost between TikTok's answer and its write, each of them said ({windows}):")?;
        self.windows.iter().try_for_each(|(why, count)| writeln!(f, "  {count:>6} {why}"))?;
        writeln!(f, "{in_vain} answers lost that cost another redeem, and no token")?;
        write!(f, "processes that were never killed:")?;
        self.memory.iter().try_for_each(|memory| write!(f, "\n  {memory}"))
    }
}
