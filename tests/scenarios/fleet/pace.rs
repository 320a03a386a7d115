//! The rate limits of a fleet: as fast as TikTok and AWS allow, and no faster.

use std::time::Duration;

use serde_json::json;

use super::{Fleet, TAG, counts, fleet};
use crate::support::{BINARY, CLAIM, SHORT, Scenario, assert_failed, outcome, refresh, scheduled, strictly};
use stand_ins::{APP_ID, Fault, GrantSpec, Limit, When, World};

#[tokio::test]
async fn tiktok_is_never_asked_more_often_than_an_app_may() {
    let Some(world) = fleet(20) else { return };
    world.tiktok.core().set_rate_limit(Some(10));
    let invocation = world.lambda().run(scheduled()).await;
    assert_eq!(counts(&invocation), json!({"refreshed": 20}));
    let tiktok = world.tiktok.core();
    let rate = tiktok.rate_of(APP_ID);
    assert_eq!((rate.requests, rate.refused), (40, 0));
    assert!(rate.greatest >= 8, "it uses what it may: {}", rate.greatest);
}

#[tokio::test]
async fn every_app_has_a_rate_of_its_own() {
    let Some(world) = strictly(|| World::fleet_of(24, TAG, 3, &GrantSpec::default())) else { return };
    let invocation = world.function_with(BINARY, &[("TIKTOK_REQUESTS_PER_SECOND", "4")]).run(scheduled()).await;
    assert_eq!(counts(&invocation), json!({"refreshed": 24}));
    let tiktok = world.tiktok.core();
    let apps: std::collections::BTreeSet<_> = world.members.iter().map(|member| &member.app_id).collect();
    assert_eq!(apps.len(), 3);
    for app in apps {
        let rate = tiktok.rate_of(app);
        assert!(rate.requests == 16 && rate.greatest <= 6, "{rate:?}");
    }
    // One after the other, three times as many would not have fitted in this time.
    assert!(invocation.duration < Duration::from_secs(8), "{:?}", invocation.duration);
}

#[tokio::test]
async fn a_throttle_that_one_secret_meets_is_a_pause_for_all_of_its_app() {
    let Some(world) = strictly(|| World::fleet_of(24, TAG, 2, &GrantSpec::default())) else { return };
    let first = &world.members[0];
    let (_, token) = world.tiktok.core().newest(first.grant);
    let token = world.tiktok.core().name_of(&token.expect("a refresh token"));
    let when = When::operation("oauth2/refresh_token").detail(&token);
    world.faults.at(when, Fault::tiktok(40100, "Requests made too frequently."));
    let invocation = world.lambda().run(scheduled()).await;
    assert_eq!(counts(&invocation), json!({"refreshed": 24}));
    let journal = world.faults.journal();
    let throttled = journal.iter().find(|entry| entry.code.as_deref() == Some("40100")).expect("a throttle");
    let during = throttled.at + Duration::from_millis(100)..throttled.at + Duration::from_secs(2);
    let of_app = |name: &str, app: &str| {
        let grants = world.members.iter().filter(|member| member.app_id == app);
        grants.map(|member| format!("grant {}", member.grant)).any(|grant| name.starts_with(&grant))
    };
    let asked = |app: &str| {
        let redeems = journal.of("oauth2/refresh_token").filter(|entry| during.contains(&entry.at));
        redeems.filter(|entry| of_app(&entry.detail, app)).count()
    };
    assert_eq!(asked(&first.app_id), 0, "{journal}");
    assert!(asked(&world.members[1].app_id) > 0, "the other app goes on\n{journal}");
}

#[tokio::test]
async fn requests_that_are_throttled_together_are_answered_by_one_pause() {
    let Some(world) = fleet(4) else { return };
    let throttle = Fault::tiktok(40100, "Requests made too frequently.");
    world.faults.at(When::operation("oauth2/refresh_token").times(4), throttle);
    assert_eq!(counts(&world.unhurried(&[]).run(scheduled()).await), json!({"refreshed": 4}));
    let journal = world.faults.journal();
    let redeems: Vec<_> = journal.of("oauth2/refresh_token").collect();
    let throttled = redeems.iter().rfind(|entry| entry.code.as_deref() == Some("40100")).expect("a throttle");
    let next = redeems.iter().find(|entry| entry.at > throttled.at + Duration::from_secs(1)).expect("another attempt");
    // At least three were on their way together. With a pause for each, the last one would be sixteen seconds long.
    assert!(next.at.saturating_sub(throttled.at) < Duration::from_secs(9), "{journal}");
}

#[tokio::test]
async fn a_pause_that_outlasts_the_run_fails_those_not_begun_without_a_write() {
    let Some(world) = fleet(30) else { return };
    world.tiktok.core().set_minute_limit(Some(Limit {
        requests: 6,
        window: Duration::from_mins(1),
        pause: Duration::from_mins(5),
    }));
    let invocation = world.lambda().invoke(scheduled(), Duration::from_secs(30)).await;
    assert_failed(&invocation, "PartialFailure", &["TikTokThrottled", "next run tries again"]);
    let journal = world.faults.journal();
    let begun =
        journal.of("oauth2/refresh_token").map(|entry| &entry.detail).collect::<std::collections::BTreeSet<_>>();
    let claimed = journal.of("PutSecretValue").filter(|entry| entry.detail.contains(CLAIM));
    let claimed: std::collections::BTreeSet<_> = claimed.filter_map(|entry| entry.detail.split(' ').next()).collect();
    // Those that were on their way when the pause began had written theirs.
    assert!(claimed.len() <= begun.len() + 8 && claimed.len() < 20, "{} of {}\n{journal}", claimed.len(), begun.len());
}

#[tokio::test]
async fn secrets_manager_is_never_sent_more_writes_than_an_account_may() {
    let Some(world) = fleet(40) else { return };
    world.secrets_manager.core().set_write_quota(Some(50));
    let lifted = [("TIKTOK_REQUESTS_PER_SECOND", "1000000"), ("MAX_CONCURRENCY", "40")];
    let invocation = world.function_with(BINARY, &lifted).run(scheduled()).await;
    assert_eq!(counts(&invocation), json!({"refreshed": 40}));
    let core = world.secrets_manager.core();
    let rate = core.write_rate();
    // A claim, the tokens, their promotion, and because it is the first run a version with the list.
    assert_eq!((rate.requests, rate.refused), (160, 0));
    assert!(rate.greatest > 30, "it uses what it may: {}", rate.greatest);
}

#[tokio::test]
async fn a_single_refresh_waits_for_no_turn() {
    let world = World::start();
    // The next turn after its two requests would come long after its deadline.
    let slow = [("TIKTOK_REQUESTS_PER_SECOND", "0.01"), ("SECRETS_MANAGER_WRITES_PER_SECOND", "0.01")];
    let invocation = world.function_with(BINARY, &slow).invoke(refresh(), SHORT).await;
    assert_eq!(outcome(&invocation), "refreshed");
    world.assert_usable();
}
