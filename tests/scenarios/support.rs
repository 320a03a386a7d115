//! What every scenario needs beside the stand-ins.

use serde_json::{Value, json};
use tiktok_token_refresh::cycle::Label;

use crate::stand_ins::{Function, Invocation, World};

/// The function as it is deployed.
pub const BINARY: &str = env!("CARGO_BIN_EXE_tiktok-token-refresh");

/// The event of the daily schedule, for a slot that has come a moment ago.
pub fn scheduled() -> Value {
    json!({"action": "refresh", "scheduled_time": jiff::Timestamp::now().to_string()})
}

/// The event of a refresh by hand.
pub fn refresh() -> Value {
    json!({"action": "refresh"})
}

impl World {
    /// The function in this world.
    pub fn lambda(&self) -> Function {
        self.function(BINARY)
    }

    /// What a downstream job reads.
    pub fn current(&self) -> Value {
        self.document(Label::Current.name()).expect("AWSCURRENT is always there")
    }

    /// A text field of what a downstream job reads.
    pub fn field(&self, name: &str) -> String {
        self.current()[name].as_str().unwrap_or_default().to_owned()
    }

    /// What every scenario that ends well has to end with.
    #[track_caller]
    pub fn assert_usable(&self) {
        let (access_token, refresh_token) = (self.field("access_token"), self.field("refresh_token"));
        let tiktok = self.tiktok.core();
        assert!(tiktok.is_alive(&access_token), "the access token in the secret works");
        assert!(
            refresh_token.is_empty() || tiktok.is_newest_refresh_token(&refresh_token),
            "the refresh token is the newest"
        );
    }
}

/// The result of an invocation for its only secret.
#[track_caller]
pub fn only_result(invocation: &Invocation) -> Value {
    let results = invocation.outcome.response()["results"].as_array().expect("a list of results");
    assert_eq!(results.len(), 1);
    results[0].clone()
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
