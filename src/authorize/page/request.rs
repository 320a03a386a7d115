//! Parsing of requests to the page. The only valid one is TikTok's redirect.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::form_urlencoded;

use crate::{
    authorize::{AuthorizationResponse, UnverifiedState},
    error::{Error, Kind},
};

/// The redirect URI is the function's URL with this path.
const PATH: &str = "/callback";
/// The size limit of a query in bytes. A state has about 600 characters and an auth code fewer than 100. TikTok may add
/// parameters.
const MAX_QUERY: usize = 8 * 1024;
/// The parameters of the redirect.
const KNOWN: [&str; 4] = ["auth_code", "code", "state", "error"];

/// TikTok's redirect.
#[derive(Debug)]
pub enum Visit {
    /// The person consented.
    Consented(Redirect),
    /// The person declined, or TikTok returned an error.
    Declined,
}

/// A redirect with a code and a state. Neither is verified.
#[derive(Debug)]
pub struct Redirect {
    query: SecretString,
    /// The address of the page in Lambda's event, without its scheme.
    address: String,
}

impl Visit {
    /// Parses the event of a Function URL (payload format 2.0). Returns `None` for anything but a valid redirect that a
    /// browser opens as a page.
    #[must_use]
    pub fn read(event: &Value) -> Option<Self> {
        let context = &event["requestContext"];
        let is_callback = context["http"]["method"] == "GET" && event["rawPath"] == PATH;
        if !is_callback || has_body(event) || !is_navigation(&event["headers"]) {
            return None;
        }
        let query = event["rawQueryString"].as_str().filter(|query| query.len() <= MAX_QUERY)?;
        match known_parameters(query)? {
            [true, _, true, _] | [_, true, true, _] => Some(Self::Consented(Redirect {
                query: SecretString::from(query),
                address: format!("{}{PATH}", context["domainName"].as_str()?),
            })),
            [false, false, _, true] => Some(Self::Declined),
            _ => None,
        }
    }
}

impl Redirect {
    /// Returns the response if the state is for this page and has not expired. Its signature is checked later, because
    /// that needs the secret.
    ///
    /// # Errors
    /// `InvalidEvent`, and true if the link has only expired.
    pub fn consent(&self, now: Timestamp) -> Result<AuthorizationResponse, (Error, bool)> {
        let consent = AuthorizationResponse::from_query(self.query.expose_secret()).map_err(|error| (error, false))?;
        let state = consent.state();
        state.map_or(Ok(()), |state| state.check_expiry(now)).map_err(|error| (error, true))?;
        // A code of a link for another redirect URI must be sent by a person who may invoke the function.
        if state
            .map(UnverifiedState::redirect_uri)
            .and_then(|uri| uri.split_once("://"))
            .is_none_or(|(_, it)| it != self.address)
        {
            return Err((Error::new(Kind::InvalidEvent, "This link leads back to another address."), false));
        }
        Ok(consent)
    }
}

fn has_body(event: &Value) -> bool {
    event["isBase64Encoded"] == true || event["body"].as_str().is_some_and(|body| !body.is_empty())
}

/// Returns true if the browser opens the page. Browsers mark requests for images, frames and prefetches, which must not
/// use up a code. A browser that sends no mark is accepted.
fn is_navigation(headers: &Value) -> bool {
    let is = |name: &str, wanted: &str| headers[name].as_str().is_none_or(|value| value == wanted);
    let is_a_guess = headers["sec-purpose"].is_string() || headers["purpose"].is_string();
    is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document") && !is_a_guess
}

/// Returns which of [`KNOWN`] are present. `None` if one appears twice or has characters that codes and states never
/// have.
fn known_parameters(query: &str) -> Option<[bool; 4]> {
    let mut there = [false; 4];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(place) = KNOWN.iter().position(|known| *known == name) else { continue };
        let is_sane = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_sane || there[place] {
            return None;
        }
        there[place] = true;
    }
    Some(there)
}
