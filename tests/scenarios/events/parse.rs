//! Events are parsed completely, or rejected with the name of the unknown part.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use stand_ins::World;
use tiktok_token_refresh::{
    authorize::{LinkRequest, VALIDITY},
    error::Kind,
    event::{ConsentInput, Event, Refresh, Rotation},
    refresh::Trigger,
    rotation::RotationStep,
};

use crate::{
    evidence::error_message,
    support::{Scenario, outcome, scheduled},
};

const SLOT: &str = "2026-11-22T03:00:00Z";

/// The refresh that is the default.
fn now() -> Refresh {
    Refresh { trigger: Trigger::Now, secret_ids: vec![], dry_run: false }
}

fn at_slot() -> Refresh {
    Refresh { trigger: Trigger::Scheduled(SLOT.parse().expect("a time")), ..now() }
}

fn link(redirect_uri: &str, valid_for: Duration) -> Event {
    let request = LinkRequest { redirect_uri: Some(redirect_uri.to_owned()), valid_for };
    Event::AuthorizeUrl { secret_id: None, request }
}

/// Compares all but secrets, which are not comparable on purpose, and show themselves as hidden.
#[track_caller]
fn assert_same(event: &Event, expected: &Event) {
    assert_eq!(format!("{event:?}"), format!("{expected:?}"));
}

/// The events of the folder `events`, by name.
pub fn examples() -> Vec<(String, Value)> {
    let files = fs::read_dir("events").expect("the folder").map(|entry| entry.expect("a file").path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let example = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).expect("a text");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, serde_json::from_str(&text).expect("JSON"))
    };
    files.map(example).collect()
}

const TOKEN: &str = "5f0d8b52-6e6f-4d0f-9a1e-2f1a4f6c6f0c";

fn rotation(step: RotationStep) -> Event {
    Event::Rotation(Rotation { step, secret_id: "tiktok/ads".to_owned(), token: TOKEN.to_owned() })
}

#[test]
fn every_example_is_understood_as_what_its_name_says() {
    let examples = examples();
    assert!(examples.len() >= 8);
    for (name, event) in examples {
        let event = Event::parse(event).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = match name.as_str() {
            "refresh" => Event::Refresh(now()),
            "scheduler" | "scheduled-event" => Event::Refresh(at_slot()),
            "if-needed" => Event::Refresh(Refresh { trigger: Trigger::IfNeeded, ..now() }),
            "dry-run" => Event::Refresh(Refresh { dry_run: true, ..now() }),
            "status" => Event::Status { secret_ids: vec![] },
            "authorize-url" => link("https://localhost:8080", VALIDITY),
            "exchange" => Event::Exchange {
                secret_id: None,
                input: ConsentInput::AuthCode { auth_code: "hidden".into(), redirect_uri: None },
            },
            "rotation-create" => rotation(RotationStep::CreateSecret),
            "rotation-set" => rotation(RotationStep::SetSecret),
            "rotation-test" => rotation(RotationStep::TestSecret),
            "rotation-finish" => rotation(RotationStep::FinishSecret),
            other => panic!("{other}: the name says nothing"),
        };
        assert_same(&event, &expected);
    }
}

#[test]
fn options_may_be_combined_where_that_makes_sense() {
    let ids = || vec!["one".to_owned(), "arn:aws:secretsmanager:eu-west-1:1:secret:two".to_owned()];
    for (event, expected) in [
        (json!({}), Event::Refresh(now())),
        (json!({"scheduled_time": SLOT}), Event::Refresh(at_slot())),
        (json!({"action": "refresh", "if_needed": false, "dry_run": false}), Event::Refresh(now())),
        (json!({"scheduled_time": "2026-11-22T04:00:00+01:00", "if_needed": false}), Event::Refresh(at_slot())),
        (
            json!({"dry_run": true, "scheduled_time": SLOT, "secret_ids": ids()}),
            Event::Refresh(Refresh { dry_run: true, secret_ids: ids(), ..at_slot() }),
        ),
        (json!({"action": "status", "secret_ids": ids()}), Event::Status { secret_ids: ids() }),
        (
            json!({"action": "status", "secret_ids": ["one", " one", ids()[1], "one\n", ids()[1]]}),
            Event::Status { secret_ids: ids() },
        ),
        (
            json!({"Step": "testSecret", "SecretId": "tiktok/ads", "ClientRequestToken": TOKEN, "RotationToken": "x", "New": 1}),
            rotation(RotationStep::TestSecret),
        ),
        (
            json!({"action": "authorize_url", "redirect_uri": "https://a.example/b", "valid_for_hours": 24}),
            link("https://a.example/b", Duration::from_hours(24)),
        ),
        (
            json!({"action": "exchange", "auth_code": "code", "redirect_uri": "https://a.example/b", "secret_id": "one"}),
            Event::Exchange {
                secret_id: Some("one".to_owned()),
                input: ConsentInput::AuthCode {
                    auth_code: "hidden".into(),
                    redirect_uri: Some("https://a.example/b".to_owned()),
                },
            },
        ),
    ] {
        assert_same(&Event::parse(event).expect("understood"), &expected);
    }
}

/// Events that are wrong, each with what its error has to name.
pub fn mistakes() -> Vec<(Value, &'static str)> {
    vec![
        (json!(null), "not a JSON object"),
        (json!([]), "not a JSON object"),
        (json!("refresh"), "not a JSON object"),
        (json!(1), "not a JSON object"),
        (json!({"action": "refesh"}), "\"refesh\""),
        (json!({"action": "Refresh"}), "\"Refresh\""),
        (json!({"action": ""}), "action"),
        (json!({"action": null}), "'action'"),
        (json!({"action": ["refresh"]}), "'action'"),
        (json!({"actoin": "status"}), "\"actoin\""),
        (json!({"dry-run": true}), "\"dry-run\""),
        (json!({"dry_run": "true"}), "'dry_run'"),
        (json!({"dry_run": null}), "'dry_run'"),
        (json!({"if_needed": 1}), "'if_needed'"),
        (json!({"scheduled_time": SLOT, "if_needed": true}), "'if_needed'"),
        (json!({"scheduled_time": "<aws.scheduler.scheduled-time>"}), "<aws.scheduler.scheduled-time>"),
        (json!({"scheduled_time": "tomorrow"}), "'scheduled_time'"),
        (json!({"scheduled_time": ""}), "'scheduled_time'"),
        (json!({"scheduled_time": "2026-11-22"}), "'scheduled_time'"),
        (json!({"scheduled_time": "2026-11-22T03:00:00"}), "'scheduled_time'"),
        (json!({"scheduled_time": "2026-13-22T03:00:00Z"}), "'scheduled_time'"),
        (json!({"scheduled_time": 1_795_316_400}), "'scheduled_time'"),
        (json!({"scheduled_time": null}), "'scheduled_time'"),
        (json!({"secret_ids": "one"}), "'secret_ids'"),
        (json!({"secret_ids": []}), "'secret_ids'"),
        (json!({"secret_ids": ["one", " "]}), "'secret_ids'"),
        (json!({"secret_ids": [1]}), "'secret_ids'"),
        (json!({"secret_ids": null}), "'secret_ids'"),
        (json!({"action": "status", "dry_run": true}), "\"dry_run\""),
        (json!({"action": "status", "scheduled_time": SLOT}), "\"scheduled_time\""),
        (json!({"action": "status", "secret_id": "one"}), "\"secret_id\""),
        (json!({"action": "authorize_url", "secret_ids": ["one"]}), "\"secret_ids\""),
        (json!({"action": "authorize_url", "secret_id": " "}), "'secret_id'"),
        (json!({"action": "authorize_url", "redirect_uri": 1}), "'redirect_uri'"),
        (json!({"action": "authorize_url", "valid_for_hours": "24"}), "'valid_for_hours'"),
        (json!({"action": "authorize_url", "valid_for_hours": 0}), "'valid_for_hours'"),
        (json!({"action": "authorize_url", "valid_for_hours": -1}), "'valid_for_hours'"),
        (json!({"action": "authorize_url", "valid_for_hours": 1.5}), "'valid_for_hours'"),
        (json!({"action": "authorize_url", "valid_for_hours": 169}), "'valid_for_hours'"),
        (json!({"action": "exchange", "redirectUrl": "https://a"}), "\"redirectUrl\""),
        (json!({"action": "exchange", "url": "https://a"}), "are secret_id, redirect_url, auth_code and redirect_uri"),
        (json!({"action": "exchange", "code": "b"}), "\"code\""),
        (json!({"action": "exchange", "auth_code": "b", "redirect_url ": "a"}), "\"redirect_url \""),
        (json!({"action": "exchange", "redirect_url": "a", "secret_ids": ["b"]}), "\"secret_ids\""),
        (json!({"action": "authorize_url", "redirect_url": "https://a"}), "\"redirect_url\""),
        (json!({"action": "authorize_url", "valid_for": 24}), "\"valid_for\""),
        (json!({"action": "authorize_url", "valid_for_hours": "x", "days": 1}), "\"days\""),
        (json!({"Action": "exchange", "auth_code": "b"}), "\"Action\""),
        (json!({"action": "exchange"}), "neither 'redirect_url' nor 'auth_code'"),
        (json!({"action": "exchange", "redirect_url": "a", "auth_code": "b"}), "both 'redirect_url' and 'auth_code'"),
        (json!({"action": "exchange", "redirect_url": "a", "redirect_uri": "b"}), "'redirect_uri'"),
        (json!({"action": "exchange", "auth_code": ["b"]}), "'auth_code'"),
        (json!({"action": "exchange", "auth_code": "b", "valid_for_hours": 1}), "\"valid_for_hours\""),
        (json!({"detail-type": "EC2 Instance State-change Notification", "time": SLOT}), "'detail-type'"),
        (json!({"detail-type": null, "time": SLOT}), "'detail-type'"),
        (json!({"detail-type": "Scheduled Event"}), "'time'"),
        (json!({"detail-type": "Scheduled Event", "time": "now"}), "'time'"),
        (json!({"detail-type": "Scheduled Event", "time": 1}), "'time'"),
        (json!({"SecretId": "a", "ClientRequestToken": TOKEN}), "\"ClientRequestToken\""),
        (json!({"Step": "create_secret", "SecretId": "a", "ClientRequestToken": TOKEN}), "\"create_secret\""),
        (json!({"Step": "", "SecretId": "a", "ClientRequestToken": TOKEN}), "'Step'"),
        (json!({"Step": 1, "SecretId": "a", "ClientRequestToken": TOKEN}), "'Step'"),
        (json!({"Step": "createSecret", "ClientRequestToken": TOKEN}), "'SecretId'"),
        (json!({"Step": "createSecret", "SecretId": " ", "ClientRequestToken": TOKEN}), "'SecretId'"),
        (json!({"Step": "createSecret", "SecretId": null, "ClientRequestToken": TOKEN}), "'SecretId'"),
        (json!({"Step": "createSecret", "SecretId": "a"}), "'ClientRequestToken'"),
        (json!({"Step": "createSecret", "SecretId": "a", "ClientRequestToken": "short"}), "'ClientRequestToken'"),
        (
            json!({"Step": "createSecret", "SecretId": "a", "ClientRequestToken": "x".repeat(65)}),
            "'ClientRequestToken'",
        ),
    ]
}

#[test]
fn an_event_that_is_not_understood_is_refused_with_the_name_of_what_is_not() {
    for (event, what) in mistakes() {
        let error = Event::parse(event.clone()).expect_err(&event.to_string());
        assert_eq!(error.kind(), Kind::InvalidEvent, "{event}");
        assert!(error.what().contains(what), "{event}: {error}");
    }
}

#[tokio::test]
async fn an_event_that_is_not_understood_touches_nothing() {
    let world = World::start();
    let function = world.lambda();
    for (event, what) in mistakes() {
        let invocation = function.run(event.clone()).await;
        assert_eq!(outcome(&invocation), "InvalidEvent", "{event}");
        assert!(error_message(&invocation).contains(what), "{event}");
    }
    let journal = world.faults.journal();
    assert!(journal.is_empty(), "{journal}");
}

#[tokio::test]
async fn an_event_that_names_secrets_leaves_the_configured_ones_alone() {
    let world = World::start();
    let (issued, other) = (world.document("AWSCURRENT").expect("a secret"), format!("{}-other", world.secret_id));
    world.create_secret_of_text(&other, &issued.to_string());
    let function = world.lambda();
    for action in ["status", "refresh"] {
        let invocation = function.run(json!({"action": action, "secret_ids": [other]})).await;
        assert_eq!(invocation.outcome.response()["results"][0]["secret_id"], json!(other), "{action}");
    }
    assert_eq!(world.current(), issued);
    let journal = world.faults.journal();
    let stores = journal.iter().filter(|entry| entry.operation.contains("Secret"));
    assert!(stores.clone().count() > 3 && stores.clone().all(|entry| entry.detail.contains(&other)), "{journal}");
}

#[tokio::test]
async fn a_classic_scheduled_event_that_comes_twice_refreshes_once() {
    let world = World::start();
    let function = world.lambda();
    let mut event = examples().into_iter().find(|(name, _)| name == "scheduled-event").expect("the example").1;
    event["time"] = scheduled()["scheduled_time"].clone();
    assert_eq!(outcome(&function.run(event.clone()).await), "refreshed");
    assert_eq!(outcome(&function.run(event).await), "fresh");
    assert_eq!(world.tiktok.core().redeems().len(), 1);
}
