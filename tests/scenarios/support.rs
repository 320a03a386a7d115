//! Helpers of all scenarios.

use std::{env, path::PathBuf, time::Duration};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use stand_ins::{Function, Invocation, Journal, Outcome, World, secrets_manager::client::new_token};
use tiktok_token_refresh::transport::Label;

use crate::promises::{assert_kept, current_is_complete, current_is_usable};

/// The function as it is deployed; `TEST_BOOTSTRAP` names another build of it, for example one for arm64 under an emulator.
#[derive(Clone, Copy, Debug)]
pub struct Bootstrap;
/// The same.
pub const BINARY: Bootstrap = Bootstrap;

impl From<Bootstrap> for PathBuf {
    fn from(_: Bootstrap) -> Self {
        env::var_os("TEST_BOOTSTRAP").map_or_else(|| env!("CARGO_BIN_EXE_tiktok-token-refresh").into(), Self::from)
    }
}

/// The shortest invocation in which there is time to redeem, and to repeat a redeem that failed at once, but none for a
/// second long wait: what goes on for ever ends after two seconds.
pub const SHORT: Duration = Duration::from_secs(17);

/// The text in the detail of requests that write a claim, and of requests that stage tokens.
pub const CLAIM: &str = " TIKTOK_CLAIM";
pub const STAGE: &str = " TIKTOK_STAGED";

/// The event of the daily schedule, delivered late: whatever a scenario refreshes is refreshed after its scheduled time.
pub fn scheduled() -> Value {
    let slot = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    json!({"action": "refresh", "scheduled_time": slot.to_string()})
}

/// The event of a refresh by hand.
pub fn refresh() -> Value {
    json!({"action": "refresh"})
}

/// The actions of scenarios in a world: they run the function, and let time pass.
pub trait Scenario {
    /// The function in this world.
    fn lambda(&self) -> Function;

    /// Lets the time pass that others give to the run that holds the latest claim.
    async fn let_the_claim_expire(&self);

    /// The same for any secret.
    async fn let_the_claim_expire_on(&self, secret_id: &str);

    /// Moves the end of the claims that are there, in front of an emulator that of the latest one.
    async fn let_the_claim_end(&self, secret_id: &str, at: &str);

    /// Asserts the final state of every scenario that ends well.
    fn assert_usable(&self);
    /// Lets hours pass since the last refresh, which is the version that was staged last.
    async fn let_hours_pass(&self, hours: i64);

    /// The next run, after the failure is over. It has to end well; returns how.
    async fn next_run(&self) -> String;
}

impl Scenario for World {
    fn lambda(&self) -> Function {
        self.function(BINARY)
    }

    async fn let_the_claim_expire(&self) {
        self.let_the_claim_expire_on(&self.secret_id).await;
    }

    async fn let_the_claim_expire_on(&self, secret_id: &str) {
        self.let_the_claim_end(secret_id, "2026-01-01T00:00:00Z").await;
    }

    async fn let_the_claim_end(&self, secret_id: &str, at: &str) {
        let ended = |body: &str| {
            let mut claim: Value = serde_json::from_str(body).ok()?;
            claim.get_mut("claim")?["expires_at"] = json!(at);
            Some(claim.to_string())
        };
        if self.secrets_manager.is_strict() {
            return self.secrets_manager.core().rewrite(secret_id, ended);
        }
        let client = self.secrets_manager.client();
        let latest = client.get(secret_id, Label::Claim.name()).await;
        if let Some(body) = latest.and_then(|(_, body)| ended(&body)) {
            let (id, labels) = (new_token(), [Label::Claim.name()]);
            client.put_labeled(secret_id, &id, &body, &labels).await.expect("the claim of a run that is over");
        }
    }

    #[track_caller]
    fn assert_usable(&self) {
        let current = self.current();
        assert_kept(&[current_is_complete(&current), current_is_usable(&self.tiktok.core(), &current)].concat());
    }

    async fn let_hours_pass(&self, hours: i64) {
        let mut document = self.current();
        let earlier = |time: &Value| {
            let time: jiff::Timestamp = time.as_str().expect("a time").parse().expect("RFC 3339");
            json!((time - jiff::SignedDuration::from_hours(hours)).to_string())
        };
        for name in ["refreshed_at", "access_token_expires_at", "advertisers_fetched_at"] {
            document[name] = earlier(&document[name]);
        }
        let labels = [Label::Current.name(), Label::Staged.name()];
        let (client, body) = (self.secrets_manager.client(), document.to_string());
        client.put_labeled(&self.secret_id, &new_token(), &body, &labels).await.expect("what was staged last");
    }

    async fn next_run(&self) -> String {
        self.faults.clear();
        self.let_the_claim_expire().await;
        let ending = outcome(&self.lambda().run(refresh()).await);
        assert!(["refreshed", "resumed", "verified"].contains(&ending.as_str()), "the next run ended as {ending}");
        self.assert_usable();
        ending
    }
}

/// The result of an invocation for its only secret.
#[track_caller]
pub fn only_result(invocation: &Invocation) -> Value {
    let results = invocation.outcome.response()["results"].as_array().expect("a list of results");
    assert_eq!(results.len(), 1);
    results[0].clone()
}

/// True if the invocation failed with this type, and with a message that holds each of these.
#[track_caller]
pub fn assert_failed(invocation: &Invocation, kind: &str, says: &[&str]) {
    let Outcome::Error { error_type, error_message } = &invocation.outcome else {
        panic!("expected {kind}, got {:?}", invocation.outcome);
    };
    assert_eq!(error_type, kind, "{error_message}");
    for part in says {
        assert!(error_message.contains(part), "{part:?} is missing in: {error_message}");
    }
}

/// The warnings for its only secret, one after the other.
#[track_caller]
pub fn warnings(invocation: &Invocation) -> String {
    let result = only_result(invocation);
    let warnings = result["warnings"].as_array().expect("a list of warnings");
    warnings.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ")
}

/// Runs cases side by side: most of their time they wait.
pub fn side_by_side<R, F: Future<Output = R>>(cases: impl IntoIterator<Item = F>) -> impl Future<Output = Vec<R>> {
    let cases: Vec<_> = cases.into_iter().map(Box::pin).collect();
    stream::iter(cases).buffer_unordered(16).collect()
}

/// The number of versions that the requests wrote. A claim that was taken is none.
pub fn written(journal: &Journal) -> usize {
    journal.of("PutSecretValue").filter(|put| put.applied && put.code.is_none()).count()
}

/// The outcome for its only secret, or the type of the error.
#[track_caller]
pub fn outcome(invocation: &Invocation) -> String {
    match invocation.outcome.error_type() {
        Some(error) => error.to_owned(),
        None => only_result(invocation)["outcome"].as_str().expect("an outcome").to_owned(),
    }
}

/// The world, if its Secrets Manager keeps every rule of AWS's that the scenario leans on; public emulators do not.
#[allow(clippy::print_stdout, reason = "who runs the scenarios against an emulator wants to know what that leaves out")]
pub fn strict(world: World) -> Option<World> {
    if world.secrets_manager.is_strict() {
        return Some(world);
    }
    println!("skipped: this scenario needs rules of Secrets Manager that the emulator does not keep");
    None
}

/// The same for a world of many secrets, which is not even made in front of an emulator: it would be busy with nothing else.
pub fn strictly(world: impl FnOnce() -> World) -> Option<World> {
    strict(World::empty()).map(|_| world())
}
