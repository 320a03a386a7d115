//! Rotations: Secrets Manager calls the four steps and repeats failed ones.

mod crashes;
mod meanwhile;
mod races;

use serde_json::{Value, json};
use stand_ins::{
    Fault, Flow, Function, GrantSpec, Invocation, When, World,
    secrets_manager::{Semantics, client::new_token},
    tiktok::{Advertiser, Renewal},
};
use tiktok_token_refresh::rotation::RotationStep;

use crate::{
    evidence::{all_metrics, metrics},
    support::{SHORT, Scenario, assert_failed, only_result, outcome, refresh, scheduled, strict},
};

/// A rotation that Secrets Manager has begun.
pub struct Rotation<'a> {
    world: &'a World,
    function: Function,
    token: String,
}

impl<'a> Rotation<'a> {
    /// Begins a rotation as Secrets Manager does: with an empty version, labeled AWSPENDING.
    pub fn begin(world: &'a World) -> Self {
        let token = new_token();
        world.secrets_manager.core().begin_rotation(&world.secret_id, &token);
        Self { world, function: world.lambda(), token }
    }

    fn event(&self, step: RotationStep) -> Value {
        json!({
            "Step": step.name(), "SecretId": self.world.secret_id, "ClientRequestToken": self.token,
            "RotationToken": "canary-rotation-token",
        })
    }

    /// Calls a step, and sees to it that nothing of what it says is a token.
    pub async fn call(&self, step: RotationStep) -> Invocation {
        let invocation = self.function.invoke(self.event(step), SHORT).await;
        let said = format!("{:?} {:?}", invocation.outcome, invocation.logs);
        assert!(!said.contains("canary"), "{said}");
        invocation
    }

    /// Runs a step, and returns its outcome or the type of its error.
    pub async fn step(&self, step: RotationStep) -> String {
        outcome(&self.call(step).await)
    }

    pub async fn steps(&self) -> [String; 4] {
        let mut outcomes = [const { String::new() }; 4];
        for (outcome, step) in outcomes.iter_mut().zip(RotationStep::ALL) {
            *outcome = self.step(step).await;
        }
        outcomes
    }

    /// True if the next rotation may begin: AWSPENDING is on the version that is current, or on none.
    #[track_caller]
    pub fn assert_is_over(&self) {
        let core = self.world.secrets_manager.core();
        let holder = |label| core.labeled(&self.world.secret_id, label).map(|version| version.id);
        let (pending, current) = (holder("AWSPENDING"), holder("AWSCURRENT"));
        assert!(pending.is_none() || pending == current, "AWSPENDING is left on another version than AWSCURRENT");
    }

    fn is_current(&self) -> bool {
        let current = self.world.secrets_manager.core().labeled(&self.world.secret_id, "AWSCURRENT");
        current.expect("AWSCURRENT is always there").id == self.token
    }

    fn is_filled(&self) -> bool {
        let versions = self.world.secrets_manager.core().versions(&self.world.secret_id);
        versions.iter().any(|version| version.id == self.token && version.body.is_some())
    }
}

fn every_kind_of_grant() -> [(&'static str, GrantSpec, usize); 4] {
    [
        ("business", GrantSpec::default(), 1),
        ("same token", GrantSpec { renewal: Renewal::SameRefreshToken, ..GrantSpec::default() }, 1),
        ("tt_user", GrantSpec::of(Flow::TtUser), 1),
        ("long_term", GrantSpec::long_term(), 0),
    ]
}

/// The number of advertisers that a run lists. An account holder has none.
fn listed(name: &str) -> Option<usize> {
    (name != "tt_user").then_some(2)
}

#[tokio::test]
async fn a_rotation_ends_with_its_version_current_and_new_tokens_in_it() {
    for (name, spec, redeems) in every_kind_of_grant() {
        for clears in [true, false] {
            let Some(world) = strict(World::with(spec.clone())) else { return };
            world.secrets_manager.core().semantics.promote_clears_pending = clears;
            for round in 1..=2 {
                let rotation = Rotation::begin(&world);
                assert_eq!(rotation.steps().await, ["staged", "nothing_to_set", "works", "promoted"], "{name}");
                assert!(rotation.is_current(), "{name}");
                rotation.assert_is_over();
                world.assert_usable();
                assert_eq!(world.redeemed(), redeems * round, "{name}");
                assert_eq!(world.current()["advertisers"].as_array().map(Vec::len), listed(name), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn every_step_may_be_repeated() {
    for (name, spec, redeems) in every_kind_of_grant() {
        let Some(world) = strict(World::with(spec)) else { return };
        let rotation = Rotation::begin(&world);
        for (step, outcomes) in RotationStep::ALL.into_iter().zip([
            ["staged", "staged"],
            ["nothing_to_set", "nothing_to_set"],
            ["works", "works"],
            ["promoted", "fresh"],
        ]) {
            assert_eq!([rotation.step(step).await, rotation.step(step).await], outcomes, "{name}");
        }
        let (text, versions) = (world.text("AWSCURRENT"), world.versions().len());
        assert_eq!(rotation.steps().await, ["fresh", "nothing_to_set", "works", "fresh"], "{name}: all of it again");
        assert_eq!((world.text("AWSCURRENT"), world.versions().len()), (text, versions), "{name}");
        assert_eq!(world.redeemed(), redeems, "{name}");
        world.assert_usable();
        rotation.assert_is_over();
    }
}

#[tokio::test]
async fn reads_that_lag_behind_writes_do_not_make_a_rotation_fail() {
    for (read_lag, promote_clears_pending) in (1..=6).flat_map(|lag| [(lag, true), (lag, false)]) {
        let Some(world) = strict(World::start()) else { return };
        let semantics = Semantics { promote_clears_pending, read_lag, ..Semantics::default() };
        world.secrets_manager.core().semantics = semantics;
        let rotation = Rotation::begin(&world);
        let outcomes = rotation.steps().await;
        assert!(["promoted", "fresh"].contains(&outcomes[3].as_str()), "{read_lag}: {outcomes:?}");
        world.secrets_manager.core().semantics.read_lag = 0;
        world.assert_usable();
        rotation.assert_is_over();
        assert_eq!(world.redeemed(), 1);
    }
}

#[tokio::test]
async fn the_last_step_looks_again_before_it_believes_that_its_version_is_empty() {
    let Some(world) = strict(World::start()) else { return };
    let rotation = Rotation::begin(&world);
    // The version is there at the third look.
    world.secrets_manager.core().semantics.read_lag = 4;
    assert_eq!(rotation.step(RotationStep::CreateSecret).await, "staged");
    world.secrets_manager.core().semantics.read_lag = 0;
    assert_eq!(rotation.step(RotationStep::FinishSecret).await, "promoted");
    world.assert_usable();
    rotation.assert_is_over();
}

#[tokio::test]
async fn nothing_is_current_before_the_last_step_and_the_old_version_is_the_previous_one_after_it() {
    let Some(world) = strict(World::start()) else { return };
    let (rotation, before) = (Rotation::begin(&world), world.text("AWSCURRENT"));
    for step in RotationStep::ALL.into_iter().take(3) {
        rotation.step(step).await;
        assert_eq!(world.text("AWSCURRENT"), before);
        assert!(!rotation.is_current());
    }
    rotation.step(RotationStep::FinishSecret).await;
    assert_eq!(world.text("AWSPREVIOUS"), before);
}

#[tokio::test]
async fn a_changed_list_of_advertisers_is_in_the_version_of_the_rotation() {
    for spec in [GrantSpec::default(), GrantSpec::long_term()] {
        let Some(world) = strict(World::with(spec)) else { return };
        world.lambda().run(refresh()).await;
        let next = vec![Advertiser::new("7000000000000000002", "Kept"), Advertiser::new("7000000000000000003", "New")];
        world.tiktok.core().grant_mut(world.grant).advertisers = next;
        let rotation = Rotation::begin(&world);
        rotation.steps().await;
        assert!(rotation.is_current());
        assert_eq!(world.current()["advertiser_ids"], json!(["7000000000000000002", "7000000000000000003"]));
    }
}

#[tokio::test]
async fn another_secret_than_the_configured_one_is_rotated_where_secrets_manager_names_it() {
    let Some(world) = strict(World::start()) else { return };
    let (issued, other) = (world.current(), format!("{}-other", world.secret_id));
    let arn = world.create_secret(&other, &issued);
    let token = new_token();
    world.secrets_manager.core().begin_rotation(&other, &token);
    let function = world.lambda();
    for step in RotationStep::ALL {
        let event = json!({"Step": step.name(), "SecretId": arn, "ClientRequestToken": token});
        assert_eq!(only_result(&function.run(event).await)["secret_id"], json!(arn));
    }
    assert_eq!(world.current(), issued, "the configured one is left alone");
    let current = world.secrets_manager.core().labeled(&other, "AWSCURRENT").expect("a version");
    assert_eq!(current.id, token);
}

#[tokio::test]
async fn the_last_step_counts_as_the_refresh_and_a_failed_step_as_a_failed_one() {
    let Some((world, reader)) = with_reader().await else { return };
    let rotation = Rotation::begin(&world);
    for step in RotationStep::ALL.into_iter().take(3) {
        assert!(all_metrics(&rotation.call(step).await).is_empty(), "{}", step.name());
    }
    let line = metrics(&rotation.call(RotationStep::FinishSecret).await);
    assert_eq!((&line["Refreshed"], &line["Succeeded"], &line["Failed"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!(line["Advertisers"], json!(2));
    let published = crate::publish::read(&world, &reader).await.expect("the last step publishes");
    assert_eq!(published["access_token"], world.current()["access_token"]);
    let rotation = Rotation::begin(&world);
    world.faults.at(When::operation("oauth2/refresh_token").always(), Fault::tiktok(40113, "No."));
    let line = metrics(&rotation.call(RotationStep::CreateSecret).await);
    assert_eq!((&line["TikTokMisconfigured"], &line["Failed"]), (&json!(1), &json!(1)));
}

async fn with_reader() -> Option<(World, String)> {
    let (world, reader) = crate::publish::world("reader").await;
    strict(world).map(|world| (world, reader))
}

#[tokio::test]
async fn a_rejected_refresh_token_fails_the_rotation_and_changes_nothing() {
    let Some(world) = strict(World::start()) else { return };
    let (_, refresh_token) = world.tiktok.core().newest(world.grant);
    world.tiktok.core().revoke_token(&refresh_token.expect("a refresh token"));
    let (rotation, before) = (Rotation::begin(&world), world.text("AWSCURRENT"));
    for _ in 0..2 {
        let invocation = rotation.call(RotationStep::CreateSecret).await;
        assert_failed(&invocation, "ReauthorizationRequired", &["Nothing was rotated"]);
    }
    assert!(!rotation.is_filled());
    assert_eq!(world.text("AWSCURRENT"), before);
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "kept");
}

#[tokio::test]
async fn a_long_term_token_that_is_rejected_fails_the_rotation() {
    let Some(world) = strict(World::with(GrantSpec::long_term())) else { return };
    let (access_token, _) = world.tiktok.core().newest(world.grant);
    world.tiktok.core().revoke_token(&access_token);
    let rotation = Rotation::begin(&world);
    let invocation = rotation.call(RotationStep::CreateSecret).await;
    assert_failed(&invocation, "ReauthorizationRequired", &["Nothing was rotated", "40105"]);
    assert!(!rotation.is_filled());
}

#[tokio::test]
async fn a_failure_that_passes_fails_the_step_and_its_repetition_succeeds() {
    let Some(world) = strict(World::start()) else { return };
    let rotation = Rotation::begin(&world);
    world.faults.at(When::operation("oauth2/refresh_token").always(), Fault::tiktok(50000, "Later."));
    assert_eq!(rotation.step(RotationStep::CreateSecret).await, "TikTokUnavailable");
    assert!(!rotation.is_filled());
    world.faults.clear();
    assert_eq!(rotation.steps().await, ["staged", "nothing_to_set", "works", "promoted"]);
    world.assert_usable();
}

#[tokio::test]
async fn new_tokens_that_are_rejected_are_never_current() {
    // In createSecret, and in testSecret.
    for rejected_at_once in [true, false] {
        let Some(world) = strict(World::start()) else { return };
        let (rotation, before) = (Rotation::begin(&world), world.text("AWSCURRENT"));
        let reject = || world.faults.at(When::operation("oauth2/advertiser/get").always(), Fault::tiktok(40105, "No."));
        if rejected_at_once {
            reject();
            let invocation = rotation.call(RotationStep::CreateSecret).await;
            assert_failed(&invocation, "NewTokenRejected", &["Secrets Manager repeats"]);
            assert!(!rotation.is_filled());
        } else {
            assert_eq!(rotation.step(RotationStep::CreateSecret).await, "staged");
            reject();
            let invocation = rotation.call(RotationStep::TestSecret).await;
            assert_failed(&invocation, "NewTokenRejected", &["40105"]);
        }
        assert_eq!(world.text("AWSCURRENT"), before);
        world.next_run().await;
        assert_eq!(world.redeemed(), 1, "the new tokens were kept");
        // When Secrets Manager repeats the steps, what it is about is done.
        let outcomes = rotation.steps().await;
        assert!(["promoted", "fresh"].contains(&outcomes[3].as_str()), "{outcomes:?}");
        rotation.assert_is_over();
        world.assert_usable();
    }
}

#[tokio::test]
async fn doubt_about_the_new_token_does_not_keep_it_from_being_promoted() {
    let Some(world) = strict(World::start()) else { return };
    world.lambda().run(scheduled()).await;
    let rotation = Rotation::begin(&world);
    world.faults.at(When::operation("oauth2/advertiser/get").always(), Fault::tiktok(40113, "No."));
    let outcomes = rotation.steps().await;
    assert_eq!(outcomes, ["staged", "nothing_to_set", "not_tested", "promoted"], "the old token may be dead");
    world.assert_usable();
    assert_eq!(world.current()["advertisers"].as_array().map(Vec::len), Some(2), "the old list was kept");
}

#[tokio::test]
async fn the_last_step_without_the_first_is_refused() {
    let Some(world) = strict(World::start()) else { return };
    let (rotation, before) = (Rotation::begin(&world), world.text("AWSCURRENT"));
    let invocation = rotation.call(RotationStep::FinishSecret).await;
    assert_failed(&invocation, "InvalidEvent", &["'ClientRequestToken'", "createSecret"]);
    assert_eq!(world.text("AWSCURRENT"), before);
}

#[tokio::test]
async fn switching_rotation_on_tests_the_function_with_an_empty_version_and_spends_nothing() {
    let Some(world) = strict(World::start()) else { return };
    let (rotation, versions) = (Rotation::begin(&world), world.versions().len());
    assert_eq!(rotation.step(RotationStep::TestSecret).await, "not_tested");
    assert_eq!((world.redeemed(), world.versions().len()), (0, versions));
    let Some(world) = strict(World::with_document(GrantSpec::default(), |document| {
        document["access_token"] = json!("");
        document["refresh_token"] = json!("");
    })) else {
        return;
    };
    let rotation = Rotation::begin(&world);
    assert_eq!(rotation.step(RotationStep::TestSecret).await, "ReauthorizationRequired", "there are no tokens yet");
}

#[tokio::test]
async fn a_pending_version_of_somebody_elses_is_left_alone_and_said() {
    let Some(world) = strict(World::start()) else { return };
    let (rotation, theirs) = (Rotation::begin(&world), new_token());
    let client = world.secrets_manager.client();
    client.put_labeled(&world.secret_id, &theirs, "{}", &["AWSPENDING"]).await.expect("they may");
    let invocation = rotation.call(RotationStep::CreateSecret).await;
    assert_failed(&invocation, "InvalidSecret", &["AWSPENDING", "left alone", "update-secret-version-stage"]);
    assert_eq!((world.redeemed(), rotation.is_filled()), (0, false));
    let pending = world.secrets_manager.core().labeled(&world.secret_id, "AWSPENDING").expect("theirs");
    assert_eq!(pending.id, theirs);
}

#[tokio::test]
async fn a_version_that_somebody_else_has_filled_is_not_promoted() {
    let Some(world) = strict(World::start()) else { return };
    let (rotation, before) = (Rotation::begin(&world), world.text("AWSCURRENT"));
    let mut theirs = world.current();
    theirs["access_token"] = json!("theirs");
    let client = world.secrets_manager.client();
    client
        .put_labeled(&world.secret_id, &rotation.token, &theirs.to_string(), &["AWSPENDING"])
        .await
        .expect("they may");
    assert_eq!(rotation.steps().await, ["superseded", "nothing_to_set", "not_tested", "superseded"]);
    assert_eq!((world.text("AWSCURRENT"), world.redeemed()), (before, 0));
    rotation.assert_is_over();
}
