//! A dry run reads, plans and checks the token. It redeems and writes nothing.

use serde_json::{Value, json};
use stand_ins::{Fault, GrantSpec, When, World, tiktok::Advertiser};

use crate::{
    evidence::all_metrics,
    support::{Scenario, only_result, outcome, refresh, scheduled},
};

fn dry(mut event: Value) -> Value {
    event["dry_run"] = json!(true);
    event
}

/// Runs dry and shows what that asked for, and that it left everything as it was.
async fn run_dry(world: &World, event: Value) -> Value {
    let (text, versions) = (world.text("AWSCURRENT"), world.versions().len());
    let redeems = world.tiktok.core().redeems().len();
    let function = world.lambda();
    world.faults.reset();
    let invocation = function.run(dry(event)).await;
    assert_eq!(outcome(&invocation), "dry_run");
    let journal = world.faults.journal();
    let (listed, reads) = (journal.count("oauth2/advertiser/get"), journal.count("GetSecretValue"));
    assert_eq!((listed, reads), (1, journal.len() - 1), "{journal}");
    let is_claimed = only_result(&invocation)["plan"].as_str().is_some_and(|plan| plan.starts_with("resume"));
    // AWSCURRENT and the first claim on it; and once there is one, the newest claim, the chain, and the labels on it.
    assert_eq!(reads, if is_claimed { 7 } else { 2 }, "{journal}");
    assert_eq!((world.text("AWSCURRENT"), world.versions().len()), (text, versions));
    assert_eq!(world.tiktok.core().redeems().len(), redeems);
    assert!(all_metrics(&invocation).is_empty(), "a rehearsal is no refresh, and counts as none");
    only_result(&invocation)
}

#[tokio::test]
async fn a_dry_run_tells_what_a_refresh_would_do() {
    let world = World::start();
    assert_eq!(run_dry(&world, refresh()).await["plan"], "renew: asked for");
    let event = scheduled();
    world.lambda().run(event.clone()).await;
    let plan = run_dry(&world, event).await["plan"].as_str().expect("a plan").to_owned();
    assert!(plan.starts_with("skip: refreshed at "), "{plan}");
    let world = World::with(GrantSpec::long_term());
    assert_eq!(run_dry(&world, refresh()).await["plan"], "verify: asked for");
}

#[tokio::test]
async fn a_dry_run_leaves_staged_tokens_staged() {
    let world = World::start();
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    world.lambda().run(refresh()).await;
    // The old token died when the new one was made; the run that promotes it heals that.
    let result = run_dry(&world, refresh()).await;
    assert!(result["plan"].as_str().expect("a plan").starts_with("resume: "), "{result}");
    assert!(result["warnings"][0].as_str().expect("a warning").contains("does not work"), "{result}");
}

#[tokio::test]
async fn a_dry_run_tells_which_advertisers_came_and_went() {
    let world = World::start();
    world.lambda().run(refresh()).await;
    let next = vec![Advertiser::new("7000000000000000002", "Kept"), Advertiser::new("7000000000000000003", "New")];
    world.tiktok.core().grant_mut(world.grant).advertisers = next;
    let result = run_dry(&world, refresh()).await;
    assert_eq!(result["advertisers_added"], json!(["7000000000000000003"]));
    assert_eq!(result["advertisers_removed"], json!(["7000000000000000001"]));
    assert_eq!(result["advertisers"], 2);
}

#[tokio::test]
async fn a_dry_run_tells_of_an_access_token_that_does_not_work() {
    let world = World::start();
    let (access_token, _) = world.tiktok.core().newest(world.grant);
    world.tiktok.core().revoke_token(&access_token);
    let result = run_dry(&world, refresh()).await;
    let warning = result["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains("40105") && !warning.contains(&access_token), "{warning}");
}
