//! The log: lines that CloudWatch can filter, with the request ids that TikTok's support needs.

use serde_json::{Value, json};
use stand_ins::{Fault, Function, Invocation, When, World};

use crate::{
    evidence::{all_metrics, log},
    support::{BINARY, Scenario, outcome, refresh},
};

fn function(world: &World, level: &str, format: &str) -> Function {
    world.function_with(BINARY, &[("AWS_LAMBDA_LOG_LEVEL", level), ("AWS_LAMBDA_LOG_FORMAT", format)])
}

fn messages(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["message"].as_str().expect("a message")).collect()
}

#[tokio::test]
async fn every_line_has_its_time_level_message_and_invocation() {
    let world = World::start();
    let function = world.lambda();
    for _ in 0..2 {
        let invocation = function.run(refresh()).await;
        let lines = log(&invocation);
        assert!(lines.len() >= 4, "{lines:?}");
        for line in lines {
            let time = line["timestamp"].as_str().expect("a timestamp").parse::<jiff::Timestamp>();
            let age = jiff::Timestamp::now().duration_since(time.expect("RFC 3339"));
            assert!(age.abs() < jiff::SignedDuration::from_mins(1), "{line}");
            assert!(["INFO", "WARN", "ERROR"].contains(&line["level"].as_str().expect("a level")), "{line}");
            assert!(line["message"].is_string(), "{line}");
            assert_eq!(line["span"]["request_id"], invocation.request_id.as_str(), "{line}");
        }
    }
}

#[tokio::test]
async fn a_run_tells_its_plan_what_tiktok_answered_and_how_it_ended() {
    let world = World::start();
    let lines = log(&world.lambda().run(refresh()).await);
    let expected = ["planned", "followed the chain", "TikTok answered", "TikTok answered", "done"];
    assert_eq!(messages(&lines), expected, "a person's tokens are looked behind once");
    let [planned, _, redeemed, _, done] = lines.as_slice() else { unreachable!("just counted") };
    assert_eq!((&planned["plan"], &planned["flow"]), (&"renew: asked for".into(), &"business".into()));
    assert_eq!((&redeemed["endpoint"], &redeemed["code"]), (&"oauth2/refresh_token".into(), &0.into()));
    assert_eq!((&done["outcome"], &done["advertisers"]), (&"Refreshed".into(), &2.into()));
    for line in [planned, done] {
        assert_eq!(line["secret_id"], world.secret_id.as_str());
    }
}

#[tokio::test]
async fn tiktoks_own_ids_of_a_request_are_logged_whether_it_succeeds_or_not() {
    let world = World::start();
    world.faults.at(When::operation("oauth2/advertiser/get").nth(2), Fault::tiktok(40001, "No."));
    let function = world.lambda();
    let lines = [log(&function.run(refresh()).await), log(&function.run(refresh()).await)].concat();
    let answers: Vec<&Value> = lines.iter().filter(|line| line["message"] == "TikTok answered").collect();
    assert_eq!(answers.len(), 4);
    for (n, answer) in answers[..3].iter().enumerate() {
        let id = format!("{:020}", n + 1);
        assert_eq!((&answer["request_id"], &answer["log_id"]), (&id.clone().into(), &format!("log-{id}").into()));
        assert!(answer["ms"].as_f64().is_some_and(|ms| ms > 0.0), "{answer}");
    }
    assert_eq!((&answers[3]["code"], &answers[3]["request_id"]), (&40001.into(), &"stand-in-fault".into()));
}

#[tokio::test]
async fn a_failed_run_logs_its_error_with_its_type_and_its_code() {
    let world = World::start();
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::tiktok(40113, "Wrong app."));
    let lines = log(&world.lambda().run(refresh()).await);
    let error = lines.iter().find(|line| line["level"] == "ERROR").expect("an error in the log");
    assert_eq!((&error["error_type"], &error["code"]), (&"TikTokMisconfigured".into(), &40113.into()));
    assert_eq!(error["secret_id"], world.secret_id.as_str());
    assert!(error["message"].as_str().is_some_and(|message| message.contains("Wrong app.")), "{error}");
}

#[tokio::test]
async fn an_event_that_is_not_understood_is_logged_once() {
    let lines = log(&World::start().lambda().run(json!({"action": "dance"})).await);
    let errors: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["error_type"], "InvalidEvent");
}

/// A run with a temporary failure and a warning.
async fn troubled_run(level: &str, format: &str) -> Invocation {
    let world = World::start();
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::tiktok(50002, "Try again."));
    world.faults.at(When::operation("oauth2/advertiser/get"), Fault::tiktok(40001, "No."));
    let invocation = function(&world, level, format).run(refresh()).await;
    assert_eq!(outcome(&invocation), "refreshed", "{level} {format}");
    invocation
}

#[tokio::test]
async fn the_level_decides_what_is_logged_and_never_whether_metrics_are() {
    for (level, levels, tries_again) in [
        ("TRACE", &["INFO", "WARN"][..], true),
        ("DEBUG", &["INFO", "WARN"], true),
        ("INFO", &["INFO", "WARN"], true),
        ("", &["INFO", "WARN"], true),
        ("WARN", &["WARN"], false),
        ("warn", &["WARN"], false),
        ("ERROR", &[], false),
        ("FATAL", &[], false),
    ] {
        let invocation = troubled_run(level, "JSON").await;
        let lines = log(&invocation);
        let mut seen: Vec<&str> = lines.iter().map(|line| line["level"].as_str().expect("a level")).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, levels, "{level}");
        assert_eq!(messages(&lines).contains(&"trying again"), tries_again, "{level}");
        assert_eq!(all_metrics(&invocation).len(), 1, "{level}");
    }
}

#[tokio::test]
async fn plain_text_is_logged_where_lambda_is_set_to_it() {
    for format in ["Text", ""] {
        let invocation = troubled_run("INFO", format).await;
        let (metrics, lines): (Vec<_>, Vec<_>) = invocation.logs.iter().partition(|line| line.starts_with('{'));
        assert_eq!(metrics.len(), 1, "{:#?}", invocation.logs);
        assert!(!lines.is_empty());
        for line in lines {
            assert!(line.trim_start().starts_with("INFO") || line.trim_start().starts_with("WARN"), "{line}");
            assert!(line.contains(&invocation.request_id), "{line}");
            assert!(!line.contains('\u{1b}'), "no colors: {line}");
        }
    }
}
