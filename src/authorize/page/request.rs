//! What a browser asks for: the one request that TikTok sends it with, or nothing.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::form_urlencoded;

use crate::{
    authorize::{AuthorizationResponse, UnverifiedState},
    error::{Error, Kind},
};

/// The one path: the redirect URI is the function's URL and this.
const PATH: &str = "/callback";
/// A state has some 600 characters and an auth code fewer than 100; TikTok may add parameters of its own.
const MAX_QUERY: usize = 8 * 1024;
/// The parameters that count.
const KNOWN: [&str; 4] = ["auth_code", "code", "state", "error"];

/// What TikTok sent the browser back with.
#[derive(Debug)]
pub enum Visit {
    /// A code, which a person gave by consenting.
    Consented(Redirect),
    /// No code: a person declined, or TikTok refused.
    Declined,
}

/// A redirect with a code and a state, of which nothing is verified.
#[derive(Debug)]
pub struct Redirect {
    query: SecretString,
    /// The address of this page without its scheme, as Lambda tells it.
    address: String,
}

impl Visit {
    /// Reads a Function URL's event (payload format 2.0). `None` is anything but the callback: another path or method, a
    /// body, a parameter twice, more than TikTok would ever send, or a browser that is not going there itself.
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
    /// What the browser brought, if it was made for this page and its time is not over: all that can be told without
    /// asking anybody. Whether this function made it is another matter.
    ///
    /// # Errors
    /// `InvalidEvent`, and whether it is for the time alone.
    pub fn consent(&self, now: Timestamp) -> Result<AuthorizationResponse, (Error, bool)> {
        let consent = AuthorizationResponse::from_query(self.query.expose_secret()).map_err(|error| (error, false))?;
        let state = consent.state();
        state.map_or(Ok(()), |state| state.check_expiry(now)).map_err(|error| (error, true))?;
        // A code that was to come back elsewhere, to somebody who may invoke the function, is not for everybody to hand in.
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

/// Whether a person is on the way to this page. Browsers say when a request is for an image or a frame instead, or made in
/// case that somebody goes there; a code is not to be spent on that. Who says nothing, as old browsers do, is believed: the
/// state decides.
fn is_navigation(headers: &Value) -> bool {
    let is = |name: &str, wanted: &str| headers[name].as_str().is_none_or(|value| value == wanted);
    let is_a_guess = headers["sec-purpose"].is_string() || headers["purpose"].is_string();
    is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document") && !is_a_guess
}

/// Which of [`KNOWN`] are there. `None` if one is there twice, since whoever checks it could look at the other one, or has
/// characters that no code or state has.
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
