//! Tokens that a person pastes over those of the function.

use serde_json::json;
use stand_ins::World;

use crate::support::{Scenario, only_result, outcome, refresh, scheduled, strict};

/// A world that was refreshed by the event, and into which a person then pasted the tokens of another grant.
async fn world_with_pasted_tokens(event: &serde_json::Value) -> Option<World> {
    let mut world = strict(World::start())?;
    assert_eq!(outcome(&world.lambda().run(event.clone()).await), "refreshed");
    world.paste_other_tokens().await;
    Some(world)
}

#[tokio::test]
async fn pasted_tokens_are_not_fresh_although_the_slot_was_served() {
    let event = scheduled();
    let Some(world) = world_with_pasted_tokens(&event).await else { return };
    assert_eq!(outcome(&world.lambda().run(event.clone()).await), "refreshed");
    world.assert_usable();
    let (access_token, _) = world.tiktok.core().newest(world.grant);
    assert_eq!(world.field("access_token"), access_token, "the pasted grant goes on");
    assert_eq!(outcome(&world.lambda().run(event).await), "fresh");
}

#[tokio::test]
async fn the_times_of_the_tokens_before_say_nothing_about_pasted_ones() {
    let Some(world) = world_with_pasted_tokens(&refresh()).await else { return };
    let status = only_result(&world.lambda().run(json!({"action": "status"})).await);
    for time in ["refreshed_at", "access_token_expires_at", "refresh_token_expires_at"] {
        assert!(world.current()[time].is_string(), "the text still stands in the secret");
        assert_eq!(status[time], json!(null), "{time}");
    }
}

#[tokio::test]
async fn a_pasted_access_token_alone_makes_the_pair_another_one() {
    let event = scheduled();
    let Some(world) = strict(World::start()) else { return };
    world.lambda().run(event.clone()).await;
    world.edit(|document| document["access_token"] = json!("pasted")).await;
    assert_eq!(outcome(&world.lambda().run(event).await), "refreshed");
    world.assert_usable();
}

#[tokio::test]
async fn what_is_no_fingerprint_among_the_ancestors_is_not_handed_down() {
    let Some(world) = strict(World::start()) else { return };
    world.lambda().run(refresh()).await;
    let ancestors = world.current()["_refresh"]["lineage"].clone();
    let digits = ["0123456789abcdef"; 4].concat();
    let others = [&digits[1..], &format!("{digits}0"), &digits.to_uppercase(), &digits.replace('f', "g"), "pasted"];
    let lineage = ancestors.as_array().expect("a list").iter().cloned().chain(others.map(|other| json!(other)));
    let lineage = lineage.collect::<Vec<_>>();
    world.edit(|document| document["_refresh"]["lineage"] = json!(lineage)).await;
    assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed");
    let handed_down = world.current()["_refresh"]["lineage"].clone();
    assert_eq!(handed_down.as_array().map(Vec::len), Some(2), "{handed_down}");
    assert_eq!(handed_down[0], ancestors[0]);
}
