//! From samples to Markdown.

use std::{env, fmt::Write, time::Duration};

use crate::{
    Measured,
    cases::Limits,
    measure::{Pass, Sample},
};

/// The number of requests that the function sends to TikTok in a second by default, at most.
const DEFAULT_RATE: f64 = 8.0;

impl Measured {
    /// The median over the rounds.
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Up to when the last secret had its new token: what cannot be helped may take longer.
    pub fn refreshes_a_second(&self) -> f64 {
        self.median(|sample| count(sample.refreshed) / sample.last_refresh.as_secs_f64())
    }

    pub fn peak_mb(&self) -> f64 {
        self.median(|sample| mb(sample.first.peak_kb))
    }

    fn per_refresh(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        self.median(|sample| of(sample) / count(sample.refreshed.max(1)))
    }
}

pub fn markdown(all: &[Measured]) -> String {
    let mut text = format!(
        "Medians of the rounds, on {}. A fleet is refreshed by one invocation of a process that was just started (\"due\"), and \
         looked through once more by the same process (\"fresh\").\n\n",
        env::consts::ARCH
    );
    figures(&mut text, all);
    requests(&mut text, all);
    fresh(&mut text, all);
    text
}

fn figures(text: &mut String, all: &[Measured]) {
    const HEAD: [&str; 13] = [
        "due",
        "secrets",
        "rounds",
        "refreshed",
        "refreshes/s",
        "whole run, s",
        "peak, MB",
        "growth, kB a secret",
        "processor, ms a refresh",
        "log, bytes a refresh",
        "TikTok: share of 8/s",
        "most in a second: TikTok, writes",
        "refused",
    ];
    head(text, &HEAD);
    let mut before: Option<&Measured> = None;
    for measured in all {
        let case = measured.case;
        let smaller = before.replace(measured).filter(|smaller| smaller.case.name == case.name);
        let growth = smaller.map_or_else(String::new, |smaller| {
            let grown = measured.peak_mb() - smaller.peak_mb();
            format!("{:.2}", grown * 1e3 / count(case.secrets - smaller.case.secrets))
        });
        let share = measured.median(|sample| count(sample.first.tiktok) / seconds(&sample.first) / DEFAULT_RATE);
        let share = if case.limits == Limits::Kept { format!("{:.0} %", share * 100.0) } else { "–".to_owned() };
        let most = |which: usize| measured.median(|sample| count(sample.most[which]));
        let cells = [
            case.name.to_owned(),
            thousands(case.secrets),
            measured.samples.len().to_string(),
            format!("{:.0}", measured.median(|sample| count(sample.refreshed))),
            format!("{:.1}", measured.refreshes_a_second()),
            format!("{:.2}", measured.median(|sample| seconds(&sample.first))),
            format!("{:.1}", measured.peak_mb()),
            growth,
            format!("{:.2}", measured.per_refresh(|sample| ms(sample.first.cpu))),
            format!("{:.0}", measured.per_refresh(|sample| count(sample.first.log_bytes))),
            share,
            format!("{:.0}, {:.0}", most(0), most(1)),
            format!("{:.0}", measured.samples.iter().map(|sample| number(sample.refused)).sum::<f64>()),
        ];
        row(text, &cells);
    }
}

fn requests(text: &mut String, all: &[Measured]) {
    let operations = |measured: &Measured| {
        measured.samples.iter().flat_map(|sample| sample.first.requests.keys().cloned()).collect::<Vec<_>>()
    };
    let mut names: Vec<String> = all.iter().flat_map(operations).collect();
    names.sort();
    names.dedup();
    text.push_str("\nRequests and connections for each refresh:\n\n");
    let heads = ["due", "secrets"].into_iter().chain(names.iter().map(String::as_str));
    let heads: Vec<&str> = heads.chain(["connections"]).collect();
    head(text, &heads);
    for measured in all {
        let asked = |name: &String| {
            let of = |sample: &Sample| count(sample.first.requests.get(name).copied().unwrap_or_default());
            format!("{:.2}", measured.per_refresh(of))
        };
        let mut cells = vec![measured.case.name.to_owned(), thousands(measured.case.secrets)];
        cells.extend(names.iter().map(asked));
        cells.push(format!("{:.2}", measured.per_refresh(|sample| count(sample.first.connections))));
        row(text, &cells);
    }
}

fn fresh(text: &mut String, all: &[Measured]) {
    text.push_str("\nThe same fleet once more, with nothing to do:\n\n");
    head(text, &["fresh", "secrets", "run, s", "requests", "processor, ms", "log, bytes", "peak since the start, MB"]);
    for measured in all.iter().filter(|measured| measured.samples.iter().all(|sample| sample.again.is_some())) {
        let of = |figure: fn(&Pass) -> f64| measured.median(|sample| sample.again.as_ref().map_or(f64::NAN, figure));
        let cells = [
            measured.case.name.to_owned(),
            thousands(measured.case.secrets),
            format!("{:.2}", of(seconds)),
            format!("{:.0}", of(|again| count(again.requests.values().sum()))),
            format!("{:.1}", of(|again| ms(again.cpu))),
            format!("{:.0}", of(|again| count(again.log_bytes))),
            format!("{:.1}", of(|again| mb(again.peak_kb))),
        ];
        row(text, &cells);
    }
}

fn head(text: &mut String, names: &[&str]) {
    let _ = writeln!(text, "| {} |\n|---|{}", names.join(" | "), "--:|".repeat(names.len() - 1));
}

fn row(text: &mut String, cells: &[String]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn thousands(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

pub fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn number(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}

fn mb(kb: u64) -> f64 {
    number(kb) / 1e3
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn seconds(pass: &Pass) -> f64 {
    pass.wall.as_secs_f64()
}
