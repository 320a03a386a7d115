//! The status of a secret, without tokens.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use stand_ins::{APP_ID, APP_SECRET, Fault, GrantSpec, Invocation, When, World, secrets_manager::client::new_token};

use crate::{
    evidence::{all_metrics, error_message},
    support::{BINARY, STAGE, Scenario, only_result, outcome, refresh, scheduled, strict},
};

/// Asks for the status: it has no token in it, and for it nothing was asked of TikTok, and nothing written.
async fn look(world: &World, event: Value) -> Invocation {
    let function = world.lambda();
    world.faults.reset();
    let invocation = function.run(event).await;
    let said = format!("{:?} {:?}", invocation.outcome, invocation.logs);
    assert!(!said.contains("canary") && !said.contains(APP_SECRET), "{said}");
    assert!(all_metrics(&invocation).is_empty());
    let journal = world.faults.journal();
    assert!(journal.is_reading_alone(), "{journal}");
    invocation
}

async fn status(world: &World) -> Value {
    only_result(&look(world, json!({"action": "status"})).await)
}

/// True if a time of the answer is so far from now, give or take a few seconds.
fn is_in(time: &Value, expected: SignedDuration) -> bool {
    let time: Timestamp = time.as_str().expect("a time").parse().expect("RFC 3339");
    (time.duration_since(Timestamp::now()) - expected).abs() < SignedDuration::from_secs(10)
}

/// The same for a number of seconds.
fn are(seconds: &Value, expected: SignedDuration) -> bool {
    (seconds.as_i64().expect("seconds") - expected.as_secs()).abs() < 10
}

fn to_the_minute(time: &Value) -> String {
    format!("{}Z", &time.as_str().expect("a time")[..16])
}

/// True if there are these warnings, each known by a part of it, and no others.
#[track_caller]
fn assert_warns(status: &Value, parts: &[&str]) {
    let warnings = status["warnings"].as_array().expect("a list of warnings");
    let is_told = |part: &&str| warnings.iter().any(|warning| warning.as_str().is_some_and(|it| it.contains(*part)));
    assert!(warnings.len() == parts.len() && parts.iter().all(is_told), "{parts:?}: {warnings:#?}");
}

const BY_HAND: &str = "The tokens were put in by hand, and how long they live is not known";

#[tokio::test]
async fn a_secret_as_a_person_stored_it_has_a_status() {
    let world = World::start();
    let result = status(&world).await;
    assert_eq!(
        result,
        json!({
            "secret_id": world.secret_id, "flow": "business", "version_id": result["version_id"],
            "summary": "Holds tokens that were put in by hand and not refreshed yet; the advertisers are not listed yet; when the grant ends is not known.",
            "warnings": result["warnings"],
            "has_access_token": true, "has_refresh_token": true,
            "access_token_expires_at": null, "access_token_seconds_remaining": null,
            "refresh_token_expires_at": null, "refresh_token_seconds_remaining": null,
            "refreshed_at": null, "refreshed_seconds_ago": null,
            "advertisers": 0, "advertisers_fetched_at": null, "advertisers_fetched_seconds_ago": null,
            "advertisers_stale": false, "readers": [], "staged": "none", "claim": null,
            "bytes": world.text("AWSCURRENT").len(),
        })
    );
    assert_warns(&result, &[BY_HAND]);
    let journal = world.faults.journal();
    // AWSCURRENT, its successor and its claim, and what the three labels are on.
    assert_eq!((journal.count("GetSecretValue"), journal.len()), (6, 6), "no more than needed\n{journal}");
}

#[tokio::test]
async fn a_secret_without_tokens_says_that_the_app_is_not_authorized_yet() {
    let world = World::with_document(GrantSpec::default(), |document| {
        document.as_object_mut().expect("an object").retain(|name, _| !name.ends_with("_token"));
    });
    let status = status(&world).await;
    assert_eq!((&status["has_access_token"], &status["has_refresh_token"]), (&json!(false), &json!(false)));
    assert_eq!(status["summary"], "Not authorized yet.");
    assert_warns(&status, &["the app is not authorized yet."]);
}

#[tokio::test]
async fn tokens_that_do_not_go_with_their_flow_are_a_warning() {
    for (flow, missing) in [("long_term", "access_token"), ("business", "refresh_token")] {
        let world = World::with_document(GrantSpec::default(), |document| {
            document["flow"] = json!(flow);
            document[missing] = json!(null);
        });
        assert_warns(&status(&world).await, &["which needs a"]);
    }
}

#[tokio::test]
async fn the_tokens_of_an_authorization_that_was_not_brought_to_its_end_are_seen_as_waiting() {
    let world = World::start();
    let code = world.tiktok.core().authorize_by_code(APP_ID, GrantSpec::default(), Duration::from_hours(1));
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    world.lambda().run(json!({"action": "exchange", "auth_code": code})).await;
    let status = status(&world).await;
    assert_eq!(status["staged"], "waiting");
    assert_warns(&status, &[BY_HAND, "New tokens wait in version"]);
}

#[tokio::test]
async fn a_secret_without_an_access_token_says_so() {
    let world = World::with_document(GrantSpec::default(), |document| document["access_token"] = json!(null));
    let status = status(&world).await;
    assert_eq!(status["has_access_token"], false);
    let summary = status["summary"].as_str().expect("a sentence");
    assert!(summary.starts_with("Has no access token before the next refresh; "), "{summary}");
    assert_warns(&status, &["no access token, and jobs fail until it is refreshed"]);
}

#[tokio::test]
async fn a_refreshed_secret_tells_how_long_it_lasts() {
    let world = World::start();
    let refreshed = only_result(&world.lambda().run(refresh()).await);
    let status = status(&world).await;
    assert_eq!(status["version_id"], refreshed["version_id"]);
    let (day, year) = (SignedDuration::from_hours(24), SignedDuration::from_hours(365 * 24));
    assert!(is_in(&status["access_token_expires_at"], day), "{status}");
    assert!(are(&status["access_token_seconds_remaining"], day), "{status}");
    assert!(is_in(&status["refresh_token_expires_at"], year), "{status}");
    assert!(are(&status["refresh_token_seconds_remaining"], year), "{status}");
    assert!(is_in(&status["refreshed_at"], SignedDuration::ZERO), "{status}");
    assert!(are(&status["refreshed_seconds_ago"], SignedDuration::ZERO), "{status}");
    assert!(are(&status["advertisers_fetched_seconds_ago"], SignedDuration::ZERO), "{status}");
    assert_eq!((&status["advertisers"], &status["advertisers_stale"]), (&json!(2), &json!(false)));
    assert_eq!((&status["staged"], &status["claim"]), (&json!("none"), &json!(null)), "all is done");
    assert_warns(&status, &[]);
    let (until, as_of) = (&status["access_token_expires_at"], &status["advertisers_fetched_at"]);
    let (until, as_of) = (to_the_minute(until), to_the_minute(as_of));
    let ends = &status["refresh_token_expires_at"].as_str().expect("a time")[..10];
    let summary =
        format!("Works until {until} (in 23 h); 2 advertisers as of {as_of}; the grant ends {ends} (in 364 days).");
    assert_eq!(status["summary"], json!(summary));
}

#[tokio::test]
async fn a_run_that_died_is_seen_by_its_claim_and_then_by_what_it_staged() {
    let world = World::start();
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    world.lambda().run(refresh()).await;
    let staged = status(&world).await;
    assert_eq!((&staged["staged"], &staged["claim"]), (&json!("waiting"), &json!(null)));
    assert_warns(&staged, &[BY_HAND, "New tokens wait in version"]);

    let world = World::start();
    world.faults.at(When::operation("PutSecretValue").detail(STAGE), Fault::KillBefore);
    let died = world.lambda().invoke(refresh(), Duration::from_secs(20)).await;
    let status = status(&world).await;
    assert_eq!(status["staged"], "none");
    let claim = &status["claim"];
    assert_eq!((&claim["claimed_by"], &claim["live"]), (&json!(died.request_id), &json!(true)));
    assert!(is_in(&claim["claimed_at"], SignedDuration::ZERO), "{status}");
    assert!(are(&claim["claimed_seconds_ago"], SignedDuration::ZERO), "{status}");
    assert!(is_in(&claim["expires_at"], SignedDuration::from_secs(20)), "{status}");
    assert_warns(&status, &[BY_HAND, "It is at work, or it stopped without a result"]);
}

#[tokio::test]
async fn a_run_that_failed_is_seen_by_the_claim_that_it_gave_back() {
    let world = World::start();
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::tiktok(40113, "Wrong app."));
    let failed = world.lambda().run(refresh()).await;
    let status = status(&world).await;
    assert_eq!(status["claim"]["live"], false);
    assert_warns(&status, &[BY_HAND, &format!("The run {} claimed these tokens", failed.request_id)]);
    assert!(status["warnings"][0].as_str().is_some_and(|warning| warning.contains("the next run takes over")));
}

#[tokio::test]
async fn staged_tokens_are_seen_as_superseded_once_a_person_has_pasted_others() {
    let mut world = World::start();
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    world.lambda().run(refresh()).await;
    world.paste_other_tokens().await;
    let status = status(&world).await;
    assert_eq!((&status["staged"], &status["claim"]), (&json!("superseded"), &json!(null)));
    assert_warns(&status, &[BY_HAND]);
}

#[tokio::test]
async fn a_pending_version_of_somebody_elses_is_seen_as_theirs() {
    let world = World::start();
    let client = world.secrets_manager.client();
    client.put_labeled(&world.secret_id, &new_token(), "{}", &["AWSPENDING"]).await.expect("they may");
    let status = status(&world).await;
    assert_eq!(status["staged"], "foreign");
    assert_warns(&status, &[BY_HAND, "was not written by this function"]);
}

#[tokio::test]
async fn a_long_term_secret_tells_that_nothing_is_known_to_end() {
    let world = World::with(GrantSpec::long_term());
    assert_warns(&status(&world).await, &["has not been checked yet"]);
    world.lambda().run(refresh()).await;
    let status = status(&world).await;
    assert_eq!((&status["flow"], &status["has_refresh_token"]), (&json!("long_term"), &json!(false)));
    assert_eq!(status["access_token_expires_at"], json!(null));
    assert!(is_in(&status["advertisers_fetched_at"], SignedDuration::ZERO), "{status}");
    let as_of = to_the_minute(&status["advertisers_fetched_at"]);
    let summary = format!("Works until the advertiser withdraws it; 2 advertisers as of {as_of}.");
    assert_eq!(status["summary"], json!(summary));
    assert_warns(&status, &[]);
}

fn from_now(minutes: i64) -> Value {
    json!((Timestamp::now() + SignedDuration::from_mins(minutes)).to_string())
}

fn named_advertisers(count: u64) -> Value {
    let advertiser = |n: u64| json!({"advertiser_id": format!("7{n:018}"), "advertiser_name": "n".repeat(60)});
    (0..count).map(advertiser).collect()
}

#[tokio::test]
async fn what_needs_a_person_is_a_warning_and_stands_in_the_summary() {
    const DAY: i64 = 24 * 60;
    const OLD: &str = "2026-01-01T00:00:00Z";
    let one = json!([{"advertiser_id": "1", "advertiser_name": "One"}]);
    for (changes, warnings, summary) in [
        (
            json!({"access_token_expires_at": OLD}),
            &["expired at 2026-01-01T00:00Z"][..],
            "Expired at 2026-01-01T00:00Z (",
        ),
        (json!({"access_token_expires_at": from_now(210)}), &["ends in 3 h, which is less than MIN_TOKEN"], "(in 3 h)"),
        (json!({"access_token_expires_at": from_now(119)}), &["ends in 118 min"], "(in 118 min)"),
        (json!({"access_token_expires_at": null}), &["no lifetime with the access token"], "TikTok gave no lifetime"),
        (
            json!({"refresh_token_expires_at": OLD}),
            &["refresh token ended at 2026-01-01T00:00Z"],
            "the grant ended 2026-01-01 (",
        ),
        (
            json!({"refresh_token_expires_at": from_now(10 * DAY - 1)}),
            &["(in 9 days), and no refresh extends it. Authorize the app again by then"],
            "(in 9 days).",
        ),
        (json!({"refresh_token_expires_at": from_now(30 * DAY + 1)}), &[], "(in 30 days)."),
        (
            json!({"refreshed_at": from_now(-49 * 60), "advertisers_fetched_at": from_now(0)}),
            &["2 days ago"],
            "in 23 h",
        ),
        (json!({"refreshed_at": from_now(-25 * 60 + 1)}), &[], "in 23 h"),
        (
            json!({"advertisers_fetched_at": OLD}),
            &["The list is the one of 2026-01-01T00:00Z"],
            "as of 2026-01-01T00:00Z",
        ),
        (
            json!({"advertisers_fetched_at": null}),
            &["The list is the one from before"],
            "advertisers are not listed yet",
        ),
        (json!({"advertisers": []}), &["without names, because"], "2 advertisers as of"),
        (
            json!({"advertisers": [{"advertiser_id": "1"}, {"advertiser_id": "2", "advertiser_name": null}]}),
            &["TikTok gave no names for the advertisers."],
            "2 advertisers as of",
        ),
        (json!({"advertisers": [], "advertiser_ids": []}), &["TikTok lists no advertisers"], "; no advertisers as of"),
        (json!({"advertisers": one}), &[], "; 1 advertiser as of"),
        (json!({"advertisers": named_advertisers(520)}), &["of the 65536 bytes"], "520 advertisers"),
        (json!({"mine": "x".repeat(58_000)}), &["Move other data out of this secret."], "Works until"),
        (json!({"publish": "reader"}), &["The field 'publish' must be a list"], "Works until"),
        (
            json!({"app_secret_id": "tiktok/none", "secret": null, "app_id": null}),
            &["The secret 'tiktok/none' does not exist"],
            "Works until",
        ),
    ] {
        let Some(world) = strict(World::start()) else { return };
        world.lambda().run(refresh()).await;
        world
            .edit(|document| {
                for (name, value) in changes.as_object().expect("fields") {
                    document[name] = value.clone();
                }
                document.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
            })
            .await;
        let status = status(&world).await;
        assert_warns(&status, warnings);
        assert!(status["summary"].as_str().is_some_and(|it| it.contains(summary)), "{summary}: {status:#}");
        let left = status["access_token_seconds_remaining"].as_i64();
        assert!(left.is_none_or(|left| left >= 0), "what is over has nothing left: {left:?}");
    }
}

#[tokio::test]
async fn the_most_urgent_warning_comes_first() {
    let Some(world) = strict(World::start()) else { return };
    world.lambda().run(refresh()).await;
    world
        .edit(|document| {
            document["refresh_token_expires_at"] = from_now(60);
            document["advertisers_fetched_at"] = json!("2026-01-01T00:00:00Z");
        })
        .await;
    let status = status(&world).await;
    assert_warns(&status, &["Authorize the app again by then", "The list is the one of"]);
    assert!(status["warnings"][0].as_str().is_some_and(|it| it.contains("Authorize")), "{status}");
}

#[tokio::test]
async fn one_secret_that_cannot_be_read_does_not_hide_the_others() {
    let world = World::start();
    world.create_secret_of_text(&format!("{}-empty", world.secret_id), "{}");
    let [missing, invalid] = ["missing", "empty"].map(|name| format!("{}-{name}", world.secret_id));
    let event = json!({"action": "status", "secret_ids": [missing, world.secret_id, invalid]});
    let invocation = look(&world, event).await;
    let results = invocation.outcome.response()["results"].as_array().expect("a list").clone();
    let ids: Vec<_> = results.iter().map(|result| result["secret_id"].as_str().expect("a name")).collect();
    assert_eq!(ids, [&missing, &world.secret_id, &invalid]);
    assert_eq!(
        (&results[0]["error_type"], &results[2]["error_type"]),
        (&json!("SecretNotFound"), &json!("InvalidSecret"))
    );
    let message = results[0]["error_message"].as_str().expect("a sentence");
    assert!(message.contains(&missing) && message.contains("Create the secret"), "{message}");
    assert!(results[1]["summary"].is_string());
    assert!(invocation.logs.iter().any(|line| line.contains("SecretNotFound")), "{:?}", invocation.logs);
}

#[tokio::test]
async fn a_status_of_nothing_at_all_is_a_failed_invocation() {
    let world = World::empty();
    let other = format!("{}-other", world.secret_id);
    let of = |ids: Value| json!({"action": "status", "secret_ids": ids});
    let one = look(&world, of(json!([world.secret_id]))).await;
    assert_eq!(outcome(&one), "SecretNotFound");
    let both = look(&world, of(json!([world.secret_id, other]))).await;
    assert_eq!(outcome(&both), "SecretNotFound");
    assert!(error_message(&both).contains(&other), "{}", error_message(&both));
}

#[tokio::test]
async fn each_reader_secret_is_seen_as_it_is() {
    for format in ["reader", "owox", "airbyte", "airbyte_manifest", "singer", "dlt", "meltano"] {
        let (world, reader) = crate::publish::world(format).await;
        let seen = |state: &str| json!([{"secret_id": reader, "format": format, "state": state}]);
        let before = status(&world).await;
        assert_eq!(before["readers"], seen("empty"));
        assert_warns(&before, &[BY_HAND, "has no value, or does not exist"]);
        world.lambda().run(scheduled()).await;
        let filled = status(&world).await;
        assert_eq!(filled["readers"], seen("up_to_date"));
        assert_warns(&filled, &[]);
        world.secrets_manager.client().put(&reader, r#"{"access_token":"canary-old"}"#).await.expect("they may");
        let old = status(&world).await;
        assert_eq!(old["readers"], seen("out_of_date"));
        assert_warns(&old, &["is out of date"]);
        let denied = Fault::aws_error(400, "AccessDeniedException", "User: x is not authorized");
        world.faults.at(When::operation("GetSecretValue").detail(&reader), denied);
        let hidden = status(&world).await;
        assert_eq!(hidden["readers"], seen("unknown"));
        assert_warns(&hidden, &[&format!("The reader secret '{reader}': secretsmanager:GetSecretValue on")]);
    }
}

#[tokio::test]
async fn a_reader_secret_that_cannot_be_judged_is_not_judged() {
    let (world, reader) = crate::publish::world("owox").await;
    let Some(world) = strict(world) else { return };
    world.lambda().run(scheduled()).await;
    world
        .edit(|document| {
            let document = document.as_object_mut().expect("an object");
            document.retain(|name, _| name != "secret");
            document.insert("app_secret_id".to_owned(), json!("tiktok/none"));
        })
        .await;
    let without_app = status(&world).await;
    assert_eq!(without_app["readers"][0]["state"], "unknown");
    assert_warns(&without_app, &["'tiktok/none' does not exist"]);
    world.edit(|document| document["publish"] = json!([{"secret_id": world.secret_id}])).await;
    let itself = status(&world).await;
    assert_eq!(itself["readers"][0]["state"], "unknown");
    assert_warns(&itself, &["'tiktok/none' does not exist", "It is the credentials secret itself."]);
    assert!(crate::publish::read(&world, &reader).await.is_some(), "nothing was written");
}

#[tokio::test]
async fn what_a_person_wants_to_know_stands_before_what_a_script_wants() {
    let world = World::start();
    let answer = world.lambda().run(json!({"action": "status"})).await.outcome.text().to_owned();
    let place = |name: &str| answer.find(&format!("\"{name}\":")).expect(name);
    assert!(["secret_id", "summary", "warnings", "flow", "bytes"].map(place).is_sorted(), "{answer}");
}

#[tokio::test]
async fn the_least_lifetime_of_the_deployment_counts() {
    let world = World::start();
    world.lambda().run(refresh()).await;
    let patient = world.function_with(BINARY, &[("MIN_TOKEN_LIFETIME", "30h")]);
    let status = only_result(&patient.run(json!({"action": "status"})).await);
    assert_warns(&status, &["less than MIN_TOKEN_LIFETIME"]);
}

/// The shape of a value: its type, and the types of the values in it.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(values) => values.iter().take(1).map(shape).collect(),
        Value::String(text) if text.parse::<Timestamp>().is_ok() => json!("a time"),
        Value::String(_) => json!("a text"),
        Value::Number(_) => json!("a number"),
        Value::Bool(_) => json!("true or false"),
        Value::Null => json!(null),
    }
}

#[tokio::test]
async fn the_answer_in_the_documentation_is_such_an_answer() {
    let page = include_str!("../../../docs/events.md");
    let (_, example) = page.split_once("<!-- CI compares this: status -->").expect("the example is marked");
    let (_, example) = example.split_once("```json\n").expect("the example is JSON");
    let (example, _) = example.split_once("```").expect("the example ends");
    let example: Value = serde_json::from_str(example).expect("JSON");

    let (world, _) = crate::publish::world("reader").await;
    let Some(world) = strict(world) else { return };
    world.lambda().run(refresh()).await;
    world.edit(|document| document["refresh_token_expires_at"] = from_now(20 * 24 * 60)).await;
    let missing = format!("{}-missing", world.secret_id);
    let event = json!({"action": "status", "secret_ids": [world.secret_id, missing]});
    let answer = look(&world, event).await.outcome.response().clone();
    for (written, answered) in [0, 1].map(|n| (&example["results"][n], &answer["results"][n])) {
        assert_eq!(shape(written), shape(answered));
    }
    assert_eq!(example["results"][1]["error_type"], answer["results"][1]["error_type"]);
}

#[tokio::test]
async fn that_tiktok_rejected_both_tokens_comes_first_and_stands_in_the_summary() {
    let Some(world) = strict(World::start()) else { return };
    let function = world.lambda();
    function.run(refresh()).await;
    world
        .edit(|document| {
            document["access_token_expires_at"] = json!("2026-01-01T00:00:00Z");
            document["refreshed_at"] = json!("2025-12-31T00:00:00Z");
            document["publish"] = json!([{"secret_id": "tiktok/none"}]);
        })
        .await;
    world.tiktok.core().revoke(world.grant);
    assert_eq!(outcome(&function.run(refresh()).await), "ReauthorizationRequired");
    let status = status(&world).await;
    let warnings = status["warnings"].as_array().expect("a list");
    let says = |place: usize, part: &str| warnings[place].as_str().is_some_and(|warning| warning.contains(part));
    assert!(says(0, "TikTok rejected both tokens at") && says(0, "Authorize the app again."), "{warnings:#?}");
    assert!(says(1, "The access token expired at"), "{warnings:#?}");
    assert!(says(warnings.len() - 1, "tiktok/none"), "what the next run corrects comes last: {warnings:#?}");
    let summary = status["summary"].as_str().expect("a sentence");
    assert!(summary.starts_with("Authorize the app again: TikTok rejected both tokens at 2"), "{summary}");
}

#[tokio::test]
async fn a_rejected_refresh_token_whose_access_token_still_works_comes_before_what_runs_correct() {
    let Some(world) = strict(World::start()) else { return };
    let function = world.lambda();
    function.run(refresh()).await;
    world.edit(|document| document["refreshed_at"] = json!("2025-12-31T00:00:00Z")).await;
    let refresh_token = world.field("refresh_token");
    world.tiktok.core().revoke_token(&refresh_token);
    assert_eq!(outcome(&function.run(refresh()).await), "kept");
    let status = status(&world).await;
    let first = status["warnings"][0].as_str().expect("a warning");
    assert!(first.contains("the access token still worked") && first.contains("Authorize the app again"), "{status:#}");
    assert!(status["summary"].as_str().is_some_and(|it| it.starts_with("Works until")), "{status:#}");
}
