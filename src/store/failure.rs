use std::error::Error as StdError;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};

use crate::error::{Error, Kind};

/// Which call failed, and with it which permissions it needs.
#[derive(Clone, Copy)]
pub(super) enum Call {
    Get,
    Describe,
    Put,
    Promote,
    List,
    ReadMany,
    ListVersions,
}

impl Call {
    const fn action(self) -> &'static str {
        match self {
            Self::Get => "secretsmanager:GetSecretValue",
            Self::Describe => "secretsmanager:DescribeSecret",
            Self::Put => "secretsmanager:PutSecretValue",
            Self::Promote => "secretsmanager:UpdateSecretVersionStage",
            Self::List => "secretsmanager:ListSecrets",
            Self::ReadMany => "secretsmanager:BatchGetSecretValue",
            Self::ListVersions => "secretsmanager:ListSecretVersionIds",
        }
    }

    /// What a policy names as the resource of the call.
    const fn resource(self) -> &'static str {
        match self {
            Self::List | Self::ReadMany => "all resources (\"*\", since it takes no other)",
            _ => "this secret",
        }
    }

    const fn kms_action(self) -> &'static str {
        match self {
            Self::Get | Self::Describe | Self::List | Self::ReadMany | Self::ListVersions => "kms:Decrypt",
            // Secrets Manager decrypts the data key that it has just been given before it encrypts.
            Self::Put | Self::Promote => "kms:GenerateDataKey and kms:Decrypt",
        }
    }

    /// Turns the SDK's error into ours. AWS's messages name roles, actions and keys, never a value.
    pub fn failed<E, R>(self, secret: &str, error: &SdkError<E, R>) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
        R: std::fmt::Debug + 'static,
    {
        match error {
            SdkError::ServiceError(service) => {
                let meta = service.err().meta();
                self.refused(secret, meta.code().unwrap_or("an unnamed error"), meta.message().unwrap_or("no message"))
            }
            SdkError::ConstructionFailure(_) => not_sent(error),
            SdkError::DispatchFailure(failure) if failure.is_user() || failure.is_other() => not_sent(error),
            // Timeouts, broken connections and answers that are not Secrets Manager's.
            _ => Error::new(
                Kind::SecretsManagerUnavailable,
                format!("{} got no answer from Secrets Manager.", self.action()),
            )
            .with_lost_answer(),
        }
    }

    fn refused(self, secret: &str, code: &str, message: &str) -> Error {
        let action = self.action();
        let about_kms = code.contains("KMS") || message.contains("KMS") || message.contains("kms:");
        let message = message.trim_end_matches('.');
        // A write carries the secret's value. AWS masks it where it quotes a request; an emulator or a proxy may not.
        let said = if matches!(self, Self::Put) { String::new() } else { format!(": {message}") };
        match code {
            "AccessDeniedException" | "AccessDenied" if about_kms => self.kms_refused(secret, code, message),
            "DecryptionFailure" | "EncryptionFailure" => self.kms_refused(secret, code, message),
            "AccessDeniedException" | "AccessDenied" => {
                let what = format!("{action} on '{secret}' was denied: {message}.");
                Error::new(Kind::AccessDenied, what)
                    .advise(format!("Grant {action} on {} to the function's role.", self.resource()))
            }
            "UnrecognizedClientException"
            | "ExpiredTokenException"
            | "InvalidSignatureException"
            | "InvalidClientTokenId"
            | "IncompleteSignature"
            | "MissingAuthenticationToken" => {
                let what = format!("AWS did not accept the function's credentials ({code}): {message}.");
                Error::new(Kind::AccessDenied, what)
                    .advise("Give the function valid AWS credentials; in Lambda, its role provides them.")
            }
            "ResourceNotFoundException" => Error::new(
                Kind::SecretNotFound,
                format!("The secret '{secret}' does not exist in this account and region."),
            ),
            "InvalidRequestException" if message.contains("delet") => {
                let what = format!("The secret '{secret}' is scheduled for deletion.");
                Error::new(Kind::SecretNotFound, what)
                    .advise("Restore it (aws secretsmanager restore-secret), or correct SECRET_ID.")
            }
            "InvalidParameterException" | "ValidationException" | "InvalidRequestException" => {
                let what = format!("Secrets Manager refused {action} on '{secret}' ({code}{said}).");
                Error::new(Kind::InvalidConfiguration, what).advise("Correct SECRET_ID, or what the message names.")
            }
            // Throttling, quotas and internal errors pass by themselves.
            _ => Error::new(Kind::SecretsManagerUnavailable, format!("{action} failed ({code}{said})."))
                .with_lost_answer(),
        }
    }

    fn kms_refused(self, secret: &str, code: &str, message: &str) -> Error {
        let needed = self.kms_action();
        let what = format!("The key that encrypts '{secret}' could not be used ({code}): {message}.");
        Error::new(Kind::AccessDenied, what).advise(format!(
            "Grant {needed} on the secret's KMS key to the function's role, and see that the key is enabled."
        ))
    }
}

/// The request was not even made: there are no credentials, or there is no region.
fn not_sent(error: &(dyn StdError + 'static)) -> Error {
    let mut reason: &(dyn StdError + 'static) = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    Error::new(Kind::InvalidConfiguration, format!("The request to Secrets Manager could not be made: {reason}."))
        .advise("Set AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; in Lambda they are always there.")
}
