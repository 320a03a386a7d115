//! Failing secrets of a fleet do not block the others.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Fleet, LONG, counts, fleet, next_slot};
use crate::{
    evidence::log,
    support::{Scenario, assert_failed, scheduled},
};
use stand_ins::{Fault, Invocation, When, World, secrets_manager::Denial};

fn message(invocation: &Invocation) -> String {
    let stand_ins::Outcome::Error { error_message, .. } = &invocation.outcome else {
        panic!("expected an error, got {:?}", invocation.outcome);
    };
    error_message.clone()
}

/// The function's own metrics of the fleet: the line that is about no single secret.
fn fleet_metrics(invocation: &Invocation) -> Value {
    let lines = invocation.logs.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut lines = lines.filter(|line| line.get("_aws").is_some() && line.get("secret_id").is_none());
    let line = lines.next().expect("a line about the fleet");
    assert!(lines.next().is_none(), "one line an invocation");
    line
}

async fn spoil(world: &World, number: usize) {
    world.secrets_manager.client().put(&world.members[number].secret_id, "{}").await.expect("a person may write");
}

#[tokio::test]
async fn those_that_fail_are_named_with_why_and_the_others_are_refreshed() {
    let Some(world) = fleet(30) else { return };
    spoil(&world, 7).await;
    world.tiktok.core().revoke(world.members[12].grant);
    let invocation = world.unhurried(&[]).run(scheduled()).await;
    let says = [
        "2 of 30 secrets failed",
        &format!("{}: InvalidSecret: ", world.members[7].arn),
        &format!("{}: ReauthorizationRequired: ", world.members[12].arn),
        "are in order",
    ];
    assert_failed(&invocation, "PartialFailure", &says);
    let refreshed: Vec<_> = world.members.iter().map(|member| member.secret_id.as_str()).collect();
    let rest = |number: &usize| ![7, 12].contains(number);
    let expected: Vec<_> = (0..30).filter(rest).map(|number| refreshed[number]).collect();
    assert_eq!(world.refreshed(), expected);
}

#[tokio::test]
async fn a_retry_does_what_is_left_and_nothing_else() {
    let Some(world) = fleet(30) else { return };
    let event = scheduled();
    spoil(&world, 7).await;
    let function = world.unhurried(&[]);
    assert_failed(&function.run(event.clone()).await, "PartialFailure", &["1 of 30"]);
    let (redeemed, id) = (world.redeemed(), &world.members[7].secret_id);
    world.faults.reset();
    assert_failed(&function.run(event).await, "PartialFailure", &["1 of 30"]);
    assert_eq!(world.redeemed(), redeemed);
    let journal = world.faults.journal();
    let of_its_own = |operation: &str| !["ListSecrets", "BatchGetSecretValue"].contains(&operation);
    assert!(journal.iter().filter(|it| of_its_own(&it.operation)).all(|it| it.detail.contains(id)), "{journal}");
}

#[tokio::test]
async fn secrets_that_get_no_answer_do_not_hold_the_others_up() {
    let Some(world) = fleet(40) else { return };
    let function = world.unhurried(&[]);
    assert_eq!(counts(&function.run(scheduled()).await), json!({"refreshed": 40}));
    // More than there are places for: each would wait for TikTok until the deadline.
    for member in &world.members[..10] {
        let (_, refresh_token) = world.tiktok.core().newest(member.grant);
        let token = world.tiktok.core().name_of(&refresh_token.expect("a refresh token"));
        let when = When::operation("oauth2/refresh_token").detail(&token).always();
        world.faults.at(when, Fault::tiktok(50000, "internal error"));
    }
    let before = world.redeemed();
    let invocation = function.invoke(next_slot(), Duration::from_mins(2)).await;
    assert_failed(&invocation, "PartialFailure", &["10 of 40 secrets failed", "TikTokUnavailable"]);
    assert_eq!(world.redeemed() - before, 30);
    assert!(invocation.duration < Duration::from_mins(1), "{:?}", invocation.duration);
}

#[tokio::test]
async fn a_moment_of_trouble_is_outlasted_among_many_too_but_for_five_attempts_at_most() {
    let Some(world) = fleet(2) else { return };
    let function = world.unhurried(&[("MAX_CONCURRENCY", "1")]);
    let redeem = || When::operation("oauth2/refresh_token");
    world.faults.at(redeem().times(4), Fault::tiktok(50000, "internal error"));
    assert_eq!(counts(&function.run(scheduled()).await), json!({"refreshed": 2}));
    world.faults.reset();
    world.faults.at(redeem().always(), Fault::tiktok(50000, "internal error"));
    let invocation = function.invoke(next_slot(), Duration::from_mins(1)).await;
    assert_failed(&invocation, "TikTokUnavailable", &["2 of 2 secrets failed"]);
    assert_eq!(world.faults.journal().count("oauth2/refresh_token"), 2 * 5);
}

#[tokio::test]
async fn a_run_that_does_not_end_is_waited_for_but_not_at_the_cost_of_the_others() {
    let Some(world) = fleet(2) else { return };
    let first = world.members[0].secret_id.clone();
    let alone = || world.function_with(crate::support::BINARY, &[("SECRET_TAG", ""), ("SECRET_ID", &first)]);
    alone().run(scheduled()).await;
    world.edit(|document| document["access_token_expires_at"] = json!("2026-01-01T00:00:00Z")).await;
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::KillBefore);
    alone().run(next_slot()).await;
    let one_by_one = world.unhurried(&[("MAX_CONCURRENCY", "1")]);
    let invocation = one_by_one.invoke(next_slot(), Duration::from_mins(1)).await;
    assert_failed(&invocation, "PartialFailure", &["1 of 2 secrets failed", "another run, which has until"]);
    assert!(world.refreshed().contains(&world.members[1].secret_id.as_str()));
    let patience = Duration::from_secs(10)..Duration::from_secs(16);
    assert!(patience.contains(&invocation.duration), "five times two seconds: {:?}", invocation.duration);
}

#[tokio::test]
async fn after_a_day_without_tiktok_all_are_refreshed_at_full_pace() {
    let Some(world) = fleet(24) else { return };
    for member in &world.members {
        world.tiktok.core().grant_mut(member.grant).access_lifetime = Duration::from_secs(3);
    }
    let function = world.unhurried(&[]);
    function.run(scheduled()).await;
    for member in &world.members {
        world.tiktok.core().grant_mut(member.grant).access_lifetime = Duration::from_hours(24);
    }
    // All are overdue, so all are among those that may have failed.
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.faults.at(When::operation("oauth2/refresh_token").always(), Fault::Delay(Duration::from_secs(1)));
    let invocation = function.run(next_slot()).await;
    assert_eq!(counts(&invocation), json!({"refreshed": 24}));
    // Eight at a time; two at a time would take twelve seconds.
    assert!(invocation.duration < Duration::from_secs(9), "{:?}", invocation.duration);
}

#[tokio::test]
async fn near_the_deadline_no_secret_is_begun_and_the_next_run_goes_on_with_the_rest() {
    let Some(world) = fleet(40) else { return };
    let function = world.function_with(crate::support::BINARY, &[("TIKTOK_REQUESTS_PER_SECOND", "10")]);
    let event = scheduled();
    let invocation = function.invoke(event.clone(), Duration::from_secs(23)).await;
    let done = world.redeemed();
    assert!(done > 8 && done < 40, "{done}");
    let left = 40 - done;
    let says = [&format!("0 of 40 secrets failed. {left} of 40 were not started before the deadline: ")[..]];
    assert_failed(&invocation, "PartialFailure", &says);
    for member in &world.members {
        let is_named = message(&invocation).contains(&member.arn);
        assert_ne!(is_named, world.refreshed().contains(&member.secret_id.as_str()), "{}", member.secret_id);
    }
    let metrics = fleet_metrics(&invocation);
    assert_eq!((&metrics["LeftOver"], &metrics["Secrets"]), (&json!(left), &json!(40)));
    let rest = world.unhurried(&[]).run(event).await;
    assert_eq!(counts(&rest), json!({"fresh": done, "refreshed": left}));
    assert_eq!(fleet_metrics(&rest)["LeftOver"], 0);
    assert_eq!(world.redeemed(), 40);
}

#[tokio::test]
async fn an_error_about_hundreds_counts_those_that_it_does_not_name() {
    let Some(world) = fleet(600) else { return };
    for number in 0..600 {
        spoil(&world, number).await;
    }
    let invocation = world.unhurried(&[]).invoke(scheduled(), LONG).await;
    assert_failed(
        &invocation,
        "InvalidSecret",
        &["600 of 600 secrets failed", "more, which are in the log (600 InvalidSecret"],
    );
    assert!(message(&invocation).len() < 128 * 1024, "{}", message(&invocation).len());
    let named = log(&invocation).iter().filter(|line| line["error_type"] == "InvalidSecret").count();
    assert_eq!(named, 600);
}

#[tokio::test]
async fn a_secret_that_no_batch_can_hold_fails_alone() {
    let Some(world) = fleet(21) else { return };
    let name = world.members[3].secret_id.clone();
    world.secrets_manager.core().deny(Denial::of_decryption().on(&name));
    let invocation = world.unhurried(&[]).run(scheduled()).await;
    assert_failed(&invocation, "PartialFailure", &["1 of 21", &world.members[3].arn, "AccessDenied", "kms:Decrypt"]);
    assert_eq!(world.refreshed().len(), 20);
}

#[tokio::test]
async fn without_the_permission_to_read_batches_secrets_are_read_one_by_one() {
    let Some(world) = fleet(21) else { return };
    world.secrets_manager.core().deny(Denial::of("BatchGetSecretValue"));
    let invocation = world.unhurried(&[]).run(scheduled()).await;
    assert_eq!(counts(&invocation), json!({"refreshed": 21}));
    let says = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("BatchGetSecretValue on all"));
    assert!(log(&invocation).iter().any(says), "the log tells what to grant");
}

#[tokio::test]
async fn without_the_permission_to_list_nothing_is_done_and_the_error_names_it() {
    let Some(world) = fleet(2) else { return };
    world.secrets_manager.core().deny(Denial::of("ListSecrets"));
    let invocation = world.lambda().run(scheduled()).await;
    assert_failed(&invocation, "AccessDenied", &["secretsmanager:ListSecrets", "all resources"]);
    assert_eq!(world.redeemed(), 0);
}

#[tokio::test]
async fn a_list_that_is_minutes_old_costs_no_token() {
    let Some(world) = fleet(3) else { return };
    world.secrets_manager.core().freeze_list();
    let function = world.unhurried(&[]);
    // At the last of the promotions: no other secret's run dies with a claim that it would have to wait for.
    world.faults.at(When::operation("UpdateSecretVersionStage").nth(3), Fault::KillBefore);
    function.run(scheduled()).await;
    let event = scheduled();
    for _ in 0..2 {
        let invocation = function.run(event.clone()).await;
        assert!(invocation.outcome.error_type().is_none(), "{:?}", invocation.outcome);
    }
    assert_eq!(world.refreshed().len(), 3);
    let tiktok = world.tiktok.core();
    assert!(tiktok.refused_redeems().is_empty() && tiktok.overlapping_redeems().is_empty());
}
