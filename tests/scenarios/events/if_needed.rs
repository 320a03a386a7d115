//! The hourly run refreshes only if there is a reason. Otherwise it only reads.

use std::time::Duration;

use serde_json::json;
use stand_ins::{Fault, Function, GrantSpec, Invocation, When, World};

use crate::{
    evidence::log,
    support::{BINARY, Scenario, outcome, refresh, strict},
};

async fn top_up(function: &Function) -> Invocation {
    function.run(json!({"action": "refresh", "if_needed": true})).await
}

/// The first plan of the run, from its log.
fn plan(invocation: &Invocation) -> String {
    let lines = log(invocation);
    let planned = lines.iter().find(|line| line["message"] == "planned").expect("a plan in the log");
    planned["plan"].as_str().expect("a sentence").to_owned()
}

fn world_with_lifetime(hours: u64) -> World {
    World::with(GrantSpec { access_lifetime: Duration::from_hours(hours), ..GrantSpec::default() })
}

#[tokio::test]
async fn tokens_that_the_function_has_never_refreshed_are_refreshed() {
    let world = World::start();
    let invocation = top_up(&world.lambda()).await;
    assert_eq!(outcome(&invocation), "refreshed");
    assert_eq!(plan(&invocation), "renew: these tokens have not been refreshed by this function");
    world.assert_usable();
}

#[tokio::test]
async fn a_token_that_lives_long_enough_costs_two_reads_and_nothing_else() {
    let world = world_with_lifetime(24);
    let function = world.lambda();
    function.run(refresh()).await;
    world.faults.reset();
    let invocation = top_up(&function).await;
    assert_eq!(outcome(&invocation), "fresh");
    assert!(plan(&invocation).starts_with("skip: the access token lives until "));
    // The second one asks whether a run has begun to replace the token, and died.
    assert_eq!(world.faults.journal().operations(), ["GetSecretValue", "GetSecretValue"]);
}

#[tokio::test]
async fn a_token_with_less_than_the_least_lifetime_left_is_refreshed() {
    let world = world_with_lifetime(11);
    let function = world.lambda();
    function.run(refresh()).await;
    let invocation = top_up(&function).await;
    assert_eq!(outcome(&invocation), "refreshed");
    assert!(plan(&invocation).starts_with("renew: the access token expires at "));
    world.assert_usable();
}

#[tokio::test]
async fn the_least_lifetime_can_be_set() {
    let world = world_with_lifetime(11);
    let function = world.function_with(BINARY, &[("MIN_TOKEN_LIFETIME", "10h")]);
    function.run(refresh()).await;
    assert_eq!(outcome(&top_up(&function).await), "fresh");
}

#[tokio::test]
async fn tokens_that_an_earlier_run_staged_are_resumed() {
    let world = World::start();
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    let function = world.lambda();
    function.run(refresh()).await;
    assert_eq!(outcome(&top_up(&function).await), "resumed");
    world.assert_usable();
    assert_eq!(world.tiktok.core().redeems().len(), 1);
}

#[tokio::test]
async fn a_run_that_died_after_its_claim_is_made_good_as_soon_as_the_claim_has_ended() {
    let world = World::start();
    let function = world.lambda();
    function.run(refresh()).await;
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::KillBefore);
    function.run(refresh()).await;
    assert_eq!(outcome(&top_up(&function).await), "in_progress", "that run could still be at work");
    world.let_the_claim_expire().await;
    let invocation = top_up(&function).await;
    assert_eq!(outcome(&invocation), "refreshed");
    assert_eq!(plan(&invocation), "renew: the last run did not finish");
    world.assert_usable();
    assert_eq!(outcome(&top_up(&function).await), "fresh");
}

#[tokio::test]
async fn tokens_that_a_person_pasted_in_are_refreshed() {
    let Some(mut world) = strict(World::start()) else { return };
    let function = world.lambda();
    function.run(refresh()).await;
    world.paste_other_tokens().await;
    let invocation = top_up(&function).await;
    assert_eq!(outcome(&invocation), "refreshed");
    assert_eq!(plan(&invocation), "renew: these tokens have not been refreshed by this function");
    world.assert_usable();
}

#[tokio::test]
async fn a_token_without_a_lifetime_counts_as_one_of_a_day() {
    let world = World::start();
    world.tiktok.core().shape.expires_in = None;
    world.lambda().run(refresh()).await;
    let with = |least| world.function_with(BINARY, &[("MIN_TOKEN_LIFETIME", least)]);
    let invocation = top_up(&with("23h")).await;
    assert_eq!(outcome(&invocation), "fresh");
    assert!(plan(&invocation).starts_with("skip: refreshed at "));
    let invocation = top_up(&with("25h")).await;
    assert_eq!(outcome(&invocation), "refreshed");
    assert!(plan(&invocation).starts_with("renew: TikTok gave no lifetime, and the last refresh was at "));
}

#[tokio::test]
async fn a_long_term_token_is_checked() {
    let world = World::with(GrantSpec::long_term());
    let invocation = top_up(&world.lambda()).await;
    assert_eq!(outcome(&invocation), "verified");
    assert_eq!(plan(&invocation), "verify: a long-term token can be revoked at any time");
}
