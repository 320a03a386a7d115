//! Unknown fields are preserved byte for byte in a refresh over the wire.

use stand_ins::{APP_ID, APP_SECRET, Fault, Flow, GrantSpec, When, World, tiktok::Issued};

use crate::support::{Scenario, outcome, refresh};

/// The fields that a JSON library tends to change: numbers beyond a float, escapes, white space, names of every kind.
const UNKNOWN: [&str; 26] = [
    r#""zero":-0.0"#,
    r#""money":1.10"#,
    r#""huge":1e400"#,
    r#""tiny":-1.000E-4000"#,
    r#""digits":123456789012345678901234567890"#,
    r#""beyond a float":9007199254740993"#,
    r#""null":null"#,
    r#""bool":false"#,
    r#""empty":"""#,
    r#""blank":"  ""#,
    r#""escaped":"\u00e9\u002f\/\ud83e\udd80\u0000""#,
    r#""half an emoji":"\ud83e""#,
    r#""plain":"é/🦀 – 中文""#,
    r#""nested":{"b": 1.0,  "a" : [ 1,2 ,{} ],"b":2}"#,
    "\"lines\":[\n  1,\r\n\t2\n]",
    r#""list":[[],[[]],{"":{}}]"#,
    r#""":"no name""#,
    r#"" ":"blank name""#,
    r#""Secret":"another case""#,
    r#""access_token ":"a space too many""#,
    r#""__proto__":{"x":1}"#,
    r#""a \"quoted\" \\ name":1"#,
    r#""ключ 🗝":2"#,
    r#""claim":{"n":7,"fingerprint":"no claim"}"#,
    r#""_refresh2":{}"#,
    r#""publish":[]"#,
];

/// A secret in which a person's fields stand before, between and behind those that the function writes.
fn text(issued: &Issued) -> String {
    let third = UNKNOWN.len() / 3;
    let tokens = issued.refresh_token.as_ref().map(|token| format!("\"refresh_token\":\"{token}\",\n"));
    format!(
        "\n {{ {},\n\"app_id\":\"{APP_ID}\" , {},\"access_token\" :\"{}\",{} \"secret\":  \"{APP_SECRET}\",{}\t}}\n",
        UNKNOWN[..third].join(" ,\n"),
        UNKNOWN[third..2 * third].join(","),
        issued.access_token,
        tokens.unwrap_or_default(),
        UNKNOWN[2 * third..].join(",  "),
    )
}

/// Every unknown field is there as it was, once, and in its old order. Returns where.
#[track_caller]
fn assert_unchanged(text: &str) -> Vec<usize> {
    let place = |field: &&str| {
        let ends = [format!("{field},"), format!("{field}}}")].map(|end| text.matches(&end).count());
        assert_eq!(ends.iter().sum::<usize>(), 1, "{field} in {text}");
        text.find(field).expect("just counted")
    };
    let places: Vec<usize> = UNKNOWN.iter().map(place).collect();
    assert!(places.is_sorted(), "{text}");
    places
}

#[tokio::test]
async fn unknown_fields_survive_every_cycle_to_the_digit() {
    for (flow, spec, ending) in [
        ("business", GrantSpec::default(), "refreshed"),
        ("tt_user", GrantSpec::of(Flow::TtUser), "refreshed"),
        ("long_term", GrantSpec::long_term(), "verified"),
    ] {
        let flow_field = if flow == "tt_user" { ",\"flow\":\"tt_user\"}" } else { "}" };
        let world = World::with_text(spec, |issued| text(issued).replace("\t}", flow_field));
        let function = world.lambda();
        for day in 0..2 {
            assert_eq!(outcome(&function.run(refresh()).await), ending, "{flow}, day {day}");
            let text = world.text("AWSCURRENT");
            let places = assert_unchanged(&text);
            let (before, token) = (2 * (UNKNOWN.len() / 3), text.find("\"access_token\":").expect("a token"));
            assert!(
                (places[before - 1]..places[before]).contains(&token),
                "a new token stands where the old one stood"
            );
        }
        // An account holder has no advertisers.
        let written =
            if flow == "tt_user" { "\"refreshed_at\":" } else { "\"advertiser_ids\":[\"7000000000000000001\"," };
        assert!(world.text("AWSCURRENT").contains(written), "{flow} has run");
    }
}

#[tokio::test]
async fn unknown_fields_that_a_person_adds_during_a_run_survive_to_the_digit() {
    let world = World::with_text(GrantSpec::default(), |issued| {
        let refresh_token = issued.refresh_token.as_deref().unwrap_or_default();
        let access_token = &issued.access_token;
        format!(
            r#"{{"app_id":{APP_ID},"secret":"{APP_SECRET}","old":1.10,"refresh_token":"{refresh_token}","access_token":"{access_token}"}}"#
        )
    });
    let before = world.text("AWSCURRENT");
    let edited = before.replace("\"old\":1.10,", &format!("{},", UNKNOWN.join(",")));
    let (client, secret_id) = (world.secrets_manager.client(), world.secret_id.clone());
    let edit = move || {
        let (client, secret_id, edited) = (client.clone(), secret_id.clone(), edited.clone());
        async move {
            client.put(&secret_id, &edited).await.expect("a person may write");
        }
    };
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::run_before(edit));
    assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed");
    let after = world.text("AWSCURRENT");
    assert_unchanged(&after);
    assert!(!after.contains("\"old\""), "what the person removed stays removed");
    assert!(world.versions().len() > 3, "the change was rebased onto the edit");
}
