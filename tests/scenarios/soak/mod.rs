//! The soak: thousands of refreshes by real processes. Requests fail, processes are killed, people edit, authorize and
//! paste, and two runs meet. After every turn [`oracle`] compares the secret with the records of TikTok and Secrets
//! Manager.
//!
//! `SOAK_SEED` sets the choices, and `SOAK_REFRESHES` the number of refreshes.

mod dice;
mod life;
mod oracle;
mod process;
mod tally;
mod trouble;
mod truth;
mod turn;

use std::{env, time::Instant};

use life::{Case, Intensity, Life};
use process::Memory;
use stand_ins::{Flow, World, tiktok::Renewal};
use tally::Tally;
use tokio::task::JoinSet;

use crate::support::strict;

const REFRESHES: usize = 10_000;
const SEED: u64 = 20_261_123;

const KINDS: [Case; 6] = [
    Case {
        name: "business, rotating, reuse revokes",
        flow: Flow::Business,
        renewal: Renewal::Rotating { reuse_revokes: true },
        old_access_token_dies: true,
    },
    Case {
        name: "business, rotating",
        flow: Flow::Business,
        renewal: Renewal::Rotating { reuse_revokes: false },
        old_access_token_dies: true,
    },
    Case {
        name: "business, rotating, old access token lives",
        flow: Flow::Business,
        renewal: Renewal::Rotating { reuse_revokes: false },
        old_access_token_dies: false,
    },
    Case {
        name: "business, same refresh token",
        flow: Flow::Business,
        renewal: Renewal::SameRefreshToken,
        old_access_token_dies: true,
    },
    Case {
        name: "tt_user, rotating",
        flow: Flow::TtUser,
        renewal: Renewal::Rotating { reuse_revokes: false },
        old_access_token_dies: true,
    },
    Case { name: "long_term", flow: Flow::Business, renewal: Renewal::LongTerm, old_access_token_dies: true },
];

/// The number of secrets of each kind that are treated in one way, and how many refreshes of a hundred they do together.
/// Most of their time they wait: for a scheduled time, for TikTok, for the claim of a run that died.
const SHARES: [(Intensity, usize, usize); 2] = [(Intensity::Steady, 2, 30), (Intensity::Rough, 10, 50)];
/// The number of refreshes of a hundred that one process does, which nothing disturbs and which never waits.
const CALM_SHARE: usize = 20;

/// A number that who starts the test may choose.
fn chosen(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().expect("a number"))
}

/// Each life: its grant, how it is treated, and the how-manieth part of all refreshes are its own.
fn shares() -> Vec<(&'static Case, Intensity, usize)> {
    let of_each = |case| {
        SHARES
            .map(|(intensity, lives, percent)| vec![(case, intensity, 100 * lives * KINDS.len() / percent); lives])
            .concat()
    };
    KINDS.iter().flat_map(of_each).chain([(&KINDS[0], Intensity::Calm, 100 / CALM_SHARE)]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo test --test scenarios soak:: -- --ignored --nocapture"]
#[allow(clippy::print_stdout, reason = "the counts are what this test shows")]
async fn ten_thousand_refreshes_with_faults_and_restarts_lose_no_token_and_leave_the_memory_flat() {
    // What AWS has on record, no emulator tells.
    if strict(World::empty()).is_none() {
        return;
    }
    let (seed, began) = (chosen("SOAK_SEED", SEED), Instant::now());
    let refreshes = usize::try_from(chosen("SOAK_REFRESHES", REFRESHES as u64)).expect("a number of refreshes");
    println!("SOAK_SEED={seed} SOAK_REFRESHES={refreshes}");
    let mut lives = JoinSet::new();
    for (number, (case, intensity, share)) in shares().into_iter().enumerate() {
        lives.spawn(Life::begin(seed, number, case, intensity).live(refreshes.div_ceil(share)));
    }
    // One that has broken a promise does not stop the others: what they show may explain it.
    let (mut all, mut broken) = (Tally::default(), None);
    while let Some(life) = lives.join_next().await {
        match life {
            Ok(tally) => all += tally,
            Err(panic) => broken = Some(panic.into_panic()),
        }
    }
    println!("{all}\nin {:.0} s", began.elapsed().as_secs_f64());
    if let Some(panic) = broken {
        std::panic::resume_unwind(panic);
    }
    println!("no refresh token was lost otherwise");
    all.memory.iter().for_each(Memory::assert_flat);
}
