//! Errors of the AWS SDK, converted to the function's [`Error`]: kind, missing permission and advice.

use std::error::Error as StdError;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use secrecy::{ExposeSecret, SecretString};

use super::denial::Denial;
use crate::{
    document::secrets_in,
    error::{Error, Kind},
    masking::masked,
};

/// AWS's longest messages name a role, an action, a resource and a policy.
const MAX_SHOWN: usize = 600;

/// The request that failed, which determines the permissions that it needs.
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
    pub(super) const fn action(self) -> &'static str {
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

    /// Returns the resource that a policy for the request names.
    const fn resource(self) -> &'static str {
        match self {
            Self::List | Self::ReadMany => "all resources (\"*\", since it takes no other)",
            _ => "this secret",
        }
    }

    const fn kms_action(self) -> &'static str {
        match self {
            Self::Get | Self::Describe | Self::List | Self::ReadMany | Self::ListVersions => "kms:Decrypt",
            // Secrets Manager decrypts a new data key before it encrypts with it.
            Self::Put | Self::Promote => "kms:GenerateDataKey and kms:Decrypt",
        }
    }

    /// Converts an error of the SDK.
    pub fn failed<E>(self, secret: &str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        self.failed_with(secret, error, &[])
    }

    /// Converts an error of a write. AWS masks the value where it quotes a request; an emulator or a proxy may not.
    pub fn failed_to_write<E>(secret: &str, error: &SdkError<E, HttpResponse>, body: &SecretString) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let secrets = secrets_in(body);
        let secrets: Vec<&str> = secrets.iter().map(ExposeSecret::expose_secret).collect();
        Self::Put.failed_with(secret, error, &secrets)
    }

    fn failed_with<E>(self, secret: &str, error: &SdkError<E, HttpResponse>, secrets: &[&str]) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        match error {
            // Every error of Secrets Manager has a code.
            SdkError::ServiceError(service) if service.err().code().is_none() && is_refusal(service.raw()) => {
                let (action, status) = (self.action(), service.raw().status().as_u16());
                let what = format!("{action} was answered with HTTP {status}, but not by Secrets Manager.");
                Error::new(Kind::InvalidConfiguration, what).advise(
                    "Check HTTPS_PROXY and AWS_ENDPOINT_URL_SECRETS_MANAGER, and whatever stands between the function and AWS.",
                )
            }
            SdkError::ServiceError(service) => {
                let meta = service.err().meta();
                let message = masked(meta.message().unwrap_or("no message"), secrets, MAX_SHOWN);
                let message = if matches!(self, Self::Put) { without_object(&message) } else { message };
                self.refused(secret, meta.code().unwrap_or("an unnamed error"), message.trim_end_matches('.'))
            }
            SdkError::ConstructionFailure(_) => not_sent(error),
            SdkError::DispatchFailure(failure) if failure.is_user() || failure.is_other() => not_sent(error),
            // Timeouts, broken connections and answers of other servers.
            _ => Error::new(
                Kind::SecretsManagerUnavailable,
                format!("{} got no answer from Secrets Manager.", self.action()),
            )
            .with_lost_answer(),
        }
    }

    fn refused(self, secret: &str, code: &str, message: &str) -> Error {
        let action = self.action();
        // The name of a secret can have these letters too.
        let about_kms = code.contains("KMS")
            || ["KMS", "kms:"].iter().any(|it| message.contains(it)) && !message.contains("perform: secretsmanager:");
        match code {
            "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => self.denied(secret, code, message, about_kms),
            "DecryptionFailure" | "EncryptionFailure" => self.kms_refused(secret, code, message),
            "UnrecognizedClientException"
            | "ExpiredTokenException"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "InvalidClientTokenId"
            | "IncompleteSignature"
            | "RequestExpired"
            | "OptInRequired"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException" => {
                let what = format!("AWS did not accept the function's credentials ({code}): {message}.");
                Error::new(Kind::AccessDenied, what)
                    .advise("Give the function valid AWS credentials; in Lambda, its role provides them.")
            }
            // Reads lag writes, so a version that was just written may be unknown for a moment.
            "ResourceNotFoundException" if matches!(self, Self::Promote) && message.contains("version") => Error::new(
                Kind::SecretsManagerUnavailable,
                format!("{action} on '{secret}' failed ({code}: {message})."),
            ),
            "ResourceNotFoundException" => Error::new(
                Kind::SecretNotFound,
                format!("The secret '{secret}' does not exist in this account and region."),
            ),
            // KMS's own errors about a key that is disabled, deleted or in another state.
            "InvalidRequestException" | "InvalidParameterException" if about_kms => {
                self.kms_refused(secret, code, message)
            }
            _ if code.starts_with("KMS") && !code.contains("Throttling") && !code.contains("Internal") => {
                self.kms_refused(secret, code, message)
            }
            "InvalidRequestException" if message.contains("delet") => {
                let what = format!("The secret '{secret}' is scheduled for deletion.");
                Error::new(Kind::SecretNotFound, what)
                    .advise("Restore it (aws secretsmanager restore-secret), or correct SECRET_ID.")
            }
            "LimitExceededException" => {
                let what = format!("The secret '{secret}' takes no more versions ({code}: {message}).");
                Error::new(Kind::SecretLimitExceeded, what)
            }
            "InvalidParameterException"
            | "InvalidRequestException"
            | "PreconditionNotMetException"
            | "ValidationException"
            | "ValidationError"
            | "SerializationException"
            | "UnknownOperationException"
            | "InvalidAction" => {
                let what = format!("Secrets Manager refused {action} on '{secret}' ({code}: {message}).");
                Error::new(Kind::InvalidConfiguration, what).advise(what_to_correct(secret, message))
            }
            // Throttling, quotas and internal errors are temporary.
            _ => Error::new(Kind::SecretsManagerUnavailable, format!("{action} failed ({code}: {message})."))
                .with_lost_answer(),
        }
    }

    fn denied(self, secret: &str, code: &str, message: &str, about_kms: bool) -> Error {
        let action = if about_kms { self.kms_action() } else { self.action() };
        match Denial::of(message) {
            Some(denial) => {
                let what = format!("{action} for '{secret}' was denied{}: {message}.", denial.by_whom());
                Error::new(Kind::AccessDenied, what).advise(denial.advice(secret, action, about_kms))
            }
            None if about_kms => self.kms_refused(secret, code, message),
            None => {
                let what = format!("{action} on '{secret}' was denied: {message}.");
                Error::new(Kind::AccessDenied, what)
                    .advise(format!("Grant {action} on {} to the function's role.", self.resource()))
            }
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

/// Returns true if a repetition would be answered in the same way.
fn is_refusal(response: &HttpResponse) -> bool {
    response.status().is_client_error() && ![408, 429].contains(&response.status().as_u16())
}

/// Removes a quoted object from a message, because it can contain a secret's value.
fn without_object(message: &str) -> String {
    match message.split_once('{') {
        Some((before, rest)) => format!("{before}***{}", rest.rsplit_once('}').map_or("", |(_, after)| after)),
        None => message.to_owned(),
    }
}

/// Returns the advice for a request that does not fit the secret.
fn what_to_correct(secret: &str, message: &str) -> String {
    let message = message.to_ascii_lowercase();
    if message.contains("replica") {
        return format!(
            "The secret is a replica, which nobody can write. Deploy the function in the region of the primary secret, or make the replica a secret of its own: aws secretsmanager stop-replication-to-replica --secret-id {secret}"
        );
    }
    if message.contains("managed") || message.contains("owned by") {
        return "Another AWS service manages this secret. Correct SECRET_ID: name a secret of your own.".to_owned();
    }
    "Correct SECRET_ID, or what the message names.".to_owned()
}

/// The request was not sent: credentials or the Region are missing.
fn not_sent(error: &(dyn StdError + 'static)) -> Error {
    let mut reason: &(dyn StdError + 'static) = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    Error::new(Kind::InvalidConfiguration, format!("The request to Secrets Manager could not be made: {reason}."))
        .advise("Set AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; in Lambda they are always there.")
}
