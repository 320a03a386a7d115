//! Wrong settings, and one wrong secret among several.

use std::time::Duration;

use serde_json::{Value, json};
use stand_ins::{APP_ID, Flow, GrantSpec, Outcome, World, credentials};

use crate::support::{BINARY, SHORT, Scenario, assert_failed, outcome, refresh, scheduled, strict};

/// No server listens here.
const NOWHERE: &str = "http://127.0.0.1:9";

#[tokio::test]
async fn a_wrong_variable_is_named_and_nothing_is_asked_of_anybody() {
    let cases = [
        ("SECRET_ID", "", "SECRET_ID is missing"),
        ("SECRET_ID", " , ", "SECRET_ID is missing"),
        ("TIKTOK_API_URL", "business-api.tiktok.com", "TIKTOK_API_URL is not a URL"),
        ("TIKTOK_API_URL", "http://business-api.tiktok.com/open_api/v1.3/", "TIKTOK_API_URL must begin with https"),
        ("TIKTOK_API_URL", "http://127.0.0.1.example.com/open_api/v1.3/", "TIKTOK_API_URL must begin with https"),
        ("TIKTOK_API_URL", "http://[2001:db8::1]/open_api/v1.3/", "TIKTOK_API_URL must begin with https"),
        ("TIKTOK_API_URL", "https://user:word@example.com/", "TIKTOK_API_URL must be a base URL"),
        ("TIKTOK_API_URL", "https://example.com/?next=", "TIKTOK_API_URL must be a base URL"),
        ("MIN_TOKEN_LIFETIME", "half a day", "MIN_TOKEN_LIFETIME must be a duration"),
        ("MIN_TOKEN_LIFETIME", "-1h", "MIN_TOKEN_LIFETIME must be a duration"),
        (
            "MIN_TOKEN_LIFETIME",
            "99999999h",
            "MIN_TOKEN_LIFETIME must be a duration such as 12h or 90m, from 0s to 8760h",
        ),
        ("MAX_CONCURRENCY", "0", "MAX_CONCURRENCY must be a whole number"),
        ("MAX_CONCURRENCY", "18446744073709551615", "MAX_CONCURRENCY must be a whole number from 1 to 1000"),
        ("METRICS_NAMESPACE", "AWS/Mine", "METRICS_NAMESPACE must be a CloudWatch namespace"),
        ("AWS_ACCESS_KEY_ID", "", "AWS_ACCESS_KEY_ID"),
    ];
    let world = World::start();
    for (name, value, says) in cases {
        let invocation = world.function_with(BINARY, &[(name, value)]).run(scheduled()).await;
        assert_failed(&invocation, "InvalidConfiguration", &[says]);
        assert!(world.faults.journal().is_empty(), "{name}={value}: {}", world.faults.journal());
    }
    assert_eq!(world.next_run().await, "refreshed");
}

#[tokio::test]
async fn an_endpoint_that_awss_own_switch_says_to_ignore_is_not_asked() {
    // An emulator may know the regions that there are.
    let Some(world) = strict(World::start()) else { return };
    // No server answers in this Region.
    let switch = |value| [("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", value), ("AWS_REGION", "nowhere-1")];
    for on in ["true", "True"] {
        let invocation = world.function_with(BINARY, &switch(on)).invoke(scheduled(), Duration::from_secs(3)).await;
        assert_failed(&invocation, "SecretsManagerUnavailable", &["got no answer"]);
    }
    assert!(world.faults.journal().is_empty(), "{}", world.faults.journal());
    assert_eq!(outcome(&world.function_with(BINARY, &switch("false")).run(scheduled()).await), "refreshed");
}

#[tokio::test]
async fn every_wrong_variable_is_named_at_once() {
    let wrong = [
        ("SECRET_ID", ""),
        ("TIKTOK_API_URL", "http://tiktok.example/"),
        ("MIN_TOKEN_LIFETIME", "soon"),
        ("MAX_CONCURRENCY", "many"),
        ("METRICS_NAMESPACE", "AWS/Mine"),
    ];
    let invocation = World::start().function_with(BINARY, &wrong).run(scheduled()).await;
    let mut says: Vec<&str> = wrong.iter().map(|(name, _)| *name).collect();
    says.push("deploy again");
    assert_failed(&invocation, "InvalidConfiguration", &says);
}

#[tokio::test]
async fn a_wrong_environment_fails_every_invocation_and_not_the_start_of_the_process() {
    let world = World::start();
    let lambda = world.function_with(BINARY, &[("SECRET_ID", "")]);
    let first = lambda.run(scheduled()).await;
    let second = lambda.run(json!({"action": "status"})).await;
    assert!(first.init_duration.is_some() && second.init_duration.is_none(), "one process serves both");
    assert_eq!([outcome(&first), outcome(&second)], ["InvalidConfiguration"; 2]);
}

#[tokio::test]
async fn services_that_cannot_be_reached_are_told_apart() {
    let cases = [
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", NOWHERE, "SecretsManagerUnavailable", "no answer from Secrets Manager"),
        ("TIKTOK_API_URL", NOWHERE, "TikTokUnavailable", "No connection to TikTok"),
    ];
    for (name, value, kind, says) in cases {
        let world = World::start();
        // A run that only asks Secrets Manager would go on until its deadline.
        let limit = if kind == "TikTokUnavailable" { SHORT } else { std::time::Duration::from_secs(2) };
        let invocation = world.function_with(BINARY, &[(name, value)]).invoke(scheduled(), limit).await;
        assert_failed(&invocation, kind, &[says, "the next run tries again"]);
        assert_eq!(world.next_run().await, "refreshed");
    }
}

/// Adds a secret with a grant of its own and returns its name.
fn another_secret(world: &World, name: &str) -> String {
    let issued = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
    let name = format!("{}/{name}", world.secret_id);
    world.create_secret(&name, &credentials(Flow::Business, &issued));
    name
}

/// True if the access token that a secret holds came out of a redeem and works.
async fn is_refreshed(world: &World, secret: &str) -> bool {
    let (_, body) = world.secrets_manager.client().get(secret, "AWSCURRENT").await.expect("the secret is there");
    let document: Value = serde_json::from_str(&body).expect("JSON");
    let token = document["access_token"].as_str().expect("an access token");
    let tiktok = world.tiktok.core();
    tiktok.is_alive(token) && tiktok.redeems().iter().any(|redeem| redeem.access_token == token)
}

#[tokio::test]
async fn one_bad_secret_fails_the_invocation_and_leaves_the_others_refreshed() {
    let world = World::start();
    let (good, missing) = (another_secret(&world, "good"), format!("{}/missing", world.secret_id));
    let ids = format!("{}, {missing},{good}", world.secret_id);
    let invocation = world.function_with(BINARY, &[("SECRET_ID", &ids)]).run(scheduled()).await;
    let its_own = format!("{missing}: SecretNotFound: ");
    assert_failed(&invocation, "PartialFailure", &["1 of 3 secrets failed", &its_own, "are in order"]);
    assert!(is_refreshed(&world, &world.secret_id).await && is_refreshed(&world, &good).await);
}

#[tokio::test]
async fn several_bad_secrets_fail_by_the_type_that_they_have_in_common() {
    let world = World::start();
    let malformed = another_secret(&world, "malformed");
    world.secrets_manager.client().put(&malformed, "{}").await.expect("a person may write");
    let cases =
        [(["no-such-secret", "nor-this"], "SecretNotFound"), (["no-such-secret", &malformed], "PartialFailure")];
    for (ids, kind) in cases {
        let event = json!({"action": "refresh", "secret_ids": ids});
        let invocation = world.lambda().run(event).await;
        assert_failed(&invocation, kind, &["2 of 2 secrets failed", ids[0], ids[1]]);
    }
    assert!(matches!(world.lambda().run(refresh()).await.outcome, Outcome::Response(..)));
}
