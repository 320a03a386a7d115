//! The `state` of a link: created, parsed and verified. Errors: a state that is cut, expired, used, or signed with
//! another key.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::{
    document::{App, json_text},
    error::{Error, Kind},
};

/// The prefix of every signed text. A signature for another purpose never matches.
const PURPOSE: &str = "tiktok-token-refresh authorize_url 1";
/// The error of every invalid state.
const NOT_ISSUED: &str = "This link is incomplete or was not issued here.";
/// The size limit of a state in bytes. Names and addresses have some hundred characters each.
const MAX_LENGTH: usize = 2_048;

/// OAuth's `state`. It proves that a redirect belongs to a recent link of this function for this secret.
///
/// Anyone can read its content. Only `verify` proves it.
#[derive(Clone, Debug)]
pub struct UnverifiedState {
    secret_id: String,
    redirect_uri: String,
    issued_at: i64,
    expires_at: i64,
    signed: String,
    signature: Vec<u8>,
}

/// The content of a state, in this order.
type StatePayload = (String, String, i64, i64, String);

impl UnverifiedState {
    /// Creates a state. The nonce makes each link unique.
    pub(crate) fn mint(
        (secret_id, arn): (&str, &str),
        redirect_uri: &str,
        (issued_at, expires_at): (Timestamp, Timestamp),
        nonce: &str,
        app: &App,
    ) -> String {
        let payload = (secret_id, redirect_uri, issued_at.as_second(), expires_at.as_second(), nonce);
        let signed = BASE64.encode(json_text(&payload));
        let signature = signature(arn, &signed, app).finalize().into_bytes();
        format!("{signed}.{}", BASE64.encode(signature))
    }

    /// Parses a state.
    ///
    /// # Errors
    /// `InvalidEvent` if it is not a complete state.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).ok_or_else(|| {
            Error::new(Kind::InvalidEvent, NOT_ISSUED)
                .advise("Its 'state' cannot be read. Copy the whole address again, to its end. If that does not help, send the event authorize_url and open its link.")
        })
    }

    fn read(text: &str) -> Option<Self> {
        let (signed, signature) = text.split_once('.').filter(|_| text.len() <= MAX_LENGTH)?;
        let payload: StatePayload = serde_json::from_slice(&BASE64.decode(signed).ok()?).ok()?;
        let (secret_id, redirect_uri, issued_at, expires_at, _) = payload;
        let signature = BASE64.decode(signature).ok().filter(|it| it.len() == Sha256::output_size())?;
        Some(Self { secret_id, redirect_uri, issued_at, expires_at, signed: signed.to_owned(), signature })
    }

    /// Returns the secret of the link. It is not verified.
    #[must_use]
    pub fn secret_id(&self) -> &str {
        &self.secret_id
    }

    /// Returns the redirect URI of the link. It is not verified.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Checks the validity, which needs no secret.
    ///
    /// # Errors
    /// `InvalidEvent` if the link has expired.
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), Error> {
        if now.as_second() < self.expires_at {
            return Ok(());
        }
        let when = Timestamp::from_second(self.expires_at).map(|at| format!(" at {at}")).unwrap_or_default();
        Err(refused(format!("The link expired{when}.")))
    }

    /// Checks the signature, the secret and that the app was not authorized after the link was created.
    ///
    /// # Errors
    /// `InvalidEvent` with the check that failed.
    pub(crate) fn verify(
        &self,
        (secret_id, arn): (&str, &str),
        app: &App,
        (now, authorized_at): (Timestamp, Option<Timestamp>),
    ) -> Result<(), Error> {
        self.check_expiry(now)?;
        // The comparison takes constant time, so that it does not show how much of a guess is right.
        if signature(arn, &self.signed, app).verify_slice(&self.signature).is_err() {
            return Err(if self.secret_id == secret_id || self.secret_id == arn {
                refused(NOT_ISSUED).advise("The signature of its 'state' is wrong, or the app's secret has changed since. Send the event authorize_url, and open the new link.")
            } else {
                refused(format!("This link was not issued for the secret '{secret_id}'."))
            });
        }
        match authorized_at {
            // A link is valid for one authorization.
            Some(at) if self.issued_at <= at.as_second() => {
                Err(refused(format!("The link was used, or is older than the authorization at {at}.")))
            }
            _ => Ok(()),
        }
    }
}

fn signature(arn: &str, signed: &str, app: &App) -> Hmac<Sha256> {
    let key = app.secret.expose_secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    // Neither the ARN nor the signed text has a line break, so the parts are unambiguous.
    for part in [PURPOSE, "\n", arn, "\n", signed] {
        mac.update(part.as_bytes());
    }
    mac
}

fn refused(what: impl Into<String>) -> Error {
    Error::new(Kind::InvalidEvent, what).advise("Send the event authorize_url, and open the new link.")
}
