//! What a run leaves behind, as a person finds it: the text in the secret, the lines of the log, the metrics.

use serde_json::Value;

use crate::stand_ins::{APP_ID, GrantSpec, Invocation, Outcome, World, secrets_manager::Version, tiktok::Issued};

impl World {
    /// A world whose credentials secret is this very text.
    pub fn with_text(spec: GrantSpec, text: impl FnOnce(&Issued) -> String) -> Self {
        let mut world = Self::empty();
        let issued = world.tiktok.core().authorize(APP_ID, spec);
        world.grant = issued.grant;
        world.create_secret_of_text(&world.secret_id, &text(&issued));
        world
    }

    /// Creates another secret, of any text.
    pub fn create_secret_of_text(&self, name: &str, text: &str) {
        let (client, name, text) = (self.secrets_manager.client(), name.to_owned(), text.to_owned());
        let created = async move { client.create_secret(&name, &text).await };
        self.secrets_manager.background().block_on(created).expect("a new secret");
    }

    /// The text of the version that holds a label.
    pub fn text(&self, label: &str) -> String {
        let (client, name, label) = (self.secrets_manager.client(), self.secret_id.clone(), label.to_owned());
        let got = self.secrets_manager.background().block_on(async move { client.get(&name, &label).await });
        got.expect("a version with this label").1
    }

    /// Changes the current document, as a person does in the console.
    pub async fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut document = self.current();
        change(&mut document);
        self.store(&document.to_string()).await;
    }

    /// A person pastes the first tokens of another grant over those in the secret.
    pub async fn paste_other_tokens(&mut self) {
        let issued = self.tiktok.core().authorize(APP_ID, GrantSpec::default());
        self.grant = issued.grant;
        self.edit(|document| {
            document["access_token"] = issued.access_token.into();
            document["refresh_token"] = issued.refresh_token.into();
        })
        .await;
    }

    /// Makes the tokens in the secret look older than the minute in which TikTok may not know them yet.
    pub async fn age_tokens(&self) {
        self.edit(|document| document["refreshed_at"] = "2026-01-01T00:00:00Z".into()).await;
    }

    /// Every version that the secret has.
    pub fn versions(&self) -> Vec<Version> {
        let (client, name) = (self.secrets_manager.client(), self.secret_id.clone());
        let versions = async move { client.versions(&name).await };
        self.secrets_manager.background().block_on(versions).expect("the secret is there")
    }
}

/// The sentence of a failed invocation.
#[track_caller]
pub fn error_message(invocation: &Invocation) -> &str {
    match &invocation.outcome {
        Outcome::Error { error_message, .. } => error_message,
        other => panic!("expected an error, got {other:?}"),
    }
}

/// The lines of the log that are meant for people and searches, each a JSON object.
#[track_caller]
pub fn log(invocation: &Invocation) -> Vec<Value> {
    json_lines(invocation).into_iter().filter(|line| line.get("_aws").is_none()).collect()
}

/// The lines that CloudWatch takes metrics from: one for each secret.
#[track_caller]
pub fn all_metrics(invocation: &Invocation) -> Vec<Value> {
    json_lines(invocation).into_iter().filter(|line| line.get("_aws").is_some()).collect()
}

/// The metrics of the only secret.
#[track_caller]
pub fn metrics(invocation: &Invocation) -> Value {
    let mut lines = all_metrics(invocation);
    assert_eq!(lines.len(), 1, "one line of metrics for one secret");
    lines.remove(0)
}

fn json_lines(invocation: &Invocation) -> Vec<Value> {
    let lines = invocation.logs.iter().map(|line| serde_json::from_str(line));
    lines.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error} in {:#?}", invocation.logs))
}
