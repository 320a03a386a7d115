//! Another writer between two requests of one step.

use std::sync::Arc;

use tiktok_token_refresh::rotation::RotationStep;

use super::Rotation;
use crate::support::{Scenario, outcome, refresh, strict};
use serde_json::json;
use stand_ins::{APP_ID, Fault, GrantSpec, When, World};

/// A person pastes the first tokens of another grant over those in the secret, right before a request is carried out.
fn paste_before(world: &mut World, request: When) {
    let issued = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
    world.grant = issued.grant;
    let (client, secret_id, mut document) = (world.secrets_manager.client(), world.secret_id.clone(), world.current());
    document["access_token"] = issued.access_token.into();
    document["refresh_token"] = issued.refresh_token.into();
    let paste = move || {
        let (client, secret_id, text) = (client.clone(), secret_id.clone(), document.to_string());
        async move { drop(client.put(&secret_id, &text).await.expect("a person may write")) }
    };
    world.faults.at(request, Fault::run_before(paste));
}

#[tokio::test]
async fn tokens_that_replace_a_rejected_refresh_token_while_it_is_redeemed_are_rotated_instead() {
    let Some(mut world) = strict(World::start()) else { return };
    let (_, refresh_token) = world.tiktok.core().newest(world.grant);
    world.tiktok.core().revoke_token(&refresh_token.expect("a refresh token"));
    paste_before(&mut world, When::operation("oauth2/refresh_token"));
    let rotation = Rotation::begin(&world);
    assert_eq!(rotation.steps().await, ["staged", "nothing_to_set", "works", "promoted"]);
    assert_eq!((world.redeemed(), world.faults.unfired()), (1, 0));
    let (newest, _) = world.tiktok.core().newest(world.grant);
    assert_eq!(world.field("access_token"), newest, "made from theirs");
    rotation.assert_is_over();
    world.assert_usable();
}

#[tokio::test]
async fn tokens_that_a_person_pastes_in_while_the_last_step_promotes_win() {
    for spec in [GrantSpec::default(), GrantSpec::long_term()] {
        let Some(mut world) = strict(World::with(spec)) else { return };
        let token = {
            let rotation = Rotation::begin(&world);
            for step in RotationStep::ALL.into_iter().take(3) {
                rotation.step(step).await;
            }
            rotation.token
        };
        paste_before(&mut world, When::operation("UpdateSecretVersionStage"));
        let rotation = Rotation { function: world.lambda(), world: &world, token };
        assert_eq!(rotation.step(RotationStep::FinishSecret).await, "superseded");
        let (theirs, _) = world.tiktok.core().newest(world.grant);
        assert_eq!((world.field("access_token"), world.faults.unfired()), (theirs, 0));
        rotation.assert_is_over();
        assert_eq!(Rotation::begin(&world).steps().await[3], "promoted", "and the next rotation goes on with them");
        world.assert_usable();
    }
}

#[tokio::test]
async fn two_invocations_of_the_first_step_at_once_redeem_once_and_fill_one_version() {
    let Some(world) = strict(World::start()) else { return };
    let rotation = Rotation::begin(&world);
    let (faster, event) = (Arc::new(world.lambda()), rotation.event(RotationStep::CreateSecret));
    // What the two have to fill in is not the same: this one could not list the advertisers.
    world.faults.at(When::operation("oauth2/advertiser/get"), Fault::tiktok(40113, "No."));
    let overtake = move || {
        let (faster, event) = (Arc::clone(&faster), event.clone());
        async move { assert_eq!(outcome(&faster.run(event).await), "staged") }
    };
    world.faults.at(When::operation("PutSecretValue").detail(&rotation.token), Fault::run_before(overtake));
    assert_eq!(rotation.step(RotationStep::CreateSecret).await, "staged");
    assert_eq!((world.redeemed(), world.faults.unfired()), (1, 0));
    for (step, ending) in RotationStep::ALL.into_iter().zip(["staged", "nothing_to_set", "works", "promoted"]) {
        assert_eq!(rotation.step(step).await, ending);
    }
    assert!(rotation.is_current());
    assert_eq!(world.current()["advertisers"].as_array().map(Vec::len), Some(2), "what the faster one wrote counts");
    world.assert_usable();
}

#[tokio::test]
async fn what_a_run_stages_while_the_last_step_ends_is_promoted_by_the_hourly_run() {
    let Some(world) = strict(World::start()) else { return };
    let rotation = Rotation::begin(&world);
    for step in RotationStep::ALL.into_iter().take(3) {
        rotation.step(step).await;
    }
    let run = Arc::new(world.lambda());
    let promote = || When::operation("UpdateSecretVersionStage");
    let refreshes = move || {
        let run = Arc::clone(&run);
        async move { drop(run.run(refresh()).await) }
    };
    world.faults.at(promote(), Fault::run_after(refreshes));
    world.faults.at(promote().nth(2), Fault::KillBefore);
    assert_eq!(rotation.step(RotationStep::FinishSecret).await, "promoted");
    assert_eq!((world.redeemed(), world.faults.unfired()), (2, 0));
    world.let_the_claim_expire().await;
    // By their age the current tokens are fresh, but they were redeemed: the claim on them shows it.
    let hourly = json!({"action": "refresh", "if_needed": true});
    assert_eq!(outcome(&world.lambda().run(hourly).await), "resumed");
    world.assert_usable();
    assert_eq!(world.redeemed(), 2);
}
