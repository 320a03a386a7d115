//! TikTok rejects, throttles, fails or sends unexpected answers.

use std::time::Duration;

use serde_json::{Value, json};
use stand_ins::{
    APP_ID, APP_SECRET, Fault, Faults, Flow, GrantSpec, TikTok, TikTokServer, When, World, credentials,
    tiktok::{Propagation, Renewal},
    wire::Answer,
};

use crate::support::{
    BINARY, SHORT, Scenario, assert_failed, only_result, outcome, refresh, scheduled, side_by_side, strict, warnings,
};

const REDEEM: &str = "oauth2/refresh_token";
const LIST: &str = "oauth2/advertiser/get";

fn rotating(old_access_token_dies: bool) -> GrantSpec {
    GrantSpec { old_access_token_dies, ..GrantSpec::default() }
}

fn same_refresh_token() -> GrantSpec {
    GrantSpec { renewal: Renewal::SameRefreshToken, ..GrantSpec::default() }
}

/// A world whose secret holds a list of advertisers of long ago.
fn world_with_an_old_list(spec: GrantSpec) -> World {
    World::with_document(spec, |document| {
        document["advertiser_ids"] = json!(["6999"]);
        document["advertisers"] = json!([{ "advertiser_id": "6999", "advertiser_name": "Old" }]);
        document["advertisers_fetched_at"] = json!("2026-01-01T00:00:00Z");
    })
}

#[tokio::test]
async fn a_wrong_app_secret_is_named_as_such() {
    for code in [40113, 40000] {
        let world = World::with_document(GrantSpec::default(), |document| document["secret"] = json!("mistyped"));
        world.tiktok.core().wrong_app_code = code;
        let invocation = world.lambda().run(scheduled()).await;
        assert_failed(&invocation, "TikTokMisconfigured", &[&format!("code {code}"), "app", "secret"]);
        assert_eq!(world.redeemed(), 0);
        let mut corrected = world.current();
        corrected["secret"] = json!(APP_SECRET);
        world.store(&corrected.to_string()).await;
        assert_eq!(world.next_run().await, "refreshed");
    }
}

#[tokio::test]
async fn a_dead_refresh_token_is_a_warning_as_long_as_the_access_token_works() {
    for (lifetime, code) in [(Duration::ZERO, "40103"), (Duration::from_hours(1), "40107")] {
        let world = World::with(GrantSpec { refresh_lifetime: lifetime, ..GrantSpec::default() });
        if lifetime > Duration::ZERO {
            world.tiktok.core().revoke_token(&world.field("refresh_token"));
        }
        let access_token = world.field("access_token");
        let invocation = world.lambda().run(scheduled()).await;
        assert_eq!(outcome(&invocation), "kept");
        let warning = warnings(&invocation);
        for part in [code, "still works and was kept", "Authorize the app again"] {
            assert!(warning.contains(part), "{part:?} is missing in: {warning}");
        }
        assert_eq!(world.field("access_token"), access_token);
        assert!(world.tiktok.core().is_alive(&access_token), "downstream goes on");
        assert_eq!(only_result(&invocation)["advertisers"], 2, "with the advertisers of today");
        assert_eq!(world.current()["advertiser_ids"].as_array().map(Vec::len), Some(2));
    }
}

#[tokio::test]
async fn when_both_tokens_are_dead_a_person_is_asked_to_authorize() {
    for (lifetime, code) in [(Duration::ZERO, "40103"), (Duration::from_hours(1), "40107")] {
        let world = World::with(GrantSpec { refresh_lifetime: lifetime, ..GrantSpec::default() });
        let tokens = [world.field("access_token"), world.field("refresh_token")];
        let dead = if lifetime == Duration::ZERO { &tokens[..1] } else { &tokens[..] };
        for token in dead {
            world.tiktok.core().revoke_token(token);
        }
        let invocation = world.lambda().run(scheduled()).await;
        assert_failed(&invocation, "ReauthorizationRequired", &[code, "Authorize the app again"]);
        let issued = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
        world.store(&credentials(Flow::Business, &issued).to_string()).await;
        assert_eq!(world.next_run().await, "refreshed");
    }
}

#[tokio::test]
async fn a_dead_grant_is_called_dead_as_often_as_tiktok_is_asked() {
    let world = World::start();
    world.tiktok.core().revoke(world.grant);
    for _ in 0..3 {
        let invocation = world.lambda().run(refresh()).await;
        assert_failed(&invocation, "ReauthorizationRequired", &["40107"]);
        let said = format!("{:?}", invocation.outcome);
        assert!(!said.contains("earlier attempt was lost"), "TikTok has answered every time: {said}");
        world.let_the_claim_expire().await;
    }
}

/// The ways in which TikTok carries a redeem out and its answer gets lost.
fn lost_answers() -> [Fault; 5] {
    [
        Fault::DropAfter,
        Fault::ResetAfter,
        Fault::TruncatedBody,
        Fault::answer(502, "text/html", "<html>Bad Gateway</html>").after_applying(),
        Fault::tiktok(50000, "System error").after_applying(),
    ]
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_where_the_refresh_token_stays_the_same() {
    side_by_side(lost_answers().map(|fault| async move {
        let world = World::with(same_refresh_token());
        let case = format!("{fault:?}");
        world.faults.at(When::operation(REDEEM), fault);
        assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed", "{case}");
        world.assert_usable();
        assert_eq!(world.redeemed(), 2, "{case}");
    }))
    .await;
}

#[tokio::test]
async fn a_lost_answer_is_not_blamed_on_the_grant() {
    side_by_side(lost_answers().map(|fault| async move {
        let world = World::with(rotating(true));
        world.faults.at(When::operation(REDEEM), fault.clone());
        let invocation = world.lambda().run(scheduled()).await;
        let says = ["answer to an earlier attempt was lost", "40107", "Authorize the app again"];
        assert_failed(&invocation, "ReauthorizationRequired", &says);
        assert_failed(&world.lambda().run(refresh()).await, "ReauthorizationRequired", &says);

        let world = World::with(rotating(false));
        world.faults.at(When::operation(REDEEM), fault);
        let invocation = world.lambda().run(scheduled()).await;
        assert_eq!(outcome(&invocation), "kept", "the access token before it still works");
        assert!(warnings(&invocation).contains("answer to an earlier attempt was lost"), "{}", warnings(&invocation));
    }))
    .await;
}

#[tokio::test]
async fn an_answer_of_another_content_type_is_an_answer() {
    let world = World::start();
    world.faults.at(When::operation(REDEEM), Fault::WrongContentType);
    world.faults.at(When::operation(LIST), Fault::WrongContentType);
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    world.assert_usable();
    assert_eq!((world.redeemed(), world.faults.unfired()), (1, 0));
}

#[tokio::test]
async fn a_new_token_that_is_not_accepted_at_once_is_waited_for() {
    let world = World::with(GrantSpec { propagation: Propagation::Uses(2), ..GrantSpec::default() });
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    world.assert_usable();
    assert_eq!(world.redeemed(), 1);
}

#[tokio::test]
async fn a_new_token_that_is_not_accepted_is_not_promoted_but_kept_for_the_next_run() {
    let world = World::with(rotating(false));
    let before = world.current();
    world.faults.at(When::operation(LIST).always(), Fault::tiktok(40105, "Access token is incorrect"));
    let invocation = world.lambda().run(scheduled()).await;
    assert_failed(&invocation, "NewTokenRejected", &["40105", "TIKTOK_STAGED", "the next run tries them again"]);
    assert_eq!(world.current(), before, "nobody reads a token that TikTok rejects");
    let staged = world.document("TIKTOK_STAGED").expect("the new tokens are kept");
    let newest = world.tiktok.core().newest(world.grant);
    assert_eq!(staged["access_token"], newest.0);
    assert_eq!(staged["refresh_token"].as_str(), newest.1.as_deref());
    assert_eq!(world.next_run().await, "resumed");
    assert_eq!(world.redeemed(), 1);
}

fn throttled() -> [(Fault, &'static str); 7] {
    [
        (Fault::tiktok(40002, "Too many requests. Please slow down."), "40002"),
        (Fault::answer(200, "application/json", r#"{"code":429,"message":"Too Many Requests"}"#), "HTTP 429"),
        (Fault::tiktok(40100, "Request too frequent. Please try again later."), "40100"),
        (Fault::tiktok(40016, "Your developer app has reached the QPS limit"), "40016"),
        (Fault::tiktok(61000, "Too many requests"), "61000"),
        (Fault::tiktok(40000, "Requests are made Too Frequently"), "40000"),
        (Fault::answer(429, "text/html", "<html>Too Many Requests</html>"), "HTTP 429"),
    ]
}

#[tokio::test]
async fn a_rate_limit_that_holds_until_the_deadline_is_named_and_costs_nothing() {
    side_by_side(throttled().map(|(fault, code)| async move {
        let world = World::start();
        world.faults.at(When::operation(REDEEM).always(), fault);
        let invocation = world.lambda().invoke(scheduled(), SHORT).await;
        assert_failed(&invocation, "TikTokThrottled", &[code, "Nothing is lost"]);
        assert_eq!(world.redeemed(), 0);
        assert_eq!(world.next_run().await, "refreshed");
    }))
    .await;
}

#[tokio::test]
async fn a_rate_limit_that_passes_is_waited_for() {
    side_by_side(throttled().into_iter().flat_map(|fault| [(REDEEM, fault.clone()), (LIST, fault)]).map(
        |(operation, (fault, code))| async move {
            let world = World::start();
            world.faults.at(When::operation(operation), fault);
            let invocation = world.lambda().run(scheduled()).await;
            assert_eq!(outcome(&invocation), "refreshed", "{operation} {code}");
            assert_eq!(warnings(&invocation), "");
            world.assert_usable();
            let entries = world.faults.journal();
            let at: Vec<_> = entries.of(operation).map(|entry| entry.at).collect();
            assert!(at[1] >= at[0] + Duration::from_secs(2), "short waits only feed the limit");
        },
    ))
    .await;
}

#[tokio::test]
async fn what_fails_for_a_moment_is_tried_again_after_ever_longer_waits() {
    let world = World::start();
    world.faults.at(When::operation(REDEEM).times(3), Fault::tiktok(50000, "Internal error"));
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    let journal = world.faults.journal();
    let at: Vec<_> = journal.of(REDEEM).map(|entry| entry.at).collect();
    assert_eq!(at.len(), 4, "{journal}");
    for (pair, least) in at.windows(2).zip([200, 400, 800].map(Duration::from_millis)) {
        assert!(pair[1].saturating_sub(pair[0]) >= least, "{journal}");
    }
}

#[tokio::test]
async fn each_pause_is_twice_as_long_as_the_one_before_until_tiktok_answers() {
    let world = World::start();
    let throttle = || Fault::tiktok(40100, "Request too frequent. Please try again later.");
    world.faults.at(When::operation(REDEEM).times(2), throttle());
    world.faults.at(When::operation(LIST), throttle());
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    let journal = world.faults.journal();
    let waits = |operation: &str| {
        let at: Vec<_> = journal.of(operation).map(|entry| entry.at).collect();
        at.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).as_secs()).collect::<Vec<_>>()
    };
    // Each is lengthened at random, by as much again at most; a busy machine adds a moment.
    assert!(matches!(waits(REDEEM)[..], [2..6, 4..12]), "{journal}");
    assert!(matches!(waits(LIST)[..], [2..8]), "the third pause in a row would be 8 seconds at least: {journal}");
}

#[tokio::test]
async fn new_tokens_that_are_rejected_until_the_deadline_are_named_before_it() {
    let world = World::start();
    world.faults.at(When::operation(REDEEM), Fault::Delay(Duration::from_millis(7_500)));
    world.faults.at(When::operation(LIST).always(), Fault::tiktok(40105, "Access token is incorrect"));
    assert_failed(&world.lambda().invoke(scheduled(), SHORT).await, "NewTokenRejected", &["40105"]);
    assert_eq!(world.next_run().await, "resumed");
}

fn unavailable() -> [(Fault, &'static str); 11] {
    [
        (Fault::answer(408, "text/html", "<html>Request Timeout</html>"), "HTTP 408"),
        (Fault::answer(200, "application/json", r#"{"code":503,"message":"no upstream"}"#), "HTTP 503"),
        (Fault::tiktok(40700, "Internal service error"), "40700"),
        (Fault::tiktok(50000, "System error"), "50000"),
        (Fault::tiktok(51010, "Service error"), "51010"),
        (Fault::tiktok(60001, "The API is under maintenance"), "60001"),
        (Fault::answer(500, "text/plain", "oops"), "HTTP 500"),
        (Fault::answer(503, "text/html", "<html>maintenance</html>"), "HTTP 503"),
        (Fault::answer(200, "text/html", "<html>maintenance</html>"), "not what its API answers"),
        (Fault::Garbage, "not what its API answers"),
        (Fault::ResetBefore, "closed the connection"),
    ]
}

#[tokio::test]
async fn a_tiktok_that_is_down_until_the_deadline_is_named_and_costs_nothing() {
    side_by_side(unavailable().map(|(fault, says)| async move {
        let world = World::start();
        world.faults.at(When::operation(REDEEM).always(), fault);
        let invocation = world.lambda().invoke(scheduled(), SHORT).await;
        assert_failed(&invocation, "TikTokUnavailable", &[says, REDEEM, "the next run tries again"]);
        assert!(world.faults.journal().count(REDEEM) > 1, "{says}: it was tried again");
        assert_eq!(world.redeemed(), 0);
        assert_eq!(world.next_run().await, "refreshed");
    }))
    .await;
}

#[tokio::test]
async fn a_tiktok_that_is_down_for_a_moment_is_outlasted() {
    side_by_side(unavailable().map(|(fault, says)| async move {
        let world = World::start();
        world.faults.at(When::operation(REDEEM).times(2), fault.clone());
        world.faults.at(When::operation(LIST).times(2), fault);
        let invocation = world.lambda().run(scheduled()).await;
        assert_eq!((outcome(&invocation), warnings(&invocation)), ("refreshed".into(), String::new()), "{says}");
        world.assert_usable();
        assert_eq!((world.redeemed(), world.faults.unfired()), (1, 0), "{says}");
    }))
    .await;
}

#[tokio::test]
async fn a_list_that_cannot_be_fetched_keeps_no_new_token_back() {
    let cases = [
        (Fault::tiktok(40001, "No permission to operate this advertiser"), "40001"),
        (Fault::answer(404, "text/plain", "404 page not found"), "HTTP 404"),
        (Fault::answer(200, "application/json", r#"{"code":0,"data":{}}"#), "no list of advertisers"),
        (Fault::tiktok(50000, "System error"), "50000"),
        (Fault::tiktok(40100, "Request too frequent"), "40100"),
    ];
    side_by_side(cases.map(|(fault, says)| async move {
        let world = world_with_an_old_list(GrantSpec::default());
        world.faults.at(When::operation(LIST).always(), fault);
        let invocation = world.lambda().invoke(scheduled(), SHORT).await;
        assert_eq!(outcome(&invocation), "refreshed", "{says}");
        world.assert_usable();
        assert_the_old_list_is_kept(&world, &only_result(&invocation), &warnings(&invocation), says);
        assert_eq!(world.next_run().await, "refreshed");
        assert_eq!(world.current()["advertiser_ids"].as_array().map(Vec::len), Some(2), "{says}");
    }))
    .await;
}

#[track_caller]
fn assert_the_old_list_is_kept(world: &World, result: &Value, warnings: &str, says: &str) {
    assert_eq!(result["advertisers_stale"], true, "{says}");
    assert_eq!(result["advertisers"], 1, "{says}");
    assert_eq!((&result["advertisers_added"], &result["advertisers_removed"]), (&json!([]), &json!([])), "{says}");
    assert_eq!(world.current()["advertiser_ids"], json!(["6999"]), "{says}");
    assert_eq!(world.field("advertisers_fetched_at"), "2026-01-01T00:00:00Z", "{says}");
    assert!(
        warnings.contains(says) && warnings.contains("the old list was kept"),
        "{says:?} is missing in: {warnings}"
    );
}

#[tokio::test]
async fn an_empty_list_does_not_take_the_place_of_a_good_one() {
    let world = world_with_an_old_list(GrantSpec { advertisers: Vec::new(), ..GrantSpec::default() });
    let invocation = world.lambda().run(scheduled()).await;
    assert_eq!(outcome(&invocation), "refreshed");
    assert_the_old_list_is_kept(&world, &only_result(&invocation), &warnings(&invocation), "listed no advertisers");
    world.assert_usable();
}

#[tokio::test]
async fn an_empty_list_where_there_was_none_is_just_that() {
    let world = World::with(GrantSpec { advertisers: Vec::new(), ..GrantSpec::default() });
    let invocation = world.lambda().run(scheduled()).await;
    assert_eq!((outcome(&invocation), warnings(&invocation)), ("refreshed".into(), String::new()));
    assert_eq!(only_result(&invocation)["advertisers_stale"], false);
    assert_eq!(world.current()["advertisers"], json!([]));
}

#[tokio::test]
async fn a_code_of_which_more_is_known_than_its_kind_says_what_to_do() {
    for (code, kind, says) in [
        (40107, "ReauthorizationRequired", "remove 'refresh_token' from the secret or set 'flow' to \"long_term\""),
        (40108, "TikTokMisconfigured", "the tokens seem to be of the other family"),
        (40113, "TikTokMisconfigured", "against the app's page in TikTok's portal"),
    ] {
        let world = World::start();
        world.tiktok.core().revoke(world.grant);
        world.faults.at(When::operation(REDEEM), Fault::tiktok(code, "No."));
        assert_failed(&world.lambda().run(scheduled()).await, kind, &[&format!("code {code}"), says]);
    }
}

#[tokio::test]
async fn a_redirect_is_an_error_and_no_secret_follows_it() {
    let elsewhere = Faults::new();
    let mut impostor = TikTok::new("elsewhere");
    impostor.add_app(APP_ID, APP_SECRET);
    let impostor = TikTokServer::start(elsewhere.clone(), impostor);
    for status in [301, 302, 303, 307, 308] {
        let redirect = |to: &str| {
            let answer = Answer::new(status, "text/html", "<html>Moved</html>");
            Fault::Answer(answer.with_header("location", &format!("{}{to}/", impostor.url())))
        };
        let world = World::start();
        world.faults.at(When::operation(REDEEM), redirect(REDEEM));
        let invocation = world.lambda().run(scheduled()).await;
        let says = [&format!("HTTP {status}"), "TIKTOK_API_URL"];
        assert_failed(&invocation, "TikTokMisconfigured", &says);
        assert_eq!(world.redeemed(), 0);

        world.let_the_claim_expire().await;
        world.faults.at(When::operation(LIST), redirect(LIST));
        let invocation = world.lambda().run(refresh()).await;
        assert_eq!(outcome(&invocation), "refreshed");
        assert!(warnings(&invocation).contains(says[0]), "{}", warnings(&invocation));
        assert!(elsewhere.journal().is_empty(), "{}", elsewhere.journal());
    }
}

#[tokio::test]
async fn an_address_that_is_not_the_apis_is_named_as_such() {
    let world = World::start();
    let url = format!("http://{}/open_api/v0.9/", world.tiktok.address());
    let invocation = world.function_with(BINARY, &[("TIKTOK_API_URL", &url)]).run(scheduled()).await;
    assert_failed(&invocation, "TikTokMisconfigured", &["HTTP 404", "Check TIKTOK_API_URL"]);
    assert_eq!(world.next_run().await, "refreshed");
}

#[tokio::test]
async fn advice_follows_the_message_and_the_endpoint_and_not_the_code_alone() {
    const PERMISSION: &str = "Tick 'Read Ad Account Information'";
    const ADVERTISER: &str = "may not operate this advertiser account";
    for (code, message, says, says_not) in [
        (40001, "No permission to operate advertiser: 7000000000000000001", ADVERTISER, PERMISSION),
        (40001, "Permission denied for advertiser_id 7000000000000000001.", ADVERTISER, PERMISSION),
        (40001, "Advertiser 7000000000000000001 does not exist or was deleted.", ADVERTISER, PERMISSION),
        (40001, "No permission.", PERMISSION, ADVERTISER),
        (40002, "auth_code: Invalid value.", "open a new link", PERMISSION),
        (40000, "The app_id or secret is wrong.", "Check 'app_id' and 'secret'", PERMISSION),
    ] {
        let world = World::start();
        world.faults.at(When::operation(REDEEM), Fault::tiktok(code, message));
        let invocation = world.lambda().run(scheduled()).await;
        assert_failed(&invocation, "TikTokMisconfigured", &[message, says]);
        assert!(!format!("{:?}", invocation.outcome).contains(says_not), "{message}");
        assert_eq!(world.next_run().await, "refreshed");
    }
}

#[tokio::test]
async fn an_auth_code_that_is_not_taken_has_the_lifetime_of_its_family() {
    for code in [40109, 40110, 40131] {
        for (flow, endpoint, lifetime, not) in [
            ("tt_user", "tt_user/oauth2/token", "10 minutes", "hour"),
            ("business", "oauth2/access_token", "1 hour", "10 minutes"),
        ] {
            let world = World::empty();
            let document =
                json!({"app_id": APP_ID, "secret": APP_SECRET, "flow": flow, "redirect_uri": "https://localhost:8080"});
            world.create_secret(&world.secret_id, &document);
            world.faults.at(When::operation(endpoint), Fault::tiktok(code, "Auth_code is invalid."));
            let invocation = world.lambda().run(json!({"action": "exchange", "auth_code": "x*0!5678"})).await;
            assert_failed(&invocation, "ReauthorizationRequired", &[&format!("code {code}"), lifetime, "works once"]);
            assert!(!format!("{:?}", invocation.outcome).contains(not), "{flow}: {:?}", invocation.outcome);
        }
    }
}

#[tokio::test]
async fn an_error_body_of_oauth_is_a_refusal_and_not_a_wrong_address() {
    let v2 = |code: &str| json!({"error": {"code": code, "message": "No.", "log_id": "202611280600"}});
    for (status, body, kind, says) in [
        (
            400,
            json!({"error": "invalid_grant", "error_description": "Refresh token is expired."}),
            "kept",
            "invalid_grant \"Refresh token is expired.\"",
        ),
        (401, json!({"error": "invalid_grant"}), "kept", "invalid_grant"),
        (200, json!({"error": "invalid_grant"}), "kept", "invalid_grant"),
        (400, json!({"error": "INVALID_GRANT"}), "kept", "INVALID_GRANT"),
        (400, json!({"error": "invalid grant"}), "kept", "invalid grant"),
        (401, v2("Invalid-Client"), "TikTokMisconfigured", "Check 'app_id' and 'secret'"),
        (401, v2("access_token_invalid"), "kept", "request 202611280600"),
        (401, json!({"error": "invalid_client"}), "TikTokMisconfigured", "Check 'app_id' and 'secret'"),
        (400, json!({"error": "unauthorized_client"}), "TikTokMisconfigured", "Check 'app_id' and 'secret'"),
        (400, json!({"error": "unsupported_grant_type"}), "TikTokMisconfigured", "Check 'flow'"),
        (400, json!({"error": "invalid_request"}), "TikTokMisconfigured", "Check 'flow'"),
        (400, json!({"error": "invalid_scope"}), "TikTokMisconfigured", "Tick 'Read Ad Account Information'"),
    ] {
        let world = World::start();
        world.faults.at(When::operation(REDEEM), Fault::answer(status, "application/json", body.to_string()));
        let invocation = world.lambda().run(scheduled()).await;
        assert_eq!(outcome(&invocation), kind, "{status} {body}");
        let said =
            if kind == "kept" { warnings(&invocation) } else { crate::evidence::error_message(&invocation).to_owned() };
        assert!(said.contains(says) && !said.contains("TIKTOK_API_URL"), "{status} {body}: {said}");
        assert_eq!(world.next_run().await, "refreshed", "{status} {body}");
    }
}

#[tokio::test]
async fn an_error_body_of_oauth_that_passes_is_outlasted() {
    for (status, name) in
        [(503, "temporarily_unavailable"), (400, "temporarily_unavailable"), (400, "slow_down"), (500, "server_error")]
    {
        let world = World::start();
        let body = json!({"error": name}).to_string();
        world.faults.at(When::operation(REDEEM), Fault::answer(status, "application/json", body));
        assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed", "{status} {name}");
        world.assert_usable();
    }
}

#[tokio::test]
async fn the_refusal_of_a_proxy_is_still_no_answer_of_tiktoks() {
    for (status, body) in [
        (401, "<html>Unauthorized</html>"),
        (403, r#"{"message":"Forbidden"}"#),
        (400, "{}"),
        (404, r#"{"timestamp":"2026-11-28","status":404,"error":"Not Found","path":"/open_api"}"#),
        (404, r#"{"code":404,"message":"page not found"}"#),
        (401, r#"{"code":"401","message":"Unauthorized"}"#),
        (302, r#"{"code":302}"#),
    ] {
        let world = World::start();
        world.faults.at(When::operation(REDEEM), Fault::answer(status, "application/json", body));
        let says = [&format!("HTTP {status}"), "TIKTOK_API_URL"];
        assert_failed(&world.lambda().run(scheduled()).await, "TikTokMisconfigured", &says);
        assert_eq!(world.next_run().await, "refreshed");
    }
}

#[tokio::test]
async fn a_refused_list_of_a_long_term_token_is_judged_the_same_way_by_an_exchange_and_by_later_runs() {
    // The emulator does not keep what this leans on: one server for all worlds, labels that a write moves.
    if strict(World::empty()).is_none() {
        return;
    }
    let world = World::empty();
    world.create_secret(&world.secret_id, &json!({"app_id": APP_ID, "secret": APP_SECRET}));
    world.faults.at(When::operation(LIST).always(), Fault::tiktok(40001, "No permission to operate this advertiser"));
    let function = world.lambda();
    let link = crate::authorize::link(&function, crate::authorize::authorize_url()).await;
    let address = crate::authorize::consent(&world, &link, GrantSpec::long_term());
    let exchanged = function.run(crate::authorize::exchange(&address)).await;
    assert_eq!(outcome(&exchanged), "authorized");
    let ids = world.current()["advertiser_ids"].clone();
    assert_eq!(ids, json!(["7000000000000000001", "7000000000000000002"]), "as the answer to the exchange has them");
    for event in [refresh(), scheduled(), refresh()] {
        let invocation = function.run(event).await;
        assert_eq!(outcome(&invocation), "verified");
        assert!(warnings(&invocation).contains("could not be listed"), "{}", warnings(&invocation));
        assert!(warnings(&invocation).contains("40001"), "{}", warnings(&invocation));
        assert_eq!(world.current()["advertiser_ids"], ids);
    }
    // A token of which nothing is known, and one that is dead, are another matter.
    let mut unknown = world.current();
    unknown["advertiser_ids"] = json!([]);
    unknown["advertisers"] = json!([]);
    world.store(&unknown.to_string()).await;
    assert_failed(&function.run(refresh()).await, "TikTokMisconfigured", &["40001"]);
}
