//! What must hold whatever fails. The oracle knows from the stand-ins which tokens TikTok has given out, in which order, and
//! who wrote what to the secret and when; it takes no word of the function's for it.
//!
//! Every question returns what is broken, in sentences without a token; an empty list is good news.

use serde_json::{Map, Value};
use stand_ins::{
    Ending, Entry, Invocation, Journal, Outcome, World,
    secrets_manager::{Caller, Version},
    tiktok::{Alive, GrantId, Redeem, Renewal},
};
use tiktok_token_refresh::{cycle::Label, error::Kind};

use crate::leaks;

/// The sentence for an answer of TikTok's that arrived nowhere.
const LOST: &str = "answer to an earlier attempt was lost";

/// What a person puts into a document, and what the function puts there for its own use or for its readers.
const KNOWN: [&str; 14] = [
    "access_token",
    "access_token_expires_at",
    "advertiser_ids",
    "advertisers",
    "advertisers_fetched_at",
    "authorized_at",
    "flow",
    "open_id",
    "redirect_uri",
    "refresh_token",
    "refresh_token_expires_at",
    "refreshed_at",
    "scope",
    "_refresh",
];

/// What the function adds to a document with the tokens that it redeemed.
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
    /// When the function asked for it; none if somebody else put it there.
    since: Option<u64>,
}

/// The oracle of one world.
#[derive(Debug)]
pub struct Oracle<'w> {
    pub world: &'w World,
    pub secrets: &'w [Watched],
}

impl Oracle<'_> {
    /// What is broken of what holds at every moment, from the first to this one: readers saw nothing but whole documents
    /// with the tokens that were the newest then, nothing was redeemed twice, and the labels are where they belong.
    pub fn always(&self) -> Vec<String> {
        let mut broken = [self.at_tiktok(), self.overwritten()].concat();
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

    /// What is broken of how an invocation ended: within its time, by a name that alarms know, without a secret in anything
    /// that it says. `was_killed` says that a fault has ended the process.
    pub fn ended(&self, invocation: &Invocation, was_killed: bool) -> Vec<String> {
        let mut broken = Vec::new();
        match &invocation.outcome {
            // Killed after its last request, a run may have answered already.
            Outcome::Response(..) => {}
            Outcome::Crashed(_) if was_killed => {}
            Outcome::Error { error_type, .. } if Kind::ALL.iter().any(|kind| kind.name() == error_type) => {}
            other => broken.push(format!("the invocation ended as {other:?}")),
        }
        let said = format!("{:?}", invocation.outcome);
        let needles = leaks::needles(self.world);
        let shown = |text: &String| needles.iter().any(|needle| text.contains(needle));
        broken.extend(invocation.logs.iter().chain([&said]).any(shown).then(|| "a secret shows".to_owned()));
        broken
    }

    /// What is broken of a success: it may be told of secrets alone that hold a working token, and whose readers have it.
    pub fn success(&self) -> Vec<String> {
        self.secrets.iter().flat_map(|secret| self.usable(secret)).collect()
    }

    /// What is broken of a failure among several secrets: those that it does not name are in order.
    pub fn partial_failure(&self, message: &str) -> Vec<String> {
        let unnamed = self.secrets.iter().filter(|secret| !message.contains(&secret.secret_id));
        unnamed.flat_map(|secret| self.usable(secret)).collect()
    }

    /// What is broken when all trouble is over and the function has run again: the newest tokens work, or they were lost
    /// between TikTok and their write, and the function says so. `repeats` says that it was asked for the same thing again;
    /// of a consent that was lost no other run can know.
    pub fn healed(&self, runs: &[Invocation], repeats: bool) -> Vec<String> {
        let said = runs.iter().map(|run| format!("{:?}", run.outcome)).collect::<Vec<_>>().join("\n");
        let (mut broken, mut is_lost, mut must_say_so) = (Vec::new(), false, false);
        for secret in self.secrets {
            let (lost, current) = (self.lost_grant(secret), self.current_grant(secret));
            // Before the first authorisation there is nothing to fall back on.
            let is_dead = lost.is_some() && (lost == current || current.is_none());
            if !is_dead {
                broken.extend(self.usable(secret));
            }
            if lost.is_none() && self.is_left_pending(secret) {
                broken.push(format!("AWSPENDING is left on another version of {} than AWSCURRENT", secret.secret_id));
            }
            if lost.is_none() && current != self.newest_grant(secret) {
                broken.push(format!("{} does not hold what was authorised last", secret.secret_id));
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

    /// Whether tokens that TikTok has given out are in no version, and no request can bring them back.
    pub fn lost(&self) -> bool {
        self.secrets.iter().any(|secret| self.lost_grant(secret).is_some())
    }

    /// How many redeems were carried out whose answers are stored.
    pub fn stored_redeems(&self) -> usize {
        let spent = self.secrets.iter().flat_map(|secret| self.spent(secret));
        spent.filter(|spent| spent.staged_at.is_some()).count()
    }
}

/// What there is to know of TikTok.
impl Oracle<'_> {
    fn at_tiktok(&self) -> Vec<String> {
        let tiktok = self.world.tiktok.core();
        let overlapping = tiktok.overlapping_redeems().len();
        let burned = tiktok.burned().len();
        let mut broken = Vec::new();
        if overlapping > 0 {
            broken.push(format!("{overlapping} refresh tokens were sent while they were being redeemed"));
        }
        if burned > 0 {
            broken.push(format!("{burned} refresh tokens were sent to the other family"));
        }
        broken
    }

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
        let again = |spent: &&Spent| {
            let rotates = spent.redeem.refresh_token != spent.redeem.next_refresh_token;
            let after = spent.staged_at.filter(|_| rotates)?;
            attempts(&journal, &spent.redeem).find(|entry| entry.ordinal > after).map(|entry| entry.ordinal)
        };
        let ordinals = spent.iter().filter_map(|spent| again(&spent));
        ordinals.map(|at| format!("request {at} redeems a token whose answer was stored before")).collect()
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
        let given = self.world.tiktok.core().grants();
        secret.grants.iter().copied().filter(|grant| *grant < given).max()
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

/// What there is to know of the secrets.
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
        let own = versions.first().map(|first| persons(&body(first))).unwrap_or_default();
        let is_whole = |version: &&Version| match body(version) {
            Value::Object(claim) if claim.contains_key("claim") => {
                claim.len() == 1 && !Value::Object(claim).to_string().contains("canary")
            }
            Value::Null => version.body.is_none(),
            document => persons(&document) == own,
        };
        let torn = versions.iter().filter(|version| !is_whole(version));
        torn.map(|version| format!("the version {} is neither a claim nor a whole document", version.id)).collect()
    }

    /// What was current: a whole document, with the newest pair of tokens that TikTok had given out by then.
    fn reign(&self, secret: &Watched, reign: &Reign) -> Option<String> {
        let document = body(&reign.version);
        // What a person stores before the first authorisation.
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
            if self.is_rejected(grant, number, since) {
                return broken("TikTok had just rejected its access token");
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

    /// What a reader secret held: a whole value, with the newest access token that TikTok had given out by then.
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

    /// Whether the last that TikTok said of an access token before that request was that it is worth nothing.
    fn is_rejected(&self, grant: GrantId, number: u32, at: u64) -> bool {
        let journal = self.world.faults.journal();
        let token = format!("grant {grant} access token {number}");
        let mut lists =
            journal.iter().filter(|entry| entry.operation == "oauth2/advertiser/get" && entry.detail == token);
        let last = lists.rfind(|entry| entry.ordinal < at && matches!(entry.ending, Ending::Status(_)));
        last.is_some_and(|last| last.code.as_deref() == Some("40105"))
    }

    /// AWSCURRENT moves by compare-and-swap alone: whoever writes a version with that label, which is what no label means,
    /// overwrites what others wrote.
    fn overwritten(&self) -> Vec<String> {
        let journal = self.world.faults.journal();
        let puts = journal.of("PutSecretValue");
        let blind = puts.filter(|put| put.label().is_none_or(|labels| labels.contains(Label::Current.name())));
        blind.map(|put| format!("request {} overwrites AWSCURRENT", put.ordinal)).collect()
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

    /// Whether AWSPENDING keeps the next rotation from beginning.
    fn is_left_pending(&self, secret: &Watched) -> bool {
        let core = self.world.secrets_manager.core();
        let holder = |label: Label| core.labelled(&secret.secret_id, label.name()).map(|version| version.id);
        let pending = holder(Label::Pending);
        pending.is_some() && pending != holder(Label::Current)
    }

    /// The secret holds a pair that TikTok takes now, and so do its readers.
    fn usable(&self, secret: &Watched) -> Vec<String> {
        let current = self.current(&secret.secret_id);
        let token = text(&current, "access_token");
        let (state, refresh_token) = (self.world.tiktok.core().state_of(&token), text(&current, "refresh_token"));
        let mut broken = Vec::new();
        if state != Alive::Yes {
            broken.push(format!("the access token in {} is {state:?}", secret.secret_id));
        }
        let tiktok = self.world.tiktok.core();
        if !refresh_token.is_empty() && !tiktok.is_newest_refresh_token(&refresh_token) {
            broken.push(format!("the refresh token in {} is not the newest", secret.secret_id));
        }
        drop(tiktok);
        let late = secret.readers.iter().filter(|reader| text(&self.current(reader), "access_token") != token);
        broken.extend(late.map(|reader| format!("the reader secret {reader} does not hold the current token")));
        broken
    }

    fn current(&self, secret_id: &str) -> Value {
        let current = self.world.secrets_manager.core().labelled(secret_id, Label::Current.name());
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

/// The JSON in a version; null if there is none.
fn body(version: &Version) -> Value {
    let text = version.body.as_ref().and_then(|body| body.as_str());
    text.map(|text| serde_json::from_str(text).unwrap_or(Value::String("no JSON".to_owned()))).unwrap_or_default()
}

fn text(document: &Value, field: &str) -> String {
    document.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What a person has put into a document beside what the function writes.
fn persons(document: &Value) -> Map<String, Value> {
    let mut fields = document.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| !KNOWN.contains(&name.as_str()));
    fields
}
