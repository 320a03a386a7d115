//! Answers that hang, trickle or are huge: the run ends before the deadline with its own error type, and no token is
//! lost.

use std::time::Duration;

use stand_ins::{Fault, GrantSpec, When, World, tiktok::Renewal};
use tiktok_token_refresh::transport::Deadline;

use crate::support::{
    CLAIM, SHORT, STAGE, Scenario, assert_failed, only_result, outcome, scheduled, side_by_side, warnings,
};

const REDEEM: &str = "oauth2/refresh_token";
const LIST: &str = "oauth2/advertiser/get";

/// Longer than one attempt at Secrets Manager is waited for, and too short to begin to redeem.
const BRIEF: Duration = Duration::from_secs(6);
/// Long after every deadline.
const FOR_EVER: Duration = Duration::from_mins(10);
const GIBIBYTE: u64 = 1 << 30;

/// A world in which no answer that is lost costs a grant.
fn world() -> World {
    World::with(GrantSpec { renewal: Renewal::SameRefreshToken, ..GrantSpec::default() })
}

fn endless() -> [Fault; 3] {
    [Fault::Hang, Fault::HangAfter, Fault::SlowBody(FOR_EVER)]
}

#[tokio::test]
async fn a_tiktok_that_does_not_answer_a_redeem_is_named_before_the_deadline() {
    side_by_side(endless().map(|fault| async move {
        let world = world();
        world.faults.at(When::operation(REDEEM).always(), fault);
        let invocation = world.lambda().invoke(scheduled(), SHORT).await;
        assert_failed(&invocation, "TikTokUnavailable", &["did not answer within", "redeem"]);
        assert_eq!(world.faults.journal().count(REDEEM), 1, "there is no time for a second attempt and a write");
        assert_eq!(world.next_run().await, "refreshed");
    }))
    .await;
}

#[tokio::test]
async fn a_redeem_that_tiktok_answers_after_twelve_seconds_costs_no_token() {
    let world = World::start();
    world.faults.at(When::operation(REDEEM), Fault::SlowBody(Duration::from_secs(12)));
    let invocation = world.lambda().invoke(scheduled(), 2 * SHORT).await;
    assert_eq!(outcome(&invocation), "refreshed");
    assert_eq!(world.redeemed(), 1, "a request that was sent is waited for");
    world.assert_usable();
}

#[tokio::test]
async fn a_tiktok_that_does_not_list_the_advertisers_keeps_no_new_token_back() {
    side_by_side(endless().map(|fault| async move {
        let world = world();
        world.faults.at(When::operation(LIST).always(), fault);
        let invocation = world.lambda().invoke(scheduled(), SHORT).await;
        assert_eq!(outcome(&invocation), "refreshed");
        assert_eq!(only_result(&invocation)["advertisers_stale"], true);
        assert!(warnings(&invocation).contains("could not be listed"), "{}", warnings(&invocation));
        world.assert_usable();
        assert_eq!(world.redeemed(), 1);
    }))
    .await;
}

#[tokio::test]
async fn a_tiktok_that_does_not_answer_for_a_long_term_token_is_named_before_the_deadline() {
    side_by_side(endless().map(|fault| async move {
        let world = World::with(GrantSpec::long_term());
        world.faults.at(When::operation(LIST).always(), fault);
        let invocation = world.lambda().invoke(scheduled(), BRIEF).await;
        assert_failed(&invocation, "TikTokUnavailable", &["did not answer", "check"]);
        assert_eq!(world.next_run().await, "verified");
    }))
    .await;
}

#[tokio::test]
async fn a_secrets_manager_that_does_not_answer_is_named_before_the_deadline() {
    let requests = [
        ("GetSecretValue", "AWSCURRENT", BRIEF, 0),
        ("ListSecretVersionIds", "", SHORT, 0),
        ("PutSecretValue", CLAIM, SHORT, 0),
        ("PutSecretValue", STAGE, SHORT, 1),
        ("UpdateSecretVersionStage", "", SHORT, 1),
    ];
    let cases = requests.into_iter().flat_map(|request| endless().map(|fault| (request, fault)));
    side_by_side(cases.map(|((operation, part, limit, redeemed), fault)| async move {
        let world = world();
        let case = format!("{operation} {part}: {fault:?}");
        world.faults.at(When::operation(operation).detail(part).always(), fault);
        let invocation = world.lambda().invoke(scheduled(), limit).await;
        assert_eq!(outcome(&invocation), "SecretsManagerUnavailable", "{case}");
        assert_failed(&invocation, "SecretsManagerUnavailable", &["Secrets Manager did not answer within"]);
        assert_eq!(world.redeemed(), redeemed, "{case}");
        world.next_run().await;
    }))
    .await;
}

#[tokio::test]
async fn an_invocation_too_short_to_redeem_safely_spends_nothing() {
    for limit in [400, 1_000, 5_000, 14_000].map(Duration::from_millis) {
        let world = World::start();
        let invocation = world.lambda().invoke(scheduled(), limit).await;
        assert_failed(&invocation, "DeadlineExceeded", &["Raise the function's timeout"]);
        assert!(invocation.duration < limit, "{limit:?}");
        assert_eq!((world.faults.journal().count(REDEEM), world.redeemed()), (0, 0), "{limit:?}");
        let second = world.lambda().run(scheduled()).await;
        assert_eq!(outcome(&second), "refreshed", "{limit:?}: no claim was left to stand in the way of a longer run");
    }
}

#[tokio::test]
async fn a_flood_of_bytes_costs_one_more_attempt_and_a_few_megabytes_of_memory() {
    let calm = World::start();
    let normal = calm.lambda().run(scheduled()).await.peak_rss_kb.expect("the process lives");
    // A list may be long, so that much of it is read before it is too much.
    let cases = [(REDEEM, "", 4), (LIST, "", 12), ("GetSecretValue", "AWSCURRENT", 4), ("PutSecretValue", STAGE, 4)];
    for (operation, part, megabytes) in cases {
        let world = World::start();
        world.faults.at(When::operation(operation).detail(part), Fault::HugeBody(GIBIBYTE));
        let invocation = world.lambda().run(scheduled()).await;
        assert_eq!(outcome(&invocation), "refreshed", "{operation}: {:?}", invocation.outcome);
        world.assert_usable();
        let peak = invocation.peak_rss_kb.expect("the process lives");
        assert!(peak < normal + megabytes * 1024, "{operation}: {peak} kB, and {normal} kB without the flood");
        assert_eq!((world.redeemed(), world.faults.unfired()), (1, 0), "{operation}");
    }
}

#[test]
fn a_deadline_that_was_over_before_the_run_began_is_none() {
    let now = jiff::Timestamp::now();
    let left = |milliseconds| Deadline::named(milliseconds, now).remaining(now).as_secs();
    // What `cargo lambda watch` sends, and what no clock can say.
    assert_eq!((left(600_000), left(0), left(u64::MAX)), (600, 600, 600));
    let in_a_minute = u64::try_from(now.as_millisecond()).expect("after 1970") + 60_000;
    assert!((59..=60).contains(&left(in_a_minute)));
}
