//! The forms of TikTok's answers. Each known form leads to a correct document, and each flow uses its own endpoint.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use miniz_oxide::deflate::compress_to_vec;
use serde_json::{Value, json};
use stand_ins::{
    APP_ID, APP_SECRET, Fault, Flow, GrantSpec, When, World,
    tiktok::{Advertiser, RefreshTokenField, Renewal, RequestId, Shape},
    wire::{Answer, listen},
};
use tiktok_token_refresh::tiktok::Call;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::TcpStream,
};

use crate::support::{
    BINARY, SHORT, Scenario, assert_failed, only_result, outcome, refresh, scheduled, side_by_side, strict, warnings,
};

const BUSINESS: &str = "oauth2/refresh_token";
const TT_USER: &str = "tt_user/oauth2/refresh_token";
const LIST: &str = "oauth2/advertiser/get";

fn same_refresh_token() -> GrantSpec {
    GrantSpec { renewal: Renewal::SameRefreshToken, ..GrantSpec::default() }
}

/// The world and its current document after a refresh from answers of this shape.
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

/// True if a time in the document is this long after now, give or take a minute.
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
        ("access_token_expires_in", "refresh_token_expires_in"),
        ("access_token_expire_in", "refresh_token_expire_in"),
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
    // As languages write a value that is missing.
    for word in ["null", "None", " undefined "] {
        let world = World::with(same_refresh_token());
        let answer = json_body(move |answer| answer["data"]["refresh_token"] = json!(word));
        world.faults.at(When::operation(BUSINESS), answer);
        let invocation = world.lambda().run(refresh()).await;
        assert_eq!((outcome(&invocation), warnings(&invocation)), ("refreshed".to_owned(), String::new()), "{word}");
        assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed", "{word}: and works again");
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
        let invocation = world.lambda().invoke(scheduled(), Duration::from_secs(18)).await;
        assert_failed(&invocation, "TikTokUnavailable", &["without an access token"]);
        assert_eq!(world.current(), before, "{data}");
        assert_eq!(world.next_run().await, "refreshed");
    }
}

#[tokio::test]
async fn a_code_of_tiktoks_counts_whatever_http_status_it_comes_with() {
    for status in [401, 500, 503] {
        let world = World::start();
        let body = r#"{"code":40107,"message":"Refresh token is invalid.","data":{}}"#;
        world.faults.at(When::operation(BUSINESS), Fault::answer(status, "application/json", body));
        let invocation = world.lambda().run(scheduled()).await;
        assert_eq!(outcome(&invocation), "kept", "{status}");
        assert!(warnings(&invocation).contains("code 40107"), "{}", warnings(&invocation));
    }
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
    // Emulators leave AWSCURRENT on two versions when another writer comes after a promotion.
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
    assert_failed(&invocation, "ReauthorizationRequired", &["40105", "Authorize the app again"]);
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
        call.tokens(200, body.as_bytes(), Timestamp::now()).expect("tokens")
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
        call.tokens(200, body.as_bytes(), Timestamp::now()).expect("tokens").scope
    };
    for scope in [r#""""#, r#""ads.read,\u00e4""#, "[]", r#"[4, "ads.read", 18446744073709551615]"#] {
        assert_eq!(kept(scope).as_deref(), Some(scope));
    }
    let odd = ["true", "4", r#"{"4": true}"#, "[[4]]", "[null]", "[-4]", "[4.5]", "[18446744073709551616]"];
    for scope in odd.into_iter().chain(["[1e400]", r#""\ud800""#, r#"["\ud800"]"#]) {
        assert_eq!(kept(scope), None, "{scope}");
    }
}

/// A form of the right answer that surrounds its tokens with something odd, and what a warning says of it.
type Surrounding = (&'static str, Fault, &'static str);

fn body(rewrite: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Fault {
    Fault::rewritten(rewrite)
}

/// The same with a change to the JSON.
fn json_body(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Fault {
    body(move |text| {
        let mut answer = text.parse().expect("JSON");
        change(&mut answer);
        answer.to_string().into()
    })
}

fn gzip(text: &str) -> Vec<u8> {
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    // The checksum and the length at its end are not looked at.
    [&header[..], &compress_to_vec(text.as_bytes(), 6), &[0; 8]].concat()
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(bytes).collect()
}

fn with_status(status: u16) -> Fault {
    Fault::reshaped(move |answer| {
        let (content_type, body) = ("application/json", answer.body.clone());
        Answer::new(status, content_type, body)
    })
}

fn surroundings() -> Vec<Surrounding> {
    other_bodies().into_iter().chain(other_envelopes()).collect()
}

fn other_bodies() -> Vec<Surrounding> {
    vec![
        ("a byte order mark", body(|text| [b"\xef\xbb\xbf", text.as_bytes()].concat()), ""),
        ("blank lines and a NUL", body(|text| format!("\r\n\0 {text}").into()), ""),
        ("two byte order marks", body(|text| format!("\u{feff}\u{feff}{text}").into()), ""),
        ("UTF-16", body(|text| utf16(text, u16::to_le_bytes)), ""),
        ("UTF-16 of the other order", body(|text| utf16(text, u16::to_be_bytes)), ""),
        ("gzip", body(gzip), ""),
        ("text behind it", body(|text| format!("{text}\n<!-- edge-7 -->").into()), ""),
        ("a page around it", body(|text| format!("<style>b {{ top: 0 }}</style><pre>{text}</pre>").into()), ""),
        ("a page that shows it as text", body(|text| format!("<pre>{}</pre>", text.replace('"', "&quot;")).into()), ""),
        ("single quotation marks", body(|text| text.replace('"', "'").into()), ""),
        ("numbers with signs and zeros", body(|text| text.replacen('{', "{\"a\":+1,\"b\":007,", 1).into()), ""),
        (
            "each value in a list",
            json_body(|answer| {
                for name in ["access_token", "refresh_token"] {
                    answer["data"][name] = json!([answer["data"][name].take()]);
                }
            }),
            "",
        ),
        (
            "a token in an object",
            json_body(|answer| {
                answer["data"]["access_token"] = json!({"value": answer["data"]["access_token"].take()});
            }),
            "",
        ),
        ("a call around it", body(|text| format!(")]}}',\ncallback({text});").into()), ""),
        ("another object before it", body(|text| format!("{{\"trace\":\"7\"}}\n{text}").into()), ""),
        ("a list around it", body(|text| format!("[{text}]").into()), ""),
        ("a JSON string around it", body(|text| json!(text).to_string().into()), ""),
        ("a gateway's object around it", body(|text| json!({"statusCode": 200, "body": text}).to_string().into()), ""),
        ("data within data", json_body(|answer| answer["data"] = json!({"data": answer["data"].take()})), ""),
        ("data as a list", json_body(|answer| answer["data"] = json!([answer["data"].take()])), ""),
        (
            "the refresh token elsewhere",
            json_body(|answer| answer["refresh_token"] = answer["data"]["refresh_token"].take()),
            "",
        ),
        (
            "names of another style",
            body(|text| text.replace("_token", "Token").replace("_expires_in", "ExpiresIn").into()),
            "",
        ),
        ("data twice", body(|text| format!("{},\"data\":{{}}}}", &text[..text.len() - 1]).into()), ""),
        ("a line break in a text", body(|text| text.replacen("\"OK\"", "\"O\nK\t\u{0}\"", 1).into()), ""),
        ("an escape that JSON has not", body(|text| text.replacen("\"OK\"", r#""it\'s \x41 \u12""#, 1).into()), ""),
        (
            "a number that is none",
            body(|text| text.replacen("\"code\":0", "\"ratio\":NaN,\"code\":0,\"of\":None", 1).into()),
            "",
        ),
        ("a comma too many", body(|text| text.replacen('}', " ,}", 1).into()), ""),
        ("blanks that JSON has not", body(|text| text.replacen(',', ",\u{a0}\u{200b}", 3).into()), ""),
        ("a code of 0.0", body(|text| text.replacen("\"code\":0", "\"code\":0.0", 1).into()), ""),
        ("a code of \"0\"", body(|text| text.replacen("\"code\":0", "\"code\":\"0\"", 1).into()), ""),
        ("a code of null", json_body(|answer| answer["code"] = Value::Null), ""),
        ("a code in words", json_body(|answer| answer["code"] = json!("OK")), ""),
        ("no code", json_body(|answer| drop(answer.as_object_mut().expect("an object").remove("code"))), ""),
        ("tokens at the top and nothing else", json_body(|answer| *answer = answer["data"].take()), ""),
        (
            "empty tokens under data",
            json_body(|answer| {
                let tokens = answer["data"].take();
                answer["data"] = json!({"access_token": "", "refresh_token": null});
                answer.as_object_mut().expect("an object").extend(tokens.as_object().expect("tokens").clone());
            }),
            "",
        ),
        ("data as a text", json_body(|answer| answer["data"] = json!(answer["data"].to_string())), ""),
        (
            "an error of \"ok\"",
            json_body(|answer| answer["error"] = json!({"code": "ok", "message": "", "log_id": "1"})),
            "",
        ),
        (
            "a byte that is not UTF-8",
            body(|text| {
                text.replacen("\"OK\"", "\"O\u{1}K\"", 1)
                    .bytes()
                    .map(|byte| if byte == 1 { 0xff } else { byte })
                    .collect()
            }),
            "",
        ),
        ("a message that is no text", json_body(|answer| answer["message"] = json!({"text": ["OK"]})), ""),
    ]
}

fn other_envelopes() -> Vec<Surrounding> {
    const REPORTED: &str = "TikTok reported an error beside tokens that work all the same";
    let headers =
        Fault::reshaped(|answer| (0..150).fold(answer, |answer, _| answer.with_header("x-gateway", "one of many")));
    vec![
        ("a hundred and fifty headers", headers, ""),
        ("a length that promises more", Fault::OverlongLength, ""),
        ("a length that promises more and an open connection", Fault::OverlongLengthHeld, ""),
        ("chunks without an end and an open connection", Fault::EndlessChunks, ""),
        (
            "a broken end",
            body(|text| text[..text.find(",\"scope\"").expect("a scope") + 4].into()),
            "broke off behind its tokens",
        ),
        ("HTTP 500", with_status(500), REPORTED),
        ("HTTP 502", with_status(502), REPORTED),
        ("HTTP 400", with_status(400), REPORTED),
        ("HTTP 429", with_status(429), REPORTED),
        ("HTTP 302", with_status(302), REPORTED),
        ("HTTP 408", with_status(408), REPORTED),
        ("a gateway's code", json_body(|answer| answer["code"] = json!(200)), REPORTED),
        ("a code of partial success", json_body(|answer| answer["code"] = json!(20001)), REPORTED),
        ("a code of an internal error", json_body(|answer| answer["code"] = json!(50000)), REPORTED),
        (
            "an OAuth error",
            json_body(|answer| {
                let tokens = answer["data"].take();
                *answer = json!({"error": "temporarily_unavailable", "data": tokens});
            }),
            REPORTED,
        ),
    ]
}

#[tokio::test]
async fn tokens_that_arrived_are_tokens_whatever_surrounds_them() {
    let flows = [Flow::Business, Flow::TtUser];
    let cases = flows.into_iter().flat_map(|flow| surroundings().into_iter().map(move |case| (flow, case)));
    side_by_side(cases.map(|(flow, (case, fault, says))| async move {
        let world = World::with(GrantSpec::of(flow));
        world.faults.at(When::operation(if flow == Flow::TtUser { TT_USER } else { BUSINESS }), fault);
        let invocation = world.lambda().run(scheduled()).await;
        assert_eq!(outcome(&invocation), "refreshed", "{flow:?}, {case}: {:?}", invocation.outcome);
        let warning = warnings(&invocation);
        assert!(warning.contains(says) && warning.is_empty() == says.is_empty(), "{flow:?}, {case}: {warning}");
        world.assert_usable();
        assert_eq!((world.redeemed(), world.faults.unfired()), (1, 0), "{flow:?}, {case}");
        assert_eq!(outcome(&world.lambda().run(refresh()).await), "refreshed", "{flow:?}, {case}");
        world.assert_usable();
    }))
    .await;
}

#[tokio::test]
async fn an_exchange_takes_the_tokens_that_arrived_whatever_surrounds_them() {
    for spec in [GrantSpec::default(), GrantSpec::long_term()] {
        let cases = surroundings().into_iter().map(|case| (spec.clone(), case));
        side_by_side(cases.map(|(spec, (case, fault, says))| async move {
            // Whether a refresh token was to follow in a broken answer, nothing tells.
            if spec == GrantSpec::long_term() && case == "a broken end" {
                return;
            }
            let world = World::empty();
            world.create_secret(&world.secret_id, &json!({"app_id": APP_ID, "secret": APP_SECRET}));
            world.faults.at(When::operation("oauth2/access_token"), fault);
            let function = world.lambda();
            let link = crate::authorize::link(&function, crate::authorize::authorize_url()).await;
            let address = crate::authorize::consent(&world, &link, spec);
            let invocation = function.run(crate::authorize::exchange(&address)).await;
            assert_eq!(outcome(&invocation), "authorized", "{case}: {:?}", invocation.outcome);
            assert!(warnings(&invocation).contains(says), "{case}: {}", warnings(&invocation));
            world.assert_usable();
        }))
        .await;
    }
}

/// The address of a line to TikTok that puts odd header lines into each answer.
async fn line_with_odd_headers(world: &World) -> String {
    const ODD: &[u8] = b"X Blank: 1\r\nX-Before-Colon : 2\r\nX-Folded: 3\r\n 4\r\n\xc3\x9cber: 5\r\nX-Value: \x01\r\n";
    let (listener, tiktok) = (listen().await, world.tiktok.address());
    let url = format!("http://{}/open_api/v1.3/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (mut reads, mut writes) = near.into_split();
            let (mut answers, mut asks) = TcpStream::connect(tiktok).await.expect("the stand-in listens").into_split();
            tokio::spawn(async move { copy(&mut reads, &mut asks).await });
            tokio::spawn(async move {
                let mut part = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = answers.read(&mut part).await {
                    let line = part[..length].windows(2).position(|two| two == b"\r\n").map_or(0, |at| at + 2);
                    let line = if part.starts_with(b"HTTP/") { line } else { 0 };
                    let odd = if line > 0 { ODD } else { b"" };
                    let answer = [&part[..line], odd, &part[line..length]].concat();
                    writes.write_all(&answer).await.expect("the function reads");
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn header_lines_that_http_does_not_have_do_not_cost_a_token() {
    let world = World::start();
    let url = line_with_odd_headers(&world).await;
    let invocation = world.function_with(BINARY, &[("TIKTOK_API_URL", &url)]).run(scheduled()).await;
    assert_eq!((outcome(&invocation), warnings(&invocation)), ("refreshed".to_owned(), String::new()));
    world.assert_usable();
    assert_eq!(world.redeemed(), 1);
}

#[tokio::test]
async fn an_error_beside_a_token_that_does_not_work_stays_the_failure() {
    let answers = [
        (
            200,
            json!({"code": 40002, "message": "No.", "data": {"access_token": "not-TikTok's"}}),
            "TikTokMisconfigured",
            "code 40002",
        ),
        (
            200,
            json!({"code": 40107, "message": "No.", "access_token": "not-TikTok's"}),
            "ReauthorizationRequired",
            "code 40107",
        ),
        (500, json!({"code": 0, "data": {"access_token": "not-TikTok's"}}), "TikTokUnavailable", "HTTP 500"),
        (404, json!({"code": 0, "data": {"access_token": "not-TikTok's"}}), "TikTokMisconfigured", "HTTP 404"),
        (
            401,
            json!({"error": "invalid_client", "access_token": "not-TikTok's"}),
            "TikTokMisconfigured",
            "error invalid_client",
        ),
    ];
    side_by_side(answers.map(|(status, answer, kind, says)| async move {
        let world = World::start();
        let before = world.current();
        world.faults.at(When::operation(BUSINESS), Fault::answer(status, "application/json", answer.to_string()));
        let invocation = world.lambda().run(scheduled()).await;
        assert_failed(&invocation, kind, &[says, "together with an error"]);
        assert_eq!(world.current(), before, "{says}");
        assert_eq!(world.next_run().await, "refreshed", "{says}");
    }))
    .await;
}

#[tokio::test]
async fn a_refusal_that_arrived_is_one_whatever_its_length_promises() {
    for fault in [Fault::OverlongLength, Fault::OverlongLengthHeld] {
        let world = World::start();
        world.tiktok.core().revoke(world.grant);
        world.faults.at(When::operation(BUSINESS), fault.clone());
        world.faults.at(When::operation(LIST), fault);
        assert_failed(&world.lambda().run(scheduled()).await, "ReauthorizationRequired", &["40107"]);
        let journal = world.faults.journal();
        assert_eq!((journal.count(BUSINESS), world.faults.unfired()), (1, 0), "{journal}");
    }
}

#[tokio::test]
async fn a_token_that_was_not_read_whole_is_none() {
    let world = World::with(same_refresh_token());
    let broken = |_: &str| b"{\"code\":0,\"data\":{\"access_token\":\"act.\xff\"}}".to_vec();
    world.faults.at(When::operation(BUSINESS), Fault::rewritten(broken));
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed", "TikTok was asked once more");
    world.assert_usable();
    assert_eq!(world.redeemed(), 2);
}

#[tokio::test]
async fn no_request_asks_for_an_answer_that_has_to_be_unpacked() {
    for flow in [Flow::Business, Flow::TtUser] {
        let world = World::with(GrantSpec::of(flow));
        world.function_with(BINARY, &[("ADVERTISER_INFO", "true")]).run(refresh()).await;
        let encodings: Vec<_> = world.tiktok.core().accepted_encodings.iter().cloned().collect();
        assert_eq!(encodings, ["identity"]);
    }
}

#[tokio::test]
async fn a_lifetime_is_understood_as_serialisers_write_it() {
    let day = Duration::from_hours(24);
    let unix = |from_now: i64| Timestamp::now().as_second() + from_now;
    let cases = [
        ("\"86400\"".to_owned(), day),
        ("\" 86400 \"".to_owned(), day),
        ("86400.0".to_owned(), day),
        ("86400.9".to_owned(), day),
        ("8.64E4".to_owned(), day),
        ("\"8.64e+4\"".to_owned(), day),
        ("2.8484364E7".to_owned(), Duration::from_secs(28_484_364)),
        ("\"86400s\"".to_owned(), day),
        ("\"24h\"".to_owned(), day),
        ("\"PT24H\"".to_owned(), day),
        (unix(86_400).to_string(), day),
        (format!("\"{}\"", unix(86_400)), day),
        (format!("{}.0", unix(86_400)), day),
        (format!("{}000", unix(86_400)), day),
        (format!("\"{}\"", Timestamp::now() + day), day),
    ];
    side_by_side(
        cases.into_iter().flat_map(|case| [("expires_in", case.clone()), ("refresh_token_expires_in", case)]).map(
            |(name, (written, lifetime))| async move {
                let world = World::start();
                let case = format!("{name}: {written}");
                world.faults.at(When::operation(BUSINESS), lifetime_written(name, written));
                let invocation = world.lambda().run(scheduled()).await;
                assert_eq!(
                    (outcome(&invocation), warnings(&invocation)),
                    ("refreshed".to_owned(), String::new()),
                    "{case}"
                );
                let document = world.current();
                let end = if name == "expires_in" { "access_token_expires_at" } else { "refresh_token_expires_at" };
                assert!(is_in(&document[end], lifetime), "{case}: {}", document[end]);
            },
        ),
    )
    .await;
}

fn lifetime_written(name: &'static str, written: String) -> Fault {
    Fault::rewritten(move |text| {
        let at = text.find(&format!("\"{name}\":")).expect("a lifetime") + name.len() + 3;
        let end = at + text[at..].find([',', '}']).expect("an end");
        format!("{}{written}{}", &text[..at], &text[end..]).into()
    })
}

#[tokio::test]
async fn a_lifetime_that_cannot_be_one_is_unknown_and_a_warning_says_so() {
    let long_ago = (Timestamp::now().as_second() - 86_400).to_string();
    let too_far = (Timestamp::now().as_second() + 3 * 365 * 86_400).to_string();
    let cases = [
        long_ago,
        too_far,
        "99999999999999".to_owned(),
        "1e300".to_owned(),
        "1e400".to_owned(),
        "\"soon\"".to_owned(),
        "[86400]".to_owned(),
        "\"2020-01-01T00:00:00Z\"".to_owned(),
    ];
    side_by_side(cases.map(|written| async move {
        let world = World::start();
        world.faults.at(When::operation(BUSINESS), lifetime_written("expires_in", written.clone()));
        let invocation = world.lambda().run(scheduled()).await;
        assert_eq!(outcome(&invocation), "refreshed", "{written}");
        let warning = warnings(&invocation);
        assert!(
            warning.contains("'expires_in'") && warning.contains("the end of the access token is not known"),
            "{written}: {warning}"
        );
        assert_eq!(world.current().get("access_token_expires_at"), None, "{written}");
        world.assert_usable();
    }))
    .await;
}

#[tokio::test]
async fn one_bad_entry_does_not_cost_the_list() {
    let first = json!({"advertiser_id": "7000000000000000001", "advertiser_name": "First Advertiser"});
    let entries = [
        (json!({"advertiser_name": "Nobody"}), json!(null), 1),
        (json!({"advertiser_id": "", "advertiser_name": "Nobody"}), json!(null), 1),
        (json!({"advertiser_id": null}), json!(null), 1),
        (json!({"advertiser_id": {"id": "7"}}), json!(null), 1),
        (json!(null), json!(null), 1),
        (json!([]), json!(null), 1),
        (json!({"advertiser_id": "8", "advertiser_name": null}), json!({"advertiser_id": "8"}), 0),
        (json!({"advertiser_id": "8", "advertiser_name": 8}), json!({"advertiser_id": "8"}), 0),
        (json!({"advertiser_id": 8, "name": "Acht"}), json!({"advertiser_id": "8", "advertiser_name": "Acht"}), 0),
        (json!({"advertiser_id": 8.0}), json!({"advertiser_id": "8"}), 0),
        (json!("8"), json!({"advertiser_id": "8"}), 0),
    ];
    side_by_side(entries.map(|(entry, kept, dropped)| {
        let first = first.clone();
        async move {
            let world = World::start();
            let answer = json!({"code": 0, "message": "OK", "data": {"list": [entry, first]}});
            world.faults.at(When::operation(LIST), Fault::answer(200, "application/json", answer.to_string()));
            let invocation = world.lambda().run(scheduled()).await;
            assert_eq!(outcome(&invocation), "refreshed", "{answer}");
            let expected: Vec<_> = [first, kept].into_iter().filter(|it| !it.is_null()).collect();
            assert_eq!(world.current()["advertisers"], json!(expected), "{answer}");
            let warning = warnings(&invocation);
            assert_eq!(warning.contains("2 entries, and 1 of them without an id"), dropped == 1, "{answer}: {warning}");
            assert_eq!(warning.is_empty(), dropped == 0, "{answer}: {warning}");
        }
    }))
    .await;
}

#[tokio::test]
async fn a_list_is_read_in_each_form_that_a_serializer_gives_it() {
    let lists = [
        r#"{"list":{"7000000000000000001":{"advertiser_name":"A"},"7000000000000000002":{"name":"B"}}}"#,
        r#"{"list":{"0":{"advertiser_id":"7000000000000000001"},"2":{"advertiser_id":7000000000000000002}}}"#,
        r#"{"list":"[{\"advertiser_id\":\"7000000000000000001\"},{\"advertiser_id\":\"7000000000000000002\"}]"}"#,
        r#"{"advertiser_ids":["7000000000000000001",7000000000000000002]}"#,
        r#"{"list":[{"advertiserId":"7000000000000000001","advertiserName":"A"},{"AdvertiserId":"7000000000000000002"}]}"#,
        "{\"list\":[{\"advertiser_id\":\"7000000000000000001\",\"advertiser_name\":\"A\tB\"},{\"advertiser_id\":\"7000000000000000002\"},]}",
    ];
    side_by_side(lists.map(|list| async move {
        let world = World::start();
        let body = format!(r#"{{"code":0,"data":{list}}}"#);
        world.faults.at(When::operation(LIST), Fault::answer(200, "application/json", body));
        let invocation = world.lambda().run(scheduled()).await;
        assert_eq!((outcome(&invocation), warnings(&invocation)), ("refreshed".to_owned(), String::new()), "{list}");
        assert_eq!(world.current()["advertiser_ids"], json!(["7000000000000000001", "7000000000000000002"]), "{list}");
    }))
    .await;
    // A page of a gateway that has a list in it is none.
    let world = World::start();
    let page = r#"<script>let shown = {"data": {"list": []}};</script>"#;
    world.faults.at(When::operation(LIST).always(), Fault::answer(200, "text/html", page));
    let invocation = world.lambda().invoke(scheduled(), SHORT).await;
    assert!(warnings(&invocation).contains("not what its API answers"), "{}", warnings(&invocation));
}

#[tokio::test]
async fn one_byte_that_is_not_utf8_does_not_cost_the_list() {
    let world = World::start();
    let spoil = |text: &str| {
        text.replacen("Zweite", "Zw\u{1}ite", 1).bytes().map(|byte| if byte == 1 { 0xfc } else { byte }).collect()
    };
    world.faults.at(When::operation(LIST), Fault::rewritten(spoil));
    let invocation = world.lambda().run(scheduled()).await;
    assert_eq!((outcome(&invocation), warnings(&invocation)), ("refreshed".to_owned(), String::new()));
    let advertisers = &world.current()["advertisers"];
    assert_eq!(advertisers[0]["advertiser_name"], "First Advertiser");
    assert_eq!(advertisers[1]["advertiser_name"], "Zw\u{fffd}ite Werbung GmbH");
}

#[tokio::test]
async fn a_list_of_which_no_entry_can_be_read_does_not_take_the_place_of_a_good_one() {
    let (world, before) = refreshed(GrantSpec::default(), Shape::default()).await;
    let answer = json!({"code": 0, "data": {"list": [{"advertiser_name": "Nobody"}]}}).to_string();
    world.faults.at(When::operation(LIST).always(), Fault::answer(200, "application/json", answer));
    let invocation = world.lambda().invoke(refresh(), SHORT).await;
    assert_eq!(outcome(&invocation), "refreshed");
    assert!(warnings(&invocation).contains("none of them has an id"), "{}", warnings(&invocation));
    assert_eq!(world.current()["advertisers"], before["advertisers"]);
}

#[tokio::test]
async fn a_list_that_says_that_it_has_more_pages_is_read_to_its_end() {
    let advertisers: Vec<_> =
        (1..=5).map(|n| Advertiser::new(&format!("{}", 7_000_000_000_000_000_000_u64 + n), "Name")).collect();
    for (page_size, pages) in [(2, 3), (1, 5), (5, 1), (10, 1)] {
        let spec = GrantSpec { advertisers: advertisers.clone(), ..GrantSpec::default() };
        let shape = Shape { page_size: Some(page_size), ..Shape::default() };
        let (world, document) = refreshed(spec, shape).await;
        assert_eq!(document["advertiser_ids"].as_array().map(Vec::len), Some(5), "{page_size}");
        assert_eq!(world.faults.journal().count(LIST), pages);
    }
}

#[tokio::test]
async fn a_list_that_counts_its_entries_and_not_its_pages_is_read_to_its_end() {
    let world = World::start();
    for n in 1..=3 {
        let page = json!({"code": 0, "data": {
            "list": [{"advertiser_id": n}], "page_info": {"page": n, "page_size": "1", "total_number": 3},
        }});
        world.faults.at(When::operation(LIST).nth(n), Fault::answer(200, "application/json", page.to_string()));
    }
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    assert_eq!(world.current()["advertiser_ids"], json!(["1", "2", "3"]));
}

#[tokio::test]
async fn pages_that_are_counted_and_never_turned_end_the_list() {
    let world = World::start();
    let page = json!({"code": 0, "data": {"list": [{"advertiser_id": "7"}], "page_info": {"page": 1, "total_page": 1_000_000}}});
    world.faults.at(When::operation(LIST).always(), Fault::answer(200, "application/json", page.to_string()));
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    assert_eq!(world.current()["advertiser_ids"], json!(["7"]));
    assert_eq!(world.faults.journal().count(LIST), 2);
}

const TOKEN_INFO: &str = "tt_user/token_info/get";

#[tokio::test]
async fn an_account_holders_token_is_checked_where_it_belongs() {
    let world = World::with(GrantSpec::of(Flow::TtUser));
    let function = world.lambda();
    for _ in 0..2 {
        let invocation = function.run(refresh()).await;
        assert_eq!((outcome(&invocation), warnings(&invocation)), ("refreshed".to_owned(), String::new()));
        let result = only_result(&invocation);
        assert_eq!((&result["advertisers"], &result["advertisers_stale"]), (&json!(0), &json!(false)));
        world.assert_usable();
    }
    let journal = world.faults.journal();
    assert_eq!((journal.count(TOKEN_INFO), journal.count(LIST)), (2, 0), "{journal}");
    assert_eq!(journal.count("PutSecretValue"), 4, "what has no list is staged as it is promoted: {journal}");
    let status = only_result(&function.run(json!({"action": "status"})).await);
    assert_eq!(status["advertisers_stale"], false);
    assert!(!status["warnings"].to_string().contains("advertisers"), "{}", status["warnings"]);

    // A dead refresh token leaves a token that works, and a revoked grant leaves none.
    world.tiktok.core().revoke_token(&world.field("refresh_token"));
    assert_eq!(outcome(&function.run(refresh()).await), "kept");
    world.tiktok.core().revoke(world.grant);
    assert_failed(&function.run(refresh()).await, "ReauthorizationRequired", &["40107"]);
}

#[tokio::test]
async fn an_account_holders_new_token_that_is_rejected_is_not_promoted() {
    let world = World::with(GrantSpec::of(Flow::TtUser));
    let before = world.current();
    world.faults.at(When::operation(TOKEN_INFO).always(), Fault::tiktok(40105, "Access token is incorrect"));
    let invocation = world.lambda().run(scheduled()).await;
    assert_failed(&invocation, "NewTokenRejected", &["40105", TOKEN_INFO]);
    assert_eq!(world.current(), before);
    assert_eq!(world.next_run().await, "resumed");
}

#[tokio::test]
async fn the_advertisers_that_an_account_holders_secret_holds_stay_as_they_are() {
    let world = World::with_document(GrantSpec::of(Flow::TtUser), |document| {
        document["advertiser_ids"] = json!(["6999"]);
        document["advertisers"] = json!([{"advertiser_id": "6999", "advertiser_name": "By hand"}]);
    });
    for _ in 0..2 {
        let invocation = world.lambda().run(refresh()).await;
        assert_eq!((outcome(&invocation), warnings(&invocation)), ("refreshed".to_owned(), String::new()));
        assert_eq!(world.current()["advertisers"][0]["advertiser_name"], "By hand");
        assert_eq!(only_result(&invocation)["advertisers_stale"], false);
    }
    assert_eq!(world.faults.journal().count("PutSecretValue"), 4);
}
