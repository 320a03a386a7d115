//! Every combination of what a run may find and be asked for, against rules that a person can check line by line.

use std::collections::HashSet;

use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::{
    document::{Document, Fingerprint},
    error::{Error, Kind},
    refresh::{
        claim_record::{Claim, Purpose},
        version::Version,
    },
};

const NOW: &str = "2026-11-22T12:00:00Z";
const MIN_LIFETIME: Duration = Duration::from_hours(12);

type Rule = (fn(&Case) -> bool, &'static str);

const COOL_DOWN: &str = "cool down: TikTok rejected the refresh token at FAILED";
const SLOW_DOWN: &str = "cool down: other runs have failed, the latest at FAILED";

/// The rules: the first that fits is the plan. `SCHEDULED`, `AT`, `END` and `FAILED` stand for the times of the case.
const RULES: [Rule; 17] = [
    (|c| c.is_behind && c.is_cooling_down(), COOL_DOWN),
    (|c| c.is_behind && c.is_slowed_down(), SLOW_DOWN),
    (|c| c.is_behind, "resume: a run before this one staged new tokens and did not promote them"),
    (|c| c.flow == "long_term" && c.asked == "now", "verify: asked for"),
    (|c| c.flow == "long_term" && c.asked == "if needed", "verify: a long-term token can be revoked at any time"),
    (|c| c.flow == "long_term", "verify: not known to be refreshed since the scheduled time SCHEDULED"),
    (|c| c.asked == "now", "renew: asked for"),
    (Case::is_fresh_since_scheduled_time, "skip: refreshed at AT, which is not before the scheduled time SCHEDULED"),
    (Case::is_cooling_down, COOL_DOWN),
    (Case::is_slowed_down, SLOW_DOWN),
    (Case::is_scheduled, "renew: not known to be refreshed since the scheduled time SCHEDULED"),
    (
        |c| !["none", "an exchange's", "released without a failure"].contains(&c.claim),
        "renew: the last run did not finish",
    ),
    (|c| !c.origin, "renew: these tokens have not been refreshed by this function"),
    (|c| c.lifetime == "expired", "renew: the access token expired at END"),
    (|c| c.lifetime == "short", "renew: the access token expires at END"),
    (|c| c.lifetime == "long", "skip: the access token lives until END"),
    (|c| c.lifetime == "absent", "skip: refreshed at AT"),
];

/// The last rule, for what none of the others is for.
const OTHERWISE: &str = "renew: TikTok gave no lifetime, and the last refresh was at AT";

const CLAIMS: [&str; 10] = [
    "none",
    "not released",
    "released without a failure",
    "released after a lost answer",
    "an exchange's",
    "rejected",
    "rejected a day ago",
    "failed once",
    "failed twice",
    "failed twice until 50 minutes ago",
];

#[derive(Clone, Copy, Debug)]
struct Case {
    flow: &'static str,
    asked: &'static str,
    /// True if the chain holds a pair that counts and is not current.
    is_behind: bool,
    /// True if `_refresh` speaks of the tokens that are there.
    origin: bool,
    lifetime: &'static str,
    claim: &'static str,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for flow in ["business", "tt_user", "long_term"] {
            for asked in ["now", "scheduled before", "scheduled of the same second", "scheduled after", "if needed"] {
                for is_behind in [false, true] {
                    for origin in [true, false] {
                        for lifetime in ["absent", "absent for long", "long", "short", "expired"] {
                            for claim in CLAIMS {
                                all.push(Self { flow, asked, is_behind, origin, lifetime, claim });
                            }
                        }
                    }
                }
            }
        }
        all
    }

    fn is_scheduled(&self) -> bool {
        self.asked.starts_with("scheduled")
    }

    /// Refreshed at or after the scheduled time, to the second, and not dead since.
    fn is_fresh_since_scheduled_time(&self) -> bool {
        self.origin
            && matches!(self.asked, "scheduled before" | "scheduled of the same second")
            && self.lifetime != "expired"
    }

    /// When the latest redeem failed.
    fn failed(&self) -> Option<&'static str> {
        match self.claim {
            "rejected" => Some("2026-11-21T12:00:01Z"),
            "rejected a day ago" => Some("2026-11-21T12:00:00Z"),
            "failed once" | "failed twice" => Some("2026-11-22T11:10:01Z"),
            "failed twice until 50 minutes ago" => Some("2026-11-22T11:10:00Z"),
            _ => None,
        }
    }

    /// The hourly run waits for a day, the daily run for a scheduled time after the rejection, and a person for nothing.
    fn is_cooling_down(&self) -> bool {
        self.claim.starts_with("rejected") && self.waits("rejected")
    }

    /// After two failures in a row the hourly run waits for fifty minutes. The daily run waits for a scheduled time after the
    /// latest failure, and a person for nothing.
    fn is_slowed_down(&self) -> bool {
        self.claim.starts_with("failed twice") && self.waits("failed twice")
    }

    fn waits(&self, not_long_ago: &str) -> bool {
        match self.asked {
            "now" => false,
            "if needed" => self.claim == not_long_ago,
            _ => self.failed().is_some_and(|at| time(at) >= time(&self.scheduled())),
        }
    }

    fn refreshed_at(&self) -> &'static str {
        if self.lifetime == "absent for long" { "2026-11-20T03:00:02Z" } else { "2026-11-22T03:00:02Z" }
    }

    fn scheduled(&self) -> String {
        match self.asked {
            "scheduled before" => self.refreshed_at().replace("02Z", "00Z"),
            "scheduled of the same second" => self.refreshed_at().replace("02Z", "02.5Z"),
            _ => NOW.to_owned(),
        }
    }

    fn end(&self) -> Option<&'static str> {
        match self.lifetime {
            "long" => Some("2026-11-23T03:00:02Z"),
            "short" => Some("2026-11-22T18:00:00Z"),
            "expired" => Some("2026-11-22T11:59:59Z"),
            _ => None,
        }
    }

    fn trigger(&self) -> Trigger {
        match self.asked {
            "now" => Trigger::Now,
            "if needed" => Trigger::IfNeeded,
            _ => Trigger::Scheduled(time(&self.scheduled())),
        }
    }

    fn current(&self) -> Version {
        version(self.flow, self.origin, self.refreshed_at(), self.end())
    }

    fn newest_claim(&self) -> Option<Claim> {
        let pair = Fingerprint::of(None, None);
        let ended = |failures, failed: Option<Failed>| {
            let failed = failed.map(Box::new);
            Claim { attempt: 1, released: true, answered: true, failures, failed, ..claim(&pair) }
        };
        let failed = |kind| self.failed().map(|at| Failed::new(&Error::new(kind, "No."), time(at), None));
        match self.claim {
            "none" => None,
            "not released" => Some(claim(&pair)),
            "released without a failure" => Some(ended(0, None)),
            "released after a lost answer" => Some(Claim { answered: false, ..ended(0, None) }),
            "an exchange's" => Some(Claim { purpose: Purpose::Exchange, ..claim(&pair) }),
            "rejected" | "rejected a day ago" => Some(ended(1, failed(Kind::ReauthorizationRequired))),
            "failed once" => Some(ended(1, failed(Kind::TikTokUnavailable))),
            _ => Some(ended(2, failed(Kind::TikTokUnavailable))),
        }
    }

    fn plan(&self) -> Plan {
        let (current, claim) = (self.current(), self.newest_claim());
        let situation =
            Situation { credentials: &current.credentials, is_behind: self.is_behind, claim: claim.as_ref() };
        plan(situation, self.trigger(), time(NOW), MIN_LIFETIME)
    }

    fn rule(&self) -> usize {
        RULES.iter().position(|(fits, _)| fits(self)).unwrap_or(RULES.len())
    }

    fn expected(&self) -> String {
        let sentence = RULES.get(self.rule()).map_or(OTHERWISE, |(_, sentence)| sentence);
        let sentence = sentence.replace("SCHEDULED", &self.scheduled()).replace("AT", self.refreshed_at());
        let sentence = sentence.replace("END", self.end().unwrap_or_default());
        sentence.replace("FAILED", self.failed().unwrap_or_default())
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn version(flow: &str, origin: bool, refreshed_at: &str, end: Option<&str>) -> Version {
    let (refresh_token, access_token) = (SecretString::from("refresh"), SecretString::from("access"));
    let pair = Fingerprint::of(Some(&refresh_token), origin.then_some(&access_token));
    let body = json!({
        "app_id": "1", "secret": "s", "flow": flow, "refresh_token": "refresh", "access_token": "access",
        "refreshed_at": refreshed_at, "access_token_expires_at": end,
        "_refresh": {
            "parent": "p", "fingerprint": pair.as_str(), "root": pair.as_str(), "place": 0, "lineage": [],
            "authorization": 0, "run": "r", "at": refreshed_at,
        },
    });
    let document = Document::parse(&SecretString::from(body.to_string())).expect("a document");
    Version::new("arn".to_owned(), "v".to_owned(), document).expect("credentials")
}

fn claim(pair: &Fingerprint) -> Claim {
    Claim {
        attempt: 0,
        fingerprint: pair.clone(),
        nonce: "nonce".to_owned(),
        claimed_by: "run".to_owned(),
        claimed_at: time(NOW),
        expires_at: time(NOW),
        result_version_id: "result".to_owned(),
        purpose: Purpose::Refresh,
        code: None,
        released: false,
        answered: false,
        failures: 0,
        failed: None,
    }
}

#[test]
fn the_rules_hold_for_every_combination() {
    let mut used = HashSet::new();
    for case in Case::all() {
        assert_eq!(case.plan().to_string(), case.expected(), "{case:?}");
        used.insert(case.rule());
    }
    assert_eq!(used.len(), RULES.len() + 1, "every rule is needed");
}

#[test]
fn what_was_resumed_is_renewed_by_the_same_rules() {
    for case in Case::all().into_iter().filter(|c| c.flow == "business" && !c.is_behind && c.claim == "none") {
        let is_due = is_still_due((&case.current().credentials).into(), case.trigger(), time(NOW), MIN_LIFETIME);
        // By hand is as if needed: tokens that a run before this one redeemed are new enough while they last.
        let case = if case.asked == "now" { Case { asked: "if needed", ..case } } else { case };
        assert_eq!(is_due, case.expected().starts_with("renew"), "{case:?}");
    }
}

#[test]
fn a_lifetime_is_long_enough_to_the_second() {
    for (end, expected) in [
        ("2026-11-22T12:00:00Z", "renew: the access token expired at"),
        ("2026-11-22T12:00:01Z", "renew: the access token expires at"),
        ("2026-11-22T23:59:59Z", "renew: the access token expires at"),
        ("2026-11-23T00:00:00Z", "skip: the access token lives until"),
    ] {
        let current = version("business", true, "2026-11-22T03:00:02Z", Some(end));
        let plan = plan(Situation::of(&current.credentials), Trigger::IfNeeded, time(NOW), MIN_LIFETIME);
        assert_eq!(plan.to_string(), format!("{expected} {end}"));
    }
}
