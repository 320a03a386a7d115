//! The promises of the function (`docs/design.md`), each promise once: in words, and as a function over the records of the
//! stand-ins. The model, the fault matrix, the crash sweep, the soak and the scenarios call these functions and have no
//! version of their own.
//!
//! A function returns what is broken, in sentences without a token. An empty list says that the promise is kept. A promise
//! without a caller does not compile.

#![deny(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, value::RawValue};
use stand_ins::{
    Entry, Invocation, Journal, Outcome, TikTok,
    secrets_manager::Version,
    tiktok::{Alive, GrantId},
};
use tiktok_token_refresh::error::Kind;

/// The violations of a promise.
pub type Broken = Vec<String>;

/// The fields that the function writes. Every other field is a person's.
const OURS: [&str; 14] = [
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

/// The beginning of every secret of the stand-ins.
const CANARY: &str = "canary";

/// Fails the scenario if anything is broken.
#[track_caller]
pub fn assert_kept(broken: &[String]) {
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The promises that hold at every moment, under every failure. They need no more than the requests to TikTok and Secrets
/// Manager.
pub fn always(tiktok: &TikTok, journal: &Journal) -> Broken {
    [
        refresh_tokens_are_sent_once(tiktok),
        current_is_not_overwritten(journal),
        redeems_have_a_claim(journal),
        writes_have_room(journal),
    ]
    .concat()
}

/// 1. A staged answer is not lost: the newest tokens of the current grant that are in any version, and that TikTok takes,
///    are current.
pub fn staged_answers_are_current(tiktok: &TikTok, versions: &[Version], current: &Value) -> Broken {
    let place = |document: &Value| tiktok.place_of(&text(document, "access_token"));
    let Some((grant, number)) = place(current) else { return Broken::new() };
    let waiting = versions.iter().map(document).filter(|document| {
        place(document).is_some_and(|(of, later)| of == grant && later > number)
            && tiktok.is_alive(&text(document, "access_token"))
    });
    waiting
        .map(|document| format!("{} is staged and not current", tiktok.name_of(&text(&document, "access_token"))))
        .collect()
}

/// 2. AWSCURRENT is one complete document.
pub fn current_is_complete(current: &Value) -> Broken {
    let is_complete =
        current.is_object() && !text(current, "access_token").is_empty() && current.get("claim").is_none();
    broken_unless(is_complete, || "AWSCURRENT is not a complete document".to_owned())
}

/// 2. AWSCURRENT never holds a token that TikTok rejected when it was checked.
pub fn rejected_tokens_are_not_promoted(tiktok: &TikTok, access_token: &str, is_rejected: bool) -> Broken {
    broken_unless(!is_rejected, || format!("{} is current, and TikTok had rejected it", tiktok.name_of(access_token)))
}

/// 3. A refresh token is not sent by two runs at once, nor to the endpoint of the other flow, which ends it.
fn refresh_tokens_are_sent_once(tiktok: &TikTok) -> Broken {
    let (overlapping, burned) = (tiktok.overlapping_redeems().len(), tiktok.burned().len());
    let mut broken =
        broken_unless(overlapping == 0, || format!("{overlapping} refresh tokens were sent by two runs at once"));
    broken.extend(broken_unless(burned == 0, || {
        format!("{burned} refresh tokens were sent to the other flow's endpoint")
    }));
    broken
}

/// 3. A refresh token is not sent again after its answer was staged. `sent` are the requests that sent it.
pub fn refresh_tokens_are_not_sent_after_staging<'j>(sent: impl Iterator<Item = &'j Entry>, staged_at: u64) -> Broken {
    let again = sent.filter(|entry| entry.ordinal > staged_at);
    again.map(|entry| format!("request {} redeems a token whose answer was staged before", entry.ordinal)).collect()
}

/// 4. A version written by another run or a person is never overwritten: AWSCURRENT moves by compare-and-swap, never by a put.
fn current_is_not_overwritten(journal: &Journal) -> Broken {
    let puts = journal.of("PutSecretValue");
    let blind = puts.filter(|put| put.label().is_none_or(|labels| labels.contains("AWSCURRENT")));
    blind.map(|put| format!("request {} overwrites AWSCURRENT", put.ordinal)).collect()
}

/// 5. Fields that the project does not know are preserved byte for byte.
pub fn unknown_fields_are_preserved(before: &str, after: &str) -> Broken {
    let (before, after) = (unknown_fields(before), unknown_fields(after));
    broken_unless(before == after, || {
        let names: BTreeSet<_> =
            before.keys().chain(after.keys()).filter(|name| before.get(*name) != after.get(*name)).collect();
        format!("a person's fields changed: {names:?}")
    })
}

/// 6. No token, app secret or auth code appears in a log, error, metric, trace, panic or response.
pub fn secrets_are_not_shown(tiktok: &TikTok, invocation: &Invocation) -> Broken {
    let tokens = tiktok.redeems().iter();
    let tokens = tokens.flat_map(|redeem| [&redeem.refresh_token, &redeem.access_token, &redeem.next_refresh_token]);
    // A token that was cut off or quoted in part has its end left, or its beginning.
    let ends = tokens.map(|token| &token[token.len().saturating_sub(12)..]).filter(|end| !end.is_empty());
    let needles: BTreeSet<&str> = ends.chain([CANARY]).collect();
    let said = format!("{:?}", invocation.outcome);
    let texts = invocation.logs.iter().chain([&said]);
    let shows = texts.filter(|text| needles.iter().any(|needle| text.contains(needle)));
    shows.map(|text| format!("a secret shows in: {text}")).collect()
}

/// 7. A run that failed says so by a stable error type.
pub fn failures_have_a_name(invocation: &Invocation) -> Broken {
    let is_named = match &invocation.outcome {
        Outcome::Response(..) => true,
        Outcome::Error { error_type, .. } => Kind::ALL.iter().any(|kind| kind.name() == error_type),
        Outcome::InitError { .. } | Outcome::Crashed(_) | Outcome::TimedOut => false,
    };
    broken_unless(is_named, || format!("the invocation ended as {:?}", invocation.outcome))
}

/// 7. Success is reported for a usable secret: TikTok takes its access token, and its refresh token is the newest.
pub fn current_is_usable(tiktok: &TikTok, current: &Value) -> Broken {
    let (access_token, refresh_token) = (text(current, "access_token"), text(current, "refresh_token"));
    let state = tiktok.state_of(&access_token);
    let mut broken = broken_unless(state == Alive::Yes, || format!("the access token is {state:?}"));
    let is_newest = refresh_token.is_empty() || tiktok.is_newest_refresh_token(&refresh_token);
    broken.extend(broken_unless(is_newest, || "the refresh token is not the newest".to_owned()));
    broken
}

/// 8. Nothing is redeemed without a claim: before the n-th token was sent, n claims had been written.
fn redeems_have_a_claim(journal: &Journal) -> Broken {
    let (mut claims, mut tokens, mut broken) = (0, BTreeSet::new(), Broken::new());
    for entry in &journal.0 {
        let is_claim = entry.operation == "PutSecretValue" && entry.label() == Some("TIKTOK_CLAIM");
        claims += usize::from(is_claim && entry.applied && entry.code.is_none());
        let is_redeem = entry.operation.ends_with("oauth2/refresh_token") && entry.applied;
        if is_redeem && tokens.insert(&entry.detail) && tokens.len() > claims {
            broken.push(format!("request {} redeems {} without a claim", entry.ordinal, entry.detail));
        }
    }
    broken
}

/// 9. Size and version limits never cost tokens: no write is refused for want of room.
fn writes_have_room(journal: &Journal) -> Broken {
    let refused =
        journal.iter().filter(|entry| entry.fault.is_none() && entry.code.as_deref() == Some("LimitExceededException"));
    refused.map(|entry| format!("request {} found no room for a version", entry.ordinal)).collect()
}

/// 10. What a person did stays done: the tokens of the newest authorization are current.
pub fn newest_authorization_is_current(tiktok: &TikTok, current: &Value, newest: GrantId) -> Broken {
    let grant = tiktok.place_of(&text(current, "access_token")).map(|(grant, _)| grant);
    broken_unless(grant == Some(newest), || {
        format!("grant {grant:?} is current, and grant {newest} was authorized last")
    })
}

/// The fields of a document that are a person's, as they are written.
pub fn unknown_fields(document: &str) -> BTreeMap<String, String> {
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(document).unwrap_or_default();
    let unknown = fields.into_iter().filter(|(name, _)| !OURS.contains(&name.as_str()));
    unknown.map(|(name, value)| (name, value.get().to_owned())).collect()
}

/// The JSON in a version: null if it has no value, a text if its value is no JSON.
pub fn document(version: &Version) -> Value {
    let text = version.body.as_ref().and_then(|body| body.as_str());
    text.map(|text| serde_json::from_str(text).unwrap_or(Value::String("no JSON".to_owned()))).unwrap_or_default()
}

/// A text field of a document, empty if there is none.
pub fn text(document: &Value, field: &str) -> String {
    document.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn broken_unless(is_kept: bool, sentence: impl FnOnce() -> String) -> Broken {
    if is_kept { Broken::new() } else { vec![sentence()] }
}
