//! TikTok's answers differ between endpoints, versions and samples; each shape that has been seen leads to a correct
//! document, and each flow keeps to its own endpoint.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stand_ins::{
    Fault, Flow, GrantSpec, When, World,
    tiktok::{Advertiser, RefreshTokenField, Renewal, RequestId, Shape},
};
use tiktok_token_refresh::tiktok::Call;

use crate::support::{
    Scenario, assert_failed, only_result, outcome, refresh, scheduled, side_by_side, strict, warnings,
};

const BUSINESS: &str = "oauth2/refresh_token";
const TT_USER: &str = "tt_user/oauth2/refresh_token";
const LIST: &str = "oauth2/advertiser/get";

fn same_refresh_token() -> GrantSpec {
    GrantSpec { renewal: Renewal::SameRefreshToken, ..GrantSpec::default() }
}

/// What the secret holds after a refresh from answers of this shape, beside the fields that it began with.
async fn refreshed(spec: GrantSpec, shape: Shape) -> (World, Value) {
    let world = World::with(spec);
    let case = format!("{shape:?}");
    world.tiktok.core().shape = shape;
    let invocation = world.lambda().run(scheduled()).await;
    assert_eq!(outcome(&invocation), "refreshed", "{case}");
    assert_eq!(warnings(&invocation), "", "{case}");
    world.assert_usable();
    assert!(world.tiktok.core().is_newest_access_token(&world.field("access_token")), "{case}");
    let current = world.current();
    (world, current)
}

/// Whether a time in the document is this long after now, give or take a minute.
fn is_in(time: &Value, lifetime: Duration) -> bool {
    let Some(Ok(time)) = time.as_str().map(str::parse::<Timestamp>) else { return false };
    let expected = Timestamp::now() + lifetime;
    time <= expected && expected.duration_since(time) < SignedDuration::from_mins(1)
}

#[tokio::test]
async fn the_usual_answer_fills_every_field() {
    let (world, document) = refreshed(GrantSpec::default(), Shape::default()).await;
    assert_eq!(document["scope"], "4,300,9007199254740995");
    assert_eq!(document["advertiser_ids"], json!(["7000000000000000001", "7000000000000000002"]));
    let advertisers = json!([
        { "advertiser_id": "7000000000000000001", "advertiser_name": "First Advertiser" },
        { "advertiser_id": "7000000000000000002", "advertiser_name": "Zweite Werbung GmbH" },
    ]);
    assert_eq!(document["advertisers"], advertisers);
    assert!(is_in(&document["access_token_expires_at"], Duration::from_hours(24)));
    assert!(is_in(&document["refresh_token_expires_at"], Duration::from_hours(365 * 24)));
    assert!(
        is_in(&document["refreshed_at"], Duration::ZERO) && is_in(&document["advertisers_fetched_at"], Duration::ZERO)
    );
    assert_eq!(document["app_id"], stand_ins::APP_ID);
    assert_eq!(world.redeemed(), 1);
}

#[tokio::test]
async fn a_lifetime_is_found_under_each_of_its_names_as_a_number_or_as_text() {
    let names = [
        ("expires_in", "refresh_token_expires_in"),
        ("expires", "refresh_expires_in"),
        ("expires_in", "refresh_expires"),
    ];
    let cases = names.into_iter().flat_map(|names| [(names, false), (names, true)]);
    side_by_side(cases.map(|((access, refresh), numbers_as_strings)| async move {
        let (expires_in, refresh_token_expires_in) = (Some(access), Some(refresh));
        let shape = Shape { expires_in, refresh_token_expires_in, numbers_as_strings, ..Shape::default() };
        let (_, document) = refreshed(GrantSpec::default(), shape).await;
        assert!(is_in(&document["access_token_expires_at"], Duration::from_hours(24)), "{access}");
        assert!(is_in(&document["refresh_token_expires_at"], Duration::from_hours(365 * 24)), "{refresh}");
    }))
    .await;
}

#[tokio::test]
async fn without_a_lifetime_there_is_no_time_of_expiry() {
    let shape = Shape { expires_in: None, refresh_token_expires_in: None, ..Shape::default() };
    let (world, document) = refreshed(GrantSpec::default(), shape).await;
    assert_eq!((document.get("access_token_expires_at"), document.get("refresh_token_expires_at")), (None, None));

    // What was known of the tokens before is not believed of these, but a grant ends when it ends.
    let lambda = world.lambda();
    world.tiktok.core().shape = Shape::default();
    lambda.run(refresh()).await;
    let known = world.current();
    assert!(known.get("access_token_expires_at").is_some());
    world.tiktok.core().shape = Shape { expires_in: None, refresh_token_expires_in: None, ..Shape::default() };
    lambda.run(refresh()).await;
    assert_eq!(world.current().get("access_token_expires_at"), None);
    assert_eq!(world.field("refresh_token_expires_at"), known["refresh_token_expires_at"]);
    world.assert_usable();
}

#[tokio::test]
async fn tokens_are_found_beside_the_code_too() {
    for flow in [Flow::Business, Flow::TtUser] {
        let (_, document) = refreshed(GrantSpec::of(flow), Shape { tokens_at_top: true, ..Shape::default() }).await;
        assert_eq!(document["scope"], "4,300,9007199254740995");
        assert!(is_in(&document["access_token_expires_at"], Duration::from_hours(24)));
    }
}

#[tokio::test]
async fn a_refresh_token_that_is_not_given_anew_stays() {
    for refresh_token in [RefreshTokenField::Omitted, RefreshTokenField::Empty] {
        let (world, document) = refreshed(same_refresh_token(), Shape { refresh_token, ..Shape::default() }).await;
        assert_eq!(document["refresh_token"].as_str(), world.tiktok.core().newest(world.grant).1.as_deref());
        assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed", "and works again");
        world.assert_usable();
    }
}

#[tokio::test]
async fn a_scope_of_numbers_is_kept_to_the_digit() {
    let scope = vec![4, 9_007_199_254_740_993, u64::MAX];
    let spec = GrantSpec { scope: scope.clone(), ..GrantSpec::default() };
    let (world, document) = refreshed(spec, Shape { scope_as_numbers: true, ..Shape::default() }).await;
    assert_eq!(document["scope"], json!(scope));
    let client = world.secrets_manager.client();
    let (_, body) = client.get(&world.secret_id, "AWSCURRENT").await.expect("the secret is there");
    assert!(body.contains(r#""scope":[4,9007199254740993,18446744073709551615]"#), "as text, not through a float");
}

#[tokio::test]
async fn advertiser_ids_are_texts_of_exact_digits_however_they_come() {
    let advertisers = ["9007199254740993", "6999999999999999999", "42"].map(|id| Advertiser::new(id, "Name")).to_vec();
    for ids_as_numbers in [false, true] {
        let spec = GrantSpec { advertisers: advertisers.clone(), ..GrantSpec::default() };
        let (_, document) = refreshed(spec, Shape { ids_as_numbers, ..Shape::default() }).await;
        assert_eq!(document["advertiser_ids"], json!(["42", "6999999999999999999", "9007199254740993"]));
        assert_eq!(
            document["advertisers"][1],
            json!({ "advertiser_id": "6999999999999999999", "advertiser_name": "Name" })
        );
    }
}

#[tokio::test]
async fn an_advertiser_that_was_renamed_has_its_new_name() {
    let (world, before) = refreshed(GrantSpec::default(), Shape::default()).await;
    world.tiktok.core().grant_mut(world.grant).advertisers[0] = Advertiser::new("7000000000000000001", "Renamed");
    assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed");
    assert_eq!(world.current()["advertisers"][0]["advertiser_name"], "Renamed");
    assert_eq!(world.current()["advertisers"][1], before["advertisers"][1]);
}

#[tokio::test]
async fn an_envelope_needs_no_message_no_request_id_and_no_log_id() {
    let messages = [None, Some("ok".to_owned()), Some(String::new())];
    let ids = [RequestId::Top, RequestId::InsideData, RequestId::Absent];
    let cases = messages.into_iter().flat_map(|message| ids.map(|request_id| (message.clone(), request_id)));
    side_by_side(cases.map(|(message, request_id)| async move {
        refreshed(GrantSpec::default(), Shape { message, request_id, log_id: false, ..Shape::default() }).await;
    }))
    .await;
}

#[tokio::test]
async fn what_tiktoks_support_asks_for_is_logged() {
    for request_id in [RequestId::Top, RequestId::InsideData] {
        let world = World::start();
        world.tiktok.core().shape.request_id = request_id;
        let logs = world.lambda().run(scheduled()).await.logs.join("\n");
        for id in ["00000000000000000001", "00000000000000000002"] {
            assert!(logs.contains(&format!(r#""request_id":"{id}""#)), "{request_id:?}: {id} is missing in: {logs}");
            assert!(
                logs.contains(&format!(r#""log_id":"log-{id}""#)),
                "{request_id:?}: log-{id} is missing in: {logs}"
            );
        }
    }
}

#[tokio::test]
async fn a_success_without_an_access_token_is_none() {
    for data in ["{}", "null", "[]", r#"{"access_token":""}"#, r#"{"access_token":null,"refresh_token":"x"}"#] {
        let world = World::with(same_refresh_token());
        let before = world.current();
        let body = format!(r#"{{"code":0,"message":"OK","data":{data}}}"#);
        world.faults.at(When::operation(BUSINESS).always(), Fault::answer(200, "application/json", body));
        let invocation = world.lambda().invoke(scheduled(), Duration::from_millis(15_300)).await;
        assert_failed(&invocation, "TikTokUnavailable", &["without an access token"]);
        assert_eq!(world.current(), before, "{data}");
        assert_eq!(world.next_run().await, "refreshed");
    }
}

#[tokio::test]
async fn a_code_of_tiktoks_counts_whatever_http_status_it_comes_with() {
    let world = World::start();
    let body = r#"{"code":40107,"message":"Refresh token is invalid.","data":{}}"#;
    world.faults.at(When::operation(BUSINESS), Fault::answer(401, "application/json", body));
    let invocation = world.lambda().run(scheduled()).await;
    assert_eq!(outcome(&invocation), "kept");
    assert!(warnings(&invocation).contains("code 40107"), "{}", warnings(&invocation));
}

#[tokio::test]
async fn a_code_of_success_does_not_make_up_for_an_http_status_of_failure() {
    let world = World::start();
    let body = r#"{"code":0,"message":"OK","data":{"access_token":"not TikTok's"}}"#;
    world.faults.at(When::operation(BUSINESS), Fault::answer(404, "application/json", body));
    assert_failed(&world.lambda().run(scheduled()).await, "TikTokMisconfigured", &["HTTP 404", "TIKTOK_API_URL"]);
    assert_eq!(world.next_run().await, "refreshed");
}

#[tokio::test]
async fn each_flow_redeems_at_its_own_endpoint_and_burns_no_token() {
    for (flow, own, other) in [(Flow::Business, BUSINESS, TT_USER), (Flow::TtUser, TT_USER, BUSINESS)] {
        let world = World::with(GrantSpec::of(flow));
        let lambda = world.lambda();
        assert_eq!(outcome(&lambda.run(scheduled()).await), "refreshed");
        // Not even where TikTok refuses does one endpoint stand in for the other.
        let refusal = Fault::tiktok(40107, "Refresh token is invalid.");
        world.faults.at(When::operation(own), refusal);
        assert_eq!(outcome(&lambda.run(refresh()).await), "kept");
        let journal = world.faults.journal();
        assert_eq!((journal.count(own), journal.count(other)), (2, 0), "{journal}");
        assert_eq!(world.tiktok.core().burned(), []);
        world.assert_usable();
    }
}

#[tokio::test]
async fn an_account_holders_open_id_is_kept() {
    let (_, document) = refreshed(GrantSpec::of(Flow::TtUser), Shape::default()).await;
    assert_eq!(document["open_id"], "open-id-0");
    assert_eq!(document["flow"], "tt_user");
}

#[tokio::test]
async fn a_long_term_token_is_verified_and_written_only_when_something_changed() {
    // Emulators leave AWSCURRENT on two versions when somebody writes after a promotion.
    let Some(world) = strict(World::with(GrantSpec::long_term())) else { return };
    let (client, lambda) = (world.secrets_manager.client(), world.lambda());
    let version = async || client.get(&world.secret_id, "AWSCURRENT").await.expect("the secret is there").0;

    assert_eq!(outcome(&lambda.run(scheduled()).await), "verified");
    let mut yesterdays = world.current();
    assert_eq!(yesterdays["advertiser_ids"].as_array().map(Vec::len), Some(2));
    yesterdays["advertisers_fetched_at"] = json!("2026-01-01T00:00:00Z");
    world.store(&yesterdays.to_string()).await;
    let (first, versions) = (version().await, client.versions(&world.secret_id).await.expect("versions").len());

    assert_eq!(outcome(&lambda.run(scheduled()).await), "verified");
    assert_eq!(version().await, first, "nothing changed, and nothing was written");
    assert_eq!(client.versions(&world.secret_id).await.expect("versions").len(), versions);

    world.tiktok.core().grant_mut(world.grant).advertisers.push(Advertiser::new("7000000000000000003", "New"));
    let invocation = lambda.run(scheduled()).await;
    assert_eq!(outcome(&invocation), "verified");
    assert_eq!(only_result(&invocation)["advertisers_added"], json!(["7000000000000000003"]));
    assert_ne!(version().await, first);
    assert_eq!(world.current()["advertiser_ids"].as_array().map(Vec::len), Some(3));
    let journal = world.faults.journal();
    assert_eq!((journal.count(BUSINESS), journal.count(TT_USER), journal.count(LIST)), (0, 0, 3), "{journal}");
}

#[tokio::test]
async fn a_long_term_token_that_was_revoked_asks_for_a_person() {
    let world = World::with(GrantSpec::long_term());
    world.tiktok.core().revoke(world.grant);
    let before = world.current();
    let invocation = world.lambda().run(scheduled()).await;
    assert_failed(&invocation, "ReauthorizationRequired", &["40105", "Authorise the app again"]);
    assert_eq!(world.current(), before);
}

#[test]
fn an_error_repeats_nothing_that_the_request_carried_in_whatever_pieces_it_comes() {
    let call =
        Call { endpoint: "oauth2/refresh_token", limit: 1_000, secrets: &["the-refresh-token", "the\napp secret"] };
    for quoted in
        ["the-refresh-token", "the-ref\u{0}resh-token", "the\napp secret", "the\\napp secret", "the%0Aapp+secret"]
    {
        let body = json!({"code": 40002, "message": format!("No {quoted}."), "request_id": quoted}).to_string();
        let answer = call.read(200, body.as_bytes()).expect("an envelope");
        let error = call.judge(answer).expect_err("a refusal").to_string();
        assert!(error.contains("code 40002 \"No ***.\" (oauth2/refresh_token, request ***)"), "{quoted:?}: {error}");
    }
}

#[test]
fn a_lifetime_of_nothing_and_a_scope_that_would_crowd_out_the_tokens_are_none() {
    let call = Call { endpoint: "oauth2/refresh_token", limit: 1_000, secrets: &[] };
    let granted = |data: Value| {
        let body = json!({"code": 0, "data": data}).to_string();
        call.read(200, body.as_bytes()).expect("an envelope").grant().expect("tokens")
    };
    for scope in [Value::Null, json!("s".repeat(1_023))] {
        let grant = granted(json!({"access_token": "a", "expires_in": 0, "refresh_expires_in": "0", "scope": scope}));
        assert_eq!((grant.expires_in, grant.refresh_token_expires_in, grant.scope), (None, None, None));
    }
    let longest = json!("s".repeat(1_022));
    let grant = granted(json!({"access_token": "a", "expires_in": 1, "scope": longest}));
    assert_eq!((grant.expires_in, grant.scope), (Some(Duration::from_secs(1)), Some(longest.to_string())));
}

#[test]
fn a_scope_that_readers_of_the_secret_would_not_understand_is_none() {
    let call = Call { endpoint: "oauth2/refresh_token", limit: 1_000, secrets: &[] };
    let kept = |scope: &str| {
        let body = format!(r#"{{"code": 0, "data": {{"access_token": "a", "scope": {scope}}}}}"#);
        call.read(200, body.as_bytes()).expect("an envelope").grant().expect("tokens").scope
    };
    for scope in [r#""""#, r#""ads.read,\u00e4""#, "[]", r#"[4, "ads.read", 18446744073709551615]"#] {
        assert_eq!(kept(scope).as_deref(), Some(scope));
    }
    let odd = ["true", "4", r#"{"4": true}"#, "[[4]]", "[null]", "[-4]", "[4.5]", "[18446744073709551616]"];
    for scope in odd.into_iter().chain(["[1e400]", r#""\ud800""#, r#"["\ud800"]"#]) {
        assert_eq!(kept(scope), None, "{scope}");
    }
}
