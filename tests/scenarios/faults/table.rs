//! The printed fault matrix.

use std::{collections::BTreeMap, fmt};

use super::{Cell, troubles::TROUBLES};

/// Endings and their codes, in the order of the legend.
const CODES: [(&str, &str); 26] = [
    ("refreshed", "rf"),
    ("resumed", "rs"),
    ("verified", "vf"),
    ("authorized", "au"),
    ("fresh", "fr"),
    ("kept", "kp"),
    ("superseded", "sp"),
    ("in_progress", "ip"),
    ("dry_run", "dr"),
    ("shown", "sh"),
    ("staged", "st"),
    ("works", "wk"),
    ("not_tested", "nt"),
    ("promoted", "pr"),
    ("killed", "--"),
    ("AccessDenied", "AD"),
    ("DeadlineExceeded", "DE"),
    ("InvalidConfiguration", "IC"),
    ("InvalidSecret", "IS"),
    ("NewTokenRejected", "NR"),
    ("PartialFailure", "PF"),
    ("ReauthorizationRequired", "RR"),
    ("SecretNotFound", "SN"),
    ("SecretsManagerUnavailable", "SU"),
    ("TikTokMisconfigured", "TM"),
    ("TikTokUnavailable", "TU"),
];
/// The one that has a column to itself.
const THROTTLED: (&str, &str) = ("TikTokThrottled", "TT");

#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<(&'static str, String, Vec<Cell>)>,
}

impl Table {
    pub fn add(&mut self, flow: &'static str, request: String, cells: Vec<Cell>) {
        self.rows.push((flow, request, cells));
    }

    pub fn cells(&self) -> usize {
        self.all().count()
    }

    /// The violations, and the cells in which they are.
    pub fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for (flow, request, cells) in &self.rows {
            for (cell, trouble) in cells.iter().zip(&TROUBLES).filter(|(cell, _)| !cell.broken.is_empty()) {
                broken.push(format!("{flow}: {request}: {}: {}", trouble.name, cell.broken.join("\n  ")));
            }
        }
        broken
    }

    fn all(&self) -> impl Iterator<Item = &Cell> {
        self.rows.iter().flat_map(|(.., cells)| cells)
    }

    /// Counts the runs in that place by their ending.
    fn endings(&self, place: usize) -> String {
        let mut counts = BTreeMap::new();
        for cell in self.all() {
            *counts.entry(cell.endings[place].as_str()).or_insert(0) += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(ending, count)| (std::cmp::Reverse(*count), *ending));
        counts.iter().map(|(ending, count)| format!("{count} {ending}")).collect::<Vec<_>>().join(", ")
    }
}

/// Several secrets may have ended in several ways.
fn code(ending: &str) -> &str {
    let known = CODES.iter().chain([&THROTTLED]).find(|(name, _)| *name == ending);
    known.map_or("mx", |(_, code)| code)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:<25} {:<46}", "flow", "request")?;
        for trouble in &TROUBLES {
            write!(f, " {:<7}", trouble.name)?;
        }
        let mut before = "";
        for (flow, request, cells) in &self.rows {
            write!(f, "\n{:<25} {request:<46}", if *flow == before { "" } else { flow })?;
            before = flow;
            for cell in cells {
                let mark = if cell.broken.is_empty() { ' ' } else { '!' };
                write!(f, " {}>{}{mark} ", code(&cell.endings[0]), code(&cell.endings[1]))?;
            }
        }
        let legend = CODES.iter().chain([&THROTTLED]).map(|(name, code)| format!("{code} {name}"));
        let legend = legend.collect::<Vec<_>>().join(", ");
        writeln!(f, "\n\nA cell: how the run that met the trouble ended > how the next one did; ! is broken.")?;
        writeln!(
            f,
            "+ after the request was carried out, * every time. {legend}, mx several secrets in several ways."
        )?;
        let (runs, lost) =
            (self.all().map(|cell| cell.runs).sum::<usize>(), self.all().filter(|cell| cell.lost).count());
        let broken = self.broken().len();
        writeln!(f, "\n{} requests, {} cells, {runs} runs, {broken} cells broken", self.rows.len(), self.cells())?;
        writeln!(f, "The runs that met trouble: {}", self.endings(0))?;
        writeln!(f, "The next ones: {}", self.endings(1))?;
        writeln!(f, "One by hand after that: {}", self.endings(2))?;
        write!(
            f,
            "In {lost} cells the answer died between TikTok and its write, which no run can make good and which each says."
        )
    }
}
