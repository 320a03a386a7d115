//! The size of a document: new tokens fit for any number of advertisers and any other fields.

use secrecy::SecretString;
use serde_json::json;
use stand_ins::{GrantSpec, World, tiktok::Advertiser};
use tiktok_token_refresh::document::{
    Document, MAX_BYTES, Reduction, TOKEN_HEADROOM, field, fit, leaves_room_for_tokens,
};

use crate::{
    evidence::{error_message, metrics},
    support::{Scenario, only_result, outcome, refresh},
};

/// Advertisers with the ids that TikTok gives and names of some length.
fn advertisers(count: u64, name: &str) -> Vec<Advertiser> {
    (0..count)
        .map(|n| Advertiser::new(&(7_000_000_000_000_000_000 + n).to_string(), &format!("{name} {n:04}")))
        .collect()
}

fn stored_ids(world: &World) -> Vec<String> {
    serde_json::from_value(world.current()["advertiser_ids"].clone()).expect("a list of ids")
}

#[tokio::test]
async fn thousands_of_advertisers_are_reduced_to_ids_then_cut_and_the_tokens_stay_whole() {
    for (count, is_cut) in [(700, false), (2_500, false), (4_000, true)] {
        let advertisers = advertisers(count, "An Advertising Agency With A Rather Long Name GmbH & Co. KG");
        let world = World::with(GrantSpec { advertisers: advertisers.clone(), ..GrantSpec::default() });
        let function = world.lambda();
        let invocation = function.run(refresh()).await;
        assert_eq!(outcome(&invocation), "refreshed");
        world.assert_usable();
        assert_eq!(world.current()["advertisers"], json!([]), "names go first");
        let (ids, result) = (stored_ids(&world), only_result(&invocation));
        assert!(ids.iter().zip(&advertisers).all(|(id, advertiser)| *id == advertiser.id), "the first ids, in order");
        assert_eq!(ids.len() < advertisers.len(), is_cut);
        assert_eq!((&result["advertisers"], &result["advertisers_reduced"]), (&json!(count), &json!(true)));
        let missing = if is_cut { format!("{} ids", advertisers.len() - ids.len()) } else { "names".to_owned() };
        let warning = result["warnings"][0].as_str().expect("a warning");
        assert!(warning.contains(&missing) && warning.contains(&count.to_string()), "{warning}");
        let metrics = metrics(&invocation);
        assert_eq!((&metrics["AdvertisersReduced"], &metrics["Advertisers"]), (&json!(1), &json!(count)));
        assert!(world.text("AWSCURRENT").len() <= MAX_BYTES);
    }
}

#[tokio::test]
async fn the_day_after_a_reduction_takes_no_more_versions_than_any_other() {
    for count in [700, 2_500, 4_000] {
        let advertisers = advertisers(count, "An Advertising Agency With A Rather Long Name GmbH & Co. KG");
        let world = World::with(GrantSpec { advertisers, ..GrantSpec::default() });
        let function = world.lambda();
        function.run(refresh()).await;
        let ids = stored_ids(&world);
        world.faults.reset();
        let invocation = function.run(refresh()).await;
        assert_eq!(outcome(&invocation), "refreshed");
        let result = only_result(&invocation);
        assert_eq!((&result["advertisers_removed"], &result["advertisers_reduced"]), (&json!([]), &json!(true)));
        assert!(ids.starts_with(&stored_ids(&world)), "{count}: the same list, or one as long as there is room for");
        let journal = world.faults.journal();
        assert_eq!(journal.count("PutSecretValue"), 2, "{count}: the claim and the tokens\n{journal}");
    }
}

#[tokio::test]
async fn an_unchanged_list_is_not_news_the_day_after_a_cut() {
    let world = World::with(GrantSpec { advertisers: advertisers(4_000, "A"), ..GrantSpec::default() });
    let function = world.lambda();
    function.run(refresh()).await;
    let result = only_result(&function.run(refresh()).await);
    assert_eq!(result["advertisers_added"], json!([]));
}

#[tokio::test]
async fn a_reduced_list_of_a_long_term_token_is_written_once() {
    let spec = GrantSpec { advertisers: advertisers(4_000, "A"), ..GrantSpec::long_term() };
    let world = World::with(spec);
    let function = world.lambda();
    assert_eq!(outcome(&function.run(refresh()).await), "verified");
    world.faults.reset();
    assert_eq!(outcome(&function.run(refresh()).await), "verified");
    assert_eq!(world.faults.journal().count("PutSecretValue"), 0);
}

#[tokio::test]
async fn names_come_back_when_there_is_room_again() {
    let world = World::with(GrantSpec { advertisers: advertisers(2_000, "A longer name"), ..GrantSpec::default() });
    let function = world.lambda();
    function.run(refresh()).await;
    world.tiktok.core().grant_mut(world.grant).advertisers.truncate(3);
    let result = only_result(&function.run(refresh()).await);
    assert_eq!((&result["advertisers_reduced"], &result["warnings"]), (&json!(false), &json!([])));
    assert_eq!(world.current()["advertisers"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn other_data_that_leaves_no_room_for_tokens_is_told_before_anything_is_spent() {
    let world = World::with_document(GrantSpec::default(), |document| document["mine"] = json!("x".repeat(64_000)));
    let invocation = world.lambda().run(refresh()).await;
    assert_eq!(outcome(&invocation), "InvalidSecret");
    let message = error_message(&invocation);
    assert!(message.contains("65536") && message.ends_with("Move other data out of this secret."), "{message}");
    let journal = world.faults.journal();
    assert!(journal.is_reading_alone(), "{journal}");
}

/// Runs once with so much of a person's data in the secret, and returns the size of what is stored then, and the result.
async fn with_padding(bytes: usize) -> (usize, serde_json::Value) {
    let padded = |document: &mut serde_json::Value| document["mine"] = json!("x".repeat(bytes));
    let world = World::with_document(GrantSpec::long_term(), padded);
    let invocation = world.lambda().run(refresh()).await;
    (world.text("AWSCURRENT").len(), only_result(&invocation))
}

#[tokio::test]
async fn the_last_byte_that_secrets_manager_takes_is_used_and_none_beyond() {
    let (bytes, _) = with_padding(0).await;
    let (full, result) = with_padding(MAX_BYTES - bytes).await;
    assert_eq!((full, &result["advertisers_reduced"]), (MAX_BYTES, &json!(false)));
    let (reduced, result) = with_padding(MAX_BYTES - bytes + 1).await;
    assert!(reduced < MAX_BYTES && result["advertisers_reduced"] == json!(true), "{reduced} bytes: {result}");
}

/// A document of exactly that size, without a list.
fn document_of(bytes: usize) -> Document {
    let empty = r#"{"app_id":"1","secret":"s","refresh_token":"r","mine":""}"#;
    let mine = "x".repeat(bytes - empty.len());
    Document::parse(&SecretString::from(empty.replace(r#""mine":"""#, &format!(r#""mine":"{mine}""#)))).expect("valid")
}

#[test]
fn the_limits_hold_to_the_byte() {
    assert!(matches!(fit(document_of(MAX_BYTES)), Ok((_, None))));
    assert!(fit(document_of(MAX_BYTES + 1)).is_err());
    assert!(leaves_room_for_tokens(&document_of(MAX_BYTES - TOKEN_HEADROOM)).is_ok());
    assert!(leaves_room_for_tokens(&document_of(MAX_BYTES - TOKEN_HEADROOM + 1)).is_err());
}

#[test]
fn a_list_is_cut_to_the_last_id_that_fits() {
    let ids = ["7000000000000000001", "7000000000000000002", "7000000000000000003"];
    let lists = r#","advertisers":[],"advertiser_ids":[]"#.len();
    // Each id takes its quotes and, but for the first, a comma.
    for (room, kept) in [(0, 0), (20, 0), (21, 1), (42, 1), (43, 2)] {
        let mut document = document_of(MAX_BYTES - lists - room);
        document.set_value(field::ADVERTISER_IDS, &ids);
        let (fitted, reduction) = fit(document).expect("it fits without a list");
        assert_eq!(reduction, Some(Reduction::Cut { missing: 3 - kept }), "{room} bytes");
        assert!(fitted.size() <= MAX_BYTES);
    }
}

#[test]
fn ids_that_grow_as_json_are_cut_to_fit_as_well() {
    let ids: Vec<String> = (0..9_000).map(|n| format!("\"\n{n:04}")).collect();
    let mut document = document_of(1_000);
    document.set_value(field::ADVERTISER_IDS, &ids);
    let (fitted, reduction) = fit(document).expect("it fits without a list");
    assert!(matches!(reduction, Some(Reduction::Cut { .. })));
    assert!((MAX_BYTES - 11..=MAX_BYTES).contains(&fitted.size()), "{} bytes", fitted.size());
}
