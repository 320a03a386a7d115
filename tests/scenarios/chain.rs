//! The chain of token pairs, and everything that TikTok, AWS and people can do to it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};
use stand_ins::{
    APP_ID, Fault, Function, GrantSpec, Service, When, World, add_advertisers, secrets_manager::client::new_token,
    tiktok::Renewal,
};
use tiktok_token_refresh::{
    document::{Credentials, Document},
    transport::Label,
};

use crate::{
    publish,
    support::{
        BINARY, Scenario, assert_failed, only_result, outcome, refresh, scheduled, side_by_side, strict, written,
    },
};

const REDEEM: &str = "oauth2/refresh_token";
const LIST: &str = "oauth2/advertiser/get";
const DAY: Duration = Duration::from_hours(24);
/// The shortest invocation in which a refresh token may be redeemed, and a redeem that failed at once is repeated.
const BRIEF: Duration = Duration::from_secs(16);

/// The hourly run.
fn hourly() -> Value {
    json!({"action": "refresh", "if_needed": true})
}

/// The daily run of a day to come: whatever was refreshed before is due.
fn daily(day: i64) -> Value {
    let slot = Timestamp::now() + SignedDuration::from_hours(24 * day);
    json!({"action": "refresh", "scheduled_time": slot.to_string()})
}

/// The worst that TikTok is believed to do: a refresh token that is sent again costs the grant.
fn rotating() -> GrantSpec {
    GrantSpec { renewal: Renewal::Rotating { reuse_revokes: true }, ..GrantSpec::default() }
}

/// The version that a label is on.
fn version(world: &World, label: &str) -> String {
    world.secrets_manager.core().labeled(&world.secret_id, label).expect("a version with this label").id
}

/// A person moves AWSCURRENT, as in the console.
async fn roll_back(world: &World, to: &str) {
    let from = version(world, "AWSCURRENT");
    let client = world.secrets_manager.client();
    client.update_stage(&world.secret_id, "AWSCURRENT", Some(to), Some(&from)).await.expect("a person may");
}

/// Changes what the versions that have such a field say, as time does.
fn rewrite(world: &World, edit: impl Fn(&mut Value) -> Option<()>) {
    world.secrets_manager.core().rewrite(&world.secret_id, |body| {
        let mut document = serde_json::from_str(body).ok()?;
        edit(&mut document)?;
        Some(document.to_string())
    });
}

fn earlier(time: &Value, hours: i64) -> Value {
    let time: Timestamp = time.as_str().expect("a time").parse().expect("RFC 3339");
    json!((time - SignedDuration::from_hours(hours)).to_string())
}

#[tokio::test]
async fn a_pair_that_tiktok_answers_with_itself_has_new_lifetimes_and_is_redeemed_again_when_it_is_due() {
    // The emulator does not keep what this leans on: one server for all worlds, labels that a write moves.
    if strict(World::empty()).is_none() {
        return;
    }
    let spec = GrantSpec { renewal: Renewal::SamePair, ..GrantSpec::default() };
    let world = World::with(spec);
    let (function, first) = (world.lambda(), world.field("access_token"));
    for day in 1..=5 {
        assert_eq!(outcome(&function.run(daily(day)).await), "refreshed", "day {day}");
        assert_eq!(outcome(&function.run(hourly()).await), "fresh", "day {day}");
        assert_eq!(
            (world.redeemed(), world.field("access_token")),
            (usize::try_from(day).expect("a few"), first.clone())
        );
        world.assert_usable();
        let expires: Timestamp = world.field("access_token_expires_at").parse().expect("RFC 3339");
        assert!(expires > Timestamp::now() + SignedDuration::from_hours(23), "day {day}: {expires}");
        assert!(world.document(Label::Staged.name()).is_none_or(|staged| staged["access_token"] == first));
        world.let_hours_pass(20).await;
    }
    // Once its time is nearly over, the hourly run redeems it as well.
    assert_eq!(outcome(&function.run(hourly()).await), "refreshed");
    assert_eq!(world.redeemed(), 6);
}

#[tokio::test]
async fn a_secret_that_is_configured_by_name_and_by_arn_is_refreshed_once_and_has_one_result() {
    side_by_side([false, true].map(|is_first| async move {
        let world = World::with(rotating());
        let id = world.secret_id.as_str();
        let described = world.secrets_manager.client().call("DescribeSecret", json!({"SecretId": id})).await;
        let described = described.expect("a secret that exists");
        let arn = described["ARN"].as_str().expect("an ARN");
        let ids = if is_first { format!("{arn},{id},{id}") } else { format!("{id},{arn},{id}") };
        let invocation = world.function_with(BINARY, &[("SECRET_ID", &ids)]).run(refresh()).await;
        assert_eq!(only_result(&invocation)["outcome"], "refreshed", "{ids}");
        assert_eq!(world.redeemed(), 1, "{ids}");
    }))
    .await;
}

/// Refreshes so many times, a day apart, in a secret that has so many versions at most; then the first value comes back, and
/// the next run makes the newest tokens current without sending a redeemed token again.
async fn first_value_comes_back(refreshes: usize, limit: usize, edits: usize) {
    let Some(world) = strict(World::with(rotating())) else { return };
    let case = format!("after {refreshes} refreshes, of {limit} versions, with {edits} edits");
    let (function, first) = (world.lambda(), world.text("AWSCURRENT"));
    world.secrets_manager.core().semantics.version_limit = limit;
    for day in 0..refreshes {
        assert_eq!(outcome(&function.run(refresh()).await), "refreshed", "{case}: day {day}");
        world.secrets_manager.core().grow_old(DAY);
    }
    let (newest, _) = world.tiktok.core().newest(world.grant);
    for edit in 0..=edits {
        let mut document: Value = serde_json::from_str(&first).expect("JSON");
        document["edits"] = json!(edit);
        world.store(&document.to_string()).await;
    }
    assert_eq!(outcome(&function.run(scheduled()).await), "resumed", "{case}");
    assert_eq!((world.redeemed(), world.field("access_token")), (refreshes, newest), "{case}");
    assert_eq!(world.current()["edits"], json!(edits), "what a person wrote beside the tokens stays: {case}");
    world.assert_usable();
    world.secrets_manager.core().grow_old(DAY);
    assert_eq!(outcome(&function.run(refresh()).await), "refreshed", "{case}");
    world.assert_usable();
    assert!(world.tiktok.core().refused_redeems().is_empty(), "nothing that was spent was sent: {case}");
}

#[tokio::test]
async fn when_the_first_value_comes_back_the_living_head_of_the_chain_becomes_current() {
    // With ten versions AWS has pruned all but the last few links.
    let cases = [(17, 100, 0), (40, 100, 0), (200, 100, 0), (17, 10, 0), (40, 10, 3), (200, 10, 1)];
    side_by_side(cases.map(|(refreshes, limit, edits)| first_value_comes_back(refreshes, limit, edits))).await;
}

#[tokio::test]
async fn a_roll_back_across_a_refresh_is_healed_forward_by_the_next_due_run() {
    let daily = daily(1);
    for event in [daily.clone(), scheduled(), hourly(), refresh()] {
        let Some(world) = strict(World::with(rotating())) else { return };
        let function = world.lambda();
        for _ in 0..2 {
            function.run(refresh()).await;
        }
        let newest = world.field("access_token");
        roll_back(&world, &version(&world, "AWSPREVIOUS")).await;
        assert_ne!(world.field("access_token"), newest);
        // Tokens that were staged before a later scheduled time are refreshed at once.
        let (ending, redeems) = if event == daily { ("refreshed", 3) } else { ("resumed", 2) };
        assert_eq!(outcome(&function.run(event.clone()).await), ending, "{event}");
        assert_eq!((world.field("access_token") == newest, world.redeemed()), (redeems == 2, redeems), "{event}");
        world.assert_usable();
        assert!(world.tiktok.core().refused_redeems().is_empty(), "{event}");
        assert_eq!(outcome(&function.run(refresh()).await), "refreshed", "{event}");
        world.assert_usable();
    }
}

/// A person authorizes another account, which is current then, and goes back to the one before.
async fn rolled_back_across_an_authorization(is_edit: bool, refreshes: usize) -> Option<(World, Function)> {
    let world = strict(World::with(rotating()))?;
    let function = world.lambda();
    function.run(refresh()).await;
    let (before, document) = (version(&world, "AWSCURRENT"), world.text("AWSCURRENT"));
    let code = world.tiktok.core().authorize_by_code(APP_ID, rotating(), Duration::from_hours(1));
    let exchanged = function.run(json!({"action": "exchange", "auth_code": code})).await;
    assert_eq!(outcome(&exchanged), "authorized");
    // The claim of an exchange lasts for some seconds.
    world.let_the_claim_expire().await;
    for _ in 0..refreshes {
        assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
    }
    if is_edit {
        world.store(&document).await;
    } else {
        roll_back(&world, &before).await;
    }
    Some((world, function))
}

#[tokio::test]
async fn a_roll_back_across_an_authorization_holds_also_on_the_next_daily_refresh_and_after_it() {
    for (is_edit, refreshes) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
        for first in [hourly(), daily(1), refresh()] {
            let case = format!("by an edit: {is_edit}, after {refreshes} refreshes: {first}");
            let Some((world, function)) = rolled_back_across_an_authorization(is_edit, refreshes).await else { return };
            for event in [first.clone(), daily(1), hourly(), daily(2), hourly(), refresh(), hourly()] {
                let ending = outcome(&function.run(event.clone()).await);
                assert!(["fresh", "refreshed"].contains(&ending.as_str()), "{case}: {event}: {ending}");
                let token = world.field("access_token");
                let (grant, _) = world.tiktok.core().place_of(&token).expect("a token");
                assert_eq!(grant, world.grant, "the account that the person went back to: {case}: {event}");
                world.assert_usable();
            }
            assert!(world.tiktok.core().refused_redeems().is_empty(), "{case}");
        }
    }
}

#[tokio::test]
async fn an_authorization_after_a_roll_back_counts() {
    let Some((world, function)) = rolled_back_across_an_authorization(false, 0).await else { return };
    assert_eq!(outcome(&function.run(hourly()).await), "fresh");
    let code = world.tiktok.core().authorize_by_code(APP_ID, rotating(), Duration::from_hours(1));
    assert_eq!(outcome(&function.run(json!({"action": "exchange", "auth_code": code})).await), "authorized");
    for event in [hourly(), daily(1), hourly(), refresh()] {
        function.run(event).await;
        let (grant, _) = world.tiktok.core().place_of(&world.field("access_token")).expect("a token");
        assert_eq!(grant, world.tiktok.core().grants() - 1, "the newest account");
        world.assert_usable();
    }
}

#[tokio::test]
async fn removed_tokens_stay_removed_and_the_error_names_the_version_with_tokens_and_the_command() {
    let Some(world) = strict(World::with(rotating())) else { return };
    let function = world.lambda();
    for _ in 0..2 {
        function.run(refresh()).await;
    }
    let with_tokens = version(&world, "AWSCURRENT");
    world
        .edit(|document| document.as_object_mut().expect("an object").retain(|name, _| !name.ends_with("_token")))
        .await;
    let without = version(&world, "AWSCURRENT");
    for event in [scheduled(), hourly(), refresh(), daily(1)] {
        world.faults.reset();
        let invocation = function.run(event).await;
        let command = format!(
            "aws secretsmanager update-secret-version-stage --secret-id {} --version-stage AWSCURRENT --move-to-version-id {with_tokens} --remove-from-version-id {without}",
            world.secret_id
        );
        let says = ["neither a 'refresh_token' nor an 'access_token'", "authorize_url", command.as_str()];
        assert_failed(&invocation, "ReauthorizationRequired", &says);
        assert!(world.faults.journal().is_reading_alone(), "{}", world.faults.journal());
        assert_eq!((version(&world, "AWSCURRENT"), world.redeemed()), (without.clone(), 2));
    }
    roll_back(&world, &with_tokens).await;
    assert_eq!(outcome(&function.run(hourly()).await), "fresh");
    world.assert_usable();
}

#[tokio::test]
async fn new_tokens_that_the_check_rejects_in_run_after_run_are_kept_and_redeemed_onward_only_when_their_time_is_over()
{
    let Some(world) = strict(World::with(rotating())) else { return };
    let function = world.lambda();
    function.run(refresh()).await;
    let before = world.text("AWSCURRENT");
    world.faults.at(When::operation(LIST).always(), Fault::tiktok(40105, "Access token is incorrect"));
    assert_eq!(outcome(&function.run(daily(1)).await), "NewTokenRejected");
    let staged = version(&world, "TIKTOK_STAGED");
    // A token is new for a minute, and waited for.
    rewrite(&world, |document| {
        let at = document.get_mut("refreshed_at")?;
        *at = earlier(at, 1);
        Some(())
    });
    let current = world.text("AWSCURRENT");
    world.faults.reset();
    for hour in 0..20 {
        let event = if hour % 5 == 0 { daily(1) } else { hourly() };
        let invocation = function.run(event).await;
        assert_failed(&invocation, "NewTokenRejected", &["40105", "TIKTOK_STAGED"]);
    }
    assert_eq!(world.faults.journal().count(LIST), 20, "they are checked each time");
    assert_eq!((world.redeemed(), version(&world, "TIKTOK_STAGED"), written(&world.faults.journal())), (2, staged, 0));
    assert_eq!(world.text("AWSCURRENT"), current, "{before}");

    rewrite(&world, |document| {
        *document.get_mut("access_token_expires_at")? = json!("2026-01-01T00:00:00Z");
        Some(())
    });
    world.faults.clear();
    assert_eq!(outcome(&function.run(hourly()).await), "refreshed");
    assert_eq!(world.redeemed(), 3);
    world.assert_usable();
}

/// An hour passes for the claims that are there.
fn let_an_hour_pass(world: &World) {
    rewrite(world, |document| {
        let claim = document.get_mut("claim")?;
        for time in ["claimed_at", "expires_at"] {
            claim[time] = earlier(&claim[time], 1);
        }
        if let Some(at) = claim.get_mut("failed").and_then(|failed| failed.get_mut("at")) {
            *at = earlier(at, 1);
        }
        Some(())
    });
}

#[tokio::test]
async fn a_day_of_outages_costs_sixty_versions_at_most() {
    let Some(world) = strict(World::with(rotating())) else { return };
    let function = world.lambda();
    let before = world.versions().len();
    world.faults.at(When::operation(REDEEM).always(), Fault::tiktok(50000, "Internal error."));
    for hour in 0..24 {
        // Lambda repeats what fails twice.
        let events = if hour == 3 { vec![hourly(), scheduled()] } else { vec![hourly()] };
        for event in events.into_iter().flat_map(|event| vec![event; 3]) {
            assert_eq!(outcome(&function.invoke(event, BRIEF).await), "TikTokUnavailable", "hour {hour}");
        }
        let_an_hour_pass(&world);
    }
    let cost = world.versions().len() - before;
    assert!((48..=60).contains(&cost), "{cost} versions");
    world.faults.clear();
    assert_eq!(outcome(&function.run(hourly()).await), "refreshed");
    world.assert_usable();
}

fn wrong_code(number: usize) -> Value {
    json!({"action": "exchange", "auth_code": format!("wrong-code-{number}")})
}

#[tokio::test]
async fn a_wrong_auth_code_and_its_reload_cost_one_version_each() {
    let Some(world) = strict(World::with(rotating())) else { return };
    let function = world.lambda();
    function.run(refresh()).await;
    let versions = world.versions().len();
    for attempt in 1..=3 {
        let invocation = function.run(wrong_code(1)).await;
        assert!(invocation.outcome.error_type().is_some(), "{:?}", invocation.outcome);
        assert!(world.versions().len() <= versions + attempt, "{}", world.faults.journal());
    }
    assert_eq!(outcome(&function.run(daily(1)).await), "refreshed", "it holds nobody up");
}

#[tokio::test]
async fn attempts_with_wrong_auth_codes_end_before_the_room_of_a_day_is_used_up() {
    let Some(world) = strict(World::with(rotating())) else { return };
    let function = world.lambda();
    function.run(refresh()).await;
    let mut endings = Vec::new();
    for number in 0..70 {
        endings.push(outcome(&function.run(wrong_code(number)).await));
    }
    assert_eq!(endings.last().map(String::as_str), Some("SecretLimitExceeded"), "{endings:?}");
    assert_ne!(endings[50], "SecretLimitExceeded", "a person may mistake a few codes");
    let versions = world.versions().len();
    assert!(versions <= 64, "{versions}");
    // More refreshes than the schedules of a day ask for.
    for day in 1..=10 {
        assert_eq!(outcome(&function.run(daily(day)).await), "refreshed", "{day}");
    }
    world.assert_usable();
}

#[tokio::test]
async fn a_secret_that_a_person_filled_with_young_versions_is_told_before_anything_is_spent() {
    let Some(world) = strict(World::with(rotating())) else { return };
    let function = world.lambda();
    function.run(refresh()).await;
    while world.versions().len() < 97 {
        world.edit(|document| document["note"] = json!(new_token())).await;
    }
    for event in [scheduled(), hourly(), refresh(), daily(1), wrong_code(1)] {
        world.faults.reset();
        let invocation = function.run(event.clone()).await;
        let journal = world.faults.journal();
        if journal.count("ListSecretVersionIds") == 0 {
            assert_eq!(outcome(&invocation), "fresh", "{event}");
            continue;
        }
        assert_failed(
            &invocation,
            "SecretLimitExceeded",
            &["97 versions", "younger than a day", "Nothing was redeemed"],
        );
        assert!(journal.iter().all(|entry| entry.service == Service::SecretsManager), "{journal}");
        assert_eq!((written(&journal), world.redeemed()), (0, 1), "{event}");
    }
    world.secrets_manager.core().grow_old(DAY);
    assert_eq!(outcome(&function.run(daily(1)).await), "refreshed");
    world.assert_usable();
}

#[tokio::test]
async fn a_reader_secret_gets_the_new_token_although_reads_lag_behind_writes() {
    for (delay, reads) in [(1_000, 0), (300, 0), (0, 1), (0, 3)] {
        let case = format!("{delay} ms, {reads} reads");
        let (world, reader) = publish::world("reader").await;
        let Some(world) = strict(world) else { return };
        let function = world.lambda();
        function.run(refresh()).await;
        world.secrets_manager.core().semantics.read_delay = Duration::from_millis(delay);
        world.secrets_manager.core().semantics.read_lag = reads;
        for day in 1..=3 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            assert_eq!(outcome(&function.run(daily(day)).await), "refreshed", "{case}");
            world.assert_usable();
            let body = publish::read(&world, &reader).await.expect("a value");
            assert_eq!(body["access_token"], world.current()["access_token"], "day {day}: {case}");
        }
        assert_eq!((world.redeemed(), world.tiktok.core().refused_redeems().len()), (4, 0), "{case}");
    }
}

#[tokio::test]
async fn runs_that_follow_at_once_while_reads_lag_redeem_nothing_that_was_spent() {
    for (delay, reads) in [(1_000, 0), (0, 3)] {
        let Some(world) = strict(World::with(rotating())) else { return };
        let function = world.lambda();
        world.secrets_manager.core().semantics.read_delay = Duration::from_millis(delay);
        world.secrets_manager.core().semantics.read_lag = reads;
        for _ in 0..4 {
            function.run(refresh()).await;
            function.run(hourly()).await;
        }
        world.secrets_manager.core().semantics.read_lag = 0;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let ending = outcome(&function.run(daily(1)).await);
        assert_eq!(ending, "refreshed", "{delay} ms, {reads} reads");
        world.assert_usable();
        assert!(world.tiktok.core().refused_redeems().is_empty(), "{delay} ms, {reads} reads");
    }
}

#[tokio::test]
async fn a_secret_that_a_release_before_this_one_wrote_is_taken_as_if_a_person_had_put_its_tokens_in() {
    let spec = rotating();
    let mut pair = String::new();
    let world = World::with_document(spec.clone(), |document| {
        let text = SecretString::from(document.to_string());
        let credentials = Document::parse(&text).and_then(|document| Credentials::of(&document)).expect("credentials");
        credentials.fingerprint.as_str().clone_into(&mut pair);
        let now = Timestamp::now();
        add_advertisers(document, &spec);
        document["refreshed_at"] = json!(now.to_string());
        document["access_token_expires_at"] = json!((now + SignedDuration::from_hours(24)).to_string());
        document["_refresh"] = json!({
            "parent": new_token(), "fingerprint": pair, "lineage": [pair.replace('a', "b")], "run": "a run", "at": now.to_string(),
        });
    });
    let function = world.lambda();
    assert_eq!(outcome(&function.run(hourly()).await), "refreshed", "nothing is known of them");
    world.assert_usable();
    let origin = world.current()["_refresh"].clone();
    assert_eq!((&origin["root"], &origin["place"], &origin["lineage"]), (&json!(pair), &json!(1), &json!([pair])));
    assert_eq!(outcome(&function.run(hourly()).await), "fresh");
    assert_eq!(world.redeemed(), 1);
}
