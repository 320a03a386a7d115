//! A crash before or after any request of a run, in every flow. The next run finishes the work.

use std::time::{Duration, Instant};

use serde_json::Value;
use stand_ins::{Fault, Flow, GrantSpec, Journal, Outcome, When, World, tiktok::Renewal};

use crate::{
    promises,
    support::{STAGE, Scenario, outcome, scheduled, strict},
};

/// The shortest invocation in which a refresh token may still be redeemed: TikTok's timeout of 10 s, 5 s for the write of its
/// answer, and the time that comes before.
const INVOCATION: Duration = Duration::from_secs(16);
/// The time until the claim of a run that starts now has expired: its invocation, and 10 s of grace.
const CLAIM_IS_OVER: Duration = Duration::from_millis(26_500);

struct Case {
    name: &'static str,
    flow: Flow,
    renewal: Renewal,
}

const CASES: [Case; 4] = [
    Case { name: "business, rotating", flow: Flow::Business, renewal: Renewal::Rotating { reuse_revokes: true } },
    Case { name: "business, same token", flow: Flow::Business, renewal: Renewal::SameRefreshToken },
    Case { name: "tt_user, rotating", flow: Flow::TtUser, renewal: Renewal::Rotating { reuse_revokes: false } },
    Case { name: "long_term", flow: Flow::Business, renewal: Renewal::LongTerm },
];

impl Case {
    fn world(&self) -> World {
        World::with(GrantSpec { flow: self.flow, renewal: self.renewal, ..GrantSpec::default() })
    }

    /// Returns the number of requests of an undisturbed run.
    async fn requests(&self) -> u64 {
        let world = self.world();
        world.lambda().invoke(scheduled(), INVOCATION).await;
        world.faults.journal().len() as u64
    }
}

/// A world in which a run was killed.
struct Crash {
    case: &'static Case,
    world: World,
    event: Value,
    at: String,
    died: Instant,
}

impl Crash {
    async fn at(case: &'static Case, request: u64, fault: Fault) -> Option<Self> {
        let world = case.world();
        let when = if matches!(fault, Fault::KillBefore) { "before" } else { "after" };
        world.faults.at(When::request(request), fault);
        let event = scheduled();
        let invocation = world.lambda().invoke(event.clone(), INVOCATION).await;
        let died = Instant::now();
        // Killed after its last request, a run may have answered already.
        let crashed = matches!(invocation.outcome, Outcome::Crashed(_));
        let journal = world.faults.journal();
        let killed = journal.iter().find(|entry| entry.ordinal == request)?;
        let at = format!("{when} {} {}", killed.operation, label(&killed.detail));
        crashed.then_some(Self { case, world, event, at, died })
    }

    /// Asserts the promises that hold even if the answer was lost.
    fn assert_promises(&self, row: &str) {
        let versions = self.world.versions();
        let (tiktok, current) = (self.world.tiktok.core(), self.world.current());
        let broken = [
            promises::always(&tiktok, &self.world.faults.journal()),
            promises::current_is_complete(&current),
            promises::staged_answers_are_current(&tiktok, &versions, &current),
        ]
        .concat();
        assert!(broken.is_empty(), "{row}: {broken:?}");
    }

    /// Lets the next run come when the claim is over. Returns a row of the table, and whether the answer was lost.
    async fn recover(self) -> (String, bool) {
        tokio::time::sleep_until((self.died + CLAIM_IS_OVER).into()).await;
        // Only now: a write that was under way when the process died may have arrived after it.
        let (redeemed, staged) =
            (!self.world.tiktok.core().redeems().is_empty(), is_staged(&self.world.faults.journal()));
        let invocation = self.world.lambda().invoke(self.event.clone(), INVOCATION).await;
        let ending = outcome(&invocation);
        let redeems = self.world.tiktok.core().redeems().len();
        let row = format!("{:<22} {:<52} {:<24} {redeems} redeemed", self.case.name, self.at, ending);
        let rotates = matches!(self.case.renewal, Renewal::Rotating { .. });
        let lost = redeemed && !staged && rotates;
        self.assert_promises(&row);
        if lost {
            // The only window in which an answer can be lost: no run may take it for success, or blame the grant.
            assert_eq!(ending, "ReauthorizationRequired", "{row}");
            assert!(format!("{:?}", invocation.outcome).contains("answer to an earlier attempt was lost"), "{row}");
        } else {
            self.world.assert_usable();
            assert!(["refreshed", "resumed", "verified", "fresh"].contains(&ending.as_str()), "{row}");
            let spent_in_vain = usize::from(redeemed && !staged);
            let needed = usize::from(self.case.renewal != Renewal::LongTerm);
            assert_eq!(redeems, needed + spent_in_vain, "nothing is redeemed twice once it is staged: {row}");
        }
        (row, lost)
    }
}

fn is_staged(journal: &Journal) -> bool {
    journal.of("PutSecretValue").any(|entry| entry.applied && entry.detail.contains(STAGE))
}

/// The label that a request was about; the rest of its detail is ids.
fn label(detail: &str) -> &str {
    ["AWSCURRENT", "AWSPENDING", "TIKTOK_STAGED", "TIKTOK_CLAIM"]
        .into_iter()
        .find(|label| detail.contains(label))
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stdout, reason = "the table is what this test shows")]
async fn after_a_crash_anywhere_the_next_run_leaves_working_tokens_and_redeems_nothing_twice() {
    // In front of an emulator, a write that was under way when the process died may still arrive.
    if strict(World::empty()).is_none() {
        return;
    }
    let mut crashes = Vec::new();
    for case in &CASES {
        for request in 1..=case.requests().await {
            for fault in [Fault::KillBefore, Fault::KillAfter] {
                crashes.extend(Crash::at(case, request, fault).await);
            }
        }
    }
    let count = crashes.len();
    let recoveries: Vec<_> = crashes.into_iter().map(|crash| tokio::spawn(crash.recover())).collect();
    println!("{:<22} {:<52} {:<24}", "flow", "killed", "the next run");
    let mut lost_answers = 0;
    for recovery in recoveries {
        match recovery.await {
            Ok((row, lost)) => {
                println!("{row}");
                lost_answers += u32::from(lost);
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    assert!(count >= 50, "only {count} crashes were tried");
    println!(
        "{count} crashes; {lost_answers} between TikTok's answer and its write, which no run can make good and which each says"
    );
}
