//! The environment: valid values, and the errors for others.

use std::{collections::HashMap, time::Duration};

use serde_json::json;
use stand_ins::{Outcome, World, wire::listen};
use tiktok_token_refresh::{
    error::Error,
    settings::{Secrets, Settings},
    transport::Tag,
};
use tokio::{io::AsyncReadExt, net::TcpListener};

use crate::{
    evidence::error_message,
    support::{BINARY, SHORT, outcome, refresh},
};

fn read(variables: &[(&str, &str)]) -> Result<Settings, Error> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Settings::read(|name| variables.get(name).map(|value| (*value).to_owned()))
}

/// The number of requests to TikTok in a second, and of writes to Secrets Manager.
fn rates(settings: &Settings) -> [String; 2] {
    [settings.tiktok_requests_per_second, settings.secrets_manager_writes_per_second].map(|rate| rate.to_string())
}

fn named(ids: &[&str]) -> Secrets {
    Secrets::Named(ids.iter().map(|&id| id.to_owned()).collect())
}

/// Settings with one more variable than the one that is needed.
fn with(name: &str, value: &str) -> Result<Settings, Error> {
    read(&[("SECRET_ID", "tiktok"), (name, value)])
}

#[test]
fn a_secret_is_all_that_has_to_be_named() {
    let settings = read(&[("SECRET_ID", "tiktok")]).expect("enough");
    assert_eq!(settings.secrets, named(&["tiktok"]));
    assert_eq!(settings.tiktok_api_url.as_str(), "https://business-api.tiktok.com/open_api/v1.3/");
    assert_eq!(settings.min_token_lifetime, Duration::from_hours(12));
    assert_eq!(settings.max_concurrency, 8);
    assert_eq!(rates(&settings), ["8", "40"]);
    assert!(!settings.advertiser_info);
    assert_eq!(settings.metrics_namespace, "TikTokTokenRefresh");
    assert_eq!(settings.function_name, "local");
}

#[test]
fn a_value_is_read_without_what_pasting_and_other_languages_put_around_it() {
    for id in ["\"tiktok/ads\"", "\u{feff}tiktok/ads\u{200b}", " 'tiktok/ads', \"tiktok/ads\",", "“tiktok/ads”\n"] {
        assert_eq!(read(&[("SECRET_ID", id)]).expect("a name").secrets, named(&["tiktok/ads"]), "{id:?}");
    }
    assert_eq!(with("MIN_TOKEN_LIFETIME", "\"90m\"").expect("a duration").min_token_lifetime, Duration::from_mins(90));
    let url = with("TIKTOK_API_URL", "'https://proxy.example.com'").expect("an address").tiktok_api_url;
    assert_eq!(url.as_str(), "https://proxy.example.com/");
}

#[test]
fn every_variable_counts() {
    let settings = read(&[
        ("SECRET_ID", "one,two"),
        ("TIKTOK_API_URL", "https://proxy.example.com/tiktok/"),
        ("MIN_TOKEN_LIFETIME", "90m"),
        ("MAX_CONCURRENCY", "7"),
        ("TIKTOK_REQUESTS_PER_SECOND", "0.5"),
        ("SECRETS_MANAGER_WRITES_PER_SECOND", "20"),
        ("ADVERTISER_INFO", "true"),
        ("METRICS_NAMESPACE", "Ads/TikTok"),
        ("AWS_LAMBDA_FUNCTION_NAME", "refresh-eu"),
    ])
    .expect("all are right");
    assert_eq!(settings.secrets, named(&["one", "two"]));
    assert_eq!(settings.tiktok_api_url.as_str(), "https://proxy.example.com/tiktok/");
    assert_eq!(settings.min_token_lifetime, Duration::from_mins(90));
    assert_eq!(settings.max_concurrency, 7);
    assert_eq!(rates(&settings), ["0.5", "20"]);
    assert!(settings.advertiser_info);
    assert_eq!(settings.metrics_namespace, "Ads/TikTok");
    assert_eq!(settings.function_name, "refresh-eu");
}

#[test]
fn a_variable_that_is_empty_is_one_that_is_not_there() {
    let names = [
        "SECRET_TAG",
        "TIKTOK_API_URL",
        "MIN_TOKEN_LIFETIME",
        "MAX_CONCURRENCY",
        "TIKTOK_REQUESTS_PER_SECOND",
        "SECRETS_MANAGER_WRITES_PER_SECOND",
        "ADVERTISER_INFO",
        "METRICS_NAMESPACE",
    ];
    for empty in ["", "  "] {
        let mut variables = names.map(|name| (name, empty)).to_vec();
        variables.push(("SECRET_ID", "tiktok"));
        assert_eq!(read(&variables).expect("the defaults"), read(&[("SECRET_ID", "tiktok")]).expect("the defaults"));
    }
}

#[test]
fn several_secrets_are_told_apart_by_commas_and_each_counts_once() {
    for (text, ids) in [
        ("one", &["one"][..]),
        (" one , two,one,\n three ,, ", &["one", "two", "three"]),
        (
            "arn:aws:secretsmanager:eu-west-1:1:secret:a-AbCdEf,b/c_d+e=f.g@h",
            &["arn:aws:secretsmanager:eu-west-1:1:secret:a-AbCdEf", "b/c_d+e=f.g@h"],
        ),
    ] {
        assert_eq!(read(&[("SECRET_ID", text)]).expect("a list").secrets, named(ids), "{text}");
    }
    for nothing in ["", " ", ",", " , ,"] {
        let error = read(&[("SECRET_ID", nothing)]).expect_err("no secret");
        assert!(error.what().starts_with("SECRET_ID is missing"), "{nothing:?}: {error}");
    }
}

#[test]
fn a_duration_is_written_in_any_usual_way() {
    for (text, minutes) in [
        ("12h", 720),
        (" 90m ", 90),
        ("PT12H", 720),
        ("1h30m", 90),
        ("1h 30m", 90),
        ("2 hours, 15 minutes", 135),
        ("600s", 10),
        ("0s", 0),
    ] {
        let settings = with("MIN_TOKEN_LIFETIME", text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(settings.min_token_lifetime, Duration::from_mins(minutes), "{text}");
    }
    for text in ["12", "half a day", "-1h", "1h ago", "h", "12 parsecs", "PT", "P1Y", "8761h", "99999999h"] {
        let error = with("MIN_TOKEN_LIFETIME", text).expect_err(text);
        assert_eq!(
            error.what(),
            "MIN_TOKEN_LIFETIME must be a duration such as 12h or 90m, from 0s to 8760h.",
            "{text}"
        );
    }
}

#[test]
fn the_apps_secret_travels_by_https_or_stays_on_this_machine() {
    for (text, url) in [
        ("https://business-api.tiktok.com/open_api/v1.3", "https://business-api.tiktok.com/open_api/v1.3/"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com:8443/a/b/", "https://example.com:8443/a/b/"),
        ("HTTPS://EXAMPLE.com/", "https://example.com/"),
        ("http://127.0.0.1:8080/open_api", "http://127.0.0.1:8080/open_api/"),
        ("http://127.1.2.3/", "http://127.1.2.3/"),
        ("http://[::1]:8080", "http://[::1]:8080/"),
        ("http://localhost:8080", "http://localhost:8080/"),
        ("https://[::1]/", "https://[::1]/"),
    ] {
        let settings = with("TIKTOK_API_URL", text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(settings.tiktok_api_url.as_str(), url);
    }
    for (text, what) in [
        ("http://business-api.tiktok.com/", "must begin with https"),
        ("http://localhost.example.com/", "must begin with https"),
        ("http://127.0.0.1.example.com/", "must begin with https"),
        ("http://128.0.0.1/", "must begin with https"),
        ("http://[::2]/", "must begin with https"),
        ("http://0.0.0.0/", "must begin with https"),
        ("ftp://example.com/", "must begin with https"),
        ("file:///tmp", "must begin with https"),
        ("https://example.com/?a=b", "must be a base URL"),
        ("https://example.com/#top", "must be a base URL"),
        ("https://user@example.com/", "must be a base URL"),
        ("https://:password@example.com/", "must be a base URL"),
        ("business-api.tiktok.com", "not a URL"),
        ("/open_api/v1.3/", "not a URL"),
        ("https://", "not a URL"),
    ] {
        let error = with("TIKTOK_API_URL", text).expect_err(text);
        assert!(error.what().starts_with("TIKTOK_API_URL ") && error.what().contains(what), "{text}: {error}");
    }
}

#[test]
fn concurrency_is_a_whole_number_from_one() {
    assert_eq!(with("MAX_CONCURRENCY", "1").expect("a number").max_concurrency, 1);
    for text in ["0", "-1", "1.5", "many", "1001", "18446744073709551615", "99999999999999999999"] {
        let error = with("MAX_CONCURRENCY", text).expect_err(text);
        assert_eq!(error.what(), "MAX_CONCURRENCY must be a whole number from 1 to 1000.", "{text}");
    }
}

#[test]
fn a_rate_is_a_number_that_is_neither_nothing_nor_beyond_counting() {
    for (place, name) in ["TIKTOK_REQUESTS_PER_SECOND", "SECRETS_MANAGER_WRITES_PER_SECOND"].into_iter().enumerate() {
        for (text, rate) in [("10", "10"), ("0.001", "0.001"), ("2.5", "2.5"), ("1e6", "1000000")] {
            assert_eq!(rates(&with(name, text).expect(text))[place], rate, "{name}={text}");
        }
        for text in ["0", "-1", "0.0001", "2000000", "NaN", "inf", "ten", "1/s"] {
            let error = with(name, text).expect_err(text);
            assert_eq!(error.what(), format!("{name} must be a number from 0.001 to 1000000."), "{text}");
        }
    }
}

#[test]
fn a_fleet_is_found_by_a_tag_with_or_without_its_value() {
    for (text, key, value) in [
        ("tiktok", "tiktok", None),
        (" tiktok-ads = brand a ", "tiktok-ads", Some("brand a")),
        ("team:tiktok/ads=", "team:tiktok/ads", Some("")),
        ("a=b=c", "a", Some("b=c")),
    ] {
        let tag = Tag { key: key.to_owned(), value: value.map(str::to_owned) };
        assert_eq!(read(&[("SECRET_TAG", text)]).expect(text).secrets, Secrets::Tagged(tag), "{text}");
    }
    let (key, value) = ("k".repeat(129), format!("k={}", "v".repeat(257)));
    for text in ["=", "=brand", &key, &value] {
        let error = read(&[("SECRET_TAG", text)]).expect_err(text);
        let what = "SECRET_TAG must be the key of a tag, or its key, an equals sign and its value.";
        assert_eq!(error.what(), what, "{text}");
    }
}

#[test]
fn secrets_are_either_named_or_found() {
    let error = read(&[("SECRET_ID", "one"), ("SECRET_TAG", "tiktok")]).expect_err("one of the two");
    assert!(error.what().starts_with("SECRET_ID and SECRET_TAG are both set"), "{error}");
}

#[test]
fn a_switch_is_on_or_off() {
    for (text, on) in [("true", true), (" true ", true), ("false", false)] {
        assert_eq!(with("ADVERTISER_INFO", text).expect("a switch").advertiser_info, on, "{text}");
    }
    for text in ["1", "yes", "on", "True", "TRUE"] {
        let error = with("ADVERTISER_INFO", text).expect_err(text);
        assert_eq!(error.what(), "ADVERTISER_INFO must be true or false.", "{text}");
    }
}

#[test]
fn the_namespace_is_one_that_cloudwatch_takes() {
    let longest = "n".repeat(255);
    for text in ["TikTok", "Tik Tok", "a.b-c_d/e#f:g", "AWSome", &longest] {
        assert_eq!(with("METRICS_NAMESPACE", text).expect(text).metrics_namespace, text);
    }
    let too_long = "n".repeat(256);
    for text in ["AWS/TikTok", "TikTok!", "Tik\tTok", "Anzeigen/Förderung", ":TikTok", &too_long] {
        let error = with("METRICS_NAMESPACE", text).expect_err(text);
        assert!(error.what().starts_with("METRICS_NAMESPACE must be a CloudWatch namespace"), "{text}: {error}");
    }
}

/// Every variable wrong at once.
const WRONG: [(&str, &str); 8] = [
    ("SECRET_ID", " "),
    ("TIKTOK_API_URL", "http://example.com/?token=canary"),
    ("MIN_TOKEN_LIFETIME", "canary"),
    ("MAX_CONCURRENCY", "canary"),
    ("TIKTOK_REQUESTS_PER_SECOND", "canary"),
    ("SECRETS_MANAGER_WRITES_PER_SECOND", "canary"),
    ("ADVERTISER_INFO", "canary"),
    ("METRICS_NAMESPACE", "canary!"),
];

#[test]
fn every_problem_is_in_one_message_and_no_value_is() {
    let error = read(&WRONG).expect_err("all are wrong");
    assert_eq!(error.kind().name(), "InvalidConfiguration");
    for (name, _) in WRONG {
        assert_eq!(error.what().matches(name).count(), 1, "{name}: {error}");
    }
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[tokio::test]
async fn wrong_settings_fail_every_invocation_with_all_there_is_to_correct() {
    let world = World::start();
    let function = world.function_with(BINARY, &WRONG);
    for event in [json!({}), json!({"action": "status"})] {
        let invocation = function.run(event).await;
        assert!(matches!(invocation.outcome, Outcome::Error { .. }), "the process has started, so that it can tell");
        assert_eq!(outcome(&invocation), "InvalidConfiguration");
        assert!(WRONG.iter().all(|(name, _)| error_message(&invocation).contains(name)));
    }
    assert!(world.faults.journal().is_empty());
}

#[tokio::test]
async fn the_endpoint_of_secrets_manager_wins_over_the_one_of_all_services_which_stands_in_for_it() {
    let world = World::start();
    let url = world.secrets_manager.url();
    let cases = [
        [("AWS_ENDPOINT_URL_SECRETS_MANAGER", url.as_str()), ("AWS_ENDPOINT_URL", "http://127.0.0.1:9")],
        [("AWS_ENDPOINT_URL_SECRETS_MANAGER", ""), ("AWS_ENDPOINT_URL", url.as_str())],
    ];
    for variables in cases {
        assert_eq!(outcome(&world.function_with(BINARY, &variables).run(refresh()).await), "refreshed");
    }
}

#[tokio::test]
async fn a_request_to_secrets_manager_says_who_asks_and_for_what_and_no_more() {
    let (world, listener) = (World::start(), listen().await);
    let url = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
    let function = world.function_with(BINARY, &[("AWS_ENDPOINT_URL_SECRETS_MANAGER", &url)]);
    let (head, _) = tokio::join!(first_head(listener), function.invoke(refresh(), SHORT));
    let headers = head.lines().skip(1).take_while(|line| !line.is_empty());
    let mut names: Vec<&str> = headers.filter_map(|line| Some(line.split_once(':')?.0)).collect();
    names.sort_unstable();
    let wanted = [
        "accept",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-target",
        "x-amzn-trace-id",
    ];
    assert_eq!(names, wanted, "{head}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(head.contains(&format!("user-agent: tiktok-token-refresh/{version}\r\n")), "CloudTrail shows who\n{head}");
}

/// The first request, at least up to where its headers end. Its connection, and every later one, is closed.
async fn first_head(listener: TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.expect("the function connects");
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut head).await.expect("a request"), 0, "the request ends in its head");
    }
    String::from_utf8(head).expect("a request in ASCII")
}
