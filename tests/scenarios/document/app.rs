//! The forms in which people store the app's credentials and the tokens.

use serde_json::{Value, json};
use stand_ins::{APP_ID, APP_SECRET, GrantSpec, World};

use crate::{
    evidence::error_message,
    support::{Scenario, outcome, refresh},
};

fn world(change: impl FnOnce(&mut Value)) -> World {
    World::with_document(GrantSpec::default(), change)
}

fn rename(document: &mut Value, from: &str, to: &str) {
    let fields = document.as_object_mut().expect("an object");
    let value = fields.remove(from).expect("the field is there");
    fields.insert(to.to_owned(), value);
}

fn pad(document: &mut Value, name: &str) {
    document[name] = json!(format!(" \n\t{}\r\n", document[name].as_str().unwrap_or_default()));
}

#[tokio::test]
async fn credentials_work_in_every_form_that_people_store_them_in() {
    type Form = (&'static str, fn(&mut Value));
    let forms: [Form; 6] = [
        ("the secret under its other name", |document| rename(document, "secret", "app_secret")),
        ("an empty secret beside its other name", |document| {
            rename(document, "secret", "app_secret");
            document["secret"] = json!("");
        }),
        ("the app id as a number", |document| document["app_id"] = json!(7_100_000_000_000_000_001_u64)),
        ("white space from pasting", |document| {
            for name in ["app_id", "secret", "refresh_token", "access_token"] {
                pad(document, name);
            }
        }),
        ("an explicit flow", |document| document["flow"] = json!("business")),
        ("no access token yet", |document| document["access_token"] = Value::Null),
    ];
    for (form, change) in forms {
        let world = world(change);
        assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed", "{form}");
        world.assert_usable();
    }
}

/// A world whose credentials secret leaves the app's credentials to another secret, which holds this; null is no secret.
async fn world_with_app(app: &Value) -> (World, String) {
    let world = world(|_| {});
    let (name, current) = (format!("{}-app", world.secret_id), world.current());
    let tokens = json!({
        "app_secret_id": name, "access_token": current["access_token"], "refresh_token": current["refresh_token"],
    });
    world.store(&tokens.to_string()).await;
    if !app.is_null() {
        world.create_secret_of_text(&name, &app.to_string());
    }
    (world, name)
}

#[tokio::test]
async fn the_apps_credentials_may_be_in_a_secret_of_their_own_which_is_only_read() {
    let (world, name) = world_with_app(&json!({"app_id": APP_ID, "app_secret": APP_SECRET, "other": 1})).await;
    assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed");
    world.assert_usable();
    assert_eq!(world.current().get("secret"), None, "the app's secret is not copied");
    let about_app: Vec<_> = world.faults.journal().0.into_iter().filter(|entry| entry.detail.contains(&name)).collect();
    assert!(about_app.iter().all(|entry| entry.operation == "GetSecretValue"), "{about_app:?}");
    assert!(!about_app.is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_the_apps_own_secret_is_told_with_its_name_before_anything_is_spent() {
    for (app, error, what) in [
        (Value::Null, "SecretNotFound", "does not exist"),
        (json!({"app_id": APP_ID}), "InvalidSecret", "'secret'"),
        (json!({"secret": APP_SECRET}), "InvalidSecret", "'app_id'"),
        (json!({"app_id": " ", "secret": APP_SECRET}), "InvalidSecret", "'app_id'"),
        (json!([APP_ID, APP_SECRET]), "InvalidSecret", "not a JSON object"),
    ] {
        let (world, name) = world_with_app(&app).await;
        let invocation = world.lambda().run(refresh()).await;
        assert_eq!(outcome(&invocation), error, "{app}");
        let message = error_message(&invocation);
        assert!(message.contains(&name) && message.contains(what), "{app}: {message}");
        assert_untouched(&world);
    }
}

#[tokio::test]
async fn a_secret_that_is_not_clear_is_told_before_anything_is_spent() {
    type Mistake = (&'static str, fn(&mut Value));
    let mistakes: [Mistake; 6] = [
        ("both the app's secret and 'app_secret_id'", |document| document["app_secret_id"] = json!("tiktok/app")),
        ("'app_id' is missing", |document| document["app_id"] = json!("")),
        ("'secret' is missing", |document| document["secret"] = Value::Null),
        ("'refresh_token' must be a string", |document| document["refresh_token"] = json!(12)),
        ("'flow' has an unknown value", |document| document["flow"] = json!("canary-pasted-into-the-wrong-field")),
        ("needs a 'refresh_token'", |document| {
            document["refresh_token"] = json!("");
            document["flow"] = json!("tt_user");
        }),
    ];
    for (what, mistake) in mistakes {
        let world = world(mistake);
        let invocation = world.lambda().run(refresh()).await;
        assert_eq!(outcome(&invocation), "InvalidSecret", "{what}");
        let message = error_message(&invocation);
        assert!(message.contains(what) && !message.contains("canary"), "{what}: {message}");
        assert_untouched(&world);
    }
}

#[tokio::test]
async fn a_secret_that_is_no_json_object_is_told_with_the_place_and_without_its_text() {
    for (text, what) in [
        (" ", "is empty"),
        ("canary-token", "is not valid JSON (line 1, column 1)"),
        ("{\"access_token\":\n\"canary", "is not valid JSON (line 2, column 7)"),
        ("{\"a\":1}, \"canary\"", "is not valid JSON"),
        ("[\"canary\"]", "is not a JSON object"),
        ("\"canary\"", "is not a JSON object"),
        ("{\"canary\":1,\"other\":2,\"canary\":3}", "has the field \"canary\" twice"),
    ] {
        let world = World::with_text(GrantSpec::default(), |_| text.to_owned());
        let invocation = world.lambda().run(refresh()).await;
        assert_eq!(outcome(&invocation), "InvalidSecret", "{text}");
        let message = error_message(&invocation);
        assert!(message.contains(what), "{text}: {message}");
        assert!(what.contains("canary") || !message.contains("canary"), "{text}: {message}");
        assert_untouched(&world);
    }
}

/// Nothing was written, and TikTok was not asked.
#[track_caller]
fn assert_untouched(world: &World) {
    let journal = world.faults.journal();
    assert!(journal.is_reading_alone(), "{journal}");
}
