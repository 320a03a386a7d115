//! The cooldown: the days between a rejected refresh token and a new authorization, and a day on which every refresh
//! fails.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stand_ins::{
    APP_ID, Fault, Flow, Function, GrantSpec, Invocation, Journal, Service, When, World, credentials,
    secrets_manager::client::new_token,
};
use tiktok_token_refresh::transport::Label;

use crate::{
    evidence::error_message,
    publish,
    support::{Scenario, assert_failed, only_result, outcome, refresh, scheduled, strict, warnings, written},
};

const REDEEM: &str = "oauth2/refresh_token";
const LIST: &str = "oauth2/advertiser/get";

fn top_up() -> Value {
    json!({"action": "refresh", "if_needed": true})
}

/// Runs the function, and returns the requests of this run.
async fn requests(world: &World, function: &Function, event: Value) -> (Invocation, Journal) {
    world.faults.reset();
    let invocation = function.run(event).await;
    (invocation, world.faults.journal())
}

/// Runs, and shows that nothing was asked of TikTok and nothing written: a claim is on the pair, and wishes for it are refused.
async fn look_on(world: &World, function: &Function, event: Value) -> Invocation {
    let (invocation, journal) = requests(world, function, event).await;
    let asks_aws = journal.iter().all(|entry| entry.service == Service::SecretsManager);
    assert!(asks_aws && journal.count("UpdateSecretVersionStage") == 0 && written(&journal) == 0, "{journal}");
    invocation
}

/// Runs, and shows that TikTok was asked once whether it takes the refresh token now.
async fn ask(world: &World, function: &Function, event: Value) -> Invocation {
    let (invocation, journal) = requests(world, function, event).await;
    assert_eq!((journal.count(REDEEM), written(&journal)), (1, 2), "{journal}");
    invocation
}

/// A world whose grant is over, and what the daily run said of it.
async fn dead() -> (World, Function, Invocation) {
    let world = World::start();
    let function = world.lambda();
    world.tiktok.core().revoke(world.grant);
    let first = ask(&world, &function, scheduled()).await;
    assert_failed(&first, "ReauthorizationRequired", &["40107", "Authorize the app again"]);
    (world, function, first)
}

/// A world whose refresh token is dead, and whose access token lives on for so long.
async fn half_dead(lifetime: Duration) -> (World, Function) {
    let world = World::with(GrantSpec { access_lifetime: lifetime, ..GrantSpec::default() });
    let function = world.lambda();
    function.run(refresh()).await;
    world.tiktok.core().revoke_token(&world.field("refresh_token"));
    (world, function)
}

/// Moves the failure that the latest claim tells of into the past.
async fn let_time_pass(world: &World, hours: i64) {
    let client = world.secrets_manager.client();
    let (_, body) = client.get(&world.secret_id, Label::Claim.name()).await.expect("a claim");
    let mut claim: Value = serde_json::from_str(&body).expect("a claim is JSON");
    let at = &mut claim["claim"]["failed"]["at"];
    let then: Timestamp = at.as_str().expect("a failure").parse().expect("a time");
    *at = json!((then - SignedDuration::from_hours(hours)).to_string());
    let labels = [Label::Claim.name()];
    client.put_labeled(&world.secret_id, &new_token(), &claim.to_string(), &labels).await.expect("a claim");
}

#[tokio::test]
async fn a_dead_grant_costs_no_request_and_no_write_until_the_next_slot() {
    let (world, function, first) = dead().await;
    let versions = world.versions().len();
    for _ in 0..24 {
        let invocation = look_on(&world, &function, top_up()).await;
        let (said, now) = (error_message(&first), error_message(&invocation));
        let advice = &said[said.find("Authorize the app again").expect("the advice")..];
        assert_failed(&invocation, "ReauthorizationRequired", &["40107", "TikTok's answer is from", advice]);
        let requests = world.faults.journal().len();
        assert_eq!(requests, 6, "AWSCURRENT, the room, the claim, what is there instead and after it: {now}");
    }
    assert_eq!(world.versions().len(), versions);
    let tomorrow = Timestamp::now() + SignedDuration::from_hours(23);
    let next = json!({"action": "refresh", "scheduled_time": tomorrow.to_string()});
    assert_failed(&ask(&world, &function, next).await, "ReauthorizationRequired", &["40107"]);
}

#[tokio::test]
async fn where_there_is_no_daily_run_a_top_up_asks_once_a_day() {
    let (world, function, _) = dead().await;
    let_time_pass(&world, 23).await;
    look_on(&world, &function, top_up()).await;
    let_time_pass(&world, 1).await;
    ask(&world, &function, top_up()).await;
    look_on(&world, &function, top_up()).await;
}

#[tokio::test]
async fn a_failed_event_that_lambda_repeats_does_not_ask_tiktok_again() {
    let world = World::start();
    let function = world.lambda();
    world.tiktok.core().revoke(world.grant);
    let event = scheduled();
    let first = ask(&world, &function, event.clone()).await;
    let again = look_on(&world, &function, event).await;
    assert_eq!(outcome(&again), outcome(&first));
    assert_failed(&again, "ReauthorizationRequired", &["40107", "Authorize the app again"]);
}

#[tokio::test]
async fn by_hand_a_dead_grant_is_tried_every_time() {
    let (world, function, _) = dead().await;
    for _ in 0..2 {
        assert_failed(&ask(&world, &function, refresh()).await, "ReauthorizationRequired", &["40107"]);
    }
    look_on(&world, &function, top_up()).await;
}

#[tokio::test]
async fn an_authorization_and_tokens_that_a_person_pastes_in_count_at_once() {
    let (world, function, _) = dead().await;
    let issued = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
    world.store(&credentials(Flow::Business, &issued).to_string()).await;
    assert_eq!(outcome(&function.run(top_up()).await), "refreshed");
    world.assert_usable();

    let (world, function, _) = dead().await;
    let code = world.tiktok.core().authorize_by_code(APP_ID, GrantSpec::default(), Duration::from_hours(1));
    assert_eq!(outcome(&function.run(json!({"action": "exchange", "auth_code": code})).await), "authorized");
    assert_eq!(outcome(&function.run(top_up()).await), "fresh");
    world.assert_usable();
}

#[tokio::test]
async fn an_authorization_that_did_not_get_to_its_end_counts_at_once_too() {
    let (world, function, _) = dead().await;
    let code = world.tiktok.core().authorize_by_code(APP_ID, GrantSpec::default(), Duration::from_hours(1));
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    function.run(json!({"action": "exchange", "auth_code": code})).await;
    assert_eq!(outcome(&world.lambda().run(top_up()).await), "resumed");
    world.assert_usable();
}

#[tokio::test]
async fn an_access_token_that_worked_is_kept_without_a_request_until_it_ends() {
    let lifetime = Duration::from_secs(15);
    let (world, function) = half_dead(lifetime).await;
    assert_eq!(outcome(&ask(&world, &function, top_up()).await), "kept");
    let invocation = look_on(&world, &function, top_up()).await;
    assert_eq!(outcome(&invocation), "kept");
    let warning = warnings(&invocation);
    for part in ["40107", "TikTok's answer is from", "still worked then and was kept", "Authorize the app again"] {
        assert!(warning.contains(part), "{part:?} is missing in: {warning}");
    }
    tokio::time::sleep(lifetime).await;
    let invocation = look_on(&world, &function, top_up()).await;
    assert_failed(&invocation, "ReauthorizationRequired", &["40107", "Authorize the app again"]);
}

#[tokio::test]
async fn while_it_is_not_known_whether_the_access_token_works_the_runs_ask_as_after_any_failure() {
    let (world, function) = half_dead(Duration::from_hours(1)).await;
    world.faults.at(When::operation(LIST).always(), Fault::tiktok(40001, "No permission."));
    for _ in 0..2 {
        let invocation = function.run(top_up()).await;
        assert_failed(&invocation, "TikTokMisconfigured", &["Whether the access token still works could not be told"]);
    }
    assert_eq!(world.faults.journal().count(REDEEM), 2 + 1, "and once to begin with");
    world.faults.clear();
    let invocation = look_on(&world, &function, top_up()).await;
    assert_failed(&invocation, "TikTokMisconfigured", &["Whether the access token still works could not be told"]);
    let_time_pass(&world, 1).await;
    assert_eq!(outcome(&ask(&world, &function, top_up()).await), "kept");
    look_on(&world, &function, top_up()).await;
}

#[tokio::test]
async fn a_dry_run_and_the_status_tell_that_tiktok_is_left_alone_and_until_when() {
    let (world, function, _) = dead().await;
    let dry = function.run(json!({"action": "refresh", "if_needed": true, "dry_run": true})).await;
    let plan = only_result(&dry)["plan"].as_str().expect("a plan").to_owned();
    assert!(plan.starts_with("cool down: TikTok rejected the refresh token at "), "{plan}");

    let said = warnings(&look_on(&world, &function, json!({"action": "status"})).await);
    let tomorrow = (Timestamp::now() + SignedDuration::from_hours(24)).to_string();
    for part in
        ["TikTok rejected both tokens", "(code 40107), and jobs fail", "by the hourly run from", &tomorrow[..13]]
    {
        assert!(said.contains(part), "{part:?} is missing in: {said}");
    }

    let (world, function) = half_dead(Duration::from_hours(1)).await;
    ask(&world, &function, top_up()).await;
    let said = warnings(&look_on(&world, &function, json!({"action": "status"})).await);
    assert!(said.contains("(code 40107), and the access token still worked then"), "{said}");
}

/// One hour of a day on which no refresh succeeds: the hourly run, and Lambda's two retries of it. Returns how many times
/// TikTok was asked and how many versions were written.
async fn hour(world: &World, function: &Function) -> (usize, usize) {
    world.faults.reset();
    world.faults.at(When::operation(REDEEM).always(), Fault::tiktok(40001, "No permission."));
    for _ in 0..3 {
        assert_failed(&function.run(top_up()).await, "TikTokMisconfigured", &["No permission."]);
    }
    let journal = world.faults.journal();
    world.faults.clear();
    (journal.count(REDEEM), written(&journal))
}

#[tokio::test]
async fn a_day_on_which_every_run_fails_leaves_room_for_the_tokens_that_come_after_it() {
    let Some(world) = strict(World::start()) else { return };
    let function = world.lambda();
    let (mut asked, mut written) = (Vec::new(), 0);
    for _ in 0..24 {
        let (redeems, puts) = hour(&world, &function).await;
        asked.push(redeems);
        written += puts;
        let_time_pass(&world, 1).await;
    }
    assert_eq!(asked[0], 2, "after two failures one run an hour asks");
    assert!(asked[1..].iter().all(|redeems| *redeems == 1), "{asked:?}");
    assert!(written <= 54, "{written} versions, of the hundred that Secrets Manager takes");
    assert_eq!(outcome(&function.run(top_up()).await), "refreshed");
    world.assert_usable();
}

#[tokio::test]
async fn after_two_failures_the_next_slot_and_a_person_are_not_kept_waiting() {
    let world = World::start();
    let function = world.lambda();
    hour(&world, &function).await;
    let invocation = look_on(&world, &function, top_up()).await;
    assert_failed(&invocation, "TikTokMisconfigured", &["40001", "after other runs had failed", "No permission."]);
    let dry = function.run(json!({"action": "refresh", "if_needed": true, "dry_run": true})).await;
    let plan = only_result(&dry)["plan"].as_str().expect("a plan").to_owned();
    assert!(plan.starts_with("cool down: other runs have failed, the latest at "), "{plan}");
    let said = warnings(&look_on(&world, &function, json!({"action": "status"})).await);
    for part in ["Other runs have failed", "No permission.", "by the hourly run from"] {
        assert!(said.contains(part), "{part:?} is missing in: {said}");
    }
    world.faults.reset();
    world.faults.at(When::operation(REDEEM), Fault::tiktok(40001, "No permission."));
    assert_failed(&function.run(refresh()).await, "TikTokMisconfigured", &["No permission."]);
    assert_eq!(world.faults.journal().count(REDEEM), 1, "a person may know why it is different now");
    let slot = Timestamp::now() + SignedDuration::from_hours(1);
    let next = json!({"action": "refresh", "scheduled_time": slot.to_string()});
    assert_eq!(outcome(&function.run(next).await), "refreshed");
    world.assert_usable();
}

#[tokio::test]
async fn reader_secrets_are_filled_while_tiktok_is_left_alone() {
    let (world, reader) = publish::world("reader").await;
    let function = world.lambda();
    function.run(refresh()).await;
    world.tiktok.core().revoke_token(&world.field("refresh_token"));
    assert_eq!(outcome(&function.run(refresh()).await), "kept");
    world.secrets_manager.client().put(&reader, r#"{"access_token":"old"}"#).await.expect("they may");
    assert_eq!(only_result(&function.run(top_up()).await)["published"], json!([reader]));
    let filled = publish::read(&world, &reader).await.expect("a value");
    assert_eq!(filled["access_token"], world.current()["access_token"]);
}
