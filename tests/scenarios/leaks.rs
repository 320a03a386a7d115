//! No token, app secret or key leaves the function in a log line, a metric, a response or an error. This holds for
//! every failure and for servers that repeat a request.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper::Request;
use serde_json::{Value, json};
use stand_ins::{
    Entry, Fault, Flow, Function, GrantSpec, Invocation, Outcome, Service, When, World, credentials, lambda::url_event,
    tiktok::Propagation, wire::Answer,
};
use url::form_urlencoded::byte_serialize;

use crate::{
    page::{HOST, browser, from_browser, redirect},
    promises,
    support::{BINARY, SHORT, STAGE, Scenario, refresh, side_by_side},
};

/// An app whose secret looks different in a URL and in JSON. Both of its ends can be recognized.
const APP_ID: &str = "7100000000000000009";
const APP_SECRET: &str = "canary/app+secret=&\"%\\é? tail-canary";

const REDEEM: &str = "oauth2/refresh_token";

/// Every way in which a person may have Lambda log.
const LOGGING: [(&str, &str); 4] = [("DEBUG", "JSON"), ("DEBUG", "Text"), ("TRACE", "JSON"), ("TRACE", "Text")];

/// A world with that app, whose TikTok repeats in its error messages what it was sent, and with a reader secret that is
/// given the app's secret too.
fn world(change: impl FnOnce(&mut Value)) -> World {
    let world = World::empty();
    let issued = {
        let mut tiktok = world.tiktok.core();
        tiktok.add_app(APP_ID, APP_SECRET);
        tiktok.echo_secrets = true;
        tiktok.authorize(APP_ID, GrantSpec::default())
    };
    let mut document = credentials(Flow::Business, &issued);
    (document["app_id"], document["secret"]) = (json!(APP_ID), json!(APP_SECRET));
    let reader = format!("{}/reader", world.secret_id);
    document["publish"] = json!([{ "secret_id": &reader, "format": "owox" }]);
    world.create_secret(&reader, &json!({}));
    change(&mut document);
    world.create_secret(&world.secret_id, &document);
    world
}

fn lambda(world: &World, (level, format): (&str, &str)) -> Function {
    let variables = [
        ("AWS_LAMBDA_LOG_LEVEL", level),
        ("AWS_LAMBDA_LOG_FORMAT", format),
        // Whatever a dependency may listen to.
        ("RUST_LOG", "trace"),
        ("RUST_BACKTRACE", "full"),
    ];
    world.function_with(BINARY, &variables)
}

#[track_caller]
fn assert_tight(world: &World, invocation: &Invocation, case: &str) {
    let broken = promises::secrets_are_not_shown(&world.tiktok.core(), invocation);
    assert!(
        broken.is_empty(),
        "{case}: {}",
        broken.join(
            "
"
        )
    );
}

/// A request of a run: its operation, and the how-manieth of it that it is.
type Target = (Service, String, u64);

/// The requests of a run that nothing disturbs.
async fn targets() -> Vec<Target> {
    let world = world(|_| {});
    lambda(&world, LOGGING[0]).run(refresh()).await;
    let mut seen = BTreeMap::new();
    let target = |entry: &Entry| {
        let nth = seen.entry(entry.operation.clone()).and_modify(|nth| *nth += 1).or_insert(1);
        (entry.service, entry.operation.clone(), *nth)
    };
    world.faults.journal().iter().map(target).collect()
}

/// The text of a server that repeats a request: the token, and the app's secret in plain text, in a URL and in JSON.
fn echo(world: &World, operation: &str) -> String {
    let encoded: String = byte_serialize(APP_SECRET.as_bytes()).collect();
    let percent = encoded.replace('+', "%20");
    let token = if operation == REDEEM { world.field("refresh_token") } else { String::new() };
    format!("{APP_SECRET} GET ?app_id={APP_ID}&secret={encoded} &secret={percent} {} {token}", json!(APP_SECRET))
}

fn everywhere() -> Vec<Fault> {
    vec![
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::ResetAfter,
        Fault::TruncatedBody,
        Fault::Garbage,
        Fault::WrongContentType,
    ]
}

fn tiktok_faults(world: &World, operation: &str) -> Vec<Fault> {
    let echo = echo(world, operation);
    let coded = [40002, 40100, 40103, 40105, 40113, 50000].map(|code| Fault::tiktok(code, &echo));
    let html = format!("<html>{echo}</html>");
    let moved = Answer::new(302, "text/html", html.clone()).with_header("location", "https://x.test/?secret=canary");
    let answers = [
        Fault::answer(400, "application/json", json!({"code": 40002, "message": &echo}).to_string()),
        Fault::answer(200, "application/json", json!({"code": &echo, "data": &echo}).to_string()),
        Fault::answer(200, "application/json", json!({"code": 0, "message": &echo, "data": {}}).to_string()),
        Fault::answer(200, "application/json", json!({"code": 40002, "request_id": &echo}).to_string()),
        Fault::answer(200, "text/html", html.clone()),
        Fault::answer(502, "text/html", html),
        Fault::Answer(moved),
    ];
    everywhere().into_iter().chain(coded).chain(answers).collect()
}

fn secrets_manager_faults(world: &World, operation: &str) -> Vec<Fault> {
    let document = world.current().to_string();
    let aws = "application/x-amz-json-1.1";
    let answers = [
        Fault::aws_error(400, "AccessDeniedException", "User is not authorized to perform this"),
        Fault::aws_error(400, "ThrottlingException", "Rate exceeded"),
        Fault::answer(200, aws, json!({"ARN": "arn", "VersionId": 1, "SecretString": &document}).to_string()),
        Fault::answer(200, aws, json!({"SecretString": &document}).to_string()),
        Fault::answer(503, "text/html", format!("<html>{document}</html>")),
    ];
    // AWS masks the value of a secret where it quotes a request; an emulator or a proxy may not.
    let quoted = format!("1 validation error detected: Value '{document}' at 'secretString' failed: too long");
    let messages = [(400, "ValidationException"), (400, "InvalidParameterException"), (500, "InternalServiceError")]
        .map(|(status, exception)| Fault::aws_error(status, exception, &quoted));
    let messages = messages.into_iter().filter(|_| operation == "PutSecretValue");
    everywhere().into_iter().chain(answers).chain(messages).collect()
}

/// Runs the function, and once more when the claim of that run is over.
async fn run_twice(world: World, logging: (&str, &str), case: String) {
    let lambda = lambda(&world, logging);
    let case = format!("{logging:?} {case}");
    let invocation = lambda.invoke(refresh(), SHORT).await;
    assert!(!invocation.logs.is_empty(), "{case}: something is logged");
    assert_tight(&world, &invocation, &case);
    assert_eq!(world.faults.unfired(), 0, "{case}: the fault struck");
    world.let_the_claim_expire().await;
    assert_tight(&world, &lambda.invoke(refresh(), SHORT).await, &case);
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "how much was tried is what this test shows")]
async fn no_secret_shows_whichever_request_fails_in_whichever_way() {
    let mut cases = Vec::new();
    for (service, operation, nth) in targets().await {
        let faults = |world: &World| match service {
            Service::TikTok => tiktok_faults(world, &operation),
            Service::SecretsManager => secrets_manager_faults(world, &operation),
        };
        for (index, logging) in (0..faults(&world(|_| {})).len()).flat_map(|index| LOGGING.map(|l| (index, l))) {
            let world = world(|_| {});
            let fault = faults(&world).swap_remove(index);
            let case = format!("{operation} {nth}: {fault:?} {index}");
            world.faults.at(When::operation(&operation).nth(nth), fault);
            cases.push(run_twice(world, logging, case));
        }
    }
    let runs = side_by_side(cases).await.len() * 2;
    assert!(runs > 400, "only {runs} runs");
    println!("{runs} runs, and no secret in any line of a log, metric, response or error");
}

/// A change to a good world after which TikTok refuses, and says what it refuses.
type Refusal = (&'static str, fn(&World));

#[tokio::test]
async fn no_secret_shows_when_tiktok_repeats_what_it_refuses() {
    let refusals: [Refusal; 5] = [
        ("the consent was taken back", |world| world.tiktok.core().revoke(world.grant)),
        ("the refresh token is dead", |world| world.tiktok.core().revoke_token(&world.field("refresh_token"))),
        ("the grant is another app's", |world| world.tiktok.core().add_app(APP_ID, "canary changed")),
        ("the new token is not accepted", |world| {
            world.tiktok.core().grant_mut(world.grant).propagation = Propagation::Uses(100);
        }),
        ("the answer was lost", |world| world.faults.at(When::operation(REDEEM), Fault::DropAfter)),
    ];
    let cases = refusals.into_iter().flat_map(|refusal| LOGGING.map(|logging| (refusal, logging)));
    side_by_side(cases.map(|((name, refuse), logging)| {
        let world = world(|_| {});
        refuse(&world);
        run_twice(world, logging, name.to_owned())
    }))
    .await;
}

#[tokio::test]
async fn no_secret_shows_when_the_credentials_secret_is_malformed() {
    let token = "canary-0123456789";
    let good = world(|_| {}).current();
    let with = |field: &str, value: Value| {
        let mut document = good.clone();
        document[field] = value;
        document.to_string()
    };
    let values =
        [json!([token]), json!({ token: token }), json!(format!("{token}\u{0}\n{token}")), json!(format!("{token}ü"))];
    let fields =
        ["app_id", "secret", "access_token", "refresh_token", "flow", "scope", "advertisers", "publish", "_refresh"];
    let values = fields.iter().flat_map(|field| values.clone().map(|value| with(field, value)));
    let broken = [
        format!(r#"{{"app_id":"1","secret":"{token}","refresh_token":"{token}" oops"#),
        format!(r#"{{"app_id":"1","refresh_token":{token}}}"#),
        format!(r#"{{"{token}"}}"#),
        format!(r#"{{"app_id":"1","refresh_token":"{token}","refresh_token":"{token}"}}"#),
        format!(r#"{{"app_id":"1","refresh_token":"\q{token}"}}"#),
        format!(r#"["{token}"]"#),
        format!(r#""{token}""#),
        token.to_owned(),
        with("app_secret", json!(token)),
        with("flow", json!(token)),
        with("access_token_expires_at", json!(token)),
        with("advertiser_ids", json!(token)),
    ];
    let cases: Vec<String> = values.chain(broken).collect();
    let cases = cases.into_iter().flat_map(|body| LOGGING.map(|logging| (body.clone(), logging)));
    side_by_side(cases.map(|(body, logging)| async move {
        let world = world(|_| {});
        world.store(&body).await;
        run_twice(world, logging, body).await;
    }))
    .await;
}

#[tokio::test]
async fn no_value_of_an_event_shows_that_the_function_does_not_know() {
    let token = "canary-0123456789";
    let events = [
        json!({"action": "refresh", "unknown": token}),
        json!({"action": "status", "access_token": token}),
        json!({"refresh_token": {"nested": [token]}}),
        json!({"action": "exchange", "redirect_url": format!("https://x.test/?auth_code={token}&state={token}")}),
        json!({"action": [token]}),
        json!({"if_needed": token}),
        json!({"dry_run": {"really": token}}),
        json!({"secret_ids": token}),
        json!({"secret_ids": [{ "id": token }]}),
        json!({"scheduled_time": token}),
        json!({"detail-type": token}),
        json!({"detail-type": "Scheduled Event", "time": token, "detail": token}),
        json!([token]),
        json!(token),
    ];
    let world = world(|_| {});
    for logging in LOGGING {
        let lambda = lambda(&world, logging);
        for event in &events {
            let invocation = lambda.run(event.clone()).await;
            assert_eq!(invocation.outcome.error_type(), Some("InvalidEvent"), "{event}");
            let outcome = format!("{:?} {:?}", invocation.outcome, invocation.logs);
            assert!(!outcome.contains("canary"), "{logging:?} {event}: {outcome}");
        }
    }
}

#[tokio::test]
async fn no_secret_shows_when_all_is_well() {
    for logging in LOGGING {
        let world = world(|_| {});
        let lambda = lambda(&world, logging);
        for event in [json!({"dry_run": true}), json!({"action": "status"}), refresh(), json!({"action": "status"})] {
            let invocation = lambda.run(event.clone()).await;
            assert!(matches!(invocation.outcome, Outcome::Response(..)), "{event}: {:?}", invocation.outcome);
            assert_tight(&world, &invocation, &format!("{logging:?} {event}"));
        }
    }
}

/// The requests that a browser may send to the function's URL, with a code and a state that must not show.
fn visits(code: &str, state: &str) -> Vec<Value> {
    let (said, signature) = state.split_once('.').expect("a signed state");
    let forged = format!("{said}.{}", signature.chars().rev().collect::<String>());
    let good = redirect(code, state);
    let queries = [
        redirect(code, &forged),
        redirect(code, said),
        redirect(code, "canary-state"),
        format!("{good}&state={state}"),
        format!("error=canary&error_description=canary&state={state}"),
        // The first is refused by TikTok, the second works, the third has been used.
        good.clone(),
        good.clone(),
        good.clone(),
    ];
    let elsewhere = from_browser(Request::post(format!("/canary?{good}"))).body(Bytes::from(good));
    let elsewhere = url_event(&elsewhere.expect("a request"));
    queries.iter().map(|query| url_event(&browser(query))).chain([elsewhere]).collect()
}

#[tokio::test]
async fn neither_code_nor_state_of_a_redirect_shows_on_the_page_or_in_the_log() {
    let cases = LOGGING.map(|logging| async move {
        let world = world(|_| {});
        let lambda = lambda(&world, logging);
        let link = json!({"action": "authorize_url", "redirect_uri": format!("https://{HOST}/callback")});
        let link = lambda.run(link).await.outcome.response()["results"][0]["authorize_url"].clone();
        let state = link.as_str().and_then(|link| link.split_once("state=")).expect("a state").1.to_owned();
        let code = world.tiktok.core().authorize_by_code(APP_ID, GrantSpec::default(), Duration::from_hours(1));
        let echo = format!("{code} {state} {APP_SECRET}");
        world.faults.at(When::operation("oauth2/access_token"), Fault::tiktok(40113, &echo));
        let mut statuses = Vec::new();
        for event in visits(&code, &state) {
            let invocation = lambda.run(event).await;
            statuses.push(invocation.outcome.response()["statusCode"].as_u64().expect("a status"));
            let case = format!("{logging:?} {statuses:?}");
            assert_tight(&world, &invocation, &case);
            let text = format!("{:?} {:?}", invocation.outcome, invocation.logs);
            for part in state.split('.') {
                assert!(!text.contains(part), "{case}: the state shows in: {text}");
            }
        }
        assert_eq!(statuses, [400, 400, 400, 404, 400, 502, 200, 400, 404]);
    });
    side_by_side(cases).await;
}

/// The parts of eight characters that a secret consists of, and those of its spellings that a server may use.
fn recognizable(secret: &str) -> BTreeSet<String> {
    let encoded: String = byte_serialize(secret.as_bytes()).collect();
    let base64 = BASE64_STANDARD.encode(secret);
    let parts = |text: &str| {
        text.chars().collect::<Vec<_>>().windows(8).map(|part| part.iter().collect()).collect::<Vec<String>>()
    };
    [secret, &encoded, &base64].into_iter().flat_map(parts).collect()
}

/// The forms that a server may give to a secret: cut short at either end or both, in another spelling, or both.
fn mangled(secret: &str) -> Vec<String> {
    let chars: Vec<char> = secret.chars().collect();
    let cut = |from: usize, to: usize| chars[from..to].iter().collect::<String>();
    let (length, third) = (chars.len(), chars.len() / 3);
    let cuts = [
        cut(0, length - 1),
        cut(0, 2 * third),
        cut(0, 10),
        cut(third, length),
        cut(third, 2 * third + 2),
        cut(length - 9, length),
    ];
    let spelled = |text: String| {
        let encoded: String = byte_serialize(text.as_bytes()).collect();
        [
            text.to_uppercase(),
            encoded.to_lowercase(),
            json!(text).to_string(),
            format!("{encoded}..."),
            BASE64_STANDARD.encode(&text),
            text,
        ]
    };
    cuts.into_iter().flat_map(spelled).chain([BASE64_STANDARD.encode(format!("{APP_ID}:{secret}"))]).collect()
}

#[tokio::test]
async fn no_part_of_a_secret_shows_that_can_be_recognized_however_it_is_repeated() {
    let example = world(|_| {});
    let count = mangled(&example.field("refresh_token")).len();
    let cases = (0..count).flat_map(|index| [REDEEM, "oauth2/advertiser/get"].map(|operation| (index, operation)));
    side_by_side(cases.map(|(index, operation)| async move {
        let world = world(|_| {});
        let token = if operation == REDEEM { world.field("refresh_token") } else { "-".to_owned() };
        let secrets = [APP_SECRET.to_owned(), token];
        let known = secrets.iter().filter(|secret| secret.len() > 8);
        let said: Vec<_> = known.clone().map(|secret| mangled(secret).swap_remove(index)).collect();
        let fault = json!({"code": 40002, "message": format!("Wrong: {}.", said.join(" or ")), "request_id": said[0]});
        world.faults.at(When::operation(operation).always(), Fault::answer(200, "application/json", fault.to_string()));
        let invocation = lambda(&world, LOGGING[0]).invoke(refresh(), SHORT).await;
        let shown = format!("{:?} {:?}", invocation.outcome, invocation.logs);
        assert!(shown.contains("Wrong: "), "TikTok's message is shown: {shown}");
        // The name of the secret has the same random digits as the tokens of its world.
        let parts = known.flat_map(|secret| recognizable(secret)).filter(|part| !world.secret_id.contains(part));
        for part in parts {
            assert!(!shown.contains(&part), "{operation} {said:?}: {part:?} shows in: {shown}");
        }
    }))
    .await;
}

#[tokio::test]
async fn new_tokens_that_tiktok_repeats_in_a_message_do_not_show() {
    let world = world(|_| {});
    let repeat = Fault::rewritten(|text| {
        let mut answer: Value = text.parse().expect("JSON");
        answer["code"] = json!(20001);
        answer["message"] = json!(format!("Partly done: {}", answer["data"]));
        answer["request_id"] = answer["data"]["access_token"].clone();
        answer.to_string().into()
    });
    world.faults.at(When::operation(REDEEM), repeat);
    let invocation = lambda(&world, LOGGING[0]).run(refresh()).await;
    let shown = format!("{:?}", invocation.outcome);
    assert!(shown.contains("Partly done"), "{shown}");
    assert_tight(&world, &invocation, "a message with tokens");
}

#[tokio::test]
async fn aws_is_quoted_without_what_a_write_carried() {
    let quotes: [fn(&str) -> String; 4] = [
        |body| format!("Value '{body}' at 'secretString' is too long."),
        |body| format!("Refused to write {}", json!(body)),
        |body| format!("Refused near {}", &body[body.len() / 2..]),
        |body| format!("Refused: {}", body.replace(['{', '}', '"'], " ")),
    ];
    let exceptions = [
        "ValidationException",
        "InvalidParameterException",
        "InvalidRequestException",
        "LimitExceededException",
        "AccessDeniedException",
    ];
    let cases = quotes.into_iter().flat_map(|quote| exceptions.map(|exception| (quote, exception)));
    let cases = cases.flat_map(|case| ["/reader", STAGE].map(|part| (case, part)));
    side_by_side(cases.map(|((quote, exception), part)| async move {
        let world = world(|document| document["mine"] = json!("canary-of-another-tool"));
        let refuse = Fault::answered_from(move |request| {
            let message = quote(request["SecretString"].as_str().expect("a value"));
            Answer::new(400, "application/x-amz-json-1.1", json!({"__type": exception, "message": message}).to_string())
        });
        world.faults.at(When::operation("PutSecretValue").detail(part).always(), refuse);
        let invocation = lambda(&world, LOGGING[0]).invoke(refresh(), SHORT).await;
        let error = format!("{:?}", invocation.outcome);
        assert!(
            error.contains("Refused") || error.contains("too long") || error.contains("***"),
            "{exception}: {error}"
        );
        assert_tight(&world, &invocation, exception);
    }))
    .await;
}
