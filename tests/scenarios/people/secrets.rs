//! Secrets as people paste them.

use serde_json::{Value, json};
use stand_ins::{APP_ID, APP_SECRET, GrantSpec, World};

use crate::support::{Scenario, assert_failed, only_result, outcome, refresh, strict};

/// A world whose secret is the text that this makes of a document.
async fn world_of(spec: GrantSpec, change: impl FnOnce(&mut Value), paste: impl FnOnce(&Value) -> String) -> World {
    let world = World::with(spec);
    let mut document = world.current();
    document["mine"] = json!("1.10");
    change(&mut document);
    world.store(&paste(&document)).await;
    world
}

/// The change that a person makes to a document on the way into the secret.
type Paste = fn(&Value) -> String;

#[tokio::test]
async fn a_secret_is_understood_with_what_pasting_puts_around_it() {
    let ways: [(&str, Paste); 15] = [
        ("single quotation marks", |it| it.to_string().replace('"', "'")),
        ("a number with a sign", |it| it.to_string().replacen('{', "{\"size\": +1, \"place\": 007, ", 1)),
        ("two byte order marks", |it| format!("\u{feff}\u{feff}{it}")),
        ("blanks of a page", |it| serde_json::to_string_pretty(it).expect("JSON").replace("  ", "\u{a0}\u{a0}")),
        ("invisible characters", |it| it.to_string().replacen(',', ",\u{200b}\u{2028}\u{202a}", 2)),
        ("a comma too many", |it| it.to_string().replace('}', ",\n}")),
        ("a value of Python", |it| it.to_string().replacen('{', "{\"flow\": None, ", 1)),
        ("a byte order mark", |it| format!("\u{feff}{it}")),
        ("lines of Windows", |it| serde_json::to_string_pretty(it).expect("JSON").replace('\n', "\r\n")),
        ("a JSON string", |it| json!(it.to_string()).to_string()),
        ("quotation marks", |it| format!("\"{it}\"\n")),
        ("a shell's quotation marks", |it| format!("'{it}'")),
        ("a chat's quotation marks", |it| format!("“{it}”")),
        ("all of it", |it| format!("\u{feff}\r\n {}\r\n\u{200b}", json!(format!("\u{feff}{it}\r\n")))),
        ("white space", |it| format!("\n\n\t{it}\u{a0}")),
    ];
    for (what, paste) in ways {
        let world = world_of(GrantSpec::default(), |_| {}, paste).await;
        assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed", "{what}");
        world.assert_usable();
        assert_eq!(world.field("mine"), "1.10", "{what}");
    }
}

#[tokio::test]
async fn values_are_understood_with_what_pasting_puts_around_them() {
    let around: [fn(&str) -> String; 9] = [
        |value| format!("„{value}“"),
        |value| format!("« {value} »"),
        |value| format!("\u{202a}{value}\u{202c}"),
        |value| format!(" {value}\r\n"),
        |value| format!("\"{value}\""),
        |value| format!("'{value}' "),
        |value| format!("“{value}”"),
        |value| format!("\u{feff}{value}\u{200b}"),
        |value| format!("\u{a0}` {value}`"),
    ];
    for (way, around) in around.iter().enumerate() {
        for name in ["app_id", "secret", "refresh_token", "access_token"] {
            let change =
                |document: &mut Value| document[name] = json!(around(document[name].as_str().expect("a text")));
            let world = world_of(GrantSpec::default(), change, Value::to_string).await;
            assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed", "{name}, way {way}");
            world.assert_usable();
        }
    }
    let number = |document: &mut Value| document["app_id"] = json!(APP_ID.parse::<u64>().expect("a number"));
    let world = world_of(GrantSpec::default(), number, Value::to_string).await;
    assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed");
}

#[tokio::test]
async fn a_token_that_stays_is_written_without_what_pasting_put_around_it() {
    let change = |document: &mut Value| {
        document["access_token"] = json!(format!(" \"{}\" ", document["access_token"].as_str().expect("a text")));
    };
    let Some(world) = strict(world_of(GrantSpec::long_term(), change, Value::to_string).await) else { return };
    assert_eq!(outcome(&world.lambda().run(refresh()).await), "verified");
    world.assert_usable();
    let versions = world.versions().len();
    assert_eq!(outcome(&world.lambda().run(refresh()).await), "verified");
    assert_eq!(world.versions().len(), versions, "once is enough");
}

#[tokio::test]
async fn an_empty_secret_beside_the_secret_that_holds_the_apps_credentials_does_not_count() {
    for empty in [json!(""), json!(null), json!(" "), json!("\"\"")] {
        let world = World::start();
        let app = format!("{}-app", world.secret_id);
        world.create_secret(&app, &json!({"app_id": APP_ID, "secret": APP_SECRET}));
        let mut document = world.current();
        document["app_secret_id"] = json!(app);
        document["secret"] = empty.clone();
        document["app_secret"] = empty.clone();
        world.store(&document.to_string()).await;
        assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed", "{empty}");
        assert_eq!(world.current()["secret"], empty, "it is preserved");
    }
}

#[tokio::test]
async fn a_field_with_another_spelling_is_named_with_its_right_name() {
    for (name, others) in [
        ("app_id", &["appId", "AppId", "APP_ID", "app-id", "App ID", "appid", "client_key", "clientId"][..]),
        ("secret", &["Secret", "SECRET", "appSecret", "AppSecret", "App Secret", "client_secret"]),
        ("refresh_token", &["refreshToken", "RefreshToken", "refresh-token", "REFRESH_TOKEN"]),
        ("access_token", &["accessToken", "AccessToken", "Access Token"]),
    ] {
        for other in others {
            let world = World::start();
            let mut document = world.current();
            let value = document.as_object_mut().expect("an object").remove(name).expect("a value");
            document[*other] = value;
            world.store(&document.to_string()).await;
            let invocation = world.lambda().run(refresh()).await;
            assert_failed(&invocation, "InvalidSecret", &[&format!("Rename '{other}' to '{name}'.")]);
            assert_eq!(world.faults.journal().count("oauth2/refresh_token"), 0, "{other}");
        }
    }
    for (name, other) in [("flow", "Flow"), ("app_secret_id", "appSecretId")] {
        let world = World::start();
        let mut document = world.current();
        document[other] = json!("tt_user");
        if name == "app_secret_id" {
            document.as_object_mut().expect("an object").remove("secret");
        }
        world.store(&document.to_string()).await;
        let invocation = world.lambda().run(refresh()).await;
        assert_failed(&invocation, "InvalidSecret", &[&format!("Rename '{other}' to '{name}'.")]);
    }
    // Beside the right name, or empty, it is a field like any other.
    let world = World::with_document(GrantSpec::default(), |document| {
        document["appId"] = json!("another program's");
        document["accessToken"] = json!("another program's");
        document["Flow"] = json!("");
    });
    assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed");
    assert_eq!(world.field("appId"), "another program's");
}

#[tokio::test]
async fn a_value_that_was_damaged_is_named_and_nothing_is_spent() {
    type Change = fn(&mut Value);
    let cases: [(Change, &[&str]); 15] = [
        (|it| it["refresh_token"] = json!("abc\u{ad}def"), &["'refresh_token'", "an invisible character"]),
        (|it| it["refresh_token"] = json!("\u{1b}[0mabc"), &["'refresh_token'", "an invisible character"]),
        (|it| it["refresh_token"] = json!("abcdefgh…"), &["'refresh_token' has the character '…'", "in one piece"]),
        (|it| it["access_token"] = json!("abc–def"), &["'access_token' has the character '–'"]),
        (|it| it["refresh_token"] = json!("\"abc\","), &["'refresh_token' has the character '\"'"]),
        (|it| it["refresh_token"] = json!("<abc>"), &["'refresh_token' has the character '<'"]),
        (|it| it["app_id"] = json!("7.11E+18"), &["'app_id'", "lost digits"]),
        (
            |it| *it = json!({"Name": "tiktok/ads", "SecretString": it.to_string()}),
            &["'app_id' is inside the field 'SecretString'", "Store the content of 'SecretString'"],
        ),
        (|it| it["refresh_token"] = json!("abc\r\ndef"), &["'refresh_token'", "a line break", "in one piece"]),
        (|it| it["access_token"] = json!("Bearer abc"), &["'access_token'", "a blank"]),
        (|it| it["secret"] = json!("abc\u{200b}def"), &["'secret'", "an invisible character"]),
        (|it| it["app_id"] = json!(7.1e18), &["'app_id'", "lost digits", "as a string"]),
        (|it| it["app_id"] = json!(-7), &["'app_id' must be a string"]),
        (|it| it["secret"] = json!(12), &["'secret' must be a string"]),
        (|it| it["flow"] = json!("Business"), &["'flow' has an unknown value"]),
    ];
    for (change, says) in cases {
        let world = world_of(GrantSpec::default(), change, Value::to_string).await;
        assert_failed(&world.lambda().run(refresh()).await, "InvalidSecret", says);
        assert!(world.faults.journal().is_reading_alone(), "{}", world.faults.journal());
    }
    let quotes: [(Paste, &str); 3] = [
        (|it| it.to_string().replace('"', "“"), "typographic quotation marks"),
        (|it| it.to_string().replace('"', "„"), "typographic quotation marks"),
        (|it| it.to_string().replacen("canary", "canary\n", 1), "has a blank, a line break"),
    ];
    for (paste, says) in quotes {
        let world = world_of(GrantSpec::default(), |_| {}, paste).await;
        let what = if says.ends_with("marks") { "is not valid JSON (line 1, column 2)" } else { "inside" };
        assert_failed(&world.lambda().run(refresh()).await, "InvalidSecret", &[what, says]);
        assert!(world.faults.journal().is_reading_alone(), "{}", world.faults.journal());
    }
}

#[tokio::test]
async fn ids_of_advertisers_that_are_numbers_are_ids() {
    let numbers = |document: &mut Value| {
        document["advertiser_ids"] = json!([7_000_000_000_000_000_001_u64, 7_000_000_000_000_000_002_u64]);
        document["advertisers"] = json!([
            {"advertiser_id": 7_000_000_000_000_000_001_u64, "advertiser_name": "First Advertiser"},
            {"advertiser_id": 7_000_000_000_000_000_002_u64, "advertiser_name": null},
        ]);
    };
    let world = world_of(GrantSpec::default(), numbers, Value::to_string).await;
    let function = world.lambda();
    assert_eq!(only_result(&function.run(json!({"action": "status"})).await)["advertisers"], 2);
    let result = only_result(&function.run(refresh()).await);
    assert_eq!((&result["advertisers_added"], &result["advertisers_removed"]), (&json!([]), &json!([])));
    assert_eq!(world.current()["advertiser_ids"], json!(["7000000000000000001", "7000000000000000002"]), "as text");
}

#[tokio::test]
async fn what_the_console_stored_as_text_is_read() {
    let Some(world) = strict(World::start()) else { return };
    let function = world.lambda();
    assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
    let before = world.current();
    world
        .edit(|document| {
            for name in ["_refresh", "advertisers", "advertiser_ids"] {
                document[name] = json!(document[name].to_string());
            }
        })
        .await;
    let status = only_result(&function.run(json!({"action": "status"})).await);
    assert_eq!((&status["advertisers"], &status["refreshed_at"]), (&json!(2), &before["refreshed_at"]), "{status}");
    assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
    assert_eq!(world.current()["advertisers"], before["advertisers"], "as a list");
    assert_eq!(world.current()["_refresh"]["place"], 2, "the chain goes on");
}
