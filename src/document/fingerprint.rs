use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// Identifies a pair of tokens without showing it: SHA-256 over refresh token and access token, each behind its length.
///
/// "The same tokens" always means the same fingerprint, never the same refresh token alone: TikTok may or may not give a
/// new refresh token with each new access token.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a pair; an absent token counts as the empty one.
    #[must_use]
    pub fn of(refresh_token: Option<&SecretString>, access_token: Option<&SecretString>) -> Self {
        let mut hash = Sha256::new();
        for token in [refresh_token, access_token] {
            let token = token.map_or("", ExposeSecret::expose_secret);
            // The length in front keeps ("ab", "c") and ("a", "bc") apart.
            hash.update((token.len() as u64).to_be_bytes());
            hash.update(token);
        }
        Self(hex(&hash.finalize()))
    }

    /// Stands for the tokens that an auth code is going to be exchanged for: who claims them claims the code.
    #[must_use]
    pub fn of_auth_code(code: &SecretString) -> Self {
        let mut hash = Sha256::new();
        // No pair of tokens begins like this: it would have a token of that many bytes.
        hash.update([0xff; 8]);
        hash.update(code.expose_secret());
        Self(hex(&hash.finalize()))
    }

    /// Reads what [`Fingerprint::as_str`] wrote; anything else is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex_digits = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
        hex_digits.then(|| Self(text.to_owned()))
    }

    /// 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({}…)", &self.0[..8])
    }
}

/// Lower-case hexadecimal digits of some bytes.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
