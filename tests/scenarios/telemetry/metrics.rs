//! The metrics: lines in CloudWatch's embedded metric format.

use std::time::Duration;

use serde_json::{Value, json};
use stand_ins::{Fault, Function, GrantSpec, Invocation, When, World};

use crate::{
    evidence::{all_metrics, metrics},
    support::{BINARY, Scenario, outcome, refresh, scheduled, strict},
};

/// Checks a line against the specification of the embedded metric format.
#[track_caller]
fn assert_is_emf(line: &Value) {
    const UNITS: [&str; 3] = ["Count", "Milliseconds", "Seconds"];
    let meta = &line["_aws"];
    let age = jiff::Timestamp::now().as_millisecond() - meta["Timestamp"].as_i64().expect("a time in milliseconds");
    assert!((0..60_000).contains(&age), "{age} ms old");
    let [directive] = meta["CloudWatchMetrics"].as_array().expect("directives").as_slice() else {
        panic!("one directive: {meta}")
    };
    assert!(directive["Namespace"].as_str().is_some_and(|name| (1..=255).contains(&name.len())));
    for dimension in directive["Dimensions"].as_array().expect("sets of dimensions") {
        let names = dimension.as_array().expect("a set of dimensions");
        assert!((1..=30).contains(&names.len()));
        for name in names {
            let value = line[name.as_str().expect("a name")].as_str();
            assert!(value.is_some_and(|value| (1..=1024).contains(&value.len())), "{name} has a value");
        }
    }
    let definitions = directive["Metrics"].as_array().expect("metrics");
    assert!((1..=100).contains(&definitions.len()), "{} metrics", definitions.len());
    for definition in definitions {
        let name = definition["Name"].as_str().expect("a name");
        assert!(line[name].is_number(), "{name} has a value: {}", line[name]);
        assert!(UNITS.contains(&definition["Unit"].as_str().expect("a unit")), "{definition}");
        let same = definitions.iter().filter(|other| other["Name"] == name).count();
        assert_eq!(same, 1, "{name} is defined once");
    }
    let numbers = line.as_object().expect("an object").values().filter(|value| value.is_number()).count();
    assert_eq!(numbers, definitions.len(), "no value without a definition: {line}");
}

/// The metrics of a run for one secret: valid, of this function, and with these values; null is no such metric.
#[track_caller]
fn assert_metrics(invocation: &Invocation, expected: &Value) -> Value {
    let line = metrics(invocation);
    assert_is_emf(&line);
    assert_eq!(line["FunctionName"], "stand-in");
    for (name, value) in expected.as_object().expect("values by name") {
        assert_eq!(line.get(name).unwrap_or(&Value::Null), value, "{name} in {line}");
    }
    line
}

/// One of the outcomes is 1, all the others are 0, and those that renewed or confirmed the tokens are successes.
fn only(outcome: &str) -> Value {
    const SUCCESSES: [&str; 4] = ["Refreshed", "Verified", "Kept", "Resumed"];
    let counts = SUCCESSES.into_iter().chain(["Superseded", "Fresh", "InProgress", "Failed"]);
    let mut expected: serde_json::Map<_, _> =
        counts.map(|name| (name.to_owned(), json!(u8::from(name == outcome)))).collect();
    expected.insert("Succeeded".to_owned(), json!(u8::from(SUCCESSES.contains(&outcome))));
    // A dry run leaves no metrics at all.
    expected.insert("DryRun".to_owned(), Value::Null);
    expected.into()
}

/// Both together.
fn and(mut one: Value, other: Value) -> Value {
    let (Value::Object(one_fields), Value::Object(other)) = (&mut one, other) else { unreachable!("both are objects") };
    one_fields.extend(other);
    one
}

/// True if a lifetime in seconds is so many hours, give or take the seconds of a run.
#[track_caller]
fn assert_hours(line: &Value, name: &str, hours: u64) {
    let seconds = line[name].as_u64().unwrap_or_else(|| panic!("{name} in {line}"));
    assert!((hours * 3600 - 30..=hours * 3600).contains(&seconds), "{name}: {seconds}");
}

#[tokio::test]
async fn a_refreshed_secret_counts_as_such_and_tells_its_lifetimes_and_durations() {
    let world = World::start();
    let invocation = world.lambda().run(refresh()).await;
    let others = json!({
        "ReauthorizationRequired": 0, "Advertisers": 2, "AdvertisersStale": 0, "AdvertisersReduced": 0,
        "ClaimConflicts": 0, "secret_id": world.secret_id, "error_type": null,
    });
    let line = assert_metrics(&invocation, &and(only("Refreshed"), others));
    assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Namespace"], "TikTokTokenRefresh");
    assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["FunctionName"]]));
    assert_hours(&line, "AccessTokenSecondsRemaining", 24);
    assert_hours(&line, "RefreshTokenSecondsRemaining", 365 * 24);
    for step in ["Read", "Claim", "Redeem", "Stage", "Check", "Promote"] {
        let took = line[format!("{step}Duration")].as_f64().expect("a duration");
        assert!(took > 0.0 && took < 10_000.0, "{step}: {took} ms");
    }
}

#[tokio::test]
async fn a_fresh_secret_counts_as_such_and_has_no_durations_of_steps_that_were_not_taken() {
    let world = World::start();
    let function = world.lambda();
    let event = scheduled();
    function.run(event.clone()).await;
    let expected = json!({"RedeemDuration": null, "ClaimDuration": null, "Advertisers": 2});
    let line = assert_metrics(&function.run(event).await, &and(only("Fresh"), expected));
    assert_hours(&line, "AccessTokenSecondsRemaining", 24);
}

#[tokio::test]
async fn a_verified_long_term_token_has_no_lifetime_to_tell() {
    let world = World::with(GrantSpec::long_term());
    let expected = json!({
        "AccessTokenSecondsRemaining": null, "RefreshTokenSecondsRemaining": null, "Advertisers": 2,
        "AdvertisersStale": 0, "ReauthorizationRequired": 0,
    });
    assert_metrics(&world.lambda().run(refresh()).await, &and(only("Verified"), expected));
}

#[tokio::test]
async fn a_kept_token_tells_how_long_it_lasts() {
    let world = World::start();
    let function = world.lambda();
    function.run(refresh()).await;
    let (_, refresh_token) = world.tiktok.core().newest(world.grant);
    world.tiktok.core().revoke_token(&refresh_token.expect("a refresh token"));
    let expected = and(only("Kept"), json!({"ReauthorizationRequired": 0}));
    let line = assert_metrics(&function.run(refresh()).await, &expected);
    assert_hours(&line, "AccessTokenSecondsRemaining", 24);
}

#[tokio::test]
async fn a_failed_secret_tells_its_error_and_how_long_what_it_holds_will_last() {
    let world = World::start();
    let function = world.lambda();
    function.run(refresh()).await;
    world.age_tokens().await;
    world.tiktok.core().revoke(world.grant);
    let expected = json!({
        "ReauthorizationRequired": 1, "error_type": "ReauthorizationRequired", "Advertisers": 2, "AdvertisersStale": 0,
        "AdvertisersReduced": null, "secret_id": world.secret_id,
    });
    let line = assert_metrics(&function.run(refresh()).await, &and(only("Failed"), expected));
    assert_hours(&line, "AccessTokenSecondsRemaining", 24);
    assert_hours(&line, "RefreshTokenSecondsRemaining", 365 * 24);
}

#[tokio::test]
async fn another_error_counts_under_its_own_name_and_not_as_a_lost_authorization() {
    let world = World::start();
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::tiktok(40113, "Wrong app."));
    let expected = json!({
        "TikTokMisconfigured": 1, "ReauthorizationRequired": 0, "error_type": "TikTokMisconfigured",
        // Nothing is known of tokens that only a person has handled.
        "AccessTokenSecondsRemaining": null,
    });
    assert_metrics(&world.lambda().run(refresh()).await, &and(only("Failed"), expected));
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_counts_as_failed() {
    let world = World::empty();
    let expected = json!({"SecretNotFound": 1, "Advertisers": null, "AccessTokenSecondsRemaining": null});
    assert_metrics(&world.lambda().run(refresh()).await, &and(only("Failed"), expected));
}

#[tokio::test]
async fn a_token_that_has_expired_has_no_time_left_and_not_less() {
    let Some(world) = strict(World::start()) else { return };
    let function = world.lambda();
    function.run(refresh()).await;
    world.edit(|document| document["access_token_expires_at"] = json!("2026-01-01T00:00:00Z")).await;
    world.age_tokens().await;
    world.tiktok.core().revoke(world.grant);
    let expected = and(only("Failed"), json!({"AccessTokenSecondsRemaining": 0}));
    assert_metrics(&function.run(refresh()).await, &expected);
}

#[tokio::test]
async fn a_list_that_could_not_be_fetched_counts_as_stale_until_it_is() {
    let world = World::start();
    let function = world.lambda();
    world.faults.at(When::operation("oauth2/advertiser/get"), Fault::tiktok(40001, "No."));
    let expected = json!({"AdvertisersStale": 1, "Advertisers": 0});
    assert_metrics(&function.run(refresh()).await, &and(only("Refreshed"), expected));
    assert_metrics(&function.run(refresh()).await, &and(only("Refreshed"), json!({"AdvertisersStale": 0})));
}

#[tokio::test]
async fn a_list_that_was_reduced_counts_as_such() {
    let advertiser = |n: u64| stand_ins::tiktok::Advertiser::new(&format!("7{n:018}"), &"n".repeat(60));
    let world = World::with(GrantSpec { advertisers: (0..1_000).map(advertiser).collect(), ..GrantSpec::default() });
    let expected = json!({"AdvertisersReduced": 1, "Advertisers": 1_000, "AdvertisersStale": 0});
    assert_metrics(&world.lambda().run(refresh()).await, &and(only("Refreshed"), expected));
}

#[tokio::test]
async fn a_run_that_finds_another_one_at_work_counts_a_claim_conflict() {
    let Some(world) = strict(World::start()) else { return };
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::Delay(Duration::from_millis(500)));
    let (one, other) = (world.lambda(), world.lambda());
    // Warm, so that it is there before the first one is done.
    other.run(json!({"action": "status"})).await;
    let second = async {
        while world.faults.journal().count("oauth2/refresh_token") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        other.run(refresh()).await
    };
    let (first, second) = tokio::join!(one.run(refresh()), second);
    assert_metrics(&first, &and(only("Refreshed"), json!({"ClaimConflicts": 0})));
    assert_metrics(&second, &and(only("InProgress"), json!({"ClaimConflicts": 1})));
}

#[tokio::test]
async fn a_resumed_secret_counts_as_such() {
    let world = World::start();
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    let function = world.lambda();
    let event = scheduled();
    function.run(event.clone()).await;
    assert_metrics(&function.run(event).await, &and(only("Resumed"), json!({"RedeemDuration": null})));
}

fn function_for(world: &World, secret_ids: &str, namespace: &str) -> Function {
    world.function_with(BINARY, &[("SECRET_ID", secret_ids), ("METRICS_NAMESPACE", namespace)])
}

#[tokio::test]
async fn each_secret_has_a_line_of_its_own_in_the_namespace_that_is_set() {
    let world = World::start();
    let ids = format!("{}, {}-missing", world.secret_id, world.secret_id);
    let invocation = function_for(&world, &ids, "Ads/TikTok").run(refresh()).await;
    assert_eq!(outcome(&invocation), "PartialFailure");
    let mut lines = all_metrics(&invocation);
    lines.sort_by_key(|line| line["secret_id"].as_str().map(str::len));
    assert_eq!(lines.len(), 2);
    for (line, (outcome, id)) in lines.iter().zip([("Refreshed", ""), ("Failed", "-missing")]) {
        assert_is_emf(line);
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Namespace"], "Ads/TikTok");
        assert_eq!((&line["secret_id"], &line[outcome]), (&format!("{}{id}", world.secret_id).into(), &json!(1)));
    }
}
