//! The fingerprint by which a token pair is known. It shows nothing of the tokens.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A SHA-256 hash of a token pair: refresh token and access token, each after its length.
///
/// Both tokens count, because TikTok may return the same refresh token with each new access token.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Returns the fingerprint of a pair. An absent token counts as an empty one.
    #[must_use]
    pub fn of(refresh_token: Option<&SecretString>, access_token: Option<&SecretString>) -> Self {
        let mut hash = Sha256::new();
        for token in [refresh_token, access_token] {
            let token = token.map_or("", ExposeSecret::expose_secret);
            // The length distinguishes ("ab", "c") from ("a", "bc").
            hash.update((token.len() as u64).to_be_bytes());
            hash.update(token);
        }
        Self(hex(&hash.finalize()))
    }

    /// Returns a fingerprint for an auth code. A claim on it is a claim on the code.
    #[must_use]
    pub fn of_auth_code(code: &SecretString) -> Self {
        let mut hash = Sha256::new();
        // No pair has this prefix: its first token would have that many bytes.
        hash.update([0xff; 8]);
        hash.update(code.expose_secret());
        Self(hex(&hash.finalize()))
    }

    /// Returns 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Accepts the text of [`Fingerprint::as_str`].
impl TryFrom<String> for Fingerprint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_hash = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
        if is_hash { Ok(Self(text)) } else { Err("A fingerprint has 64 hexadecimal digits.") }
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({}…)", &self.0[..8])
    }
}

/// Returns lowercase hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
