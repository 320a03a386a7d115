//! Errors by AWS's names, in AWS's words.

use std::fmt;

/// The exceptions that this stand-in raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exception {
    /// The caller may not do this, or may not use the KMS key.
    AccessDenied,
    /// The KMS key cannot decrypt the value.
    DecryptionFailure,
    /// The KMS key cannot encrypt the value.
    EncryptionFailure,
    /// The signature is for another service.
    InvalidSignature,
    /// The page token is not one that was handed out.
    InvalidNextToken,
    /// A parameter has a value that the state of the secret does not allow.
    InvalidParameter,
    /// The request does not fit the state of the secret.
    InvalidRequest,
    /// A quota is used up.
    LimitExceeded,
    /// There is no signature.
    MissingAuthenticationToken,
    /// The name or the version id is taken.
    ResourceExists,
    /// No such secret, version or label.
    ResourceNotFound,
    /// The body is not what the protocol asks for.
    Serialization,
    /// Too many requests in a second.
    Throttling,
    /// No such action.
    UnknownOperation,
    /// A parameter breaks a constraint that needs no state to check.
    Validation,
}

impl Exception {
    /// AWS's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::DecryptionFailure => "DecryptionFailure",
            Self::EncryptionFailure => "EncryptionFailure",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::InvalidNextToken => "InvalidNextTokenException",
            Self::InvalidParameter => "InvalidParameterException",
            Self::InvalidRequest => "InvalidRequestException",
            Self::LimitExceeded => "LimitExceededException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::ResourceExists => "ResourceExistsException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::Serialization => "SerializationException",
            Self::Throttling => "ThrottlingException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::Validation => "ValidationException",
        }
    }

    /// Returns true for exceptions of the service. They have `Message`, those of the layers before it
    /// `message`, and clients must read both.
    pub fn is_modeled(self) -> bool {
        !matches!(
            self,
            Self::InvalidSignature
                | Self::MissingAuthenticationToken
                | Self::Serialization
                | Self::Throttling
                | Self::UnknownOperation
                | Self::Validation
        )
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Error {
    /// The exception.
    pub exception: Exception,
    /// AWS's sentence.
    pub message: String,
}

/// The result of an action.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with its sentence.
    pub fn new(exception: Exception, message: impl Into<String>) -> Self {
        Self { exception, message: message.into() }
    }

    pub(super) fn secret_not_found() -> Self {
        Self::new(Exception::ResourceNotFound, "Secrets Manager can't find the specified secret.")
    }

    pub(super) fn value_not_found(by: &str, wanted: &str) -> Self {
        let message = format!("Secrets Manager can't find the specified secret value for {by}: {wanted}");
        Self::new(Exception::ResourceNotFound, message)
    }

    pub(super) fn marked_for_deletion() -> Self {
        let message = "You can't perform this operation on the secret because it was marked for deletion.";
        Self::new(Exception::InvalidRequest, message)
    }

    pub(super) fn replica() -> Self {
        Self::parameter("Operation not permitted on a replica secret. Call must be made in primary secret's region.")
    }

    pub(super) fn parameter(message: impl Into<String>) -> Self {
        Self::new(Exception::InvalidParameter, message)
    }

    pub(super) fn constraint(field: &str, constraint: &str) -> Self {
        let message =
            format!("1 validation error detected: Value at '{field}' failed to satisfy constraint: {constraint}");
        Self::new(Exception::Validation, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.exception.name(), self.message)
    }
}

impl std::error::Error for Error {}
