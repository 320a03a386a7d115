//! The daily run, on ordinary days and on others.

use std::time::Duration;

use serde_json::json;
use stand_ins::{Fault, GrantSpec, Service, When, World, secrets_manager::client::new_token, tiktok::Advertiser};

use crate::support::{STAGE, Scenario, only_result, outcome, refresh, scheduled, strict, written};

#[tokio::test]
async fn a_scheduled_run_leaves_a_working_token_and_the_advertisers() {
    let world = World::start();
    let invocation = world.lambda().run(scheduled()).await;
    assert_eq!(outcome(&invocation), "refreshed");
    world.assert_usable();
    assert_eq!(only_result(&invocation)["advertisers"], 2);
    assert_eq!(world.current()["advertiser_ids"], json!(["7000000000000000001", "7000000000000000002"]));
}

#[tokio::test]
async fn an_ordinary_day_takes_five_requests_one_after_another() {
    // The emulator does not keep what this leans on: one server for all worlds, labels that a write moves.
    if strict(World::empty()).is_none() {
        return;
    }
    let world = World::start();
    let function = world.lambda();
    function.run(refresh()).await;
    world.let_hours_pass(20).await;
    world.faults.reset();
    assert_eq!(outcome(&function.run(scheduled()).await), "refreshed");
    let journal = world.faults.journal();
    let mut requests = journal.operations();
    // Those that run side by side arrive in either order.
    requests[3..5].sort_unstable();
    assert_eq!(journal.of("GetSecretValue").next().and_then(stand_ins::Entry::label), Some("AWSCURRENT"));
    assert_eq!(
        requests,
        [
            "GetSecretValue",
            "PutSecretValue",
            "oauth2/refresh_token",
            "PutSecretValue",
            "oauth2/advertiser/get",
            "UpdateSecretVersionStage"
        ]
    );
    let mut connections: Vec<_> =
        journal.iter().filter(|entry| entry.service == Service::SecretsManager).map(|entry| entry.connection).collect();
    connections.sort_unstable();
    connections.dedup();
    // An emulator may end the connection with each answer, and the stand-in before it passes that on.
    if world.secrets_manager.is_strict() {
        assert_eq!(connections.len(), 1, "one after the other, over one connection");
    }
}

#[tokio::test]
async fn what_a_person_has_written_costs_a_count_and_a_look_behind_it_once() {
    let Some(world) = strict(World::start()) else { return };
    let function = world.lambda();
    function.run(refresh()).await;
    world.let_hours_pass(20).await;
    world.edit(|document| document["note"] = json!("a person's")).await;
    // On the first day the successor, the version that was staged last and AWSPREVIOUS are read, too.
    for (day, reads, counts) in [(1, 4, 1), (2, 1, 0), (3, 1, 0)] {
        world.faults.reset();
        assert_eq!(outcome(&function.run(scheduled()).await), "refreshed");
        let journal = world.faults.journal();
        assert_eq!(
            (journal.count("GetSecretValue"), journal.count("ListSecretVersionIds"), journal.count("DescribeSecret")),
            (reads, counts, 0),
            "day {day}\n{journal}"
        );
        world.let_hours_pass(20).await;
    }
    assert_eq!(world.field("note"), "a person's");
}

#[tokio::test]
async fn an_event_that_comes_twice_refreshes_once() {
    let world = World::start();
    let function = world.lambda();
    let event = scheduled();
    assert_eq!(outcome(&function.run(event.clone()).await), "refreshed");
    assert_eq!(outcome(&function.run(event).await), "fresh");
    assert_eq!(world.tiktok.core().redeems().len(), 1);
}

#[tokio::test]
async fn new_and_lost_advertisers_are_reported_and_stored() {
    let world = World::start();
    let function = world.lambda();
    function.run(refresh()).await;
    let next = vec![Advertiser::new("7000000000000000002", "Renamed"), Advertiser::new("6999999999999999999", "New")];
    world.tiktok.core().grant_mut(world.grant).advertisers = next;
    let result = only_result(&function.run(refresh()).await);
    assert_eq!(result["advertisers_added"], json!(["6999999999999999999"]));
    assert_eq!(result["advertisers_removed"], json!(["7000000000000000001"]));
    let names: Vec<_> = world.current()["advertisers"].as_array().into_iter().flatten().cloned().collect();
    assert_eq!(names[0], json!({"advertiser_id": "6999999999999999999", "advertiser_name": "New"}));
    assert_eq!(names[1]["advertiser_name"], "Renamed");
}

/// Lets a run die between the write of TikTok's answer and its promotion.
async fn die_after_stage(world: &World) {
    world.faults.at(When::operation("PutSecretValue").detail(STAGE), Fault::KillAfter);
    world.lambda().run(scheduled()).await;
}

#[tokio::test]
async fn staged_tokens_are_promoted_by_the_next_run_without_redeeming_again() {
    let world = World::start();
    die_after_stage(&world).await;
    assert_eq!(outcome(&world.lambda().run(json!({"action": "refresh", "if_needed": true})).await), "resumed");
    world.assert_usable();
    assert_eq!(world.tiktok.core().redeems().len(), 1);
}

#[tokio::test]
async fn staged_tokens_are_promoted_even_if_nothing_else_is_due_and_their_claim_lost_its_label() {
    let world = World::start();
    world.lambda().run(refresh()).await;
    world.faults.at(When::operation("PutSecretValue").detail(STAGE), Fault::KillAfter);
    world.lambda().run(refresh()).await;
    take_label_away(&world, "TIKTOK_CLAIM").await;
    assert_eq!(outcome(&world.lambda().run(json!({"action": "refresh", "if_needed": true})).await), "resumed");
    world.assert_usable();
}

/// Takes a label away, as AWS may do with versions that it prunes, and a person by mistake.
async fn take_label_away(world: &World, label: &str) {
    let client = world.secrets_manager.client();
    let labels = client.describe(&world.secret_id).await.expect("the secret is there");
    let (version, _) = labels.iter().find(|(_, labels)| labels.iter().any(|l| l == label)).expect("the label is there");
    client.update_stage(&world.secret_id, label, None, Some(version)).await.expect("a person may");
}

#[tokio::test]
async fn staged_tokens_from_another_day_are_promoted_and_then_renewed() {
    let world = World::start();
    die_after_stage(&world).await;
    let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let event = json!({"action": "refresh", "scheduled_time": tomorrow.to_string()});
    assert_eq!(outcome(&world.lambda().run(event).await), "refreshed");
    world.assert_usable();
    assert_eq!(world.tiktok.core().redeems().len(), 2);
}

#[tokio::test]
async fn staged_tokens_whose_access_token_died_are_redeemed_in_their_turn_when_its_time_is_over() {
    let Some(world) = strict(World::start()) else { return };
    die_after_stage(&world).await;
    let (access_token, _) = world.tiktok.core().newest(world.grant);
    world.tiktok.core().revoke_token(&access_token);
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "NewTokenRejected");
    assert_eq!(world.redeemed(), 1, "another redeem might not help either");
    world.secrets_manager.core().rewrite(&world.secret_id, |body| {
        let mut document: serde_json::Value = serde_json::from_str(body).ok()?;
        *document.get_mut("access_token_expires_at")? = json!("2026-01-01T00:00:00Z");
        Some(document.to_string())
    });
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    world.assert_usable();
    assert_eq!(world.tiktok.core().redeems().len(), 2);
}

#[tokio::test]
async fn staged_tokens_that_lost_their_label_are_found() {
    let world = World::start();
    die_after_stage(&world).await;
    take_label_away(&world, "TIKTOK_STAGED").await;
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "resumed");
    world.assert_usable();
    assert_eq!(world.tiktok.core().redeems().len(), 1);
}

#[tokio::test]
async fn a_secret_that_was_rolled_back_to_dead_tokens_is_healed() {
    let Some(world) = strict(World::start()) else { return };
    let function = world.lambda();
    function.run(refresh()).await;
    let (client, before) = (world.secrets_manager.client(), world.document("AWSPREVIOUS").expect("a version before"));
    function.run(refresh()).await;
    let redeems = world.tiktok.core().redeems().len();
    client.put(&world.secret_id, &before.to_string()).await.expect("a person may write");
    assert_eq!(outcome(&function.run(scheduled()).await), "resumed");
    world.assert_usable();
    assert_eq!(world.tiktok.core().redeems().len(), redeems);
}

#[tokio::test]
async fn a_pending_version_of_somebody_elses_keeps_its_label() {
    let world = World::start();
    let client = world.secrets_manager.client();
    let function = world.lambda();
    // Once as the first thing that happens to the secret, then between two days on which no run reads the labels.
    for number in 0..3 {
        let (theirs, id) = (json!({"their": number}), new_token());
        let body = theirs.to_string();
        let put = client.put_labeled(&world.secret_id, &id, &body, &["AWSPENDING"]);
        put.await.expect("they may");
        for _ in 0..2 {
            assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
            world.assert_usable();
            assert_eq!(world.document("AWSPENDING").as_ref(), Some(&theirs));
        }
    }
}

#[tokio::test]
async fn a_long_term_token_is_verified_and_nothing_is_written_when_nothing_changed() {
    let world = World::with(GrantSpec::long_term());
    let function = world.lambda();
    assert_eq!(outcome(&function.run(scheduled()).await), "verified");
    world.faults.reset();
    assert_eq!(outcome(&function.run(scheduled()).await), "verified");
    let journal = world.faults.journal();
    assert_eq!((journal.count("PutSecretValue"), journal.count("UpdateSecretVersionStage")), (0, 0));
}

#[tokio::test]
async fn what_a_dead_run_had_staged_is_promoted_as_it_is_unless_the_list_has_changed_since() {
    for has_changed in [false, true] {
        let Some(world) = strict(World::start()) else { return };
        world.lambda().run(refresh()).await;
        world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
        world.lambda().run(refresh()).await;
        let staged = world.document("TIKTOK_STAGED").expect("the new tokens are kept");
        if has_changed {
            world.tiktok.core().grant_mut(world.grant).advertisers.pop();
        }
        // The list has its time to the second.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        world.faults.reset();
        assert_eq!(outcome(&world.lambda().run(scheduled()).await), "resumed");
        assert_eq!(written(&world.faults.journal()), usize::from(has_changed));
        let current = world.current();
        assert_eq!(current["access_token"], staged["access_token"]);
        assert_eq!(current["advertiser_ids"].as_array().map(Vec::len), Some(2 - usize::from(has_changed)));
        assert_eq!(current["advertisers_fetched_at"] != staged["advertisers_fetched_at"], has_changed);
    }
}
