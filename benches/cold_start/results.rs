//! From samples to a table, and to verdicts.

use std::fmt::Write;

use crate::{
    contestants::Contestant,
    measure::{Instructions, Sample},
};

/// A median and the quartiles around it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| values.get((values.len().checked_sub(1)? * quarter + 2) / 4).copied();
        Some(Self { median: at(2)?, low: at(1)?, high: at(3)? })
    }
}

/// All that is known of one contestant.
#[derive(Debug)]
pub struct Results {
    pub contestant: Contestant,
    /// By condition, in the order of [`crate::CONDITIONS`].
    pub samples: Vec<Vec<Sample>>,
    pub instructions: Option<Instructions>,
}

impl Results {
    pub fn spread(&self, condition: usize, of: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.samples.get(condition)?.iter().map(of).collect())
    }

    /// The number of round trips that the first invocation waits for, connections included. It is the extra time of the
    /// invocation per extra time of a round trip. `conditions` are two indices, and the milliseconds of a round trip in
    /// each.
    pub fn round_trips(&self, conditions: [(usize, f64); 2]) -> Option<f64> {
        let [(short, short_ms), (long, long_ms)] = conditions;
        let first = |condition| self.spread(condition, |sample| ms(sample.first.wall)).map(|spread| spread.median);
        Some((first(long)? - first(short)?) / (long_ms - short_ms))
    }
}

pub fn ms(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A row of the table: what it shows, and a cell for each contestant.
struct Row {
    what: String,
    cells: Vec<Option<Spread>>,
    decimals: usize,
    /// True if it says how many times this function's figure the others' are.
    compared: bool,
}

/// The table, with the contestants as columns.
pub struct Table {
    names: Vec<&'static str>,
    rows: Vec<Row>,
}

impl Table {
    pub fn new(all: &[Results]) -> Self {
        Self { names: all.iter().map(|results| results.contestant.name).collect(), rows: Vec::new() }
    }

    /// Adds a row; `figure` is what it shows of a contestant.
    pub fn row(
        &mut self,
        all: &[Results],
        what: impl Into<String>,
        decimals: usize,
        figure: impl Fn(&Results) -> Option<Spread>,
    ) {
        let compared = decimals > 0;
        self.rows.push(Row { what: what.into(), cells: all.iter().map(figure).collect(), decimals, compared });
    }

    /// A row of exact figures.
    pub fn exact(
        &mut self,
        all: &[Results],
        what: impl Into<String>,
        decimals: usize,
        figure: impl Fn(&Results) -> Option<f64>,
    ) {
        let point = |value: f64| Spread { median: value, low: value, high: value };
        self.row(all, what, decimals, |results| figure(results).map(point));
    }

    pub fn markdown(&self) -> String {
        let mut text = format!("| | {} |\n|---|{}\n", self.names.join(" | "), "--:|".repeat(self.names.len()));
        for row in &self.rows {
            let ours = row.cells.first().copied().flatten();
            let cells: Vec<String> = row.cells.iter().map(|cell| row.cell(*cell, ours)).collect();
            let _ = writeln!(text, "| {} | {} |", row.what, cells.join(" | "));
        }
        text
    }
}

impl Row {
    fn cell(&self, cell: Option<Spread>, ours: Option<Spread>) -> String {
        let Some(Spread { median, low, high }) = cell else { return "–".to_owned() };
        let decimals = self.decimals;
        let mut text = format!("{median:.decimals$}");
        let half = (high - low) / 2.0;
        if half > 0.0 {
            let _ = write!(text, " ± {half:.decimals$}");
        }
        match ours {
            Some(ours) if self.compared && (ours.median - median).abs() > f64::EPSILON && ours.median > 0.0 => {
                let _ = write!(text, " ({:.1}×)", median / ours.median);
            }
            _ => {}
        }
        text
    }
}

/// A target, and what was measured.
pub struct Target {
    pub what: String,
    pub value: Option<f64>,
    pub limit: f64,
    pub unit: &'static str,
}

impl Target {
    pub fn new(what: impl Into<String>, value: Option<f64>, limit: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, limit, unit }
    }

    pub fn markdown(targets: &[Self]) -> String {
        let mut text = "| target | at most | measured | |\n|---|--:|--:|---|\n".to_owned();
        for Self { what, value, limit, unit } in targets {
            let (measured, verdict) = match value {
                Some(value) => (format!("{value:.2} {unit}"), if value <= limit { "kept" } else { "**missed**" }),
                None => ("–".to_owned(), "not measured"),
            };
            let _ = writeln!(text, "| {what} | {limit:.2} {unit} | {measured} | {verdict} |");
        }
        text
    }
}
