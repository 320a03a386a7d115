//! TikTok's connection opens while the secret is read, so a cold start waits for one of the two.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use stand_ins::{Fault, When, World, wire::listen};
use tokio::{io::copy_bidirectional, net::TcpStream, time::sleep};

use crate::support::{BINARY, Scenario, outcome, refresh, scheduled};

/// Holds every read of the secret back until so many connections were opened.
pub fn reads_wait_for(world: &World, opened: &Arc<AtomicU64>, number: u64) {
    let opened = Arc::clone(opened);
    let wait = move || {
        let opened = Arc::clone(&opened);
        async move {
            while opened.load(Ordering::SeqCst) < number {
                sleep(Duration::from_millis(1)).await;
            }
        }
    };
    world.faults.at(When::operation("GetSecretValue").always(), Fault::run_before(wait));
}

#[tokio::test]
async fn the_connection_is_there_before_the_secret_is_read_and_serves_the_whole_run() {
    let world = World::start();
    let opened = world.tiktok.opened();
    reads_wait_for(&world, &opened, 1);
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    assert_eq!(opened.load(Ordering::SeqCst), 1);
    let requests = world.faults.journal();
    assert_eq!(requests.count("oauth2/refresh_token") + requests.count("oauth2/advertiser/get"), 2);
}

#[tokio::test]
async fn a_top_up_that_finds_nothing_to_do_does_not_connect_to_tiktok() {
    let world = World::start();
    let function = world.lambda();
    function.run(refresh()).await;
    let opened = world.tiktok.opened();
    let before = opened.load(Ordering::SeqCst);
    let top_up = function.run(json!({"action": "refresh", "if_needed": true})).await;
    assert_eq!(outcome(&top_up), "fresh");
    assert_eq!(opened.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn a_connection_that_tiktok_has_closed_meanwhile_is_not_used() {
    let world = World::start();
    let closed = Arc::new(AtomicU64::new(0));
    let url = closes_its_first_connection(&world, Arc::clone(&closed)).await;
    reads_wait_for(&world, &closed, 1);
    let function = world.function_with(BINARY, &[("TIKTOK_API_URL", &url)]);
    let invocation = function.run(refresh()).await;
    assert_eq!(outcome(&invocation), "refreshed");
    // A token that went over it would count as redeemed, and its answer as lost.
    let complaints: Vec<_> = invocation.logs.iter().filter(|line| line.contains("WARN")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// An address that leads to the world's TikTok, from the second connection on. The first one is closed at once.
async fn closes_its_first_connection(world: &World, closed: Arc<AtomicU64>) -> String {
    let (listener, tiktok) = (listen().await, world.tiktok.address());
    let url = format!("http://{}/open_api/v1.3/", listener.local_addr().expect("a bound listener has an address"));
    tokio::spawn(async move {
        drop(listener.accept().await);
        closed.store(1, Ordering::SeqCst);
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(tiktok).await.expect("the stand-in listens");
            tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
    });
    url
}
