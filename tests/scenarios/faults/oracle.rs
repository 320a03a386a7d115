//! The checks of the fault matrix. They use the records of the stand-ins: issued tokens, their order, and each write.
//! They do not use the function's own output.
//!
//! A check returns the broken promises as sentences without tokens. An empty list is a success.

use serde_json::Value;
use stand_ins::{
    Ending, Entry, Invocation, Journal, Outcome, TikTok, World,
    secrets_manager::{Caller, Version},
    tiktok::{GrantId, Redeem, Renewal},
};
use tiktok_token_refresh::transport::Label;

use crate::promises::{self, document as body, text};

/// The sentence for an answer of TikTok's that arrived nowhere.
const LOST: &str = "answer to an earlier attempt was lost";

/// The fields that the function adds to a document with the tokens that it redeemed.
const ADDED: [&str; 4] = ["access_token_expires_at", "refresh_token_expires_at", "refreshed_at", "_refresh"];

/// A credentials secret that is watched.
#[derive(Clone, Debug)]
pub struct Watched {
    pub secret_id: String,
    /// The grants whose tokens belong into it, in the order of the consents.
    pub grants: Vec<GrantId>,
    /// The names of its reader secrets.
    pub readers: Vec<String>,
}

impl Watched {
    pub fn new(secret_id: &str, grant: GrantId) -> Self {
        Self { secret_id: secret_id.to_owned(), grants: vec![grant], readers: Vec::new() }
    }
}

/// A redeem that TikTok carried out.
struct Spent {
    redeem: Redeem,
    /// When it came: the request's place in the journal.
    at: u64,
    /// When a version with its answer was asked for; none if the answer was lost.
    staged_at: Option<u64>,
}

/// A version that was AWSCURRENT at some time.
struct Reign {
    version: Version,
    /// When the function asked for it; none if another writer put it there.
    since: Option<u64>,
}

/// The oracle of one world.
#[derive(Debug)]
pub struct Oracle<'w> {
    pub world: &'w World,
    pub secrets: &'w [Watched],
}

impl Oracle<'_> {
    /// Returns the violations of promises that hold at every moment, from the first to this one. Readers saw nothing but
    /// whole documents with the tokens that were the newest then. Nothing was redeemed twice, and the labels are where they
    /// belong.
    pub fn always(&self) -> Vec<String> {
        let journal = self.world.faults.journal();
        let mut broken = promises::always(&self.world.tiktok.core(), &journal);
        for secret in self.secrets {
            let spent = self.spent(secret);
            broken.extend(self.redeemed_again(&spent));
            broken.extend(self.written_whole(secret));
            broken.extend(self.reigns(&secret.secret_id).iter().filter_map(|reign| self.reign(secret, reign)));
            broken.extend(self.labels(secret));
            for reader in &secret.readers {
                broken.extend(self.reigns(reader).iter().filter_map(|reign| self.reader_reign(secret, reign)));
            }
        }
        broken
    }

    /// Returns the violations by the ending of an invocation. It has to end within its time, by a name that alarms know, and
    /// without a secret in its output. `was_killed` says that a fault has ended the process.
    pub fn ended(&self, invocation: &Invocation, was_killed: bool) -> Vec<String> {
        let mut broken = promises::secrets_are_not_shown(&self.world.tiktok.core(), invocation);
        if !(was_killed && matches!(invocation.outcome, Outcome::Crashed(_))) {
            broken.extend(promises::failures_have_a_name(invocation));
        }
        broken
    }

    /// Returns the violations by a success. A success may be reported only of secrets that hold a working token, and whose
    /// readers have it.
    pub fn success(&self) -> Vec<String> {
        self.secrets.iter().flat_map(|secret| self.usable(secret)).collect()
    }

    /// Returns the violations by a failure among several secrets. The secrets that it does not name are in order.
    pub fn partial_failure(&self, message: &str) -> Vec<String> {
        let unnamed = self.secrets.iter().filter(|secret| !message.contains(&secret.secret_id));
        unnamed.flat_map(|secret| self.usable(secret)).collect()
    }

    /// The broken promises after the failure is over and the function has run again: the newest tokens work, or they were lost
    /// between TikTok and their write, and the function says so. `repeats` says that it was asked for the same thing again;
    /// of a consent that was lost no other run can know.
    pub fn healed(&self, runs: &[Invocation], repeats: bool) -> Vec<String> {
        let said = runs.iter().map(|run| format!("{:?}", run.outcome)).collect::<Vec<_>>().join("\n");
        let (mut broken, mut is_lost, mut must_say_so) = (Vec::new(), false, false);
        for secret in self.secrets {
            let (lost, current) = (self.lost_grant(secret), self.current_grant(secret));
            // Before the first authorization there is nothing to fall back on.
            let is_dead = lost.is_some() && (lost == current || current.is_none());
            if !is_dead {
                broken.extend(self.usable(secret));
            }
            if lost.is_none() && self.is_left_pending(secret) {
                broken.push(format!("AWSPENDING is left on another version of {} than AWSCURRENT", secret.secret_id));
            }
            if lost.is_none() {
                let (tiktok, document) = (self.world.tiktok.core(), self.current(&secret.secret_id));
                let newest = newest_grant_at(&tiktok, secret);
                broken.extend(
                    newest
                        .map(|newest| promises::newest_authorization_is_current(&tiktok, &document, newest))
                        .unwrap_or_default(),
                );
                broken.extend(promises::staged_answers_are_current(
                    &tiktok,
                    &self.versions(&secret.secret_id),
                    &document,
                ));
            }
            is_lost |= is_dead;
            must_say_so |= lost.is_some() && (repeats || lost == current);
        }
        if must_say_so && !(said.contains("ReauthorizationRequired") && said.contains(LOST)) {
            broken.push(format!("an answer was lost, and no run after it says so: {said}"));
        }
        let has_failed = runs.last().is_some_and(|run| run.outcome.error_type().is_some());
        if has_failed != is_lost {
            broken.push(format!("the last run {} fail: {said}", if is_lost { "did not" } else { "should not" }));
        }
        broken
    }

    /// True if tokens that TikTok has given out are in no version, and no request can bring them back.
    pub fn lost(&self) -> bool {
        self.secrets.iter().any(|secret| self.lost_grant(secret).is_some())
    }

    /// The number of redeems that were carried out and whose answers are stored.
    pub fn stored_redeems(&self) -> usize {
        let spent = self.secrets.iter().flat_map(|secret| self.spent(secret));
        spent.filter(|spent| spent.staged_at.is_some()).count()
    }
}

/// The facts about TikTok.
impl Oracle<'_> {
    /// The redeems of a secret's tokens, in order.
    fn spent(&self, secret: &Watched) -> Vec<Spent> {
        let redeems = self.world.tiktok.core().redeems().to_vec();
        let journal = self.world.faults.journal();
        let versions = self.versions(&secret.secret_id);
        let of_secret: Vec<_> = redeems.into_iter().filter(|redeem| secret.grants.contains(&redeem.grant)).collect();
        let mut spent: Vec<Spent> = Vec::new();
        for redeem in of_secret {
            let is_same = |before: &&Spent| before.redeem.refresh_token == redeem.refresh_token;
            let earlier = spent.iter().filter(is_same).count();
            let at = attempts(&journal, &redeem).filter(|entry| entry.applied).nth(earlier);
            let at = at.expect("what TikTok carried out is in the journal").ordinal;
            let holder = versions.iter().find(|version| text(&body(version), "access_token") == redeem.access_token);
            let staged_at = holder.and_then(|holder| put(&journal, &holder.id));
            spent.push(Spent { redeem, at, staged_at });
        }
        spent
    }

    /// Once the answer to a refresh token that rotates is stored, that refresh token is never sent again.
    fn redeemed_again(&self, spent: &[Spent]) -> Vec<String> {
        let journal = self.world.faults.journal();
        let rotates = |spent: &&Spent| spent.redeem.refresh_token != spent.redeem.next_refresh_token;
        let staged = spent.iter().filter(rotates).filter_map(|spent| Some((spent, spent.staged_at?)));
        let again = |(spent, at): (&Spent, u64)| {
            promises::refresh_tokens_are_not_sent_after_staging(attempts(&journal, &spent.redeem), at)
        };
        staged.flat_map(again).collect()
    }

    /// The grant whose newest tokens are in no version of the secret, although TikTok will not give them again.
    fn lost_grant(&self, secret: &Watched) -> Option<GrantId> {
        let grant = self.newest_grant(secret)?;
        let versions = self.versions(&secret.secret_id);
        let tiktok = self.world.tiktok.core();
        let newest = tiktok.newest(grant).0;
        let is_stored = versions.iter().any(|version| text(&body(version), "access_token") == newest);
        let comes_again = tiktok.spec_of(grant).renewal == Renewal::SameRefreshToken;
        (!is_stored && !comes_again).then_some(grant)
    }

    /// The latest consent for a secret that was exchanged for tokens.
    fn newest_grant(&self, secret: &Watched) -> Option<GrantId> {
        newest_grant_at(&self.world.tiktok.core(), secret)
    }

    /// The grant whose tokens are current.
    fn current_grant(&self, secret: &Watched) -> Option<GrantId> {
        self.number(&text(&self.current(&secret.secret_id), "access_token")).map(|(grant, _)| grant)
    }

    /// The grant and the number of an access or a refresh token, as TikTok knows it.
    fn number(&self, token: &str) -> Option<(GrantId, u32)> {
        let name = self.world.tiktok.core().name_of(token);
        let mut words = name.split(' ').filter_map(|word| word.parse::<u32>().ok());
        Some((words.next()? as GrantId, words.next()?))
    }
}

/// The facts about the secrets.
impl Oracle<'_> {
    fn versions(&self, secret_id: &str) -> Vec<Version> {
        self.world.secrets_manager.core().versions(secret_id)
    }

    /// The versions that were AWSCURRENT, in order.
    fn reigns(&self, secret_id: &str) -> Vec<Reign> {
        let (versions, writes) = {
            let core = self.world.secrets_manager.core();
            (core.versions(secret_id), core.writes().to_vec())
        };
        let journal = self.world.faults.journal();
        let mut reigns: Vec<Reign> = Vec::new();
        for write in writes.iter().filter(|write| write.secret == secret_id && write.changed) {
            let Some(version) = versions.iter().find(|version| Some(&version.id) == write.version_id.as_ref()) else {
                continue;
            };
            // The first version of a secret is current from the start.
            let is_current = reigns.is_empty() || write.labels.iter().any(|label| label == Label::Current.name());
            let is_ours = matches!(write.caller, Caller::Function(_));
            let since =
                if write.action == "PutSecretValue" { put(&journal, &version.id) } else { moved(&journal, version) };
            if is_current {
                reigns.push(Reign { version: version.clone(), since: since.filter(|_| is_ours) });
            }
        }
        reigns
    }

    /// Every version is a claim or a whole document, with all that a person ever put beside the tokens.
    fn written_whole(&self, secret: &Watched) -> Vec<String> {
        let versions = self.versions(&secret.secret_id);
        let own = versions.first().map(written).unwrap_or_default();
        let is_whole = |version: &&Version| match body(version) {
            Value::Object(claim) if claim.contains_key("claim") => {
                claim.len() == 1 && !Value::Object(claim).to_string().contains("canary")
            }
            Value::Null => version.body.is_none(),
            _ => promises::unknown_fields_are_preserved(&own, &written(version)).is_empty(),
        };
        let torn = versions.iter().filter(|version| !is_whole(version));
        torn.map(|version| format!("the version {} is neither a claim nor a whole document", version.id)).collect()
    }

    /// Checks a version that was current: a whole document, with the newest pair of tokens that TikTok had given out by
    /// then.
    fn reign(&self, secret: &Watched, reign: &Reign) -> Option<String> {
        let document = body(&reign.version);
        // What a person stores before the first authorization.
        if reign.since.is_none() && document.get("access_token").is_none() {
            return None;
        }
        let broken = |what: &str| Some(format!("AWSCURRENT was put on {}: {what}", reign.version.id));
        let Some((grant, number)) = self.number(&text(&document, "access_token")) else {
            return broken("it has no token that TikTok gave out");
        };
        if !secret.grants.contains(&grant) {
            return broken("its access token is of another grant");
        }
        if let Some(since) = reign.since {
            if self.newest_by(grant, since) != number {
                return broken("its access token was not the newest");
            }
            let is_rejected = self.is_rejected(grant, number, since);
            let token = text(&document, "access_token");
            let rejected = promises::rejected_tokens_are_not_promoted(&self.world.tiktok.core(), &token, is_rejected);
            if let Some(rejected) = rejected.first() {
                return broken(rejected);
            }
        }
        let refreshes = self.world.tiktok.core().spec_of(grant).renewal;
        let expected = match refreshes {
            Renewal::LongTerm => None,
            Renewal::SameRefreshToken | Renewal::SamePair => Some((grant, 0)),
            Renewal::Rotating { .. } => Some((grant, number)),
        };
        if self.number(&text(&document, "refresh_token")) != expected {
            return broken("its refresh token does not belong to its access token");
        }
        if number > 0 && ADDED.iter().any(|field| document.get(field).is_none()) {
            return broken("a field of a redeemed document is missing");
        }
        let ids = |list: &str| document.get(list).map(|list| list.as_array().map(Vec::len));
        (ids("advertiser_ids") != ids("advertisers")).then(|| broken("its two lists of advertisers differ"))?
    }

    /// Checks a version of a reader secret: a whole value, with the newest access token that TikTok had given out by then.
    fn reader_reign(&self, secret: &Watched, reign: &Reign) -> Option<String> {
        let value = body(&reign.version);
        let broken = |what: &str| Some(format!("a reader secret was put on {}: {what}", reign.version.id));
        if value.to_string().contains("canary-refresh") {
            return broken("it holds a refresh token");
        }
        if value.get("advertiser_ids").is_none() {
            return broken("its list of advertisers is missing");
        }
        match self.number(&text(&value, "access_token")) {
            Some((grant, number)) if secret.grants.contains(&grant) => {
                let is_newest = reign.since.is_none_or(|since| self.newest_by(grant, since) == number);
                if is_newest { None } else { broken("its access token was not the newest") }
            }
            _ => broken("it has no token of this secret's grant"),
        }
    }

    /// The number of the newest access token that a grant had by that request.
    fn newest_by(&self, grant: GrantId, at: u64) -> u32 {
        let secret = Watched::new("", grant);
        let redeems = self.spent(&secret).iter().filter(|spent| spent.at < at).count();
        u32::try_from(redeems).expect("a few redeems")
    }

    /// True if the last that TikTok said of an access token before that request was that it is worth nothing.
    fn is_rejected(&self, grant: GrantId, number: u32, at: u64) -> bool {
        let journal = self.world.faults.journal();
        let token = format!("grant {grant} access token {number}");
        let mut lists =
            journal.iter().filter(|entry| entry.operation == "oauth2/advertiser/get" && entry.detail == token);
        let last = lists.rfind(|entry| entry.ordinal < at && matches!(entry.ending, Ending::Status(_)));
        last.is_some_and(|last| last.code.as_deref() == Some("40105"))
    }

    fn labels(&self, secret: &Watched) -> Vec<String> {
        let versions = self.versions(&secret.secret_id);
        let mut broken = Vec::new();
        for version in &versions {
            for label in &version.labels {
                let is_claim = body(version).get("claim").is_some();
                let fits = match label.as_str() {
                    "AWSCURRENT" | "AWSPREVIOUS" | "TIKTOK_STAGED" => !is_claim && version.body.is_some(),
                    "TIKTOK_CLAIM" => is_claim,
                    // Empty, it is a rotation's.
                    "AWSPENDING" => !is_claim,
                    _ => false,
                };
                broken.extend((!fits).then(|| format!("the label {label} is on {}", version.id)));
            }
        }
        let holders =
            versions.iter().filter(|version| version.labels.iter().any(|label| label == "AWSCURRENT")).count();
        broken.extend((holders != 1).then(|| format!("AWSCURRENT is on {holders} versions")));
        broken
    }

    /// True if AWSPENDING keeps the next rotation from beginning.
    fn is_left_pending(&self, secret: &Watched) -> bool {
        let core = self.world.secrets_manager.core();
        let holder = |label: Label| core.labeled(&secret.secret_id, label.name()).map(|version| version.id);
        let pending = holder(Label::Pending);
        pending.is_some() && pending != holder(Label::Current)
    }

    /// The secret holds a pair that TikTok takes now, and so do its readers.
    fn usable(&self, secret: &Watched) -> Vec<String> {
        let current = self.current(&secret.secret_id);
        let token = text(&current, "access_token");
        let unusable = promises::current_is_usable(&self.world.tiktok.core(), &current);
        let mut broken: Vec<_> = unusable.iter().map(|what| format!("{}: {what}", secret.secret_id)).collect();
        let late = secret.readers.iter().filter(|reader| text(&self.current(reader), "access_token") != token);
        broken.extend(late.map(|reader| format!("the reader secret {reader} does not hold the current token")));
        broken
    }

    fn current(&self, secret_id: &str) -> Value {
        let current = self.world.secrets_manager.core().labeled(secret_id, Label::Current.name());
        current.as_ref().map(body).unwrap_or_default()
    }
}

/// The requests that sent the refresh token of a redeem.
fn attempts<'j>(journal: &'j Journal, redeem: &Redeem) -> impl Iterator<Item = &'j Entry> {
    let detail = format!("grant {} refresh token {}", redeem.grant, redeem.refresh_number);
    journal.iter().filter(move |entry| entry.operation.ends_with("oauth2/refresh_token") && entry.detail == detail)
}

/// When a version was first asked for that was written then.
fn put(journal: &Journal, version_id: &str) -> Option<u64> {
    let mut puts = journal.of("PutSecretValue").filter(|entry| entry.applied && entry.detail.contains(version_id));
    puts.next().map(|entry| entry.ordinal)
}

/// When AWSCURRENT was first asked to move to a version.
fn moved(journal: &Journal, version: &Version) -> Option<u64> {
    let to = format!("{} to {}", Label::Current.name(), version.id);
    let mut moves = journal.of("UpdateSecretVersionStage").filter(|entry| entry.applied && entry.detail.contains(&to));
    moves.next().map(|entry| entry.ordinal)
}

/// The value of a version, as it is written.
fn written(version: &Version) -> String {
    version.body.as_ref().and_then(|body| body.as_str()).unwrap_or_default().to_owned()
}

fn newest_grant_at(tiktok: &TikTok, secret: &Watched) -> Option<GrantId> {
    secret.grants.iter().copied().filter(|grant| *grant < tiktok.grants()).max()
}
