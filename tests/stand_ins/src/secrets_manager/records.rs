//! The arguments and results of actions, the records for tests, and the behavior that tests choose.

use std::collections::BTreeMap;
use std::time::Duration;

use super::access::Caller;
use super::versions::Body;

/// The tags of a secret.
pub type Tags = BTreeMap<String, String>;

/// The result of a promote whose label is already on the target, while `RemoveFromVersionId` names another version.
/// AWS's documentation allows both readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// `InvalidParameterException`.
    #[default]
    Refused,
    /// Success, nothing changes.
    NoOp,
}

/// The behavior that AWS leaves open or varies.
#[derive(Clone, Debug)]
pub struct Semantics {
    /// The result of a repeated promote.
    pub replayed_promote: Replay,
    /// True if AWSPENDING is removed from a version that becomes AWSCURRENT. Both occur in AWS.
    pub promote_clears_pending: bool,
    /// After a write, so many reads by the code under test still show the state before it.
    pub read_lag: u32,
    /// The age of the state that the function reads by label and by version id. AWS's reads can lag by moments.
    pub read_delay: Duration,
    /// The largest number of versions of a secret, with or without labels.
    pub version_limit: usize,
}

impl Default for Semantics {
    fn default() -> Self {
        let replayed_promote = Replay::default();
        Self {
            replayed_promote,
            promote_clears_pending: true,
            read_lag: 0,
            read_delay: Duration::ZERO,
            version_limit: 100,
        }
    }
}

/// One accepted write, for assertions on who changed what in which order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// The caller.
    pub caller: Caller,
    /// AWS's name of the action.
    pub action: &'static str,
    /// The secret's name.
    pub secret: String,
    /// The version that was created or that received or lost a label.
    pub version_id: Option<String>,
    /// The labels that the request named.
    pub labels: Vec<String>,
    /// True if the write changed anything. An idempotent repeat does not.
    pub changed: bool,
}

/// The result of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The secret's ARN.
    pub arn: String,
    /// The secret's name.
    pub name: String,
    /// The version that was written, if any.
    pub version_id: Option<String>,
    /// The labels on it now.
    pub labels: Vec<String>,
}

/// The result of `GetSecretValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretValue {
    /// The secret's ARN.
    pub arn: String,
    /// The secret's name.
    pub name: String,
    /// The version's id.
    pub version_id: String,
    /// The value.
    pub body: Body,
    /// The labels on the version.
    pub labels: Vec<String>,
    /// When the version was created.
    pub created: Duration,
}

/// The metadata in `DescribeSecret` and `ListSecrets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretEntry {
    /// The secret's ARN.
    pub arn: String,
    /// The secret's name.
    pub name: String,
    /// The text that the creator gave.
    pub description: Option<String>,
    /// The KMS key, none for `aws/secretsmanager`.
    pub kms_key_id: Option<String>,
    /// The tags.
    pub tags: Tags,
    /// When the secret was created.
    pub created: Duration,
    /// When anything last changed.
    pub changed: Duration,
    /// The day of the last read.
    pub accessed: Option<Duration>,
    /// When it was marked for deletion.
    pub deleted: Option<Duration>,
    /// The region of the secret that this one is a replica of.
    pub primary_region: Option<String>,
    /// The labeled versions with their labels.
    pub labels: BTreeMap<String, Vec<String>>,
}

/// The arguments of `CreateSecret`.
#[derive(Clone, Debug, Default)]
pub struct NewSecret {
    /// The name.
    pub name: String,
    /// The `ClientRequestToken`, which becomes the first version's id.
    pub token: String,
    /// The first value; without it the secret has no version.
    pub body: Option<Body>,
    /// The tags.
    pub tags: Tags,
    /// A text for people.
    pub description: Option<String>,
    /// The KMS key, none for `aws/secretsmanager`.
    pub kms_key_id: Option<String>,
}
