//! A client for tests. It works with the stand-in and with any other emulator.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::wire::post;
use super::http::{CONTENT, OPERATOR, TARGET};
use super::versions::{Body, Version};

/// A refusal: the exception's name and its sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// AWS's name of the exception.
    pub exception: String,
    /// Its sentence.
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.exception, self.message)
    }
}

impl std::error::Error for Refused {}

/// The result of a call.
pub type Result<T> = std::result::Result<T, Refused>;

/// Acts like a person in the console. Every call opens its own connection, so it works on any tokio runtime.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Calls any action with any input.
    pub async fn call(&self, action: &str, input: Value) -> Result<Value> {
        // Emulators that look at signatures at all take the service from their scope.
        const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/secretsmanager/aws4_request, \
            SignedHeaders=host;x-amz-date, Signature=00";
        let target = format!("secretsmanager.{action}");
        let headers = [
            (OPERATOR, "1"),
            (TARGET, target.as_str()),
            ("content-type", CONTENT),
            ("authorization", SIGNATURE),
            ("x-amz-date", "20260101T000000Z"),
        ];
        let response = post(&self.address.to_string(), "/", &headers, input.to_string().into()).await;
        let (head, body) = response.expect("Secrets Manager's stand-in answers").into_parts();
        let output: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if head.status.is_success() { Ok(output) } else { Err(refused(&output)) }
    }

    /// Creates a secret with a first value and returns its ARN.
    pub async fn create_secret(&self, name: &str, body: &str) -> Result<String> {
        self.create_tagged_secret(name, body, &[]).await
    }

    /// Creates a secret with a first value and tags, and returns its ARN.
    pub async fn create_tagged_secret(&self, name: &str, body: &str, tags: &[(&str, &str)]) -> Result<String> {
        let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        let input = json!({ "Name": name, "SecretString": body, "ClientRequestToken": new_token(), "Tags": tags });
        Ok(text(&self.call("CreateSecret", input).await?, "ARN"))
    }

    /// The version that holds a label, with its `SecretString`; none if the secret or the label is not there.
    pub async fn get(&self, secret_id: &str, label: &str) -> Option<(String, String)> {
        let output = self.call("GetSecretValue", json!({ "SecretId": secret_id, "VersionStage": label })).await.ok()?;
        Some((text(&output, "VersionId"), text(&output, "SecretString")))
    }

    /// The `SecretString` of a version, labeled or not.
    pub async fn get_version(&self, secret_id: &str, version_id: &str) -> Option<String> {
        let input = json!({ "SecretId": secret_id, "VersionId": version_id });
        Some(text(&self.call("GetSecretValue", input).await.ok()?, "SecretString"))
    }

    /// Stores a new value as AWSCURRENT, as a person does in the console, and returns its version id.
    pub async fn put(&self, secret_id: &str, body: &str) -> Result<String> {
        let input = json!({ "SecretId": secret_id, "SecretString": body, "ClientRequestToken": new_token() });
        Ok(text(&self.call("PutSecretValue", input).await?, "VersionId"))
    }

    /// Stores a new value under other labels, and returns its version id.
    pub async fn put_labeled(&self, secret_id: &str, token: &str, body: &str, labels: &[&str]) -> Result<String> {
        let input = json!({
            "SecretId": secret_id, "SecretString": body, "ClientRequestToken": token, "VersionStages": labels,
        });
        Ok(text(&self.call("PutSecretValue", input).await?, "VersionId"))
    }

    /// The labels of every labeled version, sorted.
    pub async fn describe(&self, secret_id: &str) -> Result<BTreeMap<String, Vec<String>>> {
        let output = self.call("DescribeSecret", json!({ "SecretId": secret_id })).await?;
        let versions = output.get("VersionIdsToStages").and_then(Value::as_object).into_iter().flatten();
        Ok(versions.map(|(id, labels)| (id.clone(), sorted_texts(labels))).collect())
    }

    /// Moves, attaches or removes a label by AWS's rules.
    pub async fn update_stage(
        &self,
        secret_id: &str,
        label: &str,
        move_to: Option<&str>,
        remove_from: Option<&str>,
    ) -> Result<()> {
        let mut input = json!({ "SecretId": secret_id, "VersionStage": label });
        for (member, version) in [("MoveToVersionId", move_to), ("RemoveFromVersionId", remove_from)] {
            if let Some(version) = version {
                input[member] = json!(version);
            }
        }
        self.call("UpdateSecretVersionStage", input).await.map(drop)
    }

    /// Marks a secret for deletion in seven days.
    pub async fn delete_secret(&self, secret_id: &str) -> Result<()> {
        self.call("DeleteSecret", json!({ "SecretId": secret_id, "RecoveryWindowInDays": 7 })).await.map(drop)
    }

    /// Takes the mark for deletion back.
    pub async fn restore_secret(&self, secret_id: &str) -> Result<()> {
        self.call("RestoreSecret", json!({ "SecretId": secret_id })).await.map(drop)
    }

    /// Every version that the service still has, oldest first, with its value.
    pub async fn versions(&self, secret_id: &str) -> Result<Vec<Version>> {
        let input = json!({ "SecretId": secret_id, "IncludeDeprecated": true });
        let output = self.call("ListSecretVersionIds", input).await?;
        let mut versions = Vec::new();
        for version in output.get("Versions").and_then(Value::as_array).into_iter().flatten() {
            let id = text(version, "VersionId");
            let body = self.get_version(secret_id, &id).await.map(|body| Body::String(body.into()));
            let created = version.get("CreatedDate").and_then(Value::as_f64).unwrap_or_default();
            let created = std::time::Duration::try_from_secs_f64(created).unwrap_or_default();
            let labels = version.get("VersionStages").map(sorted_texts).unwrap_or_default();
            versions.push(Version { id, body, created, labels });
        }
        versions.sort_by_key(|version| version.created);
        Ok(versions)
    }
}

/// A fresh `ClientRequestToken`.
pub fn new_token() -> String {
    Uuid::new_v4().to_string()
}

fn refused(output: &Value) -> Refused {
    let exception = text(output, "__type");
    let exception = exception.rsplit('#').next().unwrap_or_default().to_owned();
    let message = if output.get("Message").is_some() { text(output, "Message") } else { text(output, "message") };
    Refused { exception, message }
}

fn text(value: &Value, member: &str) -> String {
    value.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn sorted_texts(values: &Value) -> Vec<String> {
    let texts = values.as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut texts: Vec<String> = texts.map(str::to_owned).collect();
    texts.sort();
    texts
}
