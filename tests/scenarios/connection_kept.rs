//! TikTok's connection is kept for the invocation that directly follows, which so has no handshake to do. One that was idle
//! for longer, or over which an answer was lost, is never trusted with a token that works once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use stand_ins::{Fault, Function, Invocation, When, World, wire::listen};
use tokio::{
    io::copy_bidirectional,
    net::TcpStream,
    sync::Notify,
    time::{sleep, timeout},
};

use crate::{
    connection_ahead::reads_wait_for,
    support::{BINARY, Scenario, outcome, refresh, scheduled},
};

/// Longer than a connection is trusted. The clocks that it goes by are the real ones, so this is really waited for.
const TOO_LONG: Duration = Duration::from_millis(5500);

fn opened(world: &World) -> u64 {
    world.tiktok.opened().load(Ordering::SeqCst)
}

async fn run_without_complaint(function: &Function) {
    let invocation = function.run(refresh()).await;
    assert_eq!(outcome(&invocation), "refreshed");
    let complaints = complaints(&invocation);
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// A token that goes over a dead connection counts as spent, and its answer as lost: that is logged.
fn complaints(invocation: &Invocation) -> Vec<&String> {
    invocation.logs.iter().filter(|line| line.contains("WARN")).collect()
}

#[tokio::test]
async fn an_invocation_right_after_another_uses_its_connection() {
    let world = World::start();
    let function = world.lambda();
    for _ in 0..3 {
        run_without_complaint(&function).await;
        assert_eq!(opened(&world), 1);
    }
    world.assert_usable();
}

#[tokio::test]
async fn no_connection_is_opened_ahead_where_there_is_one() {
    let world = World::start();
    let function = world.lambda();
    // The hourly top-up opens none ahead: what it finds to do, it connects for.
    assert_eq!(outcome(&function.run(json!({"action": "refresh", "if_needed": true})).await), "refreshed");
    run_without_complaint(&function).await;
    assert_eq!(opened(&world), 1);
}

#[tokio::test]
async fn a_connection_that_was_opened_ahead_and_not_needed_ends_with_its_invocation() {
    let world = World::start();
    run_without_complaint(&world.lambda()).await;
    let before = opened(&world);
    reads_wait_for(&world, &world.tiktok.opened(), before + 1);
    let line = Line::to_tiktok(&world).await;
    let function = line.function(&world);
    assert_eq!(outcome(&function.run(scheduled()).await), "fresh");
    let ended = async {
        while line.ended.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(TOO_LONG, ended).await.expect("nothing is left when the process waits for its next event");
    assert_eq!(opened(&world), before + 1);
}

#[tokio::test]
async fn a_connection_that_tiktok_closes_between_two_invocations_is_not_used() {
    let world = World::start();
    let line = Line::to_tiktok(&world).await;
    let function = line.function(&world);
    run_without_complaint(&function).await;
    line.cut.notify_waiters();
    while line.ended.load(Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    run_without_complaint(&function).await;
    assert_eq!(opened(&world), 2);
}

#[tokio::test]
async fn a_connection_that_was_idle_for_too_long_is_replaced_ahead() {
    let world = World::start();
    let function = world.lambda();
    run_without_complaint(&function).await;
    sleep(TOO_LONG).await;
    reads_wait_for(&world, &world.tiktok.opened(), 2);
    run_without_complaint(&function).await;
    assert_eq!(opened(&world), 2);
}

#[tokio::test]
async fn a_connection_that_is_idle_for_too_long_during_an_invocation_is_not_used() {
    let world = World::start();
    let function = world.lambda();
    // Each half is short enough for the invocation that it is in, and for Secrets Manager.
    let half = Fault::Delay(TOO_LONG / 2);
    world.faults.at(When::operation("UpdateSecretVersionStage"), half.clone());
    run_without_complaint(&function).await;
    world.faults.at(When::operation("GetSecretValue"), half);
    run_without_complaint(&function).await;
    assert_eq!((world.faults.unfired(), opened(&world)), (0, 2));
}

#[tokio::test]
async fn a_connection_over_which_an_answer_did_not_come_whole_is_replaced_ahead() {
    for fault in [Fault::TruncatedBody, Fault::DropAfter] {
        let world = World::start();
        let function = world.function_with(BINARY, &[("ADVERTISER_INFO", "true")]);
        // The last answer of a run, and the only one that is not asked for again.
        world.faults.at(When::operation("advertiser/info"), fault);
        assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
        assert_eq!((world.faults.unfired(), opened(&world)), (0, 1));
        reads_wait_for(&world, &world.tiktok.opened(), 2);
        run_without_complaint(&function).await;
        assert_eq!(opened(&world), 2);
    }
}

#[tokio::test]
async fn a_kept_connection_that_breaks_under_a_token_costs_nothing_but_an_attempt() {
    for fault in [Fault::DropBefore, Fault::ResetBefore] {
        let world = World::start();
        let function = world.lambda();
        run_without_complaint(&function).await;
        world.faults.at(When::operation("oauth2/refresh_token"), fault);
        let invocation = function.run(refresh()).await;
        assert_eq!(outcome(&invocation), "refreshed");
        assert_eq!(complaints(&invocation).len(), 1, "{:?}", invocation.logs);
        assert_eq!((world.redeemed(), opened(&world)), (2, 2));
        world.assert_usable();
    }
}

#[tokio::test]
async fn of_several_connections_none_is_kept() {
    let world = World::fleet(2, "tiktok");
    let function = world.lambda();
    // Both secrets wait for TikTok at the same time.
    world.faults.at(When::operation("oauth2/refresh_token").always(), Fault::Delay(Duration::from_millis(500)));
    function.run(refresh()).await;
    assert_eq!(opened(&world), 2);
    world.faults.reset();
    function.run(refresh()).await;
    let journal = world.faults.journal();
    assert!(journal.of("oauth2/refresh_token").all(|redeem| redeem.connection > 2), "{journal}");
    assert_eq!(world.redeemed(), 4);
}

/// A line to the world's TikTok, whose connections can be cut.
#[derive(Default)]
struct Line {
    url: String,
    cut: Arc<Notify>,
    /// How many connections have ended, at whichever end.
    ended: Arc<AtomicU64>,
}

impl Line {
    async fn to_tiktok(world: &World) -> Self {
        let (listener, tiktok) = (listen().await, world.tiktok.address());
        let url = format!("http://{}/open_api/v1.3/", listener.local_addr().expect("a bound listener has an address"));
        let line = Self { url, ..Self::default() };
        let (cut, ended) = (Arc::clone(&line.cut), Arc::clone(&line.ended));
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(tiktok).await.expect("the stand-in listens");
                let (cut, ended) = (Arc::clone(&cut), Arc::clone(&ended));
                tokio::spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        () = cut.notified() => {}
                    }
                    drop((near, far));
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        line
    }

    /// The function, with this line to TikTok.
    fn function(&self, world: &World) -> Function {
        world.function_with(BINARY, &[("TIKTOK_API_URL", &self.url)])
    }
}
