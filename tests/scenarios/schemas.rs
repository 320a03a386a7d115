//! The JSON Schemas match the code.

use std::{collections::BTreeSet, time::Duration};

use jsonschema::Validator;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use stand_ins::{APP_ID, Fault, Flow, GrantSpec, Outcome, When, World, secrets_manager::client::new_token};
use tiktok_token_refresh::{
    document::{Credentials, Document},
    error::Kind,
    event::Event,
    refresh::OutcomeKind,
    rotation::{RotationStep, StepOutcome},
};

use crate::{
    events::{examples, mistakes},
    evidence::error_message,
    support::{BINARY, Scenario, outcome, refresh, scheduled},
};

const CREDENTIALS: &str = include_str!("../../src/document/credentials.schema.json");
const READER: &str = include_str!("../../src/document/reader.schema.json");
const EVENT: &str = include_str!("../../src/event.schema.json");
const REPORT: &str = include_str!("../../src/report.schema.json");

fn json_of(schema: &str) -> Value {
    serde_json::from_str(schema).expect("JSON")
}

fn validator(schema: &str) -> Validator {
    let schema = json_of(schema);
    jsonschema::meta::validate(&schema).expect("a schema by its own meta-schema");
    jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema")
}

#[track_caller]
fn assert_valid(validator: &Validator, instance: &Value, what: &str) {
    let errors: Vec<String> =
        validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{instance:#}");
}

/// The schema takes what the code understands, and nothing else.
#[track_caller]
fn assert_agree<T>(
    schema: &Validator,
    instances: impl IntoIterator<Item = Value>,
    read: impl Fn(&Value) -> Result<T, String>,
) {
    let (mut understood, mut refused, mut differences) = (0, 0, Vec::new());
    for instance in instances {
        let result = read(&instance);
        *if result.is_ok() { &mut understood } else { &mut refused } += 1;
        if schema.is_valid(&instance) != result.is_ok() {
            differences.push(format!("{instance}: {}", result.err().unwrap_or_else(|| "understood".to_owned())));
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert!(understood > 0 && refused > 0, "some are right, some are wrong");
}

#[test]
fn the_examples_in_the_schemas_are_valid() {
    for schema in [CREDENTIALS, READER, EVENT, REPORT] {
        let validator = validator(schema);
        let examples = json_of(schema)["examples"].as_array().expect("examples").clone();
        assert!(!examples.is_empty());
        for example in &examples {
            assert_valid(&validator, example, "an example");
        }
    }
}

/// Times as people and programs write them, right and wrong.
const TIMES: [&str; 28] = [
    "2026-11-22T03:00:00Z",
    "2026-11-22t03:00:00z",
    "2026-11-22T03:00:00.123456789Z",
    "2026-11-22T03:00:00+01:00",
    "2026-11-22T03:00:00-00:00",
    "2028-02-29T03:00:00Z",
    "2016-12-31T23:59:60Z",
    "2026-02-29T03:00:00Z",
    "2026-11-31T03:00:00Z",
    "2026-11-22T24:00:00Z",
    "2026-11-22T03:60:00Z",
    "2026-11-22T03:00:61Z",
    "2026-11-22T03:00:00.1234567890Z",
    "2026-11-22T03:00:00.Z",
    "2026-11-22T03:00:00+23:59",
    "2026-11-22T03:00:00+24:00",
    "2026-11-22T03:00:00+25:00",
    "2026-11-22T03:00:00+0100",
    "2026-11-22T03:00:00+01",
    "2026-11-22T03:00Z",
    "2026-11-22 03:00:00Z",
    "20261122T030000Z",
    "2026-11-22T03:00:00Z[Europe/Berlin]",
    "2026-11-22T03:00:00,5Z",
    " 2026-11-22T03:00:00Z",
    "-002026-11-22T03:00:00Z",
    "1795316400",
    "",
];

#[test]
fn what_the_schema_says_of_an_event_is_what_the_function_does_with_it() {
    let schema = validator(EVENT);
    let good = [
        json!({}),
        json!({"dry_run": false}),
        json!({"action": "refresh", "if_needed": true, "dry_run": true, "secret_ids": ["a"]}),
        json!({"if_needed": false, "scheduled_time": TIMES[0]}),
        json!({"action": "status", "secret_ids": ["a", "a"]}),
        json!({"detail-type": "Scheduled Event", "time": TIMES[0], "action": "made up", "if_needed": 3}),
    ];
    let times = TIMES
        .iter()
        .flat_map(|time| [json!({"scheduled_time": time}), json!({"detail-type": "Scheduled Event", "time": time})]);
    let events = examples().into_iter().map(|(_, event)| event);
    let events = events.chain(mistakes().into_iter().map(|(event, _)| event)).chain(good).chain(times);
    assert_agree(&schema, events, |event| Event::parse(event.clone()).map_err(|error| error.to_string()));
}

/// Documents that a person may store, right and wrong.
fn documents() -> Vec<Value> {
    let mut all = Vec::new();
    let good = json!({"app_id": "1", "secret": "s", "refresh_token": "r", "access_token": "a"});
    for field in ["app_id", "secret", "refresh_token", "access_token", "flow", "app_secret", "app_secret_id", "extra"] {
        let values = [
            "null",
            "\"\"",
            "\" \"",
            "1",
            "-1",
            "1.5",
            "\"x\"",
            "\" x\\r\\n\"",
            "\"x y\"",
            "\"business\"",
            "\" tt_user\\n\"",
            "\"tt_user\"",
            "\"long_term\"",
            "true",
            "[]",
            "{}",
        ];
        for value in values.map(|value| serde_json::from_str::<Value>(value).expect("JSON")) {
            let mut document = good.clone();
            document[field] = value;
            all.push(document);
        }
    }
    // Each field there or not, in every combination.
    let fields = [
        ("app_id", "1"),
        ("secret", "s"),
        ("app_secret", "s"),
        ("app_secret_id", "tiktok/app"),
        ("refresh_token", "r"),
        ("access_token", "a"),
    ];
    for flow in [None, Some("business"), Some("tt_user"), Some("long_term"), Some("another"), Some("")] {
        for combination in 0..1_u8 << fields.len() {
            let mut document = json!({});
            for (bit, (name, value)) in fields.iter().enumerate() {
                if combination & (1 << bit) != 0 {
                    document[name] = json!(value);
                }
            }
            if let Some(flow) = flow {
                document["flow"] = json!(flow);
            }
            all.push(document);
        }
    }
    all
}

#[test]
fn what_the_schema_says_of_a_secret_is_what_the_function_does_with_it() {
    let schema = validator(CREDENTIALS);
    assert_agree(&schema, documents(), |document| {
        let read = Document::parse(&SecretString::from(document.to_string()));
        let credentials = read.and_then(|document| Credentials::of(&document)).map_err(|error| error.to_string())?;
        match credentials.has_tokens() {
            Err(error) if error.kind() != Kind::ReauthorizationRequired => Err(error.to_string()),
            _ => Ok(()),
        }
    });
}

#[tokio::test]
async fn what_the_function_writes_is_valid_as_what_a_person_stores_is() {
    let schema = validator(CREDENTIALS);
    for (flow, spec) in [
        ("business", GrantSpec::default()),
        ("tt_user", GrantSpec::of(Flow::TtUser)),
        ("long_term", GrantSpec::long_term()),
    ] {
        for scope_as_numbers in [false, true] {
            let world = World::with(spec.clone());
            world.tiktok.core().shape.scope_as_numbers = scope_as_numbers;
            let function = world.lambda();
            assert_valid(&schema, &world.current(), flow);
            for _ in 0..2 {
                function.run(refresh()).await;
                assert_valid(&schema, &world.current(), flow);
            }
            let written = if flow == "tt_user" { "refreshed_at" } else { "advertisers" };
            assert!(world.current().get(written).is_some(), "{flow} has run");
        }
    }
}

#[tokio::test]
async fn what_a_downstream_job_is_given_is_valid() {
    for advertiser_info in ["false", "true"] {
        let (world, reader) = crate::publish::world("reader").await;
        world.function_with(BINARY, &[("ADVERTISER_INFO", advertiser_info)]).run(scheduled()).await;
        assert_valid(&validator(CREDENTIALS), &world.current(), "the credentials secret that publishes");
        let body = crate::publish::read(&world, &reader).await.expect("a value");
        assert_valid(&validator(READER), &body, "the reader secret");
        let known = json_of(READER)["properties"]["advertisers"]["items"]["properties"].as_object().map(Map::len);
        let told = body["advertisers"][0].as_object().map(Map::len);
        assert_eq!(told == known, advertiser_info == "true", "everything that is described is there on request");
    }
}

#[tokio::test]
async fn the_times_that_are_written_are_valid_and_their_names_are_the_schemas() {
    let world = World::start();
    world.lambda().run(refresh()).await;
    let known = json_of(CREDENTIALS)["properties"].as_object().expect("properties").clone();
    for (name, value) in world.current().as_object().expect("an object") {
        assert!(known.contains_key(name), "{name} is described");
        assert!(!name.ends_with("_at") || value.as_str().is_some_and(|time| time.ends_with('Z')), "{name}: {value}");
    }
}

/// Brings a secret to an outcome, and returns the invocation's answer.
async fn answer(ending: &str) -> Value {
    let world = match ending {
        "verified" => World::with(GrantSpec::long_term()),
        _ => World::start(),
    };
    let (function, event) = (world.lambda(), scheduled());
    let before_promote = || When::operation("UpdateSecretVersionStage");
    let event = match ending {
        "fresh" => {
            function.run(event.clone()).await;
            event
        }
        "resumed" => {
            world.faults.at(before_promote(), Fault::KillBefore);
            function.run(event.clone()).await;
            event
        }
        "kept" => {
            let (_, refresh_token) = world.tiktok.core().newest(world.grant);
            world.tiktok.core().revoke_token(&refresh_token.expect("a refresh token"));
            event
        }
        "superseded" => {
            let other = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
            let mut document = world.current();
            document["access_token"] = json!(other.access_token);
            document["refresh_token"] = json!(other.refresh_token);
            let (client, secret_id, text) =
                (world.secrets_manager.client(), world.secret_id.clone(), document.to_string());
            let paste = move || {
                let (client, secret_id, text) = (client.clone(), secret_id.clone(), text.clone());
                async move { drop(client.put(&secret_id, &text).await) }
            };
            world.faults.at(before_promote(), Fault::run_before(paste));
            event
        }
        "in_progress" => {
            world.faults.at(When::operation("oauth2/refresh_token"), Fault::KillBefore);
            function.run(event.clone()).await;
            event
        }
        "dry_run" => json!({"dry_run": true}),
        "authorized" => {
            let code = world.tiktok.core().authorize_by_code(APP_ID, GrantSpec::default(), Duration::from_hours(1));
            json!({"action": "exchange", "auth_code": code})
        }
        _ => event,
    };
    let invocation = function.run(event).await;
    assert_eq!(outcome(&invocation), ending);
    invocation.outcome.response().clone()
}

#[tokio::test]
async fn every_outcome_is_answered_as_the_schema_says() {
    let schema = validator(REPORT);
    for kind in OutcomeKind::ALL {
        let ending = json!(kind).as_str().expect("a name").to_owned();
        assert_valid(&schema, &answer(&ending).await, &ending);
    }
}

#[tokio::test]
async fn every_status_is_answered_as_the_schema_says() {
    let schema = validator(REPORT);
    let world = World::start();
    let function = world.lambda();
    let status = json!({"action": "status"});
    assert_valid(&schema, function.run(status.clone()).await.outcome.response(), "never refreshed");
    function.run(refresh()).await;
    assert_valid(&schema, function.run(status.clone()).await.outcome.response(), "refreshed");
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    function.run(refresh()).await;
    assert_valid(&schema, function.run(status.clone()).await.outcome.response(), "staged and claimed");
    let client = world.secrets_manager.client();
    client.put_labeled(&world.secret_id, &new_token(), "{}", &["AWSPENDING"]).await.expect("they may");
    assert_valid(&schema, function.run(status).await.outcome.response(), "foreign");
    let (publishing, _) = crate::publish::world("reader").await;
    let event = json!({"action": "status", "secret_ids": [publishing.secret_id, "tiktok/none"]});
    let answer = publishing.lambda().run(event).await.outcome.response().clone();
    assert_valid(&schema, &answer, "one with a reader secret, and one that is not there");
}

#[tokio::test]
async fn every_step_of_a_rotation_is_answered_as_the_schema_says() {
    let schema = validator(REPORT);
    let world = World::start();
    let function = world.lambda();
    let token = new_token();
    for step in RotationStep::ALL {
        let event = json!({"Step": step.name(), "SecretId": world.secret_id, "ClientRequestToken": token});
        assert_valid(&schema, function.run(event).await.outcome.response(), step.name());
    }
}

#[tokio::test]
async fn a_link_is_answered_as_the_schema_says_and_what_an_exchange_writes_is_valid() {
    let world = World::empty();
    world.create_secret(&world.secret_id, &json!({"app_id": APP_ID, "secret": "s"}));
    let function = world.lambda();
    let link = function.run(json!({"action": "authorize_url"})).await;
    assert_valid(&validator(REPORT), link.outcome.response(), "a link");
    for spec in [GrantSpec::default(), GrantSpec::long_term()] {
        let world = World::start();
        let code = world.tiktok.core().authorize_by_code(APP_ID, spec, Duration::from_hours(1));
        assert_eq!(outcome(&world.lambda().run(json!({"action": "exchange", "auth_code": code})).await), "authorized");
        assert_valid(&validator(CREDENTIALS), &world.current(), "after an exchange");
        let known = json_of(CREDENTIALS)["properties"].as_object().expect("properties").clone();
        assert!(world.current().as_object().expect("an object").keys().all(|name| known.contains_key(name)));
    }
}

#[tokio::test]
async fn an_error_is_answered_as_the_schema_says() {
    let world = World::empty();
    let invocation = world.lambda().run(refresh()).await;
    let Outcome::Error { error_type, .. } = &invocation.outcome else { panic!("{:?}", invocation.outcome) };
    let answer = json!({"errorType": error_type, "errorMessage": error_message(&invocation)});
    assert_valid(&validator(REPORT), &answer, "an error");
}

#[test]
fn the_names_in_the_schema_are_those_of_the_code() {
    let report = json_of(REPORT);
    let names = |values: &Value| -> BTreeSet<String> {
        let name = |value: &Value| value.get("const").unwrap_or(value).as_str().expect("a name").to_owned();
        values.as_array().expect("a list").iter().map(name).collect()
    };
    let errors = Kind::ALL.map(|kind| kind.name().to_owned()).into();
    assert_eq!(names(&report["$defs"]["errorType"]["enum"]), errors);
    let outcomes = OutcomeKind::ALL.map(|kind| json!(kind).as_str().expect("a name").to_owned()).into();
    assert_eq!(names(&report["$defs"]["outcome"]["properties"]["outcome"]["oneOf"]), outcomes);
    let steps: BTreeSet<String> = RotationStep::ALL.map(|step| step.name().to_owned()).into();
    assert_eq!(names(&json_of(EVENT)["$defs"]["rotation"]["properties"]["Step"]["oneOf"]), steps);
    let rotated = &report["$defs"]["rotated"]["properties"];
    assert_eq!(names(&rotated["step"]["enum"]), steps);
    let outcomes = StepOutcome::ALL.map(|outcome| json!(outcome).as_str().expect("a name").to_owned()).into();
    assert_eq!(names(&rotated["outcome"]["oneOf"]), outcomes);
}

#[test]
fn the_documentation_names_every_event_outcome_and_error() {
    let page = include_str!("../../docs/events.md");
    let events = examples().into_iter().map(|(name, _)| format!("events/{name}.json"));
    let outcomes = OutcomeKind::ALL.iter().map(|kind| json!(kind));
    let outcomes = outcomes.chain(StepOutcome::ALL.iter().map(|outcome| json!(outcome)));
    let outcomes = outcomes.map(|name| format!("`{}`", name.as_str().expect("a name")));
    let errors = Kind::ALL.iter().map(|kind| format!("`{}`", kind.name()));
    for name in events.chain(outcomes).chain(errors) {
        assert!(page.contains(&name), "{name}");
    }
}
