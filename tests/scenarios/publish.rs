//! Reader secrets: what downstream jobs are given, and when.

use serde_json::{Value, json};
use stand_ins::{APP_ID, APP_SECRET, Fault, GrantSpec, When, World};

use crate::support::{Scenario, assert_failed, only_result, outcome, scheduled, strict};

const READER: &str = "reader";

/// A world whose credentials secret publishes to one reader secret, which is empty.
pub async fn world(format: &str) -> (World, String) {
    world_with(json!({"format": format})).await
}

/// The same with the rest of the entry in `publish`.
async fn world_with(mut entry: Value) -> (World, String) {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let reader = format!("tiktok/{READER}/{id}");
    entry["secret_id"] = json!(reader);
    let publish = json!([entry]);
    let world = World::with_document(GrantSpec::default(), |document| document["publish"] = publish);
    let token = uuid::Uuid::new_v4().to_string();
    let empty = json!({"Name": reader, "ClientRequestToken": token});
    world.secrets_manager.client().call("CreateSecret", empty).await.expect("a new secret");
    (world, reader)
}

pub async fn read(world: &World, reader: &str) -> Option<Value> {
    let (_, body) = world.secrets_manager.client().get(reader, "AWSCURRENT").await?;
    Some(serde_json::from_str(&body).expect("JSON"))
}

#[tokio::test]
async fn each_format_has_the_keys_that_its_job_asks_for() {
    for format in ["reader", "owox", "airbyte", "singer"] {
        let (world, reader) = world(format).await;
        let result = only_result(&world.lambda().run(scheduled()).await);
        assert_eq!(result["published"], json!([reader]), "{format}");
        let (current, body) = (world.current(), read(&world, &reader).await.expect("a value"));
        let (token, ids) = (&current["access_token"], "7000000000000000001, 7000000000000000002");
        let expected = match format {
            "owox" => json!({
                "AuthType": {"oauth2": {"AccessToken": token, "AppId": APP_ID, "AppSecret": APP_SECRET}},
                "AdvertiserIDs": ids,
            }),
            "airbyte" => json!({"credentials": {
                "auth_type": "oauth2.0", "app_id": APP_ID, "secret": APP_SECRET, "access_token": token,
            }}),
            "singer" => json!({"access_token": token, "accounts": ids}),
            _ => json!({
                "access_token": token,
                "access_token_expires_at": current["access_token_expires_at"],
                "refreshed_at": current["refreshed_at"],
                "advertisers_fetched_at": current["advertisers_fetched_at"],
                "advertiser_ids": current["advertiser_ids"],
                "advertisers": current["advertisers"],
            }),
        };
        assert_eq!(body, expected, "{format}");
        let refresh_token = world.field("refresh_token");
        assert!(!body.to_string().contains(&refresh_token), "{format}: the refresh token is in none");
    }
}

#[tokio::test]
async fn a_reader_secret_holds_what_a_person_adds_but_never_in_place_of_the_formats_own() {
    for format in ["reader", "owox", "airbyte", "singer"] {
        let (plain, reader) = world(format).await;
        plain.lambda().run(scheduled()).await;
        let own = read(&plain, &reader).await.expect("a value");
        let added =
            json!({"start_date": "2026-01-01T00:00:00Z", "nested": {"advertiser": 7_000_000_000_000_000_001_u64}});
        let mut fields = added.clone();
        for name in own.as_object().expect("an object").keys() {
            fields[name] = json!("a person's");
        }
        let (world, reader) = world_with(json!({"format": format, "fields": fields})).await;
        world.lambda().run(scheduled()).await;
        let body = read(&world, &reader).await.expect("a value");
        for name in fields.as_object().expect("an object").keys() {
            match added.get(name) {
                Some(added) => assert_eq!(&body[name], added, "{format}: {name}"),
                None => assert!(!body[name].is_null() && body[name] != "a person's", "{format}: {name}"),
            }
        }
    }
}

#[tokio::test]
async fn the_readers_format_holds_no_secret_but_the_access_token() {
    let (world, reader) = world("reader").await;
    world.lambda().run(scheduled()).await;
    let body = read(&world, &reader).await.expect("a value").to_string();
    assert!(!body.contains(APP_SECRET) && !body.contains("canary-refresh"));
}

#[tokio::test]
async fn a_reader_secret_is_written_only_when_it_changes() {
    let (world, reader) = world("singer").await;
    let (function, event) = (world.lambda(), scheduled());
    function.run(event.clone()).await;
    world.faults.reset();
    let result = only_result(&function.run(event).await);
    assert_eq!((&result["outcome"], &result["published"]), (&json!("fresh"), &json!([])));
    assert_eq!(world.faults.journal().count("PutSecretValue"), 0);
    function.run(json!({"action": "refresh"})).await;
    assert_eq!(read(&world, &reader).await.expect("a value")["access_token"], world.current()["access_token"]);
}

#[tokio::test]
async fn a_failed_publish_fails_the_run_and_the_next_one_heals_it_without_redeeming() {
    for operation in ["GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"] {
        let (world, reader) = world("reader").await;
        let (function, event) = (world.lambda(), scheduled());
        // The second round has to move AWSCURRENT, the first one is AWSCURRENT by itself.
        if operation == "UpdateSecretVersionStage" {
            function.run(event.clone()).await;
        }
        let denied = Fault::aws_error(400, "AccessDeniedException", "User: x is not authorized");
        world.faults.at(When::operation(operation).detail(READER), denied);
        let failed = function.run(json!({"action": "refresh"})).await;
        assert_eq!(outcome(&failed), "AccessDenied", "{operation}");
        assert!(format!("{:?}", failed.outcome).contains("The tokens are in order, but not the reader secret"));
        let redeems = world.tiktok.core().redeems().len();
        assert_eq!(outcome(&function.run(event).await), "fresh", "{operation}");
        assert_eq!(read(&world, &reader).await.expect("a value")["access_token"], world.current()["access_token"]);
        assert_eq!(world.tiktok.core().redeems().len(), redeems, "{operation}");
    }
}

#[tokio::test]
async fn a_publish_that_cannot_be_does_not_keep_the_tokens_from_being_refreshed() {
    let wrong =
        [json!("reader"), json!([{"secret_id": "x", "format": "excel"}]), json!([{"secret_id": "tiktok/none"}])];
    for publish in wrong {
        let world = World::with_document(GrantSpec::default(), |document| document["publish"] = publish.clone());
        let ending = outcome(&world.lambda().run(scheduled()).await);
        assert!(["InvalidSecret", "SecretNotFound"].contains(&ending.as_str()), "{publish}: {ending}");
        world.assert_usable();
    }
}

#[tokio::test]
async fn only_a_format_that_shows_the_apps_credentials_needs_them() {
    for (format, ending) in
        [("reader", "fresh"), ("singer", "fresh"), ("owox", "AccessDenied"), ("airbyte", "AccessDenied")]
    {
        let (world, reader) = world(format).await;
        let Some(world) = strict(world) else { return };
        let (function, event, app) = (world.lambda(), scheduled(), format!("{}-app", world.secret_id));
        function.run(event.clone()).await;
        // From now on the app's credentials are in a secret of their own, which the function may not read.
        world.create_secret(&app, &json!({"app_id": APP_ID, "secret": APP_SECRET}));
        let mut document = world.current();
        document["app_secret_id"] = json!(app);
        document.as_object_mut().expect("an object").remove("secret");
        world.store(&document.to_string()).await;
        world.secrets_manager.client().put(&reader, "{}").await.expect("a person may write");
        let denied = Fault::aws_error(400, "AccessDeniedException", "User: x is not authorized");
        world.faults.at(When::operation("GetSecretValue").detail(&app).always(), denied);
        assert_eq!(outcome(&function.run(event).await), ending, "{format}");
        let is_filled = read(&world, &reader).await.expect("a value") != json!({});
        assert_eq!(is_filled, ending == "fresh", "{format}");
    }
}

#[tokio::test]
async fn a_reader_secret_that_is_not_there_is_to_be_created_without_a_value() {
    let publish = json!([{"secret_id": "tiktok/none"}]);
    let world = World::with_document(GrantSpec::default(), |document| document["publish"] = publish);
    let invocation = world.lambda().run(scheduled()).await;
    assert_failed(&invocation, "SecretNotFound", &["Create the secret 'tiktok/none', without a value"]);
}

#[tokio::test]
async fn the_credentials_secret_is_never_its_own_reader() {
    let world = World::start();
    let (client, mut document) = (world.secrets_manager.client(), world.current());
    document["publish"] = json!([{"secret_id": world.secret_id, "format": "reader"}]);
    client.put(&world.secret_id, &document.to_string()).await.expect("a person may write");
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "InvalidSecret");
    world.assert_usable();
    assert!(!world.field("refresh_token").is_empty(), "the refresh token is still there");
}

#[tokio::test]
async fn the_first_value_that_somebody_gives_a_reader_secret_meanwhile_does_not_stay() {
    let (world, reader) = world("reader").await;
    let (client, name) = (world.secrets_manager.client(), reader.clone());
    let give = move || {
        let (client, name) = (client.clone(), name.clone());
        async move { drop(client.put(&name, r#"{"access_token":"theirs"}"#).await.expect("they may")) }
    };
    world.faults.at(When::operation("PutSecretValue").detail(&reader), Fault::run_before(give));
    let result = only_result(&world.lambda().run(scheduled()).await);
    assert_eq!(result["published"], json!([reader]));
    assert_eq!(read(&world, &reader).await.expect("a value")["access_token"], world.current()["access_token"]);
    assert_eq!(world.faults.unfired(), 0, "it was the first value");
}

#[tokio::test]
async fn two_runs_that_publish_together_leave_the_newer_token() {
    let (world, reader) = world("reader").await;
    let Some(world) = strict(world) else { return };
    let (one, other) = (world.lambda(), world.lambda());
    for _ in 0..10 {
        let refresh = json!({"action": "refresh"});
        tokio::join!(one.run(refresh.clone()), other.run(refresh));
        assert_eq!(read(&world, &reader).await.expect("a value")["access_token"], world.current()["access_token"]);
    }
}
