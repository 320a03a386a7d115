//! The equipment of each test: a server, and a client that writes as a person does.

use std::{collections::BTreeMap, env, fmt::Debug};

use serde_json::{Value, json};
use stand_ins::{
    Backend, Faults, SecretsManager, SecretsManagerServer,
    secrets_manager::client::{Refused, Result, new_token},
};

/// A server, and what it is asked through.
pub struct Desk {
    server: SecretsManagerServer,
}

/// A secret that was just created.
pub struct Fresh {
    pub name: String,
    pub arn: String,
    /// The id of its first version, whose value is `v1`.
    pub first: String,
}

/// The emulator to ask instead of the strict state machine.
pub fn upstream() -> Option<String> {
    env::var("TEST_SECRETS_MANAGER_URL").ok()
}

impl Desk {
    pub fn open() -> Self {
        let backend = upstream().map_or_else(|| Backend::Strict(SecretsManager::new()), Backend::Forward);
        Self { server: SecretsManagerServer::start(Faults::new(), backend) }
    }

    pub async fn call(&self, action: &str, input: Value) -> Result<Value> {
        self.server.client().call(action, input).await
    }

    /// Calls, and expects success.
    pub async fn done(&self, action: &str, input: Value) -> Value {
        self.call(action, input).await.unwrap_or_else(|refused| panic!("{action}: {refused}"))
    }

    /// Calls, and expects one of these exceptions.
    pub async fn refused(&self, action: &str, input: Value, exceptions: &[&str]) -> Refused {
        let refused = self.call(action, input).await.expect_err("the call is refused");
        assert!(exceptions.contains(&refused.exception.as_str()), "{exceptions:?}, but {refused}");
        refused
    }

    /// A secret with the value `v1`.
    pub async fn secret(&self) -> Fresh {
        self.secret_with(json!({})).await
    }

    /// The same, with more members of `CreateSecret`.
    pub async fn secret_with(&self, more: Value) -> Fresh {
        let name = unique_name();
        let mut input = json!({ "Name": name, "ClientRequestToken": new_token(), "SecretString": "v1" });
        input.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        let created = self.done("CreateSecret", input).await;
        Fresh { name, arn: text(&created["ARN"]), first: text(&created["VersionId"]) }
    }

    /// Puts a value under a new version id, which it returns. No labels: AWSCURRENT.
    pub async fn put(&self, name: &str, value: &str, labels: &[&str]) -> String {
        let token = new_token();
        self.put_as(name, &token, value, labels).await.unwrap_or_else(|refused| panic!("{refused}"));
        token
    }

    /// Puts a value under this version id.
    pub async fn put_as(&self, name: &str, token: &str, value: &str, labels: &[&str]) -> Result<Value> {
        let mut input = json!({ "SecretId": name, "ClientRequestToken": token, "SecretString": value });
        if !labels.is_empty() {
            input["VersionStages"] = json!(labels);
        }
        self.call("PutSecretValue", input).await
    }

    /// The value that a label is on.
    pub async fn at(&self, name: &str, label: &str) -> String {
        text(&self.done("GetSecretValue", json!({ "SecretId": name, "VersionStage": label })).await["SecretString"])
    }

    /// Each version's labels, sorted.
    pub async fn labels(&self, name: &str) -> BTreeMap<String, Vec<String>> {
        self.server.client().describe(name).await.unwrap_or_else(|refused| panic!("{refused}"))
    }

    /// On how many versions a label is.
    pub async fn count(&self, name: &str, label: &str) -> usize {
        self.labels(name).await.values().flatten().filter(|on| *on == label).count()
    }

    /// The input of `UpdateSecretVersionStage`.
    pub fn move_label(name: &str, label: &str, to: Option<&str>, from: Option<&str>) -> Value {
        let mut input = json!({ "SecretId": name, "VersionStage": label });
        for (member, version) in [("MoveToVersionId", to), ("RemoveFromVersionId", from)] {
            if let Some(version) = version {
                input[member] = json!(version);
            }
        }
        input
    }
}

pub fn unique_name() -> String {
    format!("rules/{}", new_token())
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub fn sorted<T: Ord + Debug>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort();
    values
}
