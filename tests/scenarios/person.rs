//! A person writes to the secret during a run, at each of its requests.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use stand_ins::{APP_ID, Fault, Flow, GrantSpec, When, World, credentials};

use crate::support::{Scenario, outcome, scheduled, strict};

/// The requests of an undisturbed run, and a few more that a rebase adds.
const REQUESTS: u64 = 12;

/// Lets a person change the document at the k-th request of a run, before or after it is carried out.
fn edit(world: &World, k: u64, before: bool, change: impl Fn(&mut Value) + Send + Sync + 'static) {
    edit_at(world, When::request(k), before, change);
}

fn edit_at(world: &World, when: When, before: bool, change: impl Fn(&mut Value) + Send + Sync + 'static) {
    let (client, secret_id, change) = (world.secrets_manager.client(), world.secret_id.clone(), Arc::new(change));
    let action = move || {
        let (client, secret_id, change) = (client.clone(), secret_id.clone(), Arc::clone(&change));
        async move {
            let (_, body) = client.get(&secret_id, "AWSCURRENT").await.expect("AWSCURRENT is always there");
            let mut document: Value = serde_json::from_str(&body).expect("JSON");
            change(&mut document);
            client.put(&secret_id, &document.to_string()).await.expect("a person may write");
        }
    };
    world.faults.at(when, if before { Fault::run_before(action) } else { Fault::run_after(action) });
}

fn moments() -> impl Iterator<Item = (u64, bool)> {
    (1..=REQUESTS).flat_map(|k| [(k, true), (k, false)])
}

#[tokio::test]
async fn a_persons_other_fields_are_kept_whenever_they_write() {
    for (k, before) in moments() {
        // Emulators leave AWSCURRENT on two versions when another writer comes after a promotion.
        let Some(world) = strict(World::start()) else { return };
        edit(&world, k, before, |document| document["note"] = json!("added by a person"));
        let invocation = world.lambda().run(scheduled()).await;
        if world.faults.unfired() > 0 {
            continue;
        }
        let moment = format!("{} request {k}", if before { "before" } else { "after" });
        assert_eq!(outcome(&invocation), "refreshed", "{moment}");
        assert_eq!(world.field("note"), "added by a person", "{moment}");
        world.assert_usable();
        assert_eq!(world.tiktok.core().redeems().len(), 1, "{moment}");
    }
}

#[tokio::test]
async fn a_persons_edit_that_no_read_shows_yet_is_waited_for_and_kept() {
    let Some(world) = strict(World::start()) else { return };
    world.secrets_manager.core().semantics.read_delay = Duration::from_millis(900);
    edit_at(&world, When::operation("UpdateSecretVersionStage"), true, |document| document["note"] = json!("new"));
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    assert_eq!(world.field("note"), "new");
    world.assert_usable();
    assert_eq!(world.redeemed(), 1);
    let swaps = world.faults.journal().count("UpdateSecretVersionStage");
    assert!(swaps < 10, "{swaps} swaps while nothing can have changed");
}

#[tokio::test]
async fn the_tokens_that_a_person_pastes_in_win_whenever_they_write() {
    for (k, before) in moments() {
        // Emulators leave AWSCURRENT on two versions when another writer comes after a promotion.
        let Some(world) = strict(World::start()) else { return };
        let theirs = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
        let (access_token, refresh_token) = (theirs.access_token.clone(), theirs.refresh_token.clone());
        edit(&world, k, before, move |document| {
            document["access_token"] = json!(access_token);
            document["refresh_token"] = json!(refresh_token);
        });
        world.lambda().run(scheduled()).await;
        if world.faults.unfired() > 0 {
            continue;
        }
        let (_, newest) = world.tiktok.core().newest(theirs.grant);
        let moment = format!("{} request {k}", if before { "before" } else { "after" });
        assert_eq!(Some(world.field("refresh_token")), newest, "{moment}");
        world.assert_usable();
        // The run after it goes on with their tokens, not with those of the run that they outran.
        world.lambda().run(scheduled()).await;
        let (_, newest) = world.tiktok.core().newest(theirs.grant);
        assert_eq!(Some(world.field("refresh_token")), newest, "{moment}");
        world.assert_usable();
    }
}

#[tokio::test]
async fn a_long_term_run_keeps_what_a_person_writes_meanwhile() {
    for (k, before) in moments() {
        let Some(world) = strict(World::with(GrantSpec::long_term())) else { return };
        edit(&world, k, before, |document| document["note"] = json!("added by a person"));
        let invocation = world.lambda().run(scheduled()).await;
        if world.faults.unfired() > 0 {
            continue;
        }
        assert_eq!(outcome(&invocation), "verified", "request {k}");
        assert_eq!(world.field("note"), "added by a person", "request {k}");
        assert_eq!(world.current()["advertisers"].as_array().map(Vec::len), Some(2), "request {k}");
    }
}

#[tokio::test]
async fn a_rejection_of_tokens_that_a_person_has_just_replaced_is_not_the_end_of_the_run() {
    let Some(world) = strict(World::start()) else { return };
    world.tiktok.core().revoke(world.grant);
    let issued = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
    let document = credentials(Flow::Business, &issued).to_string();
    let (client, secret_id) = (world.secrets_manager.client(), world.secret_id.clone());
    let paste = move || {
        let (client, secret_id, document) = (client.clone(), secret_id.clone(), document.clone());
        async move { drop(client.put(&secret_id, &document).await.expect("a person may write")) }
    };
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::run_before(paste));
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    world.assert_usable();
}

#[tokio::test]
async fn an_edit_that_follows_a_promotion_whose_answer_was_lost_does_not_hide_it() {
    let Some(world) = strict(World::start()) else { return };
    let promotion = || When::operation("UpdateSecretVersionStage");
    world.faults.at(promotion(), Fault::DropAfter);
    let (client, secret_id) = (world.secrets_manager.client(), world.secret_id.clone());
    let edit = move || {
        let (client, secret_id) = (client.clone(), secret_id.clone());
        async move {
            let (_, body) = client.get(&secret_id, "AWSCURRENT").await.expect("AWSCURRENT is always there");
            let mut document: Value = serde_json::from_str(&body).expect("JSON");
            document["mine"] = json!("meanwhile");
            client.put(&secret_id, &document.to_string()).await.expect("a person may write");
        }
    };
    world.faults.at(promotion().nth(2), Fault::run_before(edit));
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    assert_eq!((world.faults.unfired(), world.current()["mine"].as_str()), (0, Some("meanwhile")));
    world.assert_usable();
}

#[tokio::test]
async fn a_read_that_shows_an_older_version_after_a_promotion_whose_answer_was_lost_does_not_hide_it() {
    let Some(world) = strict(World::start()) else { return };
    let older = world.secrets_manager.client().get(&world.secret_id, "AWSCURRENT").await.expect("the first version");
    let theirs = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
    let mut document = world.current();
    document["access_token"] = json!(theirs.access_token);
    document["refresh_token"] = json!(theirs.refresh_token);
    world.store(&document.to_string()).await;
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::DropAfter);
    let lagging = Fault::rewritten(move |answer| {
        let mut answer: Value = serde_json::from_str(answer).expect("JSON");
        (answer["VersionId"], answer["SecretString"]) = (json!(older.0), json!(older.1));
        answer.to_string().into_bytes()
    });
    world.faults.at(When::operation("GetSecretValue").detail("AWSCURRENT").nth(2), lagging);
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    assert_eq!(world.faults.unfired(), 0);
    assert_eq!(world.field("access_token"), world.tiktok.core().newest(theirs.grant).0);
}
