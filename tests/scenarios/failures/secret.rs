//! A credentials secret that is missing or not valid: nothing is redeemed, and the error names the field to correct.

use serde_json::{Value, json};
use stand_ins::{APP_ID, APP_SECRET, Flow, GrantSpec, World, credentials, secrets_manager::client::new_token};

use crate::support::{Scenario, assert_failed, outcome, refresh, scheduled, side_by_side};

/// The document that a person has yet to store.
fn first_document(world: &World) -> Value {
    let issued = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
    credentials(Flow::Business, &issued)
}

#[tokio::test]
async fn a_secret_that_does_not_exist_is_named_and_works_once_it_is_created() {
    let world = World::empty();
    let invocation = world.lambda().run(scheduled()).await;
    assert_failed(&invocation, "SecretNotFound", &[&world.secret_id, "does not exist", "SECRET_ID"]);
    world.create_secret(&world.secret_id, &first_document(&world));
    assert_eq!(world.next_run().await, "refreshed");
}

#[tokio::test]
async fn a_secret_without_a_value_is_named_and_works_once_it_has_one() {
    let world = World::empty();
    let input = json!({ "Name": world.secret_id, "ClientRequestToken": new_token() });
    world.secrets_manager.client().call("CreateSecret", input).await.expect("a new secret");
    let invocation = world.lambda().run(scheduled()).await;
    assert_failed(&invocation, "SecretNotFound", &[&world.secret_id, "has no value yet"]);
    world.store(&first_document(&world).to_string()).await;
    assert_eq!(world.next_run().await, "refreshed");
}

#[tokio::test]
async fn a_secret_that_is_marked_for_deletion_is_named_and_works_once_it_is_restored() {
    let world = World::start();
    let client = world.secrets_manager.client();
    client.delete_secret(&world.secret_id).await.expect("a person may delete");
    let invocation = world.lambda().run(scheduled()).await;
    assert_failed(&invocation, "SecretNotFound", &[&world.secret_id, "scheduled for deletion", "restore-secret"]);
    client.restore_secret(&world.secret_id).await.expect("a person may restore");
    assert_eq!(world.next_run().await, "refreshed");
    assert_eq!(world.redeemed(), 1);
}

type Case = (&'static str, fn(Value) -> String, &'static [&'static str]);

/// The mistakes of people. Each has a name, the text that it makes of a good document, and the words that the error has to
/// name.
const MISTAKES: [Case; 15] = [
    ("white space", |_| " \n".to_owned(), &["is empty"]),
    ("not JSON", |good| format!("{good} and more"), &["not valid JSON"]),
    ("half of it", |good| good.to_string()[..60].to_owned(), &["not valid JSON (line 1"]),
    ("an array", |good| json!([good]).to_string(), &["not a JSON object"]),
    ("a text", |_| json!("the-access-token").to_string(), &["not a JSON object"]),
    (
        "a field twice",
        |good| good.to_string().replacen('{', "{\"access_token\":\"x\",", 1),
        &["\"access_token\" twice"],
    ),
    ("no app id", |good| without(good, "app_id"), &["'app_id' is missing"]),
    ("no app secret", |good| without(good, "secret"), &["'secret' is missing"]),
    ("empty app secret", |good| with(good, "secret", &json!(" ")), &["'secret' is missing or empty"]),
    ("token as a number", |good| with(good, "refresh_token", &json!(42)), &["'refresh_token' must be a string"]),
    ("unknown flow", |good| with(good, "flow", &json!("bussiness")), &["'flow'", "business", "tt_user", "long_term"]),
    (
        "nothing to check",
        |good| without(with(good, "flow", &json!("long_term")).parse().expect("JSON"), "access_token"),
        &["\"long_term\", which needs an 'access_token'", "Remove 'flow'"],
    ),
    (
        "nothing to refresh with",
        |good| without(with(good, "flow", &json!("tt_user")).parse().expect("JSON"), "refresh_token"),
        &["\"tt_user\", which needs a 'refresh_token'", "long_term"],
    ),
    ("two app secrets", |good| with(good, "app_secret_id", &json!("shared")), &["'app_secret_id'", "Remove one"]),
    ("no room for tokens", |good| with(good, "note", &json!("x".repeat(63_000))), &["65536", "Move other data out"]),
];

fn with(mut document: Value, field: &str, value: &Value) -> String {
    document[field] = value.clone();
    document.to_string()
}

fn without(mut document: Value, field: &str) -> String {
    document.as_object_mut().expect("an object").remove(field);
    document.to_string()
}

#[tokio::test]
async fn a_malformed_secret_costs_no_token_and_the_error_names_what_to_correct() {
    side_by_side(MISTAKES.map(|(mistake, make, says)| async move {
        let world = World::start();
        let good = world.current();
        world.store(&make(good.clone())).await;
        let invocation = world.lambda().run(scheduled()).await;
        assert_eq!(outcome(&invocation), "InvalidSecret", "{mistake}");
        assert_failed(&invocation, "InvalidSecret", says);
        let journal = world.faults.journal();
        assert!(journal.is_reading_alone(), "{mistake}: read, and nothing else\n{journal}");
        world.store(&good.to_string()).await;
        assert_eq!(world.next_run().await, "refreshed", "{mistake}");
    }))
    .await;
}

#[tokio::test]
async fn a_binary_secret_is_an_error_that_says_to_store_text() {
    let world = World::start();
    let good = world.current();
    let input = json!({ "SecretId": world.secret_id, "SecretBinary": "eyJiaW5hcnkiOnRydWV9", "ClientRequestToken": new_token() });
    world.secrets_manager.client().call("PutSecretValue", input).await.expect("a person may write");
    let invocation = world.lambda().run(scheduled()).await;
    assert_failed(&invocation, "InvalidSecret", &["is binary", "as text"]);
    assert_eq!(world.redeemed(), 0);
    world.store(&good.to_string()).await;
    assert_eq!(world.next_run().await, "refreshed");
}

#[tokio::test]
async fn the_secret_with_the_apps_own_credentials_fails_by_its_own_name() {
    let world = World::with_document(GrantSpec::default(), |document| {
        document.as_object_mut().expect("an object").retain(|field, _| !["app_id", "secret"].contains(&field.as_str()));
        document["app_secret_id"] = json!("to be named");
    });
    let shared = format!("{}/app", world.secret_id);
    world.store(&with(world.current(), "app_secret_id", &json!(shared))).await;
    let lambda = world.lambda();
    assert_failed(&lambda.run(scheduled()).await, "SecretNotFound", &[&shared]);

    world.create_secret(&shared, &json!({ "app_id": APP_ID }));
    let says = [shared.as_str(), "'app_secret_id'", "'secret' is missing"];
    assert_failed(&lambda.run(refresh()).await, "InvalidSecret", &says);
    assert_eq!(world.redeemed(), 0);

    let client = world.secrets_manager.client();
    let app = json!({ "app_id": APP_ID, "secret": APP_SECRET });
    client.put(&shared, &app.to_string()).await.expect("a person may write");
    assert_eq!(world.next_run().await, "refreshed");
}
