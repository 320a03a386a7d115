//! Rejected requests, which change nothing.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use bytes::Bytes;
use hyper::{Method, Request};
use serde_json::{Value, json};

use super::{HOST, Site, browser, from_browser, redirect};
use crate::support::{BINARY, Scenario, outcome};
use stand_ins::{APP_ID, GrantSpec, World, credentials, tiktok::Flow};

fn with_header(query: &str, name: &'static str, value: &'static str) -> Request<Bytes> {
    let mut request = browser(query);
    request.headers_mut().insert(name, value.parse().expect("a header"));
    request
}

fn with_method(method: &Method, query: &str) -> Request<Bytes> {
    let mut request = browser(query);
    *request.method_mut() = method.clone();
    request
}

fn at(path: &str, query: &str) -> Request<Bytes> {
    from_browser(Request::get(format!("{path}?{query}"))).body(Bytes::new()).expect("a request")
}

fn with_body(query: &str, body: &'static [u8]) -> Request<Bytes> {
    from_browser(Request::get(format!("/callback?{query}"))).body(Bytes::from_static(body)).expect("a request")
}

/// Requests that carry a code and a state that would work.
fn not_the_callback(code: &str, state: &str) -> Vec<Request<Bytes>> {
    let good = redirect(code, state);
    let methods = [Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let paths = [
        "/",
        "/callback/",
        "//callback",
        "/Callback",
        "/%63allback",
        "/callback%2f",
        "/a/../callback",
        "/callback.php",
    ];
    let queries = [
        String::new(),
        format!("auth_code={code}"),
        format!("state={state}"),
        format!("auth_code=&state={state}"),
        format!("auth_code={code}&state="),
        format!("{good}&state={state}"),
        format!("{good}&st%61te={state}"),
        format!("{good}&auth_code=another"),
        format!("{good}&auth%5Fcode={code}"),
        format!("auth_code={code}%00&state={state}"),
        format!("auth_code={code}%0d%0aset-cookie:a=b&state={state}"),
        format!("auth_code={code}&state=%e2%80%ae{state}"),
        format!("auth_code={code}&state=%ff{state}"),
        format!("{good}&filler={}", "a".repeat(8 * 1024)),
        format!("auth_code={code};state={state}"),
        format!("AUTH_CODE={code}&STATE={state}"),
        format!("auth_code%3D{code}%26state%3D{state}"),
    ];
    // An image, a frame, a script's request, a form of another site's that opens in a frame, a browser's guess.
    let headers = [
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-mode", "nested-navigate"),
        ("sec-fetch-dest", "image"),
        ("sec-fetch-dest", "iframe"),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-dest", "object"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
    ];
    let bodies = [&b"auth_code=1"[..], &b"\xff\xfe\x00"[..]];
    (methods.iter().map(|method| with_method(method, &good)))
        .chain(paths.map(|path| at(path, &good)))
        .chain(queries.iter().map(|query| browser(query)))
        .chain(headers.map(|(name, value)| with_header(&good, name, value)))
        .chain(bodies.map(|body| with_body(&good, body)))
        .collect()
}

#[tokio::test]
async fn whatever_is_not_the_callback_is_not_found_and_asks_nobody() {
    let site = Site::start();
    let (code, state) = (site.code(GrantSpec::default()), site.state().await);
    let before = (site.footprint(), site.requests());
    for request in not_the_callback(&code, &state) {
        let case = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        let page = site.ask(request).await;
        assert_eq!(page.status, 404, "{case}");
        assert!(page.body.contains("<h1>404 Not Found</h1>") && page.body.len() < 300, "{case}: {}", page.body);
        assert!(page.body.contains("<meta name=\"viewport\""), "{case}: a phone can show it");
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8", "{case}");
        assert_eq!((site.footprint(), site.requests()), before, "{case}");
    }
    assert_eq!(site.visit(&redirect(&code, &state)).await.status, 200, "and nothing was spent on the way");
}

#[tokio::test]
async fn a_browser_that_does_not_say_where_it_goes_is_let_in() {
    let site = Site::start();
    let query = site.redirect().await;
    let plain = Request::get(format!("/callback?{query}&scope=1&theme=dark")).header("host", HOST);
    assert_eq!(site.ask(plain.body(Bytes::new()).expect("a request")).await.status, 200);
}

/// A state whose payload has a change.
fn tampered(state: &str, change: impl FnOnce(&mut Value)) -> String {
    let (said, signature) = state.split_once('.').expect("a signed state");
    let mut said: Value = serde_json::from_slice(&BASE64.decode(said).expect("base64url")).expect("JSON");
    change(&mut said);
    format!("{}.{signature}", BASE64.encode(said.to_string()))
}

#[tokio::test]
async fn a_state_that_cannot_be_genuine_is_refused_and_asks_nobody() {
    let site = Site::start();
    let (state, elsewhere) = (site.state().await, site.state_for("https://localhost:8080/callback").await);
    let other_host = site.state_for("https://other.lambda-url.eu-west-1.on.aws/callback").await;
    let code = site.code(GrantSpec::default());
    let before = (site.footprint(), site.requests());
    let (said, signature) = state.split_once('.').expect("a signed state");
    let long_ago = tampered(&state, |said| said[3] = json!(1_700_000_000));
    let cases = [
        ("your_custom_params".to_owned(), 400),
        (said.to_owned(), 400),
        (format!("{said}."), 400),
        (format!(".{signature}"), 400),
        (state[..state.len() / 2].to_owned(), 400),
        (format!("{said}.{signature}="), 400),
        ("a.".repeat(1_000), 400),
        (long_ago, 410),
        (elsewhere, 400),
        (other_host, 400),
    ];
    for (state, status) in cases {
        let page = site.visit(&redirect(&code, &state)).await;
        assert_eq!(page.status, status, "{state}: {}", page.body);
        assert!(page.body.contains("This link does not work"), "{state}: {}", page.body);
        let is_readable = status == 410 || page.body.contains("leads back to another address");
        let incomplete = page.body.contains("<p>This link is incomplete or was not issued here.</p>");
        assert!(is_readable || incomplete, "{state}: {}", page.body);
        assert_eq!((site.footprint(), site.requests()), before, "{state}");
    }
    let foreign = tampered(&state, |said| said[0] = json!("somebody/elses/secret"));
    assert_eq!(site.visit(&redirect(&code, &foreign)).await.status, 400);
    assert_eq!(
        (site.footprint(), site.requests()),
        before,
        "a secret that is not this function's is not even looked for"
    );
    assert_eq!(site.visit(&redirect(&code, &state)).await.status, 200, "and nothing was spent on the way");
}

#[tokio::test]
async fn a_forged_state_is_refused_before_tiktok_is_asked() {
    let site = Site::start();
    let code = site.code(GrantSpec::default());
    let state = site.state().await;
    let foreign = Site::start().state().await;
    let before = site.footprint();
    let (said, signature) = state.split_once('.').expect("a signed state");
    let (_, foreign_signature) = foreign.split_once('.').expect("a signed state");
    let later = tampered(&state, |said| said[3] = json!(said[3].as_i64().expect("a time") + 3_600));
    let other_nonce = tampered(&state, |said| said[4] = json!("0"));
    let swapped: String = signature.chars().rev().collect();
    let foreign = tampered(&foreign, |said| said[0] = json!(site.world.secret_id));
    for state in [later, other_nonce, foreign, format!("{said}.{foreign_signature}"), format!("{said}.{swapped}")] {
        let page = site.visit(&redirect(&code, &state)).await;
        assert_eq!(page.status, 400, "{state}: {}", page.body);
        assert!(page.body.contains("<p>This link is incomplete or was not issued here.</p>"), "{state}: {}", page.body);
        assert_eq!(site.footprint(), before, "{state}");
    }
    assert_eq!(site.visit(&redirect(&code, &state)).await.status, 200, "and nothing was spent on the way");
}

#[tokio::test]
async fn a_state_of_another_secret_under_the_same_app_is_refused() {
    let world = World::start();
    let other = format!("{}-other", world.secret_id);
    let issued = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
    world.create_secret(&other, &credentials(Flow::Business, &issued));
    let both = format!("{},{other}", world.secret_id);
    let function = world.function_with(BINARY, &[("SECRET_ID", &both)]);
    let site = Site { world, function };
    let event =
        json!({"action": "authorize_url", "redirect_uri": format!("https://{HOST}/callback"), "secret_id": other});
    let invocation = site.function.run(event).await;
    let link = invocation.outcome.response()["results"][0]["authorize_url"].as_str().expect("a link").to_owned();
    let state = link.split_once("state=").expect("a state").1.to_owned();
    let before = site.footprint();
    let changed = tampered(&state, |said| said[0] = json!(site.world.secret_id));
    let code = site.code(GrantSpec::default());
    assert_eq!(site.visit(&redirect(&code, &changed)).await.status, 400);
    assert_eq!(site.footprint(), before);
}

#[tokio::test]
async fn a_link_that_was_used_connects_nobody_else() {
    let site = Site::start();
    let state = site.state().await;
    let mine = redirect(&site.code(GrantSpec::default()), &state);
    assert_eq!(site.visit(&mine).await.status, 200);
    let before = site.footprint();
    let theirs = redirect(&site.code(GrantSpec::long_term()), &state);
    for query in [mine, theirs] {
        let page = site.visit(&query).await;
        assert!(page.status == 400 && page.body.contains("The link was used"), "{}", page.body);
        assert_eq!(site.footprint(), before);
    }
    site.world.assert_usable();
}

#[tokio::test]
async fn no_request_of_a_browser_can_be_an_event_of_another_kind() {
    let site = Site::start();
    let before = (site.footprint(), site.requests());
    for body in [&br#"{"action":"refresh"}"#[..], br#"{"action":"exchange","auth_code":"x"}"#] {
        for path in ["/", "/callback", "/2015-03-31/functions/function/invocations"] {
            let request = Request::post(path).header("host", HOST).header("x-amz-invocation-type", "Event");
            let page = site.ask(request.body(Bytes::from_static(body)).expect("a request")).await;
            assert_eq!(page.status, 404, "{path}");
        }
    }
    assert_eq!((site.footprint(), site.requests()), before);
    let invocation = site.function.run(json!({"requestContext": {"stage": "x"}, "rawPath": "/callback"})).await;
    assert_eq!(outcome(&invocation), "InvalidEvent", "what is no request is an event like any other");
}
