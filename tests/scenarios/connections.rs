//! Connections to TikTok: each invocation opens its own, because a single-use token must not be sent over an old one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

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

/// A token that goes over a dead connection counts as redeemed, and its answer as lost. Both are logged.
fn complaints(invocation: &Invocation) -> Vec<&String> {
    invocation.logs.iter().filter(|line| line.contains("WARN")).collect()
}

#[tokio::test]
async fn each_invocation_opens_one_connection_of_its_own() {
    let world = World::start();
    let function = world.lambda();
    for invocation in 1..=3 {
        run_without_complaint(&function).await;
        assert_eq!(opened(&world), invocation, "a connection that idled in a frozen sandbox carries no token");
    }
    world.assert_usable();
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
async fn a_connection_that_breaks_before_a_token_is_read_costs_nothing_but_an_attempt() {
    for fault in [Fault::DropBefore, Fault::ResetBefore] {
        let world = World::start();
        let function = world.lambda();
        run_without_complaint(&function).await;
        world.faults.at(When::operation("oauth2/refresh_token"), fault);
        let invocation = function.run(refresh()).await;
        assert_eq!(outcome(&invocation), "refreshed");
        assert_eq!(complaints(&invocation).len(), 1, "{:?}", invocation.logs);
        assert_eq!((world.redeemed(), opened(&world)), (2, 3));
        world.assert_usable();
    }
}

/// A line to the world's TikTok, whose connections can be cut.
#[derive(Default)]
struct Line {
    url: String,
    cut: Arc<Notify>,
    /// The number of connections that have ended, at either end.
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
