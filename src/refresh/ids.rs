//! Version ids that are derived from token pairs. Every run derives the same id for the same version, so the first writer of
//! a claim or a successor wins.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::document::{Fingerprint, hex};

/// The namespace of the version ids that this project derives, drawn once at random. Changing it would make a run blind to
/// the claims and staged versions of the release before it.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0c_4d3e_92b7_4c55_a1e8_3d74_58c2_9b16);

/// The id of a version. Every run derives the same id for the same version.
fn version_id(arn: &str, what: &str, detail: &str) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{arn}\n{what}\n{detail}").as_bytes()).to_string()
}

/// The id of the claim on a pair with that number.
pub(crate) fn claim_id(arn: &str, pair: &Fingerprint, attempt: u32) -> String {
    version_id(arn, "claim", &format!("{}\n{attempt}", pair.as_str()))
}

/// The id of the version that holds the successor of a pair.
pub(crate) fn successor_id(arn: &str, pair: &Fingerprint) -> String {
    version_id(arn, "next", pair.as_str())
}

/// The id of a version that is derived from its content.
pub(crate) fn content_id(arn: &str, body: &SecretString) -> String {
    version_id(arn, "content", &hex(&Sha256::digest(body.expose_secret())))
}
