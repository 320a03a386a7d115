//! Authorization: from an app id and a secret to working tokens, and again after the end of a grant.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use stand_ins::{
    APP_ID, APP_SECRET, Fault, Flow, Function, GrantSpec, Invocation, Outcome, When, World, credentials,
    tiktok::{Advertiser, Propagation, Renewal},
};
use tiktok_token_refresh::transport::Label;
use tokio::sync::Notify;
use url::Url;

use crate::{
    evidence::error_message,
    support::{
        BINARY, SHORT, STAGE, Scenario, assert_failed, only_result, outcome, refresh, scheduled, side_by_side, strict,
        warnings,
    },
};

const REDIRECT_URI: &str = "https://localhost:8080";
const HOUR: Duration = Duration::from_hours(1);

/// A world in which the app was never authorized: the secret holds what a person has from TikTok's portal.
fn unauthorized() -> World {
    let world = World::empty();
    world.create_secret(&world.secret_id, &json!({"app_id": APP_ID, "secret": APP_SECRET, "mine": "kept"}));
    world
}

pub async fn link(function: &Function, event: Value) -> Url {
    let invocation = function.run(event).await;
    let link = only_result(&invocation)["authorize_url"].as_str().expect("a link").to_owned();
    link.parse().expect("an address")
}

pub fn authorize_url() -> Value {
    json!({"action": "authorize_url", "redirect_uri": REDIRECT_URI})
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// The person consents: the address that the browser ends on.
pub fn consent(world: &World, link: &Url, spec: GrantSpec) -> String {
    let app_id = parameter(link, "app_id").or_else(|| parameter(link, "client_key")).expect("an app");
    let code = world.tiktok.core().authorize_by_code(&app_id, spec, HOUR);
    redirect(link, &[("auth_code", &code), ("code", "another-thing")])
}

fn redirect(link: &Url, brings: &[(&str, &str)]) -> String {
    let mut address: Url = parameter(link, "redirect_uri").expect("where to").parse().expect("an address");
    address.query_pairs_mut().extend_pairs(brings);
    if let Some(state) = parameter(link, "state") {
        address.query_pairs_mut().append_pair("state", &state);
    }
    address.into()
}

pub fn exchange(redirect_url: &str) -> Value {
    json!({"action": "exchange", "redirect_url": redirect_url})
}

/// Link, consent, exchange.
async fn authorize(world: &World, function: &Function, spec: GrantSpec) -> Invocation {
    let link = link(function, authorize_url()).await;
    function.run(exchange(&consent(world, &link, spec))).await
}

#[tokio::test]
async fn an_app_id_and_a_secret_become_working_tokens_and_the_advertisers_of_every_kind_of_grant() {
    for (flow, spec) in [
        ("business", GrantSpec::default()),
        ("long_term", GrantSpec::long_term()),
        ("business", GrantSpec { renewal: Renewal::SameRefreshToken, ..GrantSpec::default() }),
    ] {
        let world = unauthorized();
        let function = world.lambda();
        let invocation = authorize(&world, &function, spec).await;
        assert_eq!(outcome(&invocation), "authorized", "{flow}");
        world.assert_usable();
        let document = world.current();
        assert_eq!(document["flow"], flow, "recorded from what TikTok answered");
        assert_eq!(document["advertiser_ids"], json!(["7000000000000000001", "7000000000000000002"]));
        assert_eq!(document["advertisers"][0]["advertiser_name"], "First Advertiser");
        assert_eq!((&document["mine"], &document["redirect_uri"]), (&json!("kept"), &json!(REDIRECT_URI)));
        assert_eq!(document.get("refresh_token").is_some(), flow == "business");
        assert!(document["authorized_at"].is_string());
        let next = if flow == "business" { "refreshed" } else { "verified" };
        assert_eq!(outcome(&function.run(refresh()).await), next, "and the function keeps it alive");
        world.assert_usable();
        assert_eq!(world.current()["authorized_at"], document["authorized_at"], "a refresh is no authorization");
    }
}

#[tokio::test]
async fn an_account_holders_grant_takes_its_own_page_and_its_own_endpoint() {
    let world = World::empty();
    let page = format!(
        "https://www.tiktok.com/v2/auth/authorize?client_key={APP_ID}&scope=user.info.basic%2Cvideo.list&response_type=code&redirect_uri=https%3A%2F%2Felsewhere.example&state=your_custom_params"
    );
    let document = json!({"app_id": APP_ID, "secret": APP_SECRET, "flow": "tt_user"});
    world.create_secret(&world.secret_id, &document);
    let function = world.lambda();
    assert_failed(&function.run(authorize_url()).await, "InvalidSecret", &["'authorization_url'", "portal"]);

    let mut with_page = document.clone();
    with_page["authorization_url"] = json!(page);
    world.store(&with_page.to_string()).await;
    let link = link(&function, authorize_url()).await;
    assert_eq!(link.host_str(), Some("www.tiktok.com"));
    assert_eq!(parameter(&link, "scope").as_deref(), Some("user.info.basic,video.list"), "as the portal has it");
    assert_eq!(link.query_pairs().filter(|(name, _)| name == "redirect_uri" || name == "state").count(), 2);

    // TikTok's account holders come back with `code` alone.
    let code = world.tiktok.core().authorize_by_code(APP_ID, GrantSpec::of(Flow::TtUser), HOUR);
    let invocation = function.run(exchange(&redirect(&link, &[("code", &code), ("scopes", "user.info.basic")]))).await;
    assert_eq!(outcome(&invocation), "authorized");
    assert_eq!(world.field("flow"), "tt_user");
    assert_eq!(world.faults.journal().count("tt_user/oauth2/token"), 1);
    assert_eq!(world.faults.journal().count("oauth2/access_token"), 0, "the other family is not asked");
    assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
}

#[tokio::test]
async fn a_page_of_another_app_or_of_another_site_is_never_linked_to() {
    let world = unauthorized();
    let function = world.lambda();
    for (page, says) in [
        ("https://www.tiktok.com/v2/auth/authorize?client_key=7999999999999999999", "another app"),
        ("https://business-api.tiktok.com.evil.example/portal/auth", "TikTok's"),
        ("http://www.tiktok.com/v2/auth/authorize", "TikTok's"),
        ("https://eviltiktok.com/", "TikTok's"),
        ("portal/auth", "not an address"),
    ] {
        let mut document = world.current();
        document["authorization_url"] = json!(page);
        world.store(&document.to_string()).await;
        assert_failed(&function.run(authorize_url()).await, "InvalidSecret", &["'authorization_url'", says]);
    }
}

#[tokio::test]
async fn a_secret_that_was_never_authorized_names_the_command_that_begins_it() {
    let world = unauthorized();
    let function = world.function_with(BINARY, &[("AWS_LAMBDA_FUNCTION_NAME", "tiktok-prod")]);
    let says = [
        "neither a 'refresh_token' nor an 'access_token'",
        "aws lambda invoke --function-name tiktok-prod",
        r#"<<<'{"action":"authorize_url"}'"#,
    ];
    assert_failed(&function.run(scheduled()).await, "ReauthorizationRequired", &says);
    let journal = world.faults.journal();
    assert!(journal.is_reading_alone(), "nothing is written or sent\n{journal}");

    let event = json!({"action": "refresh", "secret_ids": [world.secret_id.clone()]});
    let several = world.function_with(BINARY, &[("SECRET_ID", "another/one,a/third")]);
    let named = format!(r#"{{"action":"authorize_url","secret_id":"{}"}}"#, world.secret_id);
    assert_failed(&several.run(event).await, "ReauthorizationRequired", &[&named]);
}

#[tokio::test]
async fn a_grant_that_has_ended_is_replaced_by_the_very_command_that_the_error_names() {
    let world = World::start();
    let function = world.lambda();
    world.tiktok.core().revoke(world.grant);
    let invocation = function.run(scheduled()).await;
    assert_failed(&invocation, "ReauthorizationRequired", &["aws lambda invoke"]);
    let message = error_message(&invocation);
    let event = message.split("<<<'").nth(1).and_then(|rest| rest.split('\'').next()).expect("an event");
    let link = link(&function, event.parse().expect("JSON")).await;
    let spec = GrantSpec { advertisers: vec![], ..GrantSpec::default() };
    let invocation = function.run(exchange(&consent(&world, &link, spec))).await;
    assert_eq!(outcome(&invocation), "authorized");
    world.assert_usable();
}

#[tokio::test]
async fn a_new_grant_leaves_nothing_of_the_old_one_behind() {
    let world = World::with_document(GrantSpec::default(), |document| document["open_id"] = json!("the old one's"));
    let function = world.lambda();
    function.run(refresh()).await;
    assert!(world.current()["refresh_token_expires_at"].is_string());
    let invocation = authorize(&world, &function, GrantSpec::long_term()).await;
    assert_eq!(outcome(&invocation), "authorized");
    let document = world.current();
    for gone in ["refresh_token", "refresh_token_expires_at", "access_token_expires_at", "open_id"] {
        assert!(document.get(gone).is_none(), "{gone} was the old grant's");
    }
    assert_eq!(outcome(&function.run(scheduled()).await), "verified");
}

#[tokio::test]
async fn a_link_costs_one_read_and_the_days_after_an_authorization_are_ordinary() {
    let world = unauthorized();
    let function = world.lambda();
    link(&function, authorize_url()).await;
    assert_eq!(world.faults.journal().operations(), ["GetSecretValue"]);
    assert_eq!(outcome(&authorize(&world, &function, GrantSpec::default()).await), "authorized");
    for day in 1..=3 {
        world.faults.reset();
        assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
        let journal = world.faults.journal();
        assert_eq!((journal.count("GetSecretValue"), journal.count("DescribeSecret")), (1, 0), "day {day}\n{journal}");
    }
}

#[tokio::test]
async fn tokens_that_a_person_pastes_in_after_an_authorization_stay_whatever_is_refreshed_after_them() {
    // The labels are where the exchange has left them, or where a refresh has, or another one that had no need to look.
    for refreshes_before in 0..3 {
        let Some(world) = strict(unauthorized()) else { return };
        let function = world.lambda();
        authorize(&world, &function, GrantSpec::default()).await;
        for _ in 0..refreshes_before {
            assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
        }
        let pasted = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
        let mut document = world.current();
        document["access_token"] = json!(pasted.access_token);
        document["refresh_token"] = json!(pasted.refresh_token);
        world.store(&document.to_string()).await;
        for number in 0..3 {
            assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
            let (_, newest) = world.tiktok.core().newest(pasted.grant);
            assert_eq!(newest, Some(world.field("refresh_token")), "the tokens are of the grant that was pasted in");
            // After a person's write the next run reads the labels.
            let mut document = world.current();
            document["note"] = json!(number);
            world.store(&document.to_string()).await;
        }
    }
}

#[tokio::test]
async fn a_link_is_good_for_one_secret_one_authorization_and_its_time() {
    let world = unauthorized();
    let other = format!("{}/other", world.secret_id);
    world.create_secret(&other, &json!({"app_id": APP_ID, "secret": APP_SECRET}));
    let function = world.lambda();
    let link = link(&function, authorize_url()).await;
    let genuine = consent(&world, &link, GrantSpec::default());
    let state = parameter(&link, "state").expect("a state");
    let before = world.current();

    let foreign = json!({"action": "exchange", "redirect_url": genuine, "secret_id": other});
    assert_failed(&function.run(foreign).await, "InvalidEvent", &["not issued for the secret", "authorize_url"]);
    let (said, signature) = state.split_once('.').expect("two parts");
    for (what, forged, says) in [
        ("another signature", format!("{said}.{}", altered(signature)), "signature"),
        ("no signature", format!("{said}."), "was not issued here"),
        ("cut", said.to_owned(), "was not issued here"),
        ("made up", "your_custom_params".to_owned(), "was not issued here"),
        ("made to last", format!("{}.{signature}", lasting(said)), "signature"),
        ("too long", format!("{}.{signature}", "A".repeat(10_000)), "was not issued here"),
    ] {
        let address = genuine.replace(&state, &forged);
        assert_failed(&function.run(exchange(&address)).await, "InvalidEvent", &[says]);
        assert!(!error_message(&function.run(exchange(&address)).await).contains("canary"), "{what}");
    }
    for (address, says) in [
        (genuine.split("&state").next().expect("a part").to_owned(), "no 'state'"),
        (redirect(&link, &[]), "no 'auth_code'"),
        (redirect(&link, &[("auth_code", " ")]), "no 'auth_code'"),
        (format!("{genuine}&state={state}"), "'state' twice"),
        (format!("{genuine}&auth_code=x"), "'auth_code' twice"),
        ("localhost".to_owned(), "whole address"),
    ] {
        assert_failed(&function.run(exchange(&address)).await, "InvalidEvent", &[says]);
    }
    assert_eq!(world.current(), before, "nothing has changed");
    assert_eq!(world.faults.journal().count("oauth2/access_token"), 0, "and nothing was sent to TikTok");

    assert_eq!(outcome(&function.run(exchange(&genuine)).await), "authorized");
    let authorized = world.current();
    let replayed = consent(&world, &link, GrantSpec::default());
    for address in [&genuine, &replayed] {
        assert_failed(&function.run(exchange(address)).await, "InvalidEvent", &["was used", "authorize_url"]);
    }
    assert_eq!(world.current(), authorized);
}

/// A signature with one bit that is another.
fn altered(signature: &str) -> String {
    let mut signature = BASE64.decode(signature).expect("base64");
    signature[7] ^= 1;
    BASE64.encode(signature)
}

/// The payload of a state, with a later end.
fn lasting(said: &str) -> String {
    let mut said: Value = serde_json::from_slice(&BASE64.decode(said).expect("base64")).expect("JSON");
    said[3] = json!(said[3].as_i64().expect("a time") + 3_600);
    BASE64.encode(said.to_string())
}

#[tokio::test]
async fn a_link_whose_time_is_over_is_refused_and_one_that_is_still_good_is_not() {
    let world = World::empty();
    let arn = world.create_secret(&world.secret_id, &json!({"app_id": APP_ID, "secret": APP_SECRET}));
    let function = world.lambda();
    let mut event = authorize_url();
    event["valid_for_hours"] = json!(24);
    let link = link(&function, event).await;
    let state = parameter(&link, "state").expect("a state");
    let address = consent(&world, &link, GrantSpec::default());
    let (said, _) = state.split_once('.').expect("two parts");
    let mut said: Value = serde_json::from_slice(&BASE64.decode(said).expect("base64")).expect("JSON");
    let now = jiff::Timestamp::now().as_second();
    let left = said[3].as_i64().expect("a time") - now;
    assert!((86_300..=86_400).contains(&left), "as long as the event asked for: {left} s");

    said[3] = json!(now - 1);
    let over = address.replace(&state, &signed(&said, &arn));
    assert_failed(&function.run(exchange(&over)).await, "InvalidEvent", &["expired at", "authorize_url"]);
    assert_eq!(world.faults.journal().count("oauth2/access_token"), 0);
    said[3] = json!(now + 60);
    let good = address.replace(&state, &signed(&said, &arn));
    assert_eq!(outcome(&function.run(exchange(&good)).await), "authorized", "this test signs as the function does");
}

/// A state that says this, with the app's own signature.
fn signed(said: &Value, arn: &str) -> String {
    let said = BASE64.encode(said.to_string());
    let mut mac = Hmac::<Sha256>::new_from_slice(APP_SECRET.as_bytes()).expect("a key");
    mac.update(format!("tiktok-token-refresh authorize_url 1\n{arn}\n{said}").as_bytes());
    format!("{said}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_link_made_with_the_secret_of_another_app_is_refused() {
    let world = unauthorized();
    let function = world.lambda();
    let link = link(&function, authorize_url()).await;
    let address = consent(&world, &link, GrantSpec::default());
    let mut document = world.current();
    document["secret"] = json!("another-app-secret");
    world.store(&document.to_string()).await;
    assert_failed(&function.run(exchange(&address)).await, "InvalidEvent", &["signature", "app's secret"]);
}

#[tokio::test]
async fn an_auth_code_that_tiktok_does_not_take_says_which_of_its_reasons_it_is() {
    type Bring = fn(&World) -> String;
    let cases: [(&str, Bring, &str, &[&str]); 4] = [
        (
            "used",
            |world| {
                let mut tiktok = world.tiktok.core();
                let code = tiktok.authorize_by_code(APP_ID, GrantSpec::default(), HOUR);
                tiktok.exchange(Flow::Business, APP_ID, APP_SECRET, &code).expect("a first time");
                code
            },
            "ReauthorizationRequired",
            &["works once", "40110", "authorize_url"],
        ),
        (
            "expired",
            |world| world.tiktok.core().authorize_by_code(APP_ID, GrantSpec::default(), Duration::ZERO),
            "ReauthorizationRequired",
            &["for an hour at most", "40109"],
        ),
        (
            "foreign",
            |world| {
                let mut tiktok = world.tiktok.core();
                tiktok.add_app("7200000000000000002", "another secret");
                tiktok.authorize_by_code("7200000000000000002", GrantSpec::default(), HOUR)
            },
            "ReauthorizationRequired",
            &["40110"],
        ),
        (
            "wrong app secret",
            |world| {
                let code = world.tiktok.core().authorize_by_code(APP_ID, GrantSpec::default(), HOUR);
                world.tiktok.core().add_app("unused", "unused");
                code
            },
            "TikTokMisconfigured",
            &["40113", "'app_id' and 'secret'"],
        ),
    ];
    for (what, bring, kind, says) in cases {
        let world = unauthorized();
        if what == "wrong app secret" {
            let mut document = world.current();
            document["secret"] = json!("mistyped");
            world.store(&document.to_string()).await;
        }
        let function = world.lambda();
        let code = bring(&world);
        let before = world.current();
        let invocation = function.run(json!({"action": "exchange", "auth_code": code})).await;
        assert_failed(&invocation, kind, says);
        assert!(!error_message(&invocation).contains(&code), "{what}: the code is not shown");
        assert_eq!(world.current(), before, "{what}");
        assert_eq!(outcome(&authorize_anew(&world, &function).await), "authorized", "{what}: a new try works at once");
    }
}

async fn authorize_anew(world: &World, function: &Function) -> Invocation {
    let mut document = world.current();
    document["secret"] = json!(APP_SECRET);
    world.store(&document.to_string()).await;
    authorize(world, function, GrantSpec::default()).await
}

#[tokio::test]
async fn a_bare_auth_code_is_taken_from_who_may_invoke_the_function_and_an_address_in_its_place_is_not() {
    let world = unauthorized();
    let function = world.lambda();
    for wrong in ["", " ", "https://localhost:8080/?auth_code=x"] {
        let event = json!({"action": "exchange", "auth_code": wrong});
        assert_failed(&function.run(event).await, "InvalidEvent", &["'redirect_url'"]);
    }
    let code = world.tiktok.core().authorize_by_code(APP_ID, GrantSpec::default(), HOUR);
    let event = json!({"action": "exchange", "auth_code": format!(" {code}\n")});
    assert_eq!(outcome(&function.run(event.clone()).await), "authorized");
    let authorized = world.current();
    assert_eq!(
        outcome(&function.run(event.clone()).await),
        "fresh",
        "the same code once more finds its tokens in place"
    );
    assert_eq!(world.current(), authorized);
    assert_eq!(world.faults.journal().count("oauth2/access_token"), 1);
    assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
    let refreshed = world.current();
    assert_eq!(outcome(&function.run(event).await), "fresh", "or those that came of them");
    assert_eq!(world.current(), refreshed);
    assert_eq!((world.faults.journal().count("oauth2/access_token"), world.redeemed()), (1, 1));
}

#[tokio::test]
async fn a_grant_that_was_authorized_before_is_authorized_again_by_a_new_link() {
    let Some(world) = strict(unauthorized()) else { return };
    let function = world.lambda();
    assert_eq!(outcome(&authorize(&world, &function, GrantSpec::default()).await), "authorized");
    world.edit(|document| document["authorized_at"] = json!("2026-01-01T00:00:00Z")).await;
    let before = world.field("access_token");
    assert_eq!(outcome(&authorize(&world, &function, GrantSpec::default()).await), "authorized");
    assert_ne!(world.field("access_token"), before);
    world.assert_usable();
}

#[tokio::test]
async fn a_refused_auth_code_is_told_from_one_whose_answer_was_lost_however_often_it_is_sent() {
    let refusal = Fault::tiktok(40110, "Auth_code is expired");
    for (trouble, says, other) in [
        (None, "does not take the auth code", "was lost"),
        (Some(Fault::DropAfter), "was lost", "does not take the auth code"),
    ] {
        let world = unauthorized();
        let function = world.lambda();
        let link = link(&function, authorize_url()).await;
        let address = consent(&world, &link, GrantSpec::default());
        let at = || When::operation("oauth2/access_token");
        if let Some(trouble) = trouble {
            world.faults.at(at(), trouble);
        } else {
            world.faults.at(at().always(), refusal.clone());
        }
        for time in 1..=3 {
            let invocation = function.run(exchange(&address)).await;
            assert_failed(&invocation, "ReauthorizationRequired", &[says, "authorize_url"]);
            assert!(!error_message(&invocation).contains(other), "{time}: {}", error_message(&invocation));
        }
    }
}

#[tokio::test]
async fn a_code_for_another_app_says_whose_link_it_has_to_be() {
    for code in [40000, 40113] {
        let world = unauthorized();
        world.faults.at(When::operation("oauth2/access_token"), Fault::tiktok(code, "Invalid app."));
        let invocation = authorize(&world, &world.lambda(), GrantSpec::default()).await;
        assert_failed(&invocation, "TikTokMisconfigured", &[&format!("code {code}"), "the link has to be that app's"]);
    }
}

#[tokio::test]
async fn where_several_secrets_are_kept_the_link_says_which_one_comes_back() {
    let world = unauthorized();
    let other = format!("{}/other", world.secret_id);
    world.create_secret(&other, &json!({"app_id": APP_ID, "secret": APP_SECRET}));
    let both = format!("{other},{}", world.secret_id);
    let function = world.function_with(BINARY, &[("SECRET_ID", &both)]);
    assert_failed(&function.run(authorize_url()).await, "InvalidEvent", &["keeps 2 secrets", "'secret_id'"]);
    let code = json!({"action": "exchange", "auth_code": "x"});
    assert_failed(&function.run(code).await, "InvalidEvent", &["'secret_id'"]);
    let mut event = authorize_url();
    event["secret_id"] = json!(world.secret_id);
    let link = link(&function, event).await;
    let invocation = function.run(exchange(&consent(&world, &link, GrantSpec::default()))).await;
    assert_eq!(only_result(&invocation)["secret_id"], json!(world.secret_id));
    world.assert_usable();
}

#[tokio::test]
async fn the_link_goes_back_where_the_last_authorization_came_from() {
    let world = unauthorized();
    let function = world.lambda();
    let by_default = link(&function, json!({"action": "authorize_url"})).await;
    assert_eq!(parameter(&by_default, "redirect_uri").as_deref(), Some(REDIRECT_URI));
    let mut event = authorize_url();
    event["redirect_uri"] = json!("https://ads.example.org/callback");
    let first = link(&function, event).await;
    function.run(exchange(&consent(&world, &first, GrantSpec::default()))).await;
    let again = link(&function, json!({"action": "authorize_url"})).await;
    assert_eq!(parameter(&again, "redirect_uri").as_deref(), Some("https://ads.example.org/callback"));
    assert_eq!(again.origin(), world.tiktok.url().parse::<Url>().expect("an address").origin());
    assert_eq!(again.path(), "/portal/auth");
    for wrong in
        ["localhost:8080", "http://ads.example.org", "https://user@ads.example.org", "https://a.example/#b", ""]
    {
        let event = json!({"action": "authorize_url", "redirect_uri": wrong});
        assert_failed(&function.run(event).await, "InvalidEvent", &["'redirect_uri'"]);
    }
}

/// Every request of an exchange: what it is, and what tells it from others of its kind.
const REQUESTS: [(&str, &str); 5] = [
    ("PutSecretValue", Label::Claim.name()),
    ("oauth2/access_token", ""),
    ("PutSecretValue", Label::Staged.name()),
    ("oauth2/advertiser/get", ""),
    ("UpdateSecretVersionStage", ""),
];

#[tokio::test]
async fn a_crash_at_any_request_of_an_exchange_costs_nothing_that_was_staged() {
    let faults = [("before", Fault::KillBefore), ("after", Fault::KillAfter)];
    let cases = REQUESTS.into_iter().flat_map(|request| faults.clone().map(|fault| (request, fault)));
    side_by_side(cases.map(|((operation, detail), (moment, fault))| async move {
        let what = format!("killed {moment} {operation} {detail}");
        let Some(world) = strict(World::start()) else { return };
        let function = world.lambda();
        let link = link(&function, authorize_url()).await;
        let address = consent(&world, &link, GrantSpec::default());
        world.faults.at(When::operation(operation).detail(detail), fault);
        let killed = function.run(exchange(&address)).await;
        assert!(matches!(killed.outcome, Outcome::Crashed(_)), "{what}");
        world.let_the_claim_expire().await;
        let is_staged = world.document(Label::Staged.name()).is_some();
        if is_staged {
            // The next scheduled run knows nothing of the exchange but what is in the secret.
            let is_promoted = world.current().get("authorized_at").is_some();
            let next = outcome(&function.run(scheduled()).await);
            assert_eq!(next, if is_promoted { "fresh" } else { "resumed" }, "{what}");
            assert!(world.current()["authorized_at"].is_string(), "{what}: the new grant counts");
            assert_failed(&function.run(exchange(&address)).await, "InvalidEvent", &["was used"]);
        } else {
            // The check runs beside the stage: a process that dies at the one may not have come to the other.
            let code_is_spent = world.faults.journal().applied("oauth2/access_token") > 0;
            let again = function.run(exchange(&address)).await;
            if code_is_spent {
                assert_failed(&again, "ReauthorizationRequired", &["was lost", "authorize_url"]);
            } else {
                assert_eq!(outcome(&again), "authorized", "{what}: the same address works once more");
            }
            world.let_the_claim_expire().await;
            let next = outcome(&function.run(scheduled()).await);
            assert_eq!(next, if code_is_spent { "refreshed" } else { "fresh" }, "{what}");
        }
        world.assert_usable();
    }))
    .await;
}

#[tokio::test]
async fn an_exchange_that_crashed_after_its_tokens_were_staged_goes_on_when_it_is_sent_again() {
    for spec in [GrantSpec::default(), GrantSpec::long_term()] {
        let Some(world) = strict(World::start()) else { return };
        let function = world.lambda();
        let link = link(&function, authorize_url()).await;
        let address = consent(&world, &link, spec);
        world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
        function.run(exchange(&address)).await;
        assert_eq!(outcome(&function.run(exchange(&address)).await), "resumed");
        world.assert_usable();
        assert_eq!((world.faults.journal().count("oauth2/access_token"), world.redeemed()), (1, 0));
    }
}

#[tokio::test]
async fn a_run_that_comes_while_an_exchange_is_at_work_leaves_the_old_tokens_to_it() {
    let Some(world) = strict(World::start()) else { return };
    let function = world.lambda();
    let link = link(&function, authorize_url()).await;
    let address = consent(&world, &link, GrantSpec::default());
    // After TikTok has given the new tokens.
    let before_the_stage = When::operation("PutSecretValue").detail(Label::Staged.name());
    let other = Arc::new(world.lambda());
    let run = move || {
        let other = other.clone();
        async move { assert_eq!(outcome(&other.run(scheduled()).await), "in_progress") }
    };
    world.faults.at(before_the_stage, Fault::run_before(run));
    assert_eq!(outcome(&function.run(exchange(&address)).await), "authorized");
    world.assert_usable();
    assert!(world.current()["authorized_at"].is_string());
    assert_eq!(world.redeemed(), 0);
}

/// A world whose secret was refreshed before, so that the labels on it say that there is nothing to look for.
async fn settled() -> Option<(World, Function)> {
    let world = strict(World::start())?;
    let function = world.lambda();
    for _ in 0..2 {
        assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
    }
    assert_eq!(world.redeemed(), 2);
    Some((world, function))
}

#[tokio::test]
async fn an_exchange_waits_for_a_run_that_is_at_work_and_takes_the_place_of_its_tokens() {
    let Some((world, function)) = settled().await else { return };
    let other = Arc::new(world.lambda());
    let link = link(&other, authorize_url()).await;
    let address = consent(&world, &link, GrantSpec::default());
    let (started, ended) = (Arc::new(Notify::new()), Arc::new(Mutex::new(None)));
    let (start, end) = (started.clone(), ended.clone());
    tokio::spawn(async move {
        start.notified().await;
        let ending = outcome(&other.run(exchange(&address)).await);
        *end.lock().expect("nobody panicked") = Some(ending);
    });
    // The run has redeemed its token, and takes some seconds to store the answer.
    let begin = move || {
        let started = started.clone();
        async move {
            started.notify_one();
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    };
    world.faults.at(When::operation("PutSecretValue").detail(STAGE), Fault::run_before(begin));
    assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
    let until = tokio::time::Instant::now() + Duration::from_secs(20);
    while ended.lock().expect("nobody panicked").is_none() && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ended.lock().expect("nobody panicked").as_deref(), Some("authorized"));
    world.assert_usable();
    assert!(world.current()["authorized_at"].is_string());
    assert_eq!(world.redeemed(), 3, "the other run did redeem");
}

#[tokio::test]
async fn an_exchange_that_dies_before_it_promotes_is_brought_to_its_end_by_the_hourly_run() {
    let Some((world, function)) = settled().await else { return };
    let link = link(&function, authorize_url()).await;
    let address = consent(&world, &link, GrantSpec::default());
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    let killed = function.run(exchange(&address)).await;
    assert!(matches!(killed.outcome, Outcome::Crashed(_)));
    // Nothing is due; the claim on the tokens that are current leads to those that wait.
    assert_eq!(outcome(&function.run(if_needed()).await), "resumed");
    assert!(world.current()["authorized_at"].is_string(), "the new grant counts");
    world.assert_usable();
    assert_eq!(world.redeemed(), 2);
}

#[tokio::test]
async fn a_refused_auth_code_leaves_tokens_that_wait_where_the_next_run_finds_them() {
    let Some((world, function)) = settled().await else { return };
    world.faults.at(When::operation("PutSecretValue").detail(STAGE), Fault::KillAfter);
    let killed = function.run(refresh()).await;
    assert!(matches!(killed.outcome, Outcome::Crashed(_)));
    world.let_the_claim_expire().await;
    let link = link(&function, authorize_url()).await;
    let address = consent(&world, &link, GrantSpec::default());
    world.faults.at(When::operation("oauth2/access_token"), Fault::tiktok(40110, "Auth_code is expired"));
    assert_failed(&function.run(exchange(&address)).await, "ReauthorizationRequired", &["auth code"]);
    // Nothing is due; the claim on the tokens that are current leads to those that wait.
    assert_eq!(outcome(&function.run(if_needed()).await), "resumed");
    world.assert_usable();
    assert_eq!(world.redeemed(), 3);
}

fn if_needed() -> Value {
    json!({"action": "refresh", "if_needed": true})
}

#[tokio::test]
async fn an_exchange_wins_over_tokens_that_are_pasted_in_meanwhile() {
    let Some(world) = strict(World::start()) else { return };
    let function = world.lambda();
    let link = link(&function, authorize_url()).await;
    let address = consent(&world, &link, GrantSpec::default());
    let pasted = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
    let document = credentials(Flow::Business, &pasted).to_string();
    let (client, secret_id) = (world.secrets_manager.client(), world.secret_id.clone());
    let paste = move || {
        let (client, secret_id, document) = (client.clone(), secret_id.clone(), document.clone());
        async move { drop(client.put(&secret_id, &document).await.expect("a person may write")) }
    };
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::run_before(paste));
    assert_eq!(outcome(&function.run(exchange(&address)).await), "authorized");
    assert_ne!(world.field("access_token"), pasted.access_token);
    world.assert_usable();
}

#[tokio::test]
async fn an_exchange_that_others_have_brought_to_its_end_does_not_put_older_tokens_back() {
    let Some(world) = strict(World::start()) else { return };
    let function = world.lambda();
    let link = link(&function, authorize_url()).await;
    let address = consent(&world, &link, GrantSpec::default());
    // One run promotes what the exchange has staged, and the next one refreshes it.
    let other = Arc::new(world.lambda());
    world.faults.at(
        When::operation("UpdateSecretVersionStage"),
        Fault::run_before(move || {
            let other = other.clone();
            async move {
                assert_eq!(outcome(&other.run(refresh()).await), "resumed");
                assert_eq!(outcome(&other.run(refresh()).await), "refreshed");
            }
        }),
    );
    assert_eq!(outcome(&function.run(exchange(&address)).await), "fresh");
    world.assert_usable();
    assert_eq!(world.redeemed(), 1);
}

#[tokio::test]
async fn tokens_that_tiktok_issues_and_does_not_accept_do_not_take_the_place_of_working_ones() {
    // Over tokens that a person made, and over those of an ordinary day.
    for refreshes_before in [0, 2] {
        let world = World::start();
        let function = world.lambda();
        for _ in 0..refreshes_before {
            assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
        }
        let before = world.current();
        let spec = GrantSpec { propagation: Propagation::Time(HOUR), ..GrantSpec::long_term() };
        let invocation = authorize(&world, &function, spec).await;
        assert_failed(&invocation, "NewTokenRejected", &[]);
        assert_failed(&function.run(refresh()).await, "NewTokenRejected", &["TIKTOK_STAGED"]);
        assert_eq!(world.current(), before, "the old tokens stay current");

        world.tiktok.core().clock.advance(HOUR);
        assert_eq!(outcome(&function.run(if_needed()).await), "resumed");
        assert_eq!(world.current()["flow"], "long_term", "the new grant counts once TikTok takes its token");
        world.assert_usable();
        assert_eq!(world.redeemed(), refreshes_before, "the old grant was not spent meanwhile");
    }
}

#[tokio::test]
async fn advertisers_that_cannot_be_listed_yet_are_those_that_the_answer_names() {
    let world = unauthorized();
    let function = world.lambda();
    world.faults.at(When::operation("oauth2/advertiser/get").always(), Fault::answer(503, "text/html", "busy"));
    let link = link(&function, authorize_url()).await;
    let address = consent(&world, &link, GrantSpec::default());
    let invocation = function.invoke(exchange(&address), SHORT).await;
    assert_eq!(outcome(&invocation), "authorized");
    assert_eq!(world.current()["advertiser_ids"], json!(["7000000000000000001", "7000000000000000002"]));
    assert!(warnings(&invocation).contains("names"));
}

#[tokio::test]
async fn advertisers_that_cannot_be_listed_again_keep_the_names_that_are_known() {
    let advertisers = ["1", "2", "3"].map(|id| Advertiser::new(id, &format!("Name {id}"))).to_vec();
    let spec = GrantSpec { advertisers, ..GrantSpec::default() };
    let world = World::with(spec.clone());
    let function = world.lambda();
    assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
    let before = world.current();
    world.faults.at(When::operation("oauth2/advertiser/get").always(), Fault::answer(503, "text/html", "busy"));
    let link = link(&function, authorize_url()).await;
    let invocation = function.invoke(exchange(&consent(&world, &link, spec)), SHORT).await;
    assert_eq!(outcome(&invocation), "authorized");
    assert_eq!(world.current()["advertisers"], before["advertisers"]);
    assert_eq!(world.current()["advertiser_ids"], before["advertiser_ids"]);
}

#[tokio::test]
async fn an_exchange_fills_the_reader_secrets_and_names_them() {
    let (world, reader) = crate::publish::world("reader").await;
    let invocation = authorize(&world, &world.lambda(), GrantSpec::default()).await;
    assert_eq!(only_result(&invocation)["published"], json!([reader]));
    let body = crate::publish::read(&world, &reader).await.expect("a value");
    assert_eq!(body["access_token"], world.current()["access_token"]);
}

#[tokio::test]
async fn tokens_that_tiktok_gives_once_more_for_another_authorization_are_current_and_stay() {
    for (spec, next) in [(GrantSpec::long_term(), "verified"), (GrantSpec::default(), "refreshed")] {
        let world = unauthorized();
        let function = world.lambda();
        authorize(&world, &function, spec.clone()).await;
        let first = world.current();
        // The same tokens at once, and after others.
        for between in [0, 1] {
            for _ in 0..between {
                assert_eq!(outcome(&authorize(&world, &function, spec.clone()).await), "authorized");
                assert_ne!(world.field("access_token"), first["access_token"]);
            }
            let tokens = first.clone();
            let same_tokens = Fault::rewritten(move |answer| {
                let mut answer: Value = serde_json::from_str(answer).expect("JSON");
                for name in ["access_token", "refresh_token"] {
                    answer["data"][name] = tokens[name].clone();
                }
                answer.to_string().into_bytes()
            });
            world.faults.at(When::operation("oauth2/access_token"), same_tokens);
            assert_eq!(outcome(&authorize(&world, &function, spec.clone()).await), "authorized", "after {between}");
            assert_eq!(world.faults.unfired(), 0);
            assert_eq!(world.field("access_token"), first["access_token"], "after {between}");
            assert_eq!(outcome(&function.run(if_needed()).await), if next == "verified" { next } else { "fresh" });
            assert_eq!(world.field("access_token"), first["access_token"], "after {between}");
        }
        for _ in 0..3 {
            assert_eq!(outcome(&function.run(refresh()).await), next);
            let access_token = world.field("access_token");
            assert_eq!(access_token == first["access_token"], next == "verified");
            world.assert_usable();
        }
    }
}
