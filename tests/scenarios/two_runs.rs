//! Two processes that start at the same moment, over the wire. The model explores every interleaving; these scenarios
//! show that real processes behave like the model.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use stand_ins::{Fault, GrantSpec, When, World, tiktok::Renewal};

use crate::support::{BINARY, SHORT, Scenario, assert_failed, outcome, refresh, scheduled, strict};

async fn race(world: &World, event: Value) -> [String; 2] {
    let (one, other) = (world.function(BINARY), world.function(BINARY));
    let (one, other) = tokio::join!(one.run(event.clone()), other.run(event));
    [outcome(&one), outcome(&other)]
}

#[tokio::test]
async fn two_runs_started_together_redeem_one_refresh_token_once() {
    for round in 0..20 {
        let Some(world) = strict(World::start()) else { return };
        // Each round holds another request back, so that the runs meet at other places.
        world.faults.at(When::request(1 + round), Fault::Delay(Duration::from_millis(30)));
        let outcomes = race(&world, scheduled()).await;
        assert!(outcomes.contains(&"refreshed".to_owned()), "{outcomes:?}");
        let other = outcomes.iter().find(|outcome| *outcome != "refreshed").expect("one refresh is enough");
        assert!(["in_progress", "fresh", "resumed", "superseded"].contains(&other.as_str()), "{outcomes:?}");
        world.assert_usable();
        let tiktok = world.tiktok.core();
        assert_eq!((tiktok.redeems().len(), tiktok.refused_redeems().len()), (1, 0), "{outcomes:?}");
    }
}

#[tokio::test]
async fn two_forced_runs_never_send_the_same_refresh_token() {
    let Some(world) = strict(World::start()) else { return };
    race(&world, refresh()).await;
    world.assert_usable();
    assert!(world.tiktok.core().refused_redeems().is_empty(), "no dead token was sent");
    assert!(world.tiktok.core().overlapping_redeems().is_empty());
}

#[tokio::test]
async fn a_run_that_failed_in_good_order_holds_up_nobody() {
    for (code, error) in [(40113, "TikTokMisconfigured"), (61000, "TikTokThrottled"), (50000, "TikTokUnavailable")] {
        let Some(world) = strict(World::start()) else { return };
        let function = world.lambda();
        world.faults.at(When::operation("oauth2/refresh_token").always(), Fault::tiktok(code, "No."));
        let failed = function.invoke(scheduled(), SHORT).await;
        assert_eq!(outcome(&failed), error);
        world.faults.clear();
        assert_eq!(
            outcome(&function.run(scheduled()).await),
            "refreshed",
            "Lambda's retry, long before the deadline: {code}"
        );
        world.assert_usable();
    }
}

#[tokio::test]
async fn a_token_that_does_not_rotate_is_redeemed_once_by_two_runs_too() {
    let Some(world) = strict(World::with(GrantSpec { renewal: Renewal::SameRefreshToken, ..GrantSpec::default() }))
    else {
        return;
    };
    race(&world, scheduled()).await;
    world.assert_usable();
    assert_eq!(world.tiktok.core().redeems().len(), 1);
}

#[tokio::test]
async fn who_finds_an_expired_token_and_a_live_claim_waits_for_the_other_run() {
    let Some(world) = strict(World::start()) else { return };
    world.lambda().run(refresh()).await;
    world.tiktok.core().clock.advance(Duration::from_hours(25));
    let mut expired = world.current();
    expired["access_token_expires_at"] = "2026-01-01T00:00:00Z".into();
    let client = world.secrets_manager.client();
    client.put(&world.secret_id, &expired.to_string()).await.expect("a person may write");
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::Delay(Duration::from_secs(3)));
    let outcomes = race(&world, scheduled()).await;
    assert!(outcomes.contains(&"refreshed".to_owned()), "{outcomes:?}");
    let is_usable = |outcome: &String| ["refreshed", "fresh", "resumed", "superseded"].contains(&outcome.as_str());
    assert!(outcomes.iter().all(is_usable), "an expired token is not called usable: {outcomes:?}");
    world.assert_usable();
}

#[tokio::test]
async fn who_waits_for_another_run_in_vain_says_so_before_its_own_deadline() {
    let Some(world) = strict(World::start()) else { return };
    world.lambda().run(refresh()).await;
    world.edit(|document| document["access_token_expires_at"] = "2026-01-01T00:00:00Z".into()).await;
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::KillBefore);
    world.lambda().run(scheduled()).await;
    world.faults.reset();
    // The dead run's claim stands until the deadline that it had.
    let invocation = world.lambda().invoke(scheduled(), Duration::from_secs(27)).await;
    assert_failed(&invocation, "DeadlineExceeded", &["another run, which has until", "still refreshing it"]);
    let journal = world.faults.journal();
    let reads = journal.of("GetSecretValue").filter(|read| read.label() == Some("AWSCURRENT")).count();
    assert!((3..=5).contains(&reads), "every two seconds, until there is no time for a refresh: {reads}");
}

#[tokio::test]
async fn a_claim_is_respected_for_ten_seconds_beyond_its_end_because_clocks_differ() {
    for (seconds_ago, ending) in [(5, "in_progress"), (11, "refreshed")] {
        let Some(world) = strict(World::start()) else { return };
        world.faults.at(When::operation("oauth2/refresh_token"), Fault::KillBefore);
        world.lambda().run(scheduled()).await;
        let end = Timestamp::now() - SignedDuration::from_secs(seconds_ago);
        world.let_the_claim_end(&world.secret_id, &end.to_string()).await;
        assert_eq!(outcome(&world.lambda().run(scheduled()).await), ending, "{seconds_ago} seconds after its end");
    }
}
