//! The content of the pages.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper::Request;
use serde_json::json;
use sha2::{Digest, Sha256};
use stand_ins::{APP_ID, Fault, GrantSpec, When, World, lambda::url_event, tiktok::Advertiser, wire::send};
use url::Position;

use super::{Page, Site, page, redirect};
use crate::{
    evidence::log,
    support::{BINARY, Scenario, refresh},
};

fn heading(page: &Page) -> &str {
    let (_, rest) = page.body.split_once("<h1>").expect("a heading");
    rest.split_once("</h1>").expect("its end").0
}

#[tokio::test]
async fn a_browser_that_tiktok_sent_back_connects_the_secret() {
    let site = Site::start();
    let before = site.world.field("access_token");
    let page = site.visit(&site.redirect().await).await;
    assert_eq!((page.status, heading(&page)), (200, "TikTok is connected"));
    for part in
        ["First Advertiser", "7000000000000000002", "for 2 advertisers", "renewed every day", &site.world.secret_id]
    {
        assert!(page.body.contains(part), "{part:?} is missing in {}", page.body);
    }
    assert_ne!(site.world.field("access_token"), before);
    site.world.assert_usable();
}

#[tokio::test]
async fn a_page_has_nothing_secret_nothing_active_and_nothing_from_elsewhere() {
    let site = Site::start();
    let query = site.redirect().await;
    let active =
        ["<script", "<a ", "<img", "<link", "<form", "<iframe", "<object", "style=", "onload", "onclick", "onerror"];
    for page in [site.visit(&query).await, site.visit(&query).await, site.visit("error=access_denied").await] {
        for part in ["canary", "state=", "http:", "https:", "url(", "@import"].iter().chain(&active) {
            assert!(!page.body.contains(part), "{part:?} in {}", page.body);
        }
        assert!(page.body.len() < 6_000, "{} bytes", page.body.len());
    }
}

#[tokio::test]
async fn every_answer_forbids_what_it_does_not_need() {
    let site = Site::start();
    let query = site.redirect().await;
    let answers = [
        site.visit(&query).await,
        site.visit(&query).await,
        site.visit("error=access_denied").await,
        site.visit("").await,
    ];
    assert_eq!(answers.each_ref().map(|page| page.status), [200, 400, 400, 404]);
    for Page { headers, .. } in answers {
        let header = |name: &str| headers[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned();
        let policy = header("content-security-policy");
        let directives: Vec<&str> = policy.split("; ").collect();
        assert_eq!(directives[0], "default-src 'none'");
        assert!(directives[1].starts_with("style-src 'sha256-") && !directives[1].contains("unsafe"), "{policy}");
        assert_eq!(directives[2..], ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]);
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert!(header("strict-transport-security").starts_with("max-age="));
        assert!(header("permissions-policy").contains("camera=()"));
        assert!(headers.get("access-control-allow-origin").is_none());
    }
}

#[tokio::test]
async fn the_policy_allows_the_style_that_the_page_has() {
    let page = Site::start().visit("error=access_denied").await;
    let (_, rest) = page.body.split_once("<style>").expect("a style");
    let style = rest.split_once("</style>").expect("its end").0;
    let hash = BASE64_STANDARD.encode(Sha256::digest(style));
    let policy = page.headers["content-security-policy"].as_str().expect("a policy");
    assert!(
        policy.contains(&format!("style-src 'sha256-{hash}';")),
        "src/page/style.css has the hash {hash}: {policy}"
    );
}

#[tokio::test]
async fn names_of_advertisers_are_text() {
    let site = Site::start();
    let hostile = "<script>alert(1)</script>\"'&</bdi><h1>\u{202e}\u{0}";
    let spec = GrantSpec { advertisers: vec![Advertiser::new("7000000000000000001", hostile)], ..GrantSpec::default() };
    let query = redirect(&site.code(spec), &site.state().await);
    let page = site.visit(&query).await;
    let escaped =
        "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;&lt;/bdi&gt;&lt;h1&gt;\u{202e}\u{fffd}</bdi>";
    assert!(page.body.contains(escaped), "{}", page.body);
}

#[tokio::test]
async fn of_many_advertisers_fifty_are_listed() {
    let site = Site::start();
    let advertisers = (0..51).map(|n| Advertiser::new(&format!("{}", 7_000_000 + n), "Name")).collect();
    let query = redirect(&site.code(GrantSpec { advertisers, ..GrantSpec::default() }), &site.state().await);
    let page = site.visit(&query).await;
    assert_eq!(page.body.matches("<bdi>").count(), 50);
    assert!(page.body.contains("for 51 advertisers") && page.body.contains("<p><small>and 1 more"), "{}", page.body);
}

#[tokio::test]
async fn a_consent_without_advertisers_is_told_in_the_answer_on_the_page_and_in_the_secret() {
    for spec in [GrantSpec::default(), GrantSpec::long_term()] {
        let site = Site::start();
        site.function.run(refresh()).await;
        assert_eq!(
            site.world.current()["advertisers"].as_array().map(Vec::len),
            Some(2),
            "the grant before it has two"
        );
        let query = redirect(&site.code(GrantSpec { advertisers: vec![], ..spec }), &site.state().await);
        let page = site.visit(&query).await;
        assert_eq!((page.status, heading(&page)), (200, "TikTok is connected without advertisers"));
        assert!(page.body.contains("<body class=\"attention\">"), "it is amber: {}", page.body);
        assert!(page.body.contains("The authorization has no advertisers, so the list is empty now."), "{}", page.body);
        assert!(!page.body.contains("First Advertiser") && !page.body.contains("2 advertisers"), "{}", page.body);
        let current = site.world.current();
        assert_eq!((&current["advertisers"], &current["advertiser_ids"]), (&json!([]), &json!([])));
        site.world.assert_usable();
    }
}

#[tokio::test]
async fn an_authorization_without_advertisers_that_a_crash_cut_short_has_an_empty_list_too() {
    let site = Site::start();
    site.function.run(refresh()).await;
    let code = site.code(GrantSpec { advertisers: vec![], ..GrantSpec::default() });
    site.world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    site.function.run(json!({"action": "exchange", "auth_code": code})).await;
    let invocation = site.function.run(json!({"action": "exchange", "auth_code": code})).await;
    let result = &invocation.outcome.response()["results"][0];
    assert_eq!((&result["outcome"], &result["advertisers"]), (&json!("resumed"), &json!(0)), "{result}");
    assert!(result["warnings"].to_string().contains("The authorization has no advertisers"), "{result}");
    assert_eq!(site.world.current()["advertiser_ids"], json!([]));
}

#[tokio::test]
async fn a_page_after_another_authorization_shows_what_was_removed_first() {
    let site = Site::start();
    site.function.run(refresh()).await;
    let kept = vec![Advertiser::new("7000000000000000002", "Kept")];
    let query = redirect(&site.code(GrantSpec { advertisers: kept, ..GrantSpec::default() }), &site.state().await);
    let page = site.visit(&query).await;
    let place = |part: &str| page.body.find(part).unwrap_or_else(|| panic!("{part:?} is missing in {}", page.body));
    assert!(place("<h2>No longer connected</h2>") < place("7000000000000000001"));
    assert!(place("7000000000000000001") < place("<h2>Advertisers</h2>"));
    assert!(place("<h2>Advertisers</h2>") < place("7000000000000000002"));
}

#[tokio::test]
async fn more_than_ten_advertisers_fold_away() {
    for (number, folded) in [(10, None), (11, Some("1 more")), (50, Some("40 more"))] {
        let site = Site::start();
        let advertisers = (0..number).map(|n| Advertiser::new(&format!("{}", 7_000_000 + n), "Name")).collect();
        let query = redirect(&site.code(GrantSpec { advertisers, ..GrantSpec::default() }), &site.state().await);
        let page = site.visit(&query).await;
        let summary = folded.map(|folded| format!("<details><summary>{folded}</summary>"));
        let (open, _) = page.body.split_once("<details>").unwrap_or((&page.body, ""));
        assert_eq!(open.matches("<bdi>").count(), 10);
        assert_eq!(page.body.contains("<details>"), folded.is_some());
        assert!(summary.is_none_or(|summary| page.body.contains(&summary)), "{}", page.body);
    }
}

#[tokio::test]
async fn a_link_that_was_asked_for_by_arn_works_where_the_function_knows_the_name_and_the_other_way_round() {
    for by_arn in [true, false] {
        let world = World::start();
        let name = format!("{}/other-name-AbCdEf", world.secret_id);
        let arn = world.create_secret(&name, &world.current());
        let (kept, asked_for) = if by_arn { (&name, &arn) } else { (&arn, &name) };
        let function = world.function_with(BINARY, &[("SECRET_ID", kept)]);
        let site = Site { world, function };
        let redirect_uri = format!("https://{}/callback", super::HOST);
        let event = json!({"action": "authorize_url", "redirect_uri": redirect_uri, "secret_id": asked_for});
        let link = site.function.run(event).await.outcome.response()["results"][0]["authorize_url"].clone();
        let state = link.as_str().and_then(|link| link.split_once("state=")).expect("a state").1.to_owned();
        let page = site.visit(&redirect(&site.code(GrantSpec::default()), &state)).await;
        assert_eq!((page.status, heading(&page)), (200, "TikTok is connected"), "{}", page.body);
    }
}

#[tokio::test]
async fn the_stand_ins_consent_page_says_that_it_is_a_test() {
    let world = World::start();
    let link = crate::authorize::link(&world.lambda(), json!({"action": "authorize_url"})).await;
    let request = Request::get(&link[Position::BeforePath..]).header("host", link.authority());
    let request = request.body(Bytes::new()).expect("a request");
    let page = send(link.authority(), request).await.expect("an answer");
    let page = String::from_utf8_lossy(page.body());
    assert!(page.contains("This is a test page, not TikTok."), "{page}");
}

#[tokio::test]
async fn a_long_term_token_has_no_end() {
    let site = Site::start();
    let query = redirect(&site.code(GrantSpec::long_term()), &site.state().await);
    let page = site.visit(&query).await;
    assert!(page.body.contains("has no end") && !page.body.contains("<time"), "{}", page.body);
}

#[tokio::test]
async fn a_secret_that_is_known_by_its_arn_is_shown_by_its_name() {
    let world = World::start();
    let arn = world.create_secret(&format!("{}/by-arn", world.secret_id), &world.current());
    let function = world.function_with(BINARY, &[("SECRET_ID", &arn)]);
    let site = Site { world, function };
    let page = site.visit(&site.redirect().await).await;
    let shown = format!("<code>{}/by-arn</code>", site.world.secret_id);
    assert!(page.status == 200 && page.body.contains(&shown) && !page.body.contains("arn:"), "{}", page.body);
}

#[tokio::test]
async fn a_person_who_declines_reads_that_nothing_was_changed() {
    let site = Site::start();
    let state = site.state().await;
    let before = (site.footprint(), site.requests());
    let page = site.visit(&format!("error=access_denied&error_description=canary-text&state={state}")).await;
    assert_eq!((page.status, heading(&page)), (400, "TikTok is not connected"));
    assert!(page.body.contains("Nothing was changed") && !page.body.contains("canary"), "{}", page.body);
    assert_eq!((site.footprint(), site.requests()), before);
}

#[tokio::test]
async fn a_code_that_tiktok_does_not_take_is_a_page_that_says_what_to_do() {
    let site = Site::start();
    let cases = [
        (Fault::tiktok(40109, "Auth_code is expired."), 410, "auth code"),
        (Fault::tiktok(40113, "Wrong app."), 502, "Check &#39;app_id&#39;"),
        (Fault::tiktok(40100, "Too many requests."), 503, "limit"),
    ];
    for (fault, status, says) in cases {
        site.world.faults.clear();
        site.world.faults.at(When::operation("oauth2/access_token").always(), fault);
        let page = site.visit(&site.redirect().await).await;
        assert_eq!((page.status, heading(&page)), (status, "TikTok is not connected"));
        assert!(page.body.contains(says) && page.body.contains("What to do"), "{says:?} is missing in {}", page.body);
    }
    assert!(site.world.current().get("advertisers").is_none(), "nothing was written");
}

#[tokio::test]
async fn what_aws_says_is_for_the_log_and_not_for_the_page() {
    let site = Site::start();
    let query = site.redirect().await;
    let says = "User: arn:aws:sts::123456789012:assumed-role/role/function is not authorized";
    site.world
        .faults
        .at(When::operation("GetSecretValue").always(), Fault::aws_error(400, "AccessDeniedException", says));
    let invocation = site.function.run(url_event(&super::browser(&query))).await;
    let page = page(&invocation);
    assert_eq!(page.status, 500);
    assert!(!page.body.contains("arn:") && !page.body.contains(&site.world.secret_id), "{}", page.body);
    assert!(page.body.contains(&invocation.request_id), "the reference is missing in {}", page.body);
    let lines = log(&invocation);
    let refused = lines.iter().find(|line| line["error_type"] == "AccessDenied").expect("the error is in the log");
    assert_eq!((&refused["level"], &refused["span"]["request_id"]), (&"WARN".into(), &invocation.request_id.into()));
}

#[tokio::test]
async fn a_redirect_that_comes_again_after_the_first_one_died_connects() {
    let site = Site::start();
    let query = site.redirect().await;
    site.world.faults.at(When::operation("oauth2/access_token"), Fault::KillBefore);
    site.function.run(url_event(&super::browser(&query))).await;
    let page = site.visit(&query).await;
    assert_eq!((page.status, heading(&page)), (200, "TikTok is connected"));
}

#[tokio::test]
async fn tokens_that_came_over_the_page_are_refreshed_by_the_schedule() {
    let site = Site::start();
    site.visit(&site.redirect().await).await;
    let invocation = site.function.run(refresh()).await;
    assert_eq!(invocation.outcome.response()["results"][0]["outcome"], "refreshed");
    site.world.assert_usable();
}

#[tokio::test]
async fn a_function_with_wrong_settings_still_answers_a_browser() {
    let mut site = Site::start();
    let query = site.redirect().await;
    site.function = site.world.function_with(BINARY, &[("MIN_TOKEN_LIFETIME", "soon")]);
    let page = site.visit(&query).await;
    assert_eq!((page.status, site.visit("").await.status), (500, 404));
    assert!(!page.body.contains("MIN_TOKEN_LIFETIME") && !page.body.contains(APP_ID), "{}", page.body);
}
