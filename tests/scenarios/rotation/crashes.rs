//! A crash before or after any request of any step.

use serde_json::json;
use tiktok_token_refresh::rotation::RotationStep;

use super::{Rotation, every_kind_of_grant};
use crate::support::{STAGE, Scenario, assert_failed, outcome, refresh, scheduled, strict};
use stand_ins::{Fault, GrantSpec, Outcome, When, World, tiktok::Renewal};

/// The caller that comes after a step that died.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Secrets Manager, with the same step.
    Repetition,
    /// The schedule, and then Secrets Manager.
    Schedule,
}

struct Case {
    spec: GrantSpec,
    redeems: usize,
    step: RotationStep,
    next: Next,
}

impl Case {
    /// Kills the step at its k-th request; none if it has fewer.
    async fn survive(&self, k: u64, fault: Fault) -> Option<()> {
        let world = World::with(self.spec.clone());
        let rotation = Rotation::begin(&world);
        for step in RotationStep::ALL.into_iter().take_while(|step| *step != self.step) {
            rotation.step(step).await;
        }
        world.faults.reset();
        world.faults.at(When::request(k), fault);
        let crashed = rotation.call(self.step).await;
        if world.faults.unfired() > 0 {
            return None;
        }
        // Killed after its last request, a step may have answered already.
        let at = format!("{:?} {k}: {}", self.next, world.faults.journal());
        assert!(matches!(crashed.outcome, Outcome::Crashed(_) | Outcome::Response(..)), "{at}");
        world.faults.clear();
        world.let_the_claim_expire().await;
        if matches!(self.next, Next::Schedule) {
            world.lambda().run(scheduled()).await;
        }
        let created = rotation.call(RotationStep::CreateSecret).await;
        let staged = world
            .faults
            .journal()
            .of("PutSecretValue")
            .filter(|put| put.applied && put.detail.contains(STAGE) && !put.detail.contains(&rotation.token))
            .count();
        let rotates = matches!(self.spec.renewal, Renewal::Rotating { .. });
        if rotates && self.step == RotationStep::CreateSecret && !world.tiktok.core().refused_redeems().is_empty() {
            // The window between TikTok's answer and its write. No run may take it for success, or blame the grant.
            assert_eq!(staged, 0, "{at}");
            assert_failed(&created, "ReauthorizationRequired", &["was lost"]);
            return Some(());
        }
        for step in RotationStep::ALL.into_iter().skip(1) {
            let ending = outcome(&rotation.call(step).await);
            assert!(
                ["nothing_to_set", "works", "not_tested", "promoted", "fresh"].contains(&ending.as_str()),
                "{ending}: {at}"
            );
        }
        world.assert_usable();
        rotation.assert_is_over();
        assert_eq!(world.tiktok.core().refused_redeems().len(), 0, "{at}");
        let redeemed = world.redeemed();
        if self.step == RotationStep::CreateSecret {
            match self.next {
                // One answer may die between TikTok and its write.
                Next::Repetition => assert!(redeemed <= self.redeems + 1 && redeemed <= staged + 1, "{at}"),
                // The run before has left no trace of itself in AWSPENDING, so the rotation redeems the next pair.
                Next::Schedule => assert!(redeemed <= 2 * self.redeems + 1, "{at}"),
            }
        } else {
            assert_eq!(redeemed, self.redeems, "{at}");
        }
        Some(())
    }

    async fn survive_everything(self) -> usize {
        let mut crashes = 0;
        for k in 1.. {
            let (before, after) = (self.survive(k, Fault::KillBefore).await, self.survive(k, Fault::KillAfter).await);
            if before.is_none() {
                break;
            }
            crashes += 1 + usize::from(after.is_some());
        }
        crashes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_dies_anywhere_is_made_good_by_its_repetition_or_by_the_schedule() {
    if strict(World::empty()).is_none() {
        return;
    }
    let mut runs = Vec::new();
    for (_, spec, redeems) in every_kind_of_grant() {
        for step in [RotationStep::CreateSecret, RotationStep::TestSecret, RotationStep::FinishSecret] {
            for next in [Next::Repetition, Next::Schedule] {
                let case = Case { spec: spec.clone(), redeems, step, next };
                runs.push(tokio::spawn(case.survive_everything()));
            }
        }
    }
    let mut crashes = 0;
    for run in runs {
        crashes += run.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    }
    assert!(crashes > 100, "only {crashes} crashes were tried");
}

#[tokio::test]
async fn a_rotation_that_lost_an_answer_is_not_passed_over_by_the_next_hourly_run() {
    let spec = GrantSpec { renewal: Renewal::Rotating { reuse_revokes: true }, ..GrantSpec::default() };
    let Some(world) = strict(World::with(spec)) else { return };
    let function = world.lambda();
    assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::DropAfter);
    let rotation = Rotation::begin(&world);
    assert_eq!(rotation.step(RotationStep::CreateSecret).await, "ReauthorizationRequired");
    let hourly = function.run(json!({"action": "refresh", "if_needed": true})).await;
    assert_failed(&hourly, "ReauthorizationRequired", &["lost"]);
}
