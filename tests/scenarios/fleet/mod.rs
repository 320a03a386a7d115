//! Fleets: thousands of secrets with one tag.

mod authorizing;
mod pace;
mod trouble;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stand_ins::{APP_ID, Fault, Flow, Function, GrantSpec, Invocation, When, World, credentials};

use crate::support::{BINARY, Scenario, assert_failed, refresh, scheduled, strictly};

/// Hundreds of secrets take long on a busy machine.
const LONG: Duration = Duration::from_mins(5);

const TAG: &str = "tiktok-token-refresh=ads";

/// A fleet in a world that keeps AWS's rules, and that has no other secrets.
fn fleet(n: usize) -> Option<World> {
    strictly(|| World::fleet(n, TAG))
}

/// The operations of these scenarios on a fleet.
trait Fleet {
    /// The function, with no limit of its own on what it asks of TikTok and Secrets Manager.
    fn unhurried(&self, variables: &[(&str, &str)]) -> Function;

    /// The names of the fleet's secrets whose access token is the newest of its grant, and not the first.
    fn refreshed(&self) -> Vec<&str>;

    /// The grants in the order in which their refresh tokens were redeemed.
    fn order(&self) -> Vec<usize>;

    /// A secret that a person tagged, with a grant of its own.
    fn tagged(&self, name: &str, tags: &[(&str, &str)]) -> String;
}

impl Fleet for World {
    fn unhurried(&self, variables: &[(&str, &str)]) -> Function {
        let lifted = [("TIKTOK_REQUESTS_PER_SECOND", "1000000"), ("SECRETS_MANAGER_WRITES_PER_SECOND", "1000000")];
        self.function_with(BINARY, &[&lifted, variables].concat())
    }

    fn refreshed(&self) -> Vec<&str> {
        let is_refreshed = |secret_id: &str| {
            let document = self.document_of(secret_id, "AWSCURRENT").expect("AWSCURRENT is always there");
            let token = document["access_token"].as_str().unwrap_or_default().to_owned();
            let tiktok = self.tiktok.core();
            tiktok.is_alive(&token) && tiktok.redeems().iter().any(|redeem| redeem.access_token == token)
        };
        self.members.iter().map(|member| member.secret_id.as_str()).filter(|id| is_refreshed(id)).collect()
    }

    fn order(&self) -> Vec<usize> {
        self.tiktok.core().redeems().iter().map(|redeem| redeem.grant).collect()
    }

    fn tagged(&self, name: &str, tags: &[(&str, &str)]) -> String {
        let issued = self.tiktok.core().authorize(APP_ID, GrantSpec::default());
        self.create_tagged_secret(name, &credentials(Flow::Business, &issued), tags)
    }
}

/// The event of the daily schedule, with a scheduled time after every refresh.
fn next_slot() -> Value {
    json!({"action": "refresh", "scheduled_time": (Timestamp::now() + SignedDuration::from_secs(1)).to_string()})
}

/// The number of secrets for each outcome.
fn counts(invocation: &Invocation) -> Value {
    invocation.outcome.response()["counts"].clone()
}

#[tokio::test]
async fn every_secret_with_the_tag_is_refreshed() {
    let Some(world) = fleet(230) else { return };
    let invocation = world.unhurried(&[]).invoke(scheduled(), LONG).await;
    assert_eq!(counts(&invocation), json!({"refreshed": 230}));
    assert_eq!(world.refreshed().len(), 230);
    assert_eq!(world.redeemed(), 230);
    let journal = world.faults.journal();
    assert_eq!(journal.count("ListSecrets"), 3, "pages of a hundred");
    assert_eq!(journal.count("BatchGetSecretValue"), 12, "batches of twenty");
}

#[tokio::test]
async fn a_secret_that_a_run_left_unfinished_is_brought_to_its_end_although_its_token_lasts() {
    let Some(world) = fleet(3) else { return };
    world.unhurried(&[]).run(scheduled()).await;
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    let one = json!({"action": "refresh", "secret_ids": [world.members[1].secret_id]});
    world.unhurried(&[]).run(one).await;
    let top_up = json!({"action": "refresh", "if_needed": true});
    assert_eq!(counts(&world.unhurried(&[]).run(top_up).await), json!({"fresh": 2, "resumed": 1}));
    assert_eq!(world.refreshed().len(), 3);
}

#[tokio::test]
async fn no_secret_without_the_very_tag_is_touched() {
    let Some(world) = fleet(1) else { return };
    // What filters of ListSecrets let through: longer keys and values, and a value that belongs to another key.
    let others = [
        ("longer-key", vec![("tiktok-token-refresh-eu", "ads")]),
        ("longer-value", vec![("tiktok-token-refresh", "ads-eu")]),
        ("other-case", vec![("TikTok-Token-Refresh", "ads")]),
        ("crosswise", vec![("tiktok-token-refresh", "search"), ("team", "ads")]),
        ("none", vec![]),
    ];
    for (name, tags) in &others {
        world.tagged(&format!("other/{name}"), tags);
    }
    world.unhurried(&[]).run(scheduled()).await;
    assert_eq!(world.order(), [world.members[0].grant]);
    let journal = world.faults.journal();
    assert!(journal.iter().all(|entry| !entry.detail.contains("other/")), "{journal}");
}

#[tokio::test]
async fn a_key_alone_finds_the_tag_with_any_value() {
    let Some(world) = fleet(2) else { return };
    world.tagged("another/fleet", &[("tiktok-token-refresh", "search")]);
    world.tagged("no/value", &[("tiktok-token-refresh", "")]);
    let function = world.unhurried(&[("SECRET_TAG", "tiktok-token-refresh")]);
    assert_eq!(counts(&function.run(scheduled()).await), json!({"refreshed": 4}));
    let function = world.unhurried(&[("SECRET_TAG", "tiktok-token-refresh=")]);
    assert_eq!(function.run(next_slot()).await.outcome.response()["results"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_fleet_without_a_secret_is_an_error_that_says_how_to_get_one() {
    let Some(world) = fleet(0) else { return };
    for event in [scheduled(), json!({"action": "status"}), json!({"dry_run": true})] {
        let invocation = world.lambda().run(event).await;
        let says = ["No secret in this account and region has the tag tiktok-token-refresh=ads", "Tag the credentials"];
        assert_failed(&invocation, "SecretNotFound", &says);
    }
}

#[tokio::test]
async fn secrets_that_need_nothing_cost_a_share_of_a_list_and_of_a_batch() {
    let Some(world) = fleet(45) else { return };
    let function = world.unhurried(&[]);
    function.run(scheduled()).await;
    world.faults.reset();
    for event in [scheduled(), json!({"action": "refresh", "if_needed": true})] {
        let invocation = function.run(event).await;
        assert_eq!(counts(&invocation), json!({"fresh": 45}));
        assert_eq!(invocation.outcome.response()["omitted"], 45);
    }
    let once = ["ListSecrets", "BatchGetSecretValue", "BatchGetSecretValue", "BatchGetSecretValue"];
    assert_eq!(world.faults.journal().operations(), [once, once].concat());
}

#[tokio::test]
async fn who_is_due_soonest_has_the_first_turn() {
    let Some(world) = fleet(5) else { return };
    let function = world.unhurried(&[("MAX_CONCURRENCY", "1")]);
    for (hours, member) in [3, 20, 1, 7, 12].into_iter().zip(&world.members) {
        world.tiktok.core().grant_mut(member.grant).access_lifetime = Duration::from_hours(hours);
    }
    function.run(scheduled()).await;
    let before = world.redeemed();
    function.run(next_slot()).await;
    assert_eq!(world.order()[before..], [2, 0, 3, 4, 1]);
}

#[tokio::test]
async fn only_what_lives_too_short_is_topped_up() {
    let Some(world) = fleet(6) else { return };
    for member in &world.members[..2] {
        world.tiktok.core().grant_mut(member.grant).access_lifetime = Duration::from_hours(2);
    }
    let function = world.unhurried(&[]);
    function.run(scheduled()).await;
    let invocation = function.run(json!({"action": "refresh", "if_needed": true})).await;
    assert_eq!(counts(&invocation), json!({"fresh": 4, "refreshed": 2}));
    assert_eq!(world.redeemed(), 8);
}

#[tokio::test]
async fn reader_secrets_of_a_fleet_are_looked_after_even_when_the_tokens_are_fresh() {
    let Some(world) = fleet(2) else { return };
    let (name, reader) = (world.members[1].secret_id.clone(), "tiktok/reader");
    world.create_secret(reader, &json!({}));
    let mut document = world.document_of(&name, "AWSCURRENT").expect("a document");
    document["publish"] = json!([{"secret_id": reader, "format": "reader"}]);
    world.secrets_manager.client().put(&name, &document.to_string()).await.expect("a person may write");
    let function = world.unhurried(&[]);
    function.run(scheduled()).await;
    world.secrets_manager.client().put(reader, "{}").await.expect("somebody spoils it");
    assert_eq!(counts(&function.run(scheduled()).await), json!({"fresh": 2}));
    let (current, reader) = (world.document_of(&name, "AWSCURRENT"), world.document_of(reader, "AWSCURRENT"));
    assert_eq!(reader.expect("a reader")["access_token"], current.expect("a document")["access_token"]);
}

#[tokio::test]
async fn a_dry_run_of_a_fleet_tells_the_plan_of_each_and_writes_nothing() {
    let Some(world) = fleet(3) else { return };
    let invocation = world.unhurried(&[]).run(json!({"action": "refresh", "dry_run": true})).await;
    assert_eq!(counts(&invocation), json!({"dry_run": 3}));
    assert_eq!(invocation.outcome.response()["results"].as_array().map(Vec::len), Some(3));
    assert_eq!(world.redeemed(), 0);
    assert_eq!(world.faults.journal().count("PutSecretValue"), 0);
}

#[tokio::test]
async fn the_status_of_a_fleet_tells_of_each() {
    let Some(world) = fleet(3) else { return };
    let response = world.lambda().run(json!({"action": "status"})).await.outcome.response().clone();
    let told: Vec<_> = response["results"].as_array().expect("results").iter().map(|it| &it["secret_id"]).collect();
    assert_eq!(told, world.members.iter().map(|member| &member.arn).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_of_a_fleet_is_refreshed_by_its_ids() {
    let Some(world) = fleet(5) else { return };
    let ids = [&world.members[1].arn, &world.members[3].arn];
    let mut event = scheduled();
    event["secret_ids"] = json!(ids);
    let invocation = world.unhurried(&[]).run(event).await;
    assert_eq!(counts(&invocation), json!({"refreshed": 2}));
    assert_eq!(world.faults.journal().count("ListSecrets"), 0);
    assert_eq!(world.refreshed().len(), 2);
}

#[tokio::test]
async fn the_answer_stays_small_enough_to_be_handed_on() {
    let Some(world) = fleet(400) else { return };
    let invocation = world.unhurried(&[]).invoke(refresh(), LONG).await;
    let response = invocation.outcome.response();
    assert_eq!(response["counts"], json!({"refreshed": 400}));
    let told = response["results"].as_array().map(Vec::len).unwrap_or_default();
    assert!(told > 100 && told < 400, "{told}");
    assert_eq!(response["omitted"], 400 - told);
    assert!(invocation.outcome.text().len() < 128 * 1024, "{}", invocation.outcome.text().len());
}

#[tokio::test]
async fn secrets_with_another_tag_or_value_cost_no_request() {
    for tag in [TAG, "tiktok-token-refresh", "brand=tiktok ads/EU @ 1+1=2"] {
        let Some(world) = strictly(|| World::fleet(2, tag)) else { return };
        let (key, value) = tag.split_once('=').unwrap_or((tag, "any"));
        // More of each kind than fit on a page: AWS matches the key and the value independently of each other.
        for number in 0..240 {
            let other = if number % 2 == 0 && key != tag { (key, "other") } else { ("other", value) };
            world.tagged(&format!("{}/{number}", world.secret_id), &[other]);
        }
        assert_eq!(counts(&world.unhurried(&[]).run(scheduled()).await), json!({"refreshed": 2}), "{tag}");
        assert_eq!(world.faults.journal().count("ListSecrets"), 1, "they would have filled a page: {tag}");
    }
}

#[tokio::test]
async fn a_tag_that_no_filter_takes_is_found_all_the_same() {
    for tag in ["brand=", "brand=Müller & Söhne", "märke=(1)"] {
        let Some(world) = strictly(|| World::fleet(2, tag)) else { return };
        world.tagged(&format!("{}/other", world.secret_id), &[("brand", "other")]);
        assert_eq!(counts(&world.unhurried(&[]).run(scheduled()).await), json!({"refreshed": 2}), "{tag}");
    }
}
