//! A person's window on the system, without a token in it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    evidence::all_metrics,
    stand_ins::{APP_SECRET, Fault, GrantSpec, When, World, secrets_manager::client::new_token},
    support::{only_result, refresh},
};

/// Asks for the status: it has no token in it, and nothing but the secret was read for it.
async fn status(world: &World) -> Value {
    let function = world.lambda();
    world.faults.reset();
    let invocation = function.run(json!({"action": "status"})).await;
    let said = format!("{:?} {:?}", invocation.outcome, invocation.logs);
    assert!(!said.contains("canary") && !said.contains(APP_SECRET), "{said}");
    assert!(all_metrics(&invocation).is_empty());
    assert_eq!(world.faults.journal().operations(), ["GetSecretValue"; 4]);
    only_result(&invocation)
}

/// Whether a time of the answer is so far from now, give or take a few seconds.
fn is_in(time: &Value, expected: SignedDuration) -> bool {
    let time: Timestamp = time.as_str().expect("a time").parse().expect("RFC 3339");
    (time.duration_since(Timestamp::now()) - expected).abs() < SignedDuration::from_secs(10)
}

#[tokio::test]
async fn a_secret_as_a_person_stored_it_has_a_status() {
    let world = World::start();
    let result = status(&world).await;
    assert_eq!(
        result,
        json!({
            "secret_id": world.secret_id, "flow": "business", "version_id": result["version_id"],
            "has_access_token": true, "has_refresh_token": true,
            "access_token_expires_at": null, "refresh_token_expires_at": null, "refreshed_at": null,
            "advertisers": 0, "advertisers_fetched_at": null, "advertisers_stale": false,
            "staged": "none", "claim": null,
        })
    );
}

#[tokio::test]
async fn a_refreshed_secret_tells_how_long_it_lasts() {
    let world = World::start();
    let refreshed = only_result(&world.lambda().run(refresh()).await);
    let status = status(&world).await;
    assert_eq!(status["version_id"], refreshed["version_id"]);
    assert!(is_in(&status["access_token_expires_at"], SignedDuration::from_hours(24)), "{status}");
    assert!(is_in(&status["refresh_token_expires_at"], SignedDuration::from_hours(365 * 24)), "{status}");
    assert!(is_in(&status["refreshed_at"], SignedDuration::ZERO), "{status}");
    assert_eq!((&status["advertisers"], &status["advertisers_stale"]), (&json!(2), &json!(false)));
    assert_eq!((&status["staged"], &status["claim"]), (&json!("none"), &json!(null)), "all is done");
}

#[tokio::test]
async fn a_run_that_died_is_seen_by_its_claim_and_by_what_it_staged() {
    let world = World::start();
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    let died = world.lambda().invoke(refresh(), Duration::from_secs(20)).await;
    let status = status(&world).await;
    assert_eq!(status["staged"], "waiting");
    assert_eq!(status["claim"]["claimed_by"], json!(died.request_id));
    assert_eq!(status["claim"]["live"], true);
    assert!(is_in(&status["claim"]["claimed_at"], SignedDuration::ZERO), "{status}");
    assert!(is_in(&status["claim"]["expires_at"], SignedDuration::from_secs(20)), "{status}");
}

#[tokio::test]
async fn staged_tokens_are_seen_as_superseded_once_a_person_has_pasted_others() {
    let mut world = World::start();
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    world.lambda().run(refresh()).await;
    world.paste_other_tokens().await;
    let status = status(&world).await;
    assert_eq!((&status["staged"], &status["claim"]), (&json!("superseded"), &json!(null)));
}

#[tokio::test]
async fn a_pending_version_of_somebody_elses_is_seen_as_theirs() {
    let world = World::start();
    let client = world.secrets_manager.client();
    client.put_labelled(&world.secret_id, &new_token(), "{}", &["AWSPENDING"]).await.expect("they may");
    assert_eq!(status(&world).await["staged"], "foreign");
}

#[tokio::test]
async fn a_long_term_secret_tells_that_nothing_is_known_to_end() {
    let world = World::with(GrantSpec::long_term());
    world.lambda().run(refresh()).await;
    let status = status(&world).await;
    assert_eq!((&status["flow"], &status["has_refresh_token"]), (&json!("long_term"), &json!(false)));
    assert_eq!(status["access_token_expires_at"], json!(null));
    assert!(is_in(&status["advertisers_fetched_at"], SignedDuration::ZERO), "{status}");
}
