//! The texts that a browser brings back: whole addresses, auth codes alone, and states with invented content.

#![no_main]

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;
use serde_json::Value;
use tiktok_token_refresh::{
    authorize::{AuthorizationResponse, UnverifiedState},
    error::{Error, Kind},
};
use tiktok_token_refresh_fuzz::Plant;
use url::form_urlencoded::byte_serialize;

fuzz_target!(|text: &str| {
    let plant = Plant::of(text);
    address(text, &plant);
    auth_code(text, &plant);
    state(text, &plant);
});

fn address(text: &str, plant: &Plant) {
    let consent = redirected(text);
    if let Ok(consent) = &consent {
        assert!(consent.state().is_some(), "a redirect is nothing without its state");
    }
    if let Err(error) = redirected(&plant.somewhere(text)) {
        refuses(&error, plant);
    }
    // The page is given the query alone, as HTTP carries it: in characters that can be seen. An address that was copied may
    // have line breaks in it, which are taken out.
    let is_query = |query: &&str| query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if let Some(query) = text.strip_prefix("https://a.b/?").filter(is_query) {
        assert_eq!(AuthorizationResponse::from_query(query).is_ok(), consent.is_ok());
    }
}

fn auth_code(text: &str, plant: &Plant) {
    let bare = |code: &str| AuthorizationResponse::bare(&SecretString::from(code), None);
    assert_eq!(bare(text).is_err(), text.trim().is_empty() || text.contains("://"));
    let consent = bare(&plant.somewhere(text));
    plant.is_hidden(&consent);
    if let Err(error) = consent {
        refuses(&error, plant);
    }
}

/// The text as what a state says, with a signature of the right length.
fn state(said: &str, plant: &Plant) {
    let text = format!("{}.{}", BASE64.encode(said), BASE64.encode([7; 32]));
    let Ok(state) = UnverifiedState::parse(&text) else { return };
    let says: Value = serde_json::from_str(said).expect("what was understood is JSON");
    assert_eq!(says[0], state.secret_id());
    assert_eq!(says[1], state.redirect_uri());
    let expires_at = says[3].as_i64().expect("a time in seconds");
    for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        let timely = state.check_expiry(now);
        assert_eq!(timely.is_ok(), now.as_second() < expires_at);
        if let Err(error) = timely {
            refuses(&error, plant);
        }
    }
    // A code has characters that can be seen.
    let seen: String = said.chars().filter(char::is_ascii_graphic).collect();
    let code: String = byte_serialize(format!("{seen}{}", plant.text()).as_bytes()).collect();
    let consent = redirected(&format!("https://a.b/?auth_code={code}&state={text}")).expect("a code and a state");
    plant.is_hidden(&consent);
}

fn redirected(address: &str) -> Result<AuthorizationResponse, Error> {
    AuthorizationResponse::redirected(&SecretString::from(address))
}

fn refuses(error: &Error, plant: &Plant) {
    assert_eq!(error.kind(), Kind::InvalidEvent);
    plant.is_hidden_by_error(error);
}
