//! Reader secrets: their content, and when they are written.

use serde_json::{Value, json};
use stand_ins::{APP_ID, APP_SECRET, Fault, GrantSpec, When, World};

use crate::support::{BINARY, Scenario, assert_failed, only_result, outcome, scheduled, side_by_side, strict};

const READER: &str = "reader";
const FORMATS: [&str; 7] = ["reader", "owox", "airbyte", "airbyte_manifest", "singer", "dlt", "meltano"];

/// A world whose credentials secret publishes to one reader secret, which is empty.
pub async fn world(format: &str) -> (World, String) {
    world_with(json!({"format": format})).await
}

/// The same with the rest of the entry in `publish`.
async fn world_with(mut entry: Value) -> (World, String) {
    let reader = new_name();
    entry["secret_id"] = json!(reader);
    let publish = json!([entry]);
    let world = World::with_document(GrantSpec::default(), |document| document["publish"] = publish);
    create(&world, &reader, None).await;
    (world, reader)
}

fn new_name() -> String {
    format!("tiktok/{READER}/{}", uuid::Uuid::new_v4().simple())
}

/// Creates a reader secret, and returns its ARN.
async fn create(world: &World, name: &str, body: Option<&str>) -> String {
    let token = uuid::Uuid::new_v4().to_string();
    let mut secret = json!({"Name": name, "ClientRequestToken": token});
    if let Some(body) = body {
        secret["SecretString"] = json!(body);
    }
    let created = world.secrets_manager.client().call("CreateSecret", secret).await.expect("a new secret");
    created["ARN"].as_str().expect("an ARN").to_owned()
}

async fn text(world: &World, reader: &str) -> Option<String> {
    world.secrets_manager.client().get(reader, "AWSCURRENT").await.map(|(_, body)| body)
}

pub async fn read(world: &World, reader: &str) -> Option<Value> {
    let (_, body) = world.secrets_manager.client().get(reader, "AWSCURRENT").await?;
    Some(serde_json::from_str(&body).expect("JSON"))
}

#[tokio::test]
async fn each_format_has_the_keys_that_its_job_asks_for() {
    for format in FORMATS {
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
            "airbyte_manifest" => {
                json!({"access_token": token, "environment": {"app_id": APP_ID, "secret": APP_SECRET}})
            }
            "singer" => json!({"access_token": token, "accounts": ids}),
            "dlt" => {
                json!({"access_token": token, "advertiser_ids": ids.replace(' ', ""), "timezone": "UTC"})
            }
            "meltano" => json!({"TAP_TIKTOK_ACCESS_TOKEN": token}),
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
    for format in FORMATS.into_iter().filter(|format| *format != "dlt") {
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
    for (format, ending) in [
        ("reader", "fresh"),
        ("singer", "fresh"),
        ("dlt", "fresh"),
        ("owox", "AccessDenied"),
        ("airbyte", "AccessDenied"),
    ] {
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
    // AWS chooses the ARN of a new secret.
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:tiktok/none-AbCdEf";
    let publish = json!([{"secret_id": arn}]);
    let world = World::with_document(GrantSpec::default(), |document| document["publish"] = publish);
    let invocation = world.lambda().run(scheduled()).await;
    assert_failed(&invocation, "SecretNotFound", &[arn, "Correct its ARN in the field 'publish'"]);
    assert!(!crate::evidence::error_message(&invocation).contains("Create"), "{:?}", invocation.outcome);
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

#[tokio::test]
async fn a_wrong_entry_stops_its_own_reader_alone_and_is_named() {
    // The emulator does not keep what this leans on: one server for all worlds, labels that a write moves.
    if strict(World::empty()).is_none() {
        return;
    }
    let (good, bad) = (new_name(), new_name());
    for (entry, says) in [
        (json!({"secret_id": bad, "format": "Airbyte"}), vec![bad.as_str(), "\"Airbyte\"", "airbyte_manifest, singer"]),
        (
            json!({"secret_id": bad, "format": "csv"}),
            vec![&bad, "'format' \"csv\" is unknown; the formats are reader, owox"],
        ),
        (json!({"secret_id": bad, "format": 1}), vec![&bad, "'format' must be a string"]),
        (json!({"secret_id": bad, "fields": "start_date"}), vec![&bad, "'fields' must be a JSON object"]),
        (json!({"secret_id": bad, "Format": "owox"}), vec![&bad, "unknown field \"Format\""]),
        (json!({"secret_id": bad, "advertiser_ids": []}), vec![&bad, "'advertiser_ids' is empty"]),
        (json!({"secret_id": bad, "advertiser_ids": {"a": 1}}), vec![&bad, "'advertiser_ids' must be a list"]),
        (json!({"secret_id": " "}), vec!["entry 1 of 'publish'", "no 'secret_id'"]),
        (json!({"secret": bad}), vec!["entry 1 of 'publish'", "no 'secret_id'"]),
        (json!(bad), vec!["entry 1 of 'publish'", "must be a JSON object"]),
    ] {
        let publish = json!([entry, {"secret_id": good}]);
        let world = World::with_document(GrantSpec::default(), |document| document["publish"] = publish.clone());
        create(&world, &good, None).await;
        let invocation = world.lambda().run(scheduled()).await;
        assert_failed(&invocation, "InvalidSecret", &says);
        world.assert_usable();
        let written = read(&world, &good).await.expect("a value");
        assert_eq!(written["access_token"], world.current()["access_token"], "{publish}");
        let status = only_result(&world.lambda().run(json!({"action": "status"})).await);
        for part in says {
            let warnings = status["warnings"].to_string().replace("\\\"", "\"");
            assert!(warnings.contains(part), "{part:?} is missing in {warnings}");
        }
    }
}

#[tokio::test]
async fn a_list_that_the_console_stored_as_a_text_is_read() {
    // The emulator does not keep what this leans on: one server for all worlds, labels that a write moves.
    if strict(World::empty()).is_none() {
        return;
    }
    let reader = new_name();
    for publish in [
        json!(json!([{"secret_id": reader, "format": "singer"}]).to_string()),
        json!(format!(" {}\r\n", json!([{"secret_id": format!(" {reader} "), "format": "singer"}]))),
        json!(json!({"secret_id": reader, "format": "singer"}).to_string()),
        json!({"secret_id": reader, "format": " singer "}),
        json!(format!("“[{{\"secret_id\": \"{reader}\",\u{a0}\"format\": \"singer\",}},]”")),
    ] {
        let world = World::with_document(GrantSpec::default(), |document| document["publish"] = publish.clone());
        create(&world, &reader, None).await;
        let result = only_result(&world.lambda().run(scheduled()).await);
        assert_eq!(result["published"], json!([reader]), "{publish}");
    }
    for nothing in [json!(""), json!(" "), json!("null"), json!("[]"), json!(null)] {
        let world = World::with_document(GrantSpec::default(), |document| document["publish"] = nothing.clone());
        assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed", "{nothing}");
    }
}

#[tokio::test]
async fn several_missing_readers_are_all_named() {
    let (good, publish) = (new_name(), json!([{"secret_id": "tiktok/one"}, {"secret_id": "tiktok/two"}]));
    let mut all = publish.as_array().expect("a list").clone();
    all.insert(1, json!({"secret_id": good}));
    let world = World::with_document(GrantSpec::default(), |document| document["publish"] = json!(all));
    create(&world, &good, None).await;
    let invocation = world.lambda().run(scheduled()).await;
    let says = ["not 2 reader secrets", "Create the secret 'tiktok/one'", "Create the secret 'tiktok/two'"];
    assert_failed(&invocation, "SecretNotFound", &says);
    assert!(read(&world, &good).await.is_some(), "and the other one is written");
    let mixed = json!([{"secret_id": "tiktok/one"}, {"secret_id": "tiktok/two", "format": "csv"}]);
    let world = World::with_document(GrantSpec::default(), |document| document["publish"] = mixed);
    assert_failed(&world.lambda().run(scheduled()).await, "PartialFailure", &["'tiktok/one'", "'tiktok/two'", "csv"]);
}

#[tokio::test]
async fn a_reader_secret_that_is_named_twice_is_an_error_and_written_once() {
    // The emulator does not keep what this leans on: one server for all worlds, labels that a write moves.
    if strict(World::empty()).is_none() {
        return;
    }
    let reader = new_name();
    for by_arn in [false, true] {
        let world = World::start();
        let arn = create(&world, &reader, Some("{}")).await;
        let second = if by_arn { &arn } else { &reader };
        let publish = json!([{"secret_id": reader, "format": "reader"}, {"secret_id": second, "format": "singer"}]);
        let mut document = world.current();
        document["publish"] = publish;
        world.store(&document.to_string()).await;
        let (function, event) = (world.lambda(), scheduled());
        assert_failed(&function.run(event.clone()).await, "InvalidSecret", &[second, "names it twice"]);
        assert!(read(&world, &reader).await.expect("a value")["advertiser_ids"].is_array(), "the first entry counts");
        world.faults.reset();
        assert_failed(&function.run(event).await, "InvalidSecret", &[second, "names it twice"]);
        assert_eq!(world.faults.journal().count("PutSecretValue"), 0, "no version an hour");
    }
}

#[tokio::test]
async fn the_fields_of_a_person_are_merged_into_the_objects_of_the_format() {
    let fields = json!({
        "start_date": "2026-01-01",
        "credentials": {"advertiser_id": "7000000000000000001", "access_token": "a person's"},
        "AuthType": {"oauth2": {"Scope": "x"}},
        "environment": {"advertiser_id": "7000000000000000002", "secret": "a person's"},
    });
    for (format, theirs, own) in [
        ("airbyte", "/credentials/advertiser_id", "/credentials/access_token"),
        ("owox", "/AuthType/oauth2/Scope", "/AuthType/oauth2/AccessToken"),
        ("airbyte_manifest", "/environment/advertiser_id", "/environment/secret"),
    ] {
        let (world, reader) = world_with(json!({"format": format, "fields": fields})).await;
        let (function, event) = (world.lambda(), scheduled());
        function.run(event.clone()).await;
        let body = read(&world, &reader).await.expect("a value");
        assert_eq!(body.pointer(theirs), fields.pointer(theirs), "{format}: {body}");
        assert!(body.pointer(own).is_some_and(|value| value != "a person's"), "{format}: {body}");
        assert_eq!(body["start_date"], fields["start_date"]);
        assert_eq!(outcome(&function.run(json!({"action": "refresh"})).await), "refreshed", "and it is written again");
    }
}

#[tokio::test]
async fn a_secret_that_holds_credentials_is_never_overwritten_as_a_reader() {
    let bodies = [
        (json!({"refresh_token": "another-client's"}).to_string(), "refresh_token"),
        (json!({"access_token": "a", "refreshToken": "x", "app_id": APP_ID}).to_string(), "refreshToken"),
        (json!({"app_id": APP_ID, "secret": APP_SECRET}).to_string(), "secret"),
        (json!({"app_id": APP_ID, "app_secret": "another"}).to_string(), "app_secret"),
        (json!({"app_id": "7", "access_token": "long-term", "secret": "x"}).to_string(), "secret"),
        (json!({"access_token": "a", "_refresh": {"parent": "x"}}).to_string(), "_refresh"),
        (json!({"access_token": "a", "app_secret_id": "tiktok/app"}).to_string(), "app_secret_id"),
        (json!({"credentials": {"app_id": "7", "secret": "another app's"}}).to_string(), "credentials.secret"),
        (json!({"accounts": [{"client": {"refresh_token": "x"}}]}).to_string(), "accounts.client.refresh_token"),
        (json!({"username": "db", "password": "x"}).to_string(), "password"),
        (json!({"key": {"private_key": "x"}}).to_string(), "key.private_key"),
        (format!("\u{feff}{}", json!({"refresh_token": "x"})), "refresh_token"),
        (json!(json!({"refresh_token": "x y"}).to_string()).to_string(), "refresh_token"),
        (format!("'{:#}'", json!({"refresh_token": "x"})), "refresh_token"),
        (r#"{"app_id": "7", "secret": "another app's",}"#.to_owned(), "secret"),
        ("{'app_id': '7', 'secret': 'x'}".to_owned(), "secret"),
        (json!({"TIKTOK_REFRESH_TOKEN": "x"}).to_string(), "TIKTOK_REFRESH_TOKEN"),
        (json!({"db": {"db_password": "x"}}).to_string(), "db.db_password"),
        (json!({"token": "x"}).to_string(), "token"),
        (json!({"AZURE_CLIENT_SECRET": "x"}).to_string(), "AZURE_CLIENT_SECRET"),
        (json!({"DATABASE_URL": "postgres://user:password@host/db"}).to_string(), "DATABASE_URL"),
        (json!({"storage": "AccountName=a;AccountKey=b"}).to_string(), "storage"),
        (json!({"pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIE"}).to_string(), "pem"),
        (json!(["0123456789abcdef0123456789abcdef"]).to_string(), "text"),
        ("Server=tcp:db,1433;User ID=u;Password=x;".to_owned(), "text"),
        ("DB_USER=u\nDB_PASSWORD=x\n".to_owned(), "text"),
        ("user: u\npassword: hunter\n".to_owned(), "text"),
        ("Bag Attributes\n-----BEGIN PRIVATE KEY-----\nMIIE\n".to_owned(), "text"),
        ("S3cret-word".to_owned(), "text"),
        ("4815162342".to_owned(), "text"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----".to_owned(), "text"),
        ("0123456789abcdef0123456789abcdef".to_owned(), "text"),
    ];
    let cases = ["reader", "airbyte"].into_iter().flat_map(|format| bodies.iter().map(move |body| (format, body)));
    side_by_side(cases.map(|(format, (body, field))| async move {
        let reader = new_name();
        let publish = json!([{"secret_id": reader, "format": format}]);
        let world = World::with_document(GrantSpec::default(), |document| document["publish"] = publish);
        create(&world, &reader, Some(body)).await;
        let (function, says) = (world.lambda(), format!("holds credentials in '{field}'"));
        for _ in 0..2 {
            let invocation = function.run(json!({"action": "refresh"})).await;
            assert_failed(&invocation, "InvalidSecret", &[&says, &reader, "Name another secret"]);
        }
        assert_eq!(text(&world, &reader).await.as_ref(), Some(body), "{format}");
        world.assert_usable();
        let status = only_result(&function.run(json!({"action": "status"})).await);
        assert!(status["warnings"].to_string().contains(&says), "{status}");
        assert_eq!(status["readers"][0]["state"], "unknown");
    }))
    .await;
}

#[tokio::test]
async fn a_placeholder_in_a_reader_secret_is_overwritten() {
    for body in ["placeholder", "to be filled by the function", "{}", r#"{"foo":"bar"}"#, "null", "[]", "TODO: fill it"]
    {
        let (world, reader) = world("singer").await;
        world.secrets_manager.client().put(&reader, body).await.expect("a person may write");
        assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed", "{body}");
        assert!(read(&world, &reader).await.expect("a value")["accounts"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn the_secret_that_holds_the_apps_credentials_is_not_overwritten_as_a_reader() {
    let Some(world) = strict(World::start()) else { return };
    let app = format!("{}-app", world.secret_id);
    world.create_secret(&app, &json!({"app_id": APP_ID, "secret": APP_SECRET}));
    let mut document = world.current();
    document["app_secret_id"] = json!(app);
    document["secret"] = json!("");
    document["publish"] = json!([{"secret_id": app, "format": "airbyte"}]);
    world.store(&document.to_string()).await;
    for _ in 0..2 {
        let invocation = world.lambda().run(json!({"action": "refresh"})).await;
        assert_failed(&invocation, "InvalidSecret", &["holds credentials in 'secret'"]);
    }
    assert_eq!(read(&world, &app).await.expect("a value")["secret"], APP_SECRET);
}

#[tokio::test]
async fn what_the_function_wrote_itself_is_overwritten_after_a_change_of_format_or_of_the_apps_secret() {
    let Some(world) = strict(World::start()) else { return };
    let reader = new_name();
    create(&world, &reader, Some("to be filled by the function")).await;
    let function = world.lambda();
    for format in FORMATS.into_iter().chain(FORMATS) {
        world
            .edit(|document| {
                document["publish"] = json!([{"secret_id": reader, "format": format, "fields": {"secret": "mine", "more": [{"password": "mine"}]}}]);
            })
            .await;
        assert_eq!(outcome(&function.run(json!({"action": "refresh"})).await), "refreshed", "{format}");
    }
    for format in ["owox", "airbyte", "airbyte_manifest"] {
        world.edit(|document| document["publish"] = json!([{"secret_id": reader, "format": format}])).await;
        world.secrets_manager.client().put(&reader, "{}").await.expect("a person may write");
        function.run(json!({"action": "refresh"})).await;
        // A person resets the app's secret in TikTok's portal.
        world.tiktok.core().add_app(APP_ID, "the-next-app-secret");
        world.edit(|document| document["secret"] = json!("the-next-app-secret")).await;
        assert_eq!(outcome(&function.run(json!({"action": "refresh"})).await), "refreshed", "{format}");
        assert!(text(&world, &reader).await.is_some_and(|body| body.contains("the-next-app-secret")), "{format}");
        world.tiktok.core().add_app(APP_ID, APP_SECRET);
        world.edit(|document| document["secret"] = json!(APP_SECRET)).await;
    }
}

#[tokio::test]
async fn an_entry_with_advertiser_ids_narrows_what_its_reader_gets() {
    const ONE: &str = "7000000000000000002";
    for ids in [
        json!([ONE]),
        json!([7_000_000_000_000_000_002_u64]),
        json!(format!(" {ONE}, ")),
        json!(format!("{ONE}; 7999")),
        json!([ONE, "7999"]),
    ] {
        for format in FORMATS {
            let (world, reader) = world_with(json!({"format": format, "advertiser_ids": ids})).await;
            let invocation = world.lambda().run(scheduled()).await;
            let body = read(&world, &reader).await.expect("a value");
            assert!(!body.to_string().contains("7000000000000000001"), "{format}: {body}");
            let told = match format {
                "reader" => &body["advertiser_ids"][0],
                "owox" => &body["AdvertiserIDs"],
                "airbyte" => &body["credentials"]["advertiser_id"],
                "airbyte_manifest" => &body["environment"]["advertiser_id"],
                "singer" => &body["accounts"],
                "dlt" => &body["advertiser_ids"],
                _ => &body["TAP_TIKTOK_ADVERTISER_ID"],
            };
            assert_eq!(told, ONE, "{format}: {body}");
            if format == "reader" {
                assert_eq!(body["advertisers"].as_array().map(Vec::len), Some(1));
            }
            let warns =
                invocation.logs.iter().any(|line| line.contains("limited to advertisers") && line.contains("7999"));
            assert_eq!(warns, ids.to_string().contains("7999"), "{:?}", invocation.logs);
        }
    }
}

#[tokio::test]
async fn a_job_for_one_advertiser_is_never_given_all_of_them_in_place_of_one() {
    for (format, named) in [
        ("airbyte", "/credentials/advertiser_id"),
        ("airbyte_manifest", "/environment/advertiser_id"),
        ("meltano", "/TAP_TIKTOK_ADVERTISER_ID"),
    ] {
        // These jobs read every advertiser if they are given none.
        let (world, reader) = world_with(json!({"format": format, "advertiser_ids": ["7999"]})).await;
        world.lambda().run(scheduled()).await;
        let body = read(&world, &reader).await.expect("a value");
        assert_eq!(body.pointer(named), Some(&json!("7999")), "{format}: {body}");

        let both = ["7000000000000000001", "7000000000000000002"];
        let (world, _) = world_with(json!({"format": format, "advertiser_ids": both})).await;
        let status = only_result(&world.lambda().run(scheduled()).await);
        assert_eq!(status["outcome"], "refreshed");
        let status = only_result(&world.lambda().run(json!({"action": "status"})).await);
        assert!(status["warnings"].to_string().contains("its job is not limited"), "{format}: {status}");
    }
}

#[tokio::test]
async fn dlt_is_given_the_time_zone_that_all_of_its_advertisers_have() {
    for (fields, info, zone) in [
        (json!({}), "true", "Europe/Berlin"),
        (json!({}), "false", "UTC"),
        (json!({"timezone": "Europe/Madrid"}), "true", "Europe/Madrid"),
    ] {
        let (world, reader) = world_with(json!({"format": "dlt", "fields": fields})).await;
        world.function_with(BINARY, &[("ADVERTISER_INFO", info)]).run(scheduled()).await;
        let zones: Vec<Value> = world.current()["advertisers"]
            .as_array()
            .map(|list| list.iter().map(|advertiser| advertiser["display_timezone"].clone()).collect())
            .unwrap_or_default();
        let body = read(&world, &reader).await.expect("a value");
        let expected =
            if zone == "Europe/Berlin" && zones.windows(2).any(|pair| pair[0] != pair[1]) { "UTC" } else { zone };
        assert_eq!(body["timezone"], expected, "{zones:?}");
    }
}
