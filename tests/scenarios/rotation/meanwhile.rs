//! Other runs and people during a rotation.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tiktok_token_refresh::rotation::RotationStep;
use tokio::sync::Notify;

use super::{Rotation, every_kind_of_grant, listed};
use crate::support::{Scenario, assert_failed, outcome, refresh, scheduled, strict};
use stand_ins::{APP_ID, Fault, GrantSpec, When, World, tiktok::Advertiser};

/// Begins a rotation and calls its steps, with something else done before one of them or after the last.
async fn interrupted<'a>(
    world: &'a World,
    before: usize,
    something: impl AsyncFn(&World),
) -> (Rotation<'a>, Vec<String>) {
    let (rotation, mut outcomes) = (Rotation::begin(world), Vec::new());
    for (place, step) in RotationStep::ALL.into_iter().enumerate() {
        if place == before {
            something(world).await;
        }
        outcomes.push(rotation.step(step).await);
    }
    if before == outcomes.len() {
        something(world).await;
    }
    (rotation, outcomes)
}

#[tokio::test]
async fn a_scheduled_run_between_any_two_steps_and_the_rotation_do_not_disturb_each_other() {
    for (name, spec, redeems) in every_kind_of_grant() {
        for before in 0..=4 {
            let Some(world) = strict(World::with(spec.clone())) else { return };
            world.secrets_manager.core().semantics.promote_clears_pending = false;
            let run = async |world: &World| {
                let ending = outcome(&world.lambda().run(scheduled()).await);
                assert!(["refreshed", "resumed", "fresh", "verified"].contains(&ending.as_str()), "{ending}");
            };
            let (rotation, outcomes) = interrupted(&world, before, run).await;
            assert!(["staged", "fresh"].contains(&outcomes[0].as_str()), "{name}, {before}: {outcomes:?}");
            assert!(["promoted", "fresh"].contains(&outcomes[3].as_str()), "{name}, {before}: {outcomes:?}");
            rotation.assert_is_over();
            world.assert_usable();
            // Before its first step a rotation knows nothing of runs: then it is a refresh of its own.
            let expected = if before == 0 { 2 * redeems } else { redeems };
            assert_eq!(world.redeemed(), expected, "{name}, {before}");
        }
    }
}

#[tokio::test]
async fn a_forced_refresh_between_any_two_steps_does_not_disturb_the_rotation() {
    for before in 0..=4 {
        let Some(world) = strict(World::start()) else { return };
        // Twice: the first may only promote what the rotation has staged.
        let run = async |world: &World| {
            world.lambda().run(refresh()).await;
            world.lambda().run(refresh()).await;
        };
        let (rotation, outcomes) = interrupted(&world, before, run).await;
        assert!(["promoted", "fresh"].contains(&outcomes[3].as_str()), "{before}: {outcomes:?}");
        rotation.assert_is_over();
        world.assert_usable();
        assert!(world.tiktok.core().refused_redeems().is_empty());
    }
}

#[tokio::test]
async fn a_rotation_that_begins_at_any_request_of_a_scheduled_run_redeems_nothing_twice() {
    for k in 1..=11 {
        let Some(world) = strict(World::start()) else { return };
        let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let stop = {
            let (reached, go_on) = (Arc::clone(&reached), Arc::clone(&go_on));
            move || {
                let (reached, go_on) = (Arc::clone(&reached), Arc::clone(&go_on));
                async move {
                    reached.notify_one();
                    go_on.notified().await;
                }
            }
        };
        let schedule = world.lambda();
        world.faults.at(When::request(k), Fault::run_before(stop));
        let rotate = async {
            reached.notified().await;
            let rotation = Rotation::begin(&world);
            go_on.notify_one();
            let outcomes = rotation.steps().await;
            (rotation, outcomes)
        };
        let scheduled_run = async {
            let ending = outcome(&schedule.run(scheduled()).await);
            // If the run was over before its k-th request, the rotation begins now.
            reached.notify_one();
            ending
        };
        let (ending, (rotation, outcomes)) = tokio::join!(scheduled_run, rotate);
        let what = format!("request {k}: {ending}, {outcomes:?}");
        assert!(["refreshed", "resumed", "fresh", "in_progress", "superseded"].contains(&ending.as_str()), "{what}");
        assert!(["promoted", "fresh"].contains(&outcomes[3].as_str()), "{what}");
        world.assert_usable();
        rotation.assert_is_over();
        let tiktok = world.tiktok.core();
        assert!(tiktok.refused_redeems().is_empty() && tiktok.overlapping_redeems().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn a_rotation_waits_for_the_run_that_holds_the_claim_and_takes_over_what_it_redeemed() {
    for rotating in [true, false] {
        let Some(world) = strict(World::start()) else { return };
        world.faults.at(When::operation("oauth2/refresh_token"), Fault::Delay(Duration::from_secs(1)));
        let schedule = world.lambda();
        let claimed = async {
            while world.faults.journal().count("oauth2/refresh_token") == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            world.secrets_manager.core().semantics.promote_clears_pending = rotating;
            let rotation = Rotation::begin(&world);
            let outcomes = rotation.steps().await;
            (rotation, outcomes)
        };
        let (_, (rotation, outcomes)) = tokio::join!(schedule.run(scheduled()), claimed);
        assert_eq!(outcomes, ["staged", "nothing_to_set", "works", "promoted"]);
        assert!(rotation.is_current());
        rotation.assert_is_over();
        world.assert_usable();
        assert_eq!(world.redeemed(), 1, "both are content with one refresh");
    }
}

#[tokio::test]
async fn a_step_that_is_held_up_for_too_long_fails_and_leaves_nothing_behind() {
    let Some(world) = strict(World::start()) else { return };
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::KillBefore);
    world.lambda().run(scheduled()).await;
    world.faults.clear();
    let rotation = Rotation::begin(&world);
    let held_up = rotation.call(RotationStep::CreateSecret).await;
    assert_failed(&held_up, "DeadlineExceeded", &["Another run", "Secrets Manager repeats the step"]);
    assert!(!rotation.is_filled());
    world.let_the_claim_expire().await;
    assert_eq!(rotation.steps().await, ["staged", "nothing_to_set", "works", "promoted"]);
    assert_eq!(world.redeemed(), 1);
    world.assert_usable();
}

#[tokio::test]
async fn what_a_dead_run_has_staged_is_rotated_and_not_redeemed_again() {
    let Some(world) = strict(World::start()) else { return };
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    world.lambda().run(scheduled()).await;
    world.faults.clear();
    let rotation = Rotation::begin(&world);
    assert_eq!(rotation.steps().await, ["staged", "nothing_to_set", "works", "promoted"]);
    assert_eq!(world.redeemed(), 1);
    assert!(rotation.is_current());
    world.assert_usable();
}

#[tokio::test]
async fn a_rotation_that_meets_an_authorization_that_was_not_brought_to_its_end_takes_up_its_tokens() {
    for (old, new, flow) in [
        (GrantSpec::default(), GrantSpec::default(), "business"),
        (GrantSpec::default(), GrantSpec::long_term(), "long_term"),
        (GrantSpec::long_term(), GrantSpec::default(), "business"),
        (GrantSpec::long_term(), GrantSpec::long_term(), "long_term"),
    ] {
        let Some(world) = strict(World::with(old)) else { return };
        let code = world.tiktok.core().authorize_by_code(APP_ID, new, Duration::from_hours(1));
        world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
        world.lambda().run(json!({"action": "exchange", "auth_code": code})).await;
        world.faults.clear();
        let before = world.current();
        assert!(before.get("authorized_at").is_none(), "{flow}: the old grant is current");
        let rotation = Rotation::begin(&world);
        assert_eq!(rotation.steps().await, ["staged", "nothing_to_set", "works", "promoted"], "{flow}");
        assert!(rotation.is_current(), "{flow}");
        rotation.assert_is_over();
        let document = world.current();
        assert_ne!(document["access_token"], before["access_token"], "{flow}");
        assert!(document["authorized_at"].is_string(), "{flow}");
        assert_eq!((&document["flow"], document.get("refresh_token").is_some()), (&json!(flow), flow == "business"));
        assert_eq!(world.redeemed(), 0, "{flow}: nothing of either grant is spent");
        world.assert_usable();
        // The next one goes on with the new grant.
        assert_eq!(Rotation::begin(&world).steps().await[3], "promoted", "{flow}");
        assert_eq!(world.current()["authorized_at"], document["authorized_at"], "{flow}");
        world.assert_usable();
    }
}

#[tokio::test]
async fn a_rotation_does_not_end_with_tokens_that_are_about_to_expire() {
    let spec = GrantSpec { access_lifetime: Duration::from_hours(3), ..GrantSpec::default() };
    let Some(world) = strict(World::with(spec)) else { return };
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    world.lambda().run(scheduled()).await;
    world.faults.clear();
    world.tiktok.core().grant_mut(world.grant).access_lifetime = Duration::from_hours(24);
    let rotation = Rotation::begin(&world);
    assert_eq!(rotation.steps().await, ["staged", "nothing_to_set", "works", "promoted"]);
    assert_eq!(world.redeemed(), 2, "what the dead run left had three hours to live");
    world.assert_usable();
}

#[tokio::test]
async fn what_a_dead_rotation_staged_is_promoted_by_the_schedule_and_its_last_step_frees_the_next_rotation() {
    for loses_label in [false, true] {
        let Some(world) = strict(World::start()) else { return };
        let rotation = Rotation::begin(&world);
        assert_eq!(rotation.step(RotationStep::CreateSecret).await, "staged");
        if loses_label {
            world.secrets_manager.core().remove_label(&world.secret_id, "AWSPENDING");
        }
        assert_eq!(outcome(&world.lambda().run(scheduled()).await), "resumed", "{loses_label}");
        world.assert_usable();
        assert_eq!(world.redeemed(), 1, "{loses_label}");
        // Secrets Manager repeats the steps of a rotation that did not end. A new one redeems the pair that is current.
        rotation.step(RotationStep::FinishSecret).await;
        rotation.assert_is_over();
        assert_eq!(Rotation::begin(&world).steps().await, ["staged", "nothing_to_set", "works", "promoted"]);
        assert_eq!(world.redeemed(), 2, "{loses_label}");
        world.assert_usable();
    }
}

#[tokio::test]
async fn a_list_that_a_run_has_brought_up_to_date_meanwhile_is_not_set_back() {
    let Some(world) = strict(World::with(GrantSpec::long_term())) else { return };
    let rotation = Rotation::begin(&world);
    assert_eq!(rotation.step(RotationStep::CreateSecret).await, "staged");
    let later = [json!("7000000000000000002"), json!("7000000000000000003")];
    world.tiktok.core().grant_mut(world.grant).advertisers =
        vec![Advertiser::new("7000000000000000002", "Kept"), Advertiser::new("7000000000000000003", "New")];
    // A document knows the time of its list in whole seconds.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "verified");
    assert_eq!(world.current()["advertiser_ids"], json!(later));
    assert_eq!(rotation.step(RotationStep::FinishSecret).await, "fresh");
    assert_eq!(world.current()["advertiser_ids"], json!(later));
    rotation.assert_is_over();
}

#[tokio::test]
async fn what_a_person_writes_between_any_two_steps_is_kept() {
    for (name, spec, redeems) in every_kind_of_grant() {
        for before in 0..=4 {
            let Some(world) = strict(World::with(spec.clone())) else { return };
            let edit = async |world: &World| world.edit(|document| document["note"] = json!("added by a person")).await;
            let (rotation, outcomes) = interrupted(&world, before, edit).await;
            assert_eq!(outcomes[3], "promoted", "{name}, {before}");
            assert_eq!(world.field("note"), "added by a person", "{name}, {before}");
            assert_eq!(world.current()["advertisers"].as_array().map(Vec::len), listed(name), "{name}, {before}");
            // Only the version that was filled before the edit cannot be the one that is current.
            assert!(rotation.is_current() == (before == 0) || before == 4, "{name}, {before}");
            rotation.assert_is_over();
            world.assert_usable();
            assert_eq!(world.redeemed(), redeems, "{name}, {before}");
            assert_eq!(rotation.step(RotationStep::FinishSecret).await, "fresh", "{name}, {before}");
            assert_eq!(world.field("note"), "added by a person", "{name}, {before}");
        }
    }
}

#[tokio::test]
async fn what_a_person_writes_at_any_request_of_the_last_step_is_kept() {
    for spec in [GrantSpec::default(), GrantSpec::long_term()] {
        for k in 1..=9 {
            let Some(world) = strict(World::with(spec.clone())) else { return };
            let rotation = Rotation::begin(&world);
            for step in RotationStep::ALL.into_iter().take(3) {
                rotation.step(step).await;
            }
            let (client, secret_id) = (world.secrets_manager.client(), world.secret_id.clone());
            let mut document = world.current();
            document["note"] = json!("added by a person");
            let edit = move || {
                let (client, secret_id, text) = (client.clone(), secret_id.clone(), document.to_string());
                async move { drop(client.put(&secret_id, &text).await) }
            };
            world.faults.reset();
            let promote = When::operation("UpdateSecretVersionStage");
            world.faults.at(if k == 9 { promote } else { When::request(k) }, Fault::run_before(edit));
            let ending = rotation.step(RotationStep::FinishSecret).await;
            if world.faults.unfired() > 0 || !is_before_the_promote(&world, k) {
                continue;
            }
            assert_eq!(ending, "promoted", "request {k}");
            assert_eq!(world.field("note"), "added by a person", "request {k}");
            rotation.assert_is_over();
            world.assert_usable();
        }
    }
}

/// A document that a person has read before the promotion and writes after it holds the old tokens: that is a rollback.
fn is_before_the_promote(world: &World, k: u64) -> bool {
    let journal = world.faults.journal();
    let promote = journal.of("UpdateSecretVersionStage").next().map_or(u64::MAX, |entry| entry.ordinal);
    k == 9 || k <= promote
}

#[tokio::test]
async fn tokens_that_a_person_pastes_in_between_any_two_steps_win() {
    for (name, spec) in [("business", GrantSpec::default()), ("long_term", GrantSpec::long_term())] {
        for before in 0..=4 {
            let Some(mut world) = strict(World::with(spec.clone())) else { return };
            let token = {
                let rotation = Rotation::begin(&world);
                for step in RotationStep::ALL.into_iter().take(before) {
                    rotation.step(step).await;
                }
                rotation.token
            };
            world.paste_other_tokens().await;
            let rotation = Rotation { function: world.lambda(), world: &world, token };
            let mut last = String::new();
            for step in RotationStep::ALL.into_iter().skip(before) {
                last = rotation.step(step).await;
            }
            let expected = if before == 0 {
                "promoted"
            } else if before == 4 {
                ""
            } else {
                "superseded"
            };
            assert_eq!(last, expected, "{name}, {before}");
            let (newest, _) = world.tiktok.core().newest(world.grant);
            assert_eq!(world.field("access_token"), newest, "{name}, {before}: theirs, or made from theirs");
            rotation.assert_is_over();
            world.assert_usable();
            assert_eq!(rotation.steps().await[3], if before == 0 { "fresh" } else { "superseded" }, "{name}, {before}");
            // The next rotation goes on with them.
            assert_eq!(Rotation::begin(&world).steps().await[3], "promoted", "{name}, {before}");
            world.assert_usable();
        }
    }
}
