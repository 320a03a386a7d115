use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::{
    document::{App, json_text},
    error::{Error, Kind},
};

/// What is signed begins with this, so that the signature can never stand for something else that the app's secret signs.
const PURPOSE: &str = "tiktok-token-refresh authorize_url 1";
/// Of a state that is wrong, whatever the reason.
const NOT_ISSUED: &str = "This link is incomplete or was not issued here.";
/// The longest state that is looked at: names and addresses of some hundred characters, three times over.
const MAX_LENGTH: usize = 2_048;

/// OAuth's `state`: proves that a redirect answers a link of this function's, made a short while ago for this very secret.
///
/// What it says can be read by anybody and is not to be believed before it is verified.
#[derive(Clone, Debug)]
pub struct UnverifiedState {
    secret_id: String,
    redirect_uri: String,
    issued_at: i64,
    expires_at: i64,
    signed: String,
    signature: Vec<u8>,
}

/// What a state says, in this order.
type StatePayload = (String, String, i64, i64, String);

impl UnverifiedState {
    /// Makes a state. The nonce is there so that no two links are the same.
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

    /// Reads a state.
    ///
    /// # Errors
    /// `InvalidEvent` if it was never one, or was cut.
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

    /// The secret that it claims to be for, as the link's event or the settings name it.
    #[must_use]
    pub fn secret_id(&self) -> &str {
        &self.secret_id
    }

    /// Where it claims that the consent page was told to come back to.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Whether its time is still running: what can be told without reading a secret.
    ///
    /// # Errors
    /// `InvalidEvent` if it is over.
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), Error> {
        if now.as_second() < self.expires_at {
            return Ok(());
        }
        let when = Timestamp::from_second(self.expires_at).map(|at| format!(" at {at}")).unwrap_or_default();
        Err(refused(format!("The link expired{when}.")))
    }

    /// Whether this function made it, for this secret, and the app was not authorized since.
    ///
    /// # Errors
    /// `InvalidEvent`, saying which of these it is not.
    pub(crate) fn verify(
        &self,
        (secret_id, arn): (&str, &str),
        app: &App,
        (now, authorized_at): (Timestamp, Option<Timestamp>),
    ) -> Result<(), Error> {
        self.check_expiry(now)?;
        // In constant time: how much of a guess is right must not show.
        if signature(arn, &self.signed, app).verify_slice(&self.signature).is_err() {
            return Err(if self.secret_id == secret_id || self.secret_id == arn {
                refused(NOT_ISSUED).advise("The signature of its 'state' is wrong, or the app's secret has changed since. Send the event authorize_url, and open the new link.")
            } else {
                refused(format!("This link was not issued for the secret '{secret_id}'."))
            });
        }
        match authorized_at {
            // A link is good for one authorization: it cannot be used for another one after it.
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
    // The ARN has no line break, and neither has what is signed: the parts cannot be moved.
    for part in [PURPOSE, "\n", arn, "\n", signed] {
        mac.update(part.as_bytes());
    }
    mac
}

fn refused(what: impl Into<String>) -> Error {
    Error::new(Kind::InvalidEvent, what).advise("Send the event authorize_url, and open the new link.")
}
