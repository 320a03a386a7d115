//! TikTok's redirect. Input: the address of the browser. Output: an auth code and a state. Error: `InvalidEvent` with
//! the missing or wrong part.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::UnverifiedState;
use crate::{
    document::pasted,
    error::{Error, Kind},
};

/// The auth code and the state in TikTok's redirect.
pub(crate) struct Redirect {
    pub auth_code: SecretString,
    pub state: UnverifiedState,
}

/// The parameters of the redirect.
const KNOWN: [&str; 3] = ["auth_code", "code", "state"];

impl Redirect {
    /// Parses the whole address of the browser. Errors never show it, because it has the auth code.
    pub fn parse(address: &str) -> Result<Self, Error> {
        let url = Url::parse(pasted::trimmed(address)).map_err(|_| {
            invalid("The 'redirect_url' is not the whole address that the browser ended on.")
                .advise("Copy all of it, from https:// to its end. Send a bare auth code as 'auth_code'.")
        })?;
        Self::from_query(url.query().unwrap_or_default())
    }

    pub fn from_query(query: &str) -> Result<Self, Error> {
        if query.split('&').any(is_from_html) {
            return Err(invalid("The redirect was copied from HTML: it has '&amp;' in place of '&'.")
                .advise("Copy the address again, from the browser's address bar."));
        }
        let mut found: [Option<SecretString>; 3] = [None, None, None];
        let mut is_link = false;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            is_link |= name == "redirect_uri";
            let Some(place) = KNOWN.iter().position(|known| *known == name) else { continue };
            if found[place].replace(SecretString::from(value.into_owned())).is_some() {
                return Err(
                    invalid(format!("The redirect has '{name}' twice.")).advise("Copy the whole address again, once.")
                );
            }
        }
        let [auth_code, code, state] = found.map(|value| value.filter(|value| !is_blank(value)));
        // TikTok often sends both. `code` has another meaning then.
        let auth_code = auth_code.or(code).ok_or_else(|| if is_link { is_the_link() } else { has_no_code() })?;
        let state = state.ok_or_else(|| {
            invalid("The redirect has no 'state': the address was cut, or another link than this function's led to it.")
                .advise("Copy the whole address again, to its end. If the auth code is from another link, send it alone as 'auth_code'.")
        })?;
        let auth_code = decoded(auth_code);
        if !auth_code.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid("The redirect's 'auth_code' has a blank or another character that no code has.")
                .advise("Copy the whole address again, in one piece."));
        }
        Ok(Self { auth_code, state: UnverifiedState::parse(state.expose_secret())? })
    }
}

/// Decodes a code that a tool has percent-encoded once more with its address: TikTok's codes have no percent sign.
fn decoded(mut code: SecretString) -> SecretString {
    for _ in 0..pasted::MAX_ENCODINGS {
        let next = pasted::percent_decoded(code.expose_secret());
        match next.filter(|next| next.chars().all(|c| c.is_ascii_graphic())) {
            Some(next) => code = SecretString::from(next),
            None => break,
        }
    }
    code
}

/// Returns true if a parameter starts with the rest of `&amp;`.
fn is_from_html(parameter: &str) -> bool {
    let Some(parameter) = parameter.strip_prefix("amp;") else { return false };
    KNOWN.iter().any(|known| parameter.strip_prefix(known).is_some_and(|rest| rest.starts_with('=')))
}

fn is_the_link() -> Error {
    invalid("The 'redirect_url' is the link to the consent page.")
        .advise("Open the link, confirm, and send the address that the browser ends on.")
}

fn has_no_code() -> Error {
    invalid("The redirect has no 'auth_code': the consent was declined, or the address was cut.").advise(
        "Copy the whole address again. If the consent was declined, send the event authorize_url and open its link.",
    )
}

fn is_blank(value: &SecretString) -> bool {
    value.expose_secret().trim().is_empty()
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(Kind::InvalidEvent, what)
}
