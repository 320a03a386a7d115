use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::State;
use crate::error::{Error, Kind};

/// What the browser brought back in the address of TikTok's redirect.
pub(super) struct Redirect {
    pub auth_code: SecretString,
    pub state: State,
}

impl Redirect {
    /// Reads the whole address that the browser ended on. Nothing of it is ever shown: it holds the auth code.
    pub fn parse(address: &str) -> Result<Self, Error> {
        let url = Url::parse(address.trim()).map_err(|_| {
            invalid("The 'redirect_url' is not the whole address that the browser ended on.")
                .advise("Copy all of it, from https:// to its end. A bare auth code goes into 'auth_code'.")
        })?;
        let query = url.query().unwrap_or_default();
        Self::from_query(query)
    }

    pub fn from_query(query: &str) -> Result<Self, Error> {
        let mut found: [Option<SecretString>; 3] = [None, None, None];
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let Some(place) = ["auth_code", "code", "state"].iter().position(|known| *known == name) else { continue };
            if found[place].replace(SecretString::from(value.into_owned())).is_some() {
                return Err(invalid(format!("The redirect has '{name}' twice.")));
            }
        }
        let [auth_code, code, state] = found.map(|value| value.filter(|value| !is_blank(value)));
        // TikTok often sends both, and then `code` is another thing.
        let auth_code = auth_code.or(code).ok_or_else(|| {
            invalid("The redirect brings no 'auth_code': the consent was declined, or the address is not the one that the browser ended on.")
                .advise("Send the event authorize_url, open the link, and confirm.")
        })?;
        let state = state.ok_or_else(|| {
            invalid("The redirect brings no 'state', so it does not answer a link of this function's.")
                .advise("Send the event authorize_url and open its link. If you know where the auth code is from, send it alone as 'auth_code'.")
        })?;
        Ok(Self { auth_code, state: State::parse(state.expose_secret())? })
    }
}

fn is_blank(value: &SecretString) -> bool {
    value.expose_secret().trim().is_empty()
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(Kind::InvalidEvent, what)
}
