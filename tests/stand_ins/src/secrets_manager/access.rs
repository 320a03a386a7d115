//! Callers, and the permissions that a test denies them.

use super::error::{Error, Exception, Result};

/// The caller of an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// The test itself, or a person that it plays. Nothing is denied, and reads do not lag.
    Operator,
    /// The function, by its access key id. Denials and read lag apply to it.
    Function(String),
}

/// A missing permission. Unless it is limited, it is missing for every caller and every secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Denial {
    action: String,
    caller: Option<String>,
    secret: Option<String>,
    label: Option<String>,
    exception: Exception,
    policy: Option<String>,
}

impl Denial {
    /// Denies a Secrets Manager action by name: `PutSecretValue`.
    pub fn of(action: &str) -> Self {
        let exception = Exception::AccessDenied;
        Self { action: action.to_owned(), caller: None, secret: None, label: None, exception, policy: None }
    }

    /// Denies the use of the KMS key for reading: `AccessDeniedException`, "Access to KMS is not allowed".
    pub fn of_decryption() -> Self {
        Self::of("kms:Decrypt")
    }

    /// Denies the use of the KMS key for writing.
    pub fn of_encryption() -> Self {
        Self::of("kms:GenerateDataKey")
    }

    /// The KMS key is disabled or in an invalid state: reads end in `DecryptionFailure`.
    pub fn broken_decryption() -> Self {
        Self { exception: Exception::DecryptionFailure, ..Self::of_decryption() }
    }

    /// The KMS key is disabled or in an invalid state: writes end in `EncryptionFailure`.
    pub fn broken_encryption() -> Self {
        Self { exception: Exception::EncryptionFailure, ..Self::of_encryption() }
    }

    /// Denied by a statement in a policy of this kind: `identity-based policy`, `resource-based policy` or
    /// `service control policy`. Only the message differs.
    #[must_use]
    pub fn explicit(mut self, policy: &str) -> Self {
        self.policy = Some(policy.to_owned());
        self
    }

    /// Only for callers with this access key id.
    #[must_use]
    pub fn to(mut self, access_key_id: &str) -> Self {
        self.caller = Some(access_key_id.to_owned());
        self
    }

    /// Only on the secret of this name.
    #[must_use]
    pub fn on(mut self, secret_name: &str) -> Self {
        self.secret = Some(secret_name.to_owned());
        self
    }

    /// Only where the request names this staging label, as the condition key `secretsmanager:VersionStage` does.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.label = Some(label.to_owned());
        self
    }

    fn covers(&self, action: &str, caller: &str, secret: &str, labels: &[&str]) -> bool {
        self.action == action
            && self.caller.as_ref().is_none_or(|denied| denied == caller)
            && self.secret.as_ref().is_none_or(|denied| denied == secret)
            && self.label.as_ref().is_none_or(|denied| labels.contains(&denied.as_str()))
    }

    fn error(&self, caller: &str, resource: &str) -> Error {
        let message = match (self.exception, self.action.starts_with("kms:")) {
            (Exception::DecryptionFailure, _) => {
                "Secrets Manager can't decrypt the protected secret text using the provided KMS key.".to_owned()
            }
            (Exception::EncryptionFailure, _) => "Secrets Manager can't encrypt the protected secret text using the \
                provided KMS key. Check that the KMS key is available, enabled, and not in an invalid state."
                .to_owned(),
            (_, true) => "Access to KMS is not allowed".to_owned(),
            (_, false) => {
                let action = format!("secretsmanager:{}", self.action);
                let reason = match &self.policy {
                    Some(policy) if policy.starts_with(['a', 'i']) => format!("with an explicit deny in an {policy}"),
                    Some(policy) => format!("with an explicit deny in a {policy}"),
                    None => format!("because no identity-based policy allows the {action} action"),
                };
                format!(
                    "User: arn:aws:sts::123456789012:assumed-role/function-role/{caller} is not authorized to perform: \
                     {action} on resource: {resource} {reason}"
                )
            }
        };
        Error::new(self.exception, message)
    }
}

/// The secret that a request names: its name, and its ARN if there is such a secret.
pub(super) struct Resource<'a> {
    pub name: &'a str,
    pub arn: &'a str,
}

/// Refuses what one of `denials` covers.
pub(super) fn check(
    denials: &[Denial],
    caller: &Caller,
    action: &str,
    resource: &Resource<'_>,
    labels: &[&str],
) -> Result<()> {
    let Caller::Function(caller) = caller else { return Ok(()) };
    match denials.iter().find(|denial| denial.covers(action, caller, resource.name, labels)) {
        Some(denial) => Err(denial.error(caller, resource.arn)),
        None => Ok(()),
    }
}
