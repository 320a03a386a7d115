//! TikTok's answers: of any bytes with any status, tokens come out whole, and nothing that the request or the answer keeps
//! secret is in an error.

#![no_main]

use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::{Corpus, fuzz_target};
use secrecy::ExposeSecret;
use serde_json::Value;
use tiktok_token_refresh::{
    error::{Error, Kind},
    tiktok::{Answer, Call},
    transport::TokenSet,
};
use tiktok_token_refresh_fuzz::Plant;

/// The secrets that the request carried. The dictionary has them too, as they are and as JSON and a query spell them. None
/// ends in a quotation mark. An answer may quote a text up to its last character, and an error puts marks around the
/// quotation.
const CARRIED: [&str; 2] = ["app \"secret\"/+1", "refresh-token-1"];
const SPELLINGS: [&str; 5] =
    [CARRIED[0], CARRIED[1], "app \\\"secret\\\"/+1", "app+%22secret%22%2F%2B1", "app%20%22secret%22%2F%2B1"];
/// Unix times in the dictionary lie a day after it.
const NOW: Timestamp = Timestamp::constant(1_795_835_307, 0);

const CALL: Call<'_> = Call { endpoint: "oauth2/refresh_token", limit: usize::MAX, secrets: &CARRIED };

// The first two bytes choose the status, and the rest is the body.
fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((status, body)) = data.split_first_chunk() else { return Corpus::Reject };
    let status = 100 + u16::from_be_bytes(*status) % 500;
    match understood(status, body) {
        Ok(answer) => {
            assert!(answer.is_success() && (200..300).contains(&status));
            holds_what_can_be_used(&answer);
        }
        Err(error) => is_fit_to_be_read(status, &error),
    }
    match CALL.tokens(status, body, NOW) {
        Ok(grant) => is_usable(&grant),
        Err(error) => is_fit_to_be_read(status, &error),
    }
    tokens_arrive_whatever_surrounds_them(status, body);
    if let Ok(answer) = serde_json::from_slice::<Value>(body) {
        tokens_of_the_answer_are_hidden(status, &answer, &Plant::of(data));
    }
    Corpus::Keep
});

fn understood(status: u16, body: &[u8]) -> Result<Answer, Error> {
    CALL.read(status, body).and_then(|answer| CALL.judge(answer))
}

/// One line, not longer than a person reads, without what the request carried.
fn is_fit_to_be_read(status: u16, error: &Error) {
    let text = error.to_string();
    for secret in SPELLINGS {
        assert!(!text.contains(secret) && !format!("{error:?}").contains(secret), "{text}");
    }
    for secret in CARRIED {
        let chars: Vec<char> = secret.chars().collect();
        // The marks around what is quoted are the error's own.
        let said = text.replace(&format!("\"{}\"", error.quoted()), error.quoted());
        let is_shown = chars.windows(8).any(|part| said.contains(&part.iter().collect::<String>()));
        assert!(!is_shown, "a part of {secret:?} is in: {text}");
    }
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.chars().count() <= 800, "{text}");
    assert!(status != 429 || error.kind() == Kind::TikTokThrottled);
}

fn holds_what_can_be_used(answer: &Answer) {
    let listed = answer.advertisers().map(|listing| listing.advertisers);
    for advertisers in [listed, answer.advertiser_info()] {
        assert!(advertisers.unwrap_or_default().iter().all(|advertiser| !advertiser.id.is_empty()));
    }
    assert!((1..=100).contains(&answer.pages()));
}

fn is_usable(grant: &TokenSet) {
    let tokens = [Some(&grant.access_token), grant.refresh_token.as_ref()];
    assert!(tokens.iter().flatten().all(|token| !token.expose_secret().trim().is_empty()));
    let ten_years = Duration::from_secs(10 * 365 * 86_400);
    let lifetimes = [grant.expires_in, grant.refresh_token_expires_in];
    assert!(lifetimes.iter().flatten().all(|lifetime| !lifetime.is_zero() && *lifetime <= ten_years));
    // It is put into the secret as it is, where the schema has a text or a list.
    let scope = grant.scope.as_deref().unwrap_or("\"\"");
    let scope_value: Value = serde_json::from_str(scope).expect("what any reader understands");
    assert!(scope.len() <= 1_024 && (scope_value.is_string() || scope_value.is_array()));
    assert!(grant.advertiser_ids.iter().all(|id| !id.is_empty()));
}

/// Tokens in an object that TikTok would answer are found in it, whatever the rest of the answer is made of.
fn tokens_arrive_whatever_surrounds_them(status: u16, surroundings: &[u8]) {
    let text = String::from_utf8_lossy(surroundings);
    let odd = serde_json::to_string(&*text).expect("a text is JSON");
    let tokens = r#""access_token":"act.1","refresh_token":"rft.1""#;
    let bodies = [
        format!("\u{feff}{{\"message\":{odd},\"code\":{odd},\"data\":{{{tokens},\"expires_in\":{odd}}}}}{text}"),
        format!("{{{tokens},\"request_id\":{odd},\"error\":{odd},\"scope\":{odd}}}"),
        // Nothing behind the comma is there, or not all of it.
        format!("{{\"data\":{{{tokens},{}", &odd[..odd.floor_char_boundary(odd.len() / 2)]),
    ];
    for body in bodies {
        let grant = CALL.tokens(status, body.as_bytes(), NOW).expect("the tokens are there");
        assert_eq!(grant.access_token.expose_secret(), "act.1", "{body}");
        assert_eq!(grant.refresh_token.as_ref().map(ExposeSecret::expose_secret), Some("rft.1"), "{body}");
        is_usable(&grant);
    }
}

/// A token in the answer, be it in the wrong place, is shown neither by what is understood nor by an error.
fn tokens_of_the_answer_are_hidden(status: u16, answer: &Value, plant: &Plant) {
    let is_token = |name: &str| ["access_token", "refresh_token"].contains(&name);
    let mut planted = answer.clone();
    plant.into_fields(&mut planted, is_token);
    if let Some(data) = planted.get_mut("data") {
        plant.into_fields(data, is_token);
    }
    match understood(status, planted.to_string().as_bytes()) {
        Ok(answer) => {
            plant.is_hidden(&answer);
            plant.is_hidden(&answer.advertisers());
        }
        Err(error) => plant.is_hidden_by_error(&error),
    }
    match CALL.tokens(status, planted.to_string().as_bytes(), NOW) {
        Ok(grant) => plant.is_hidden(&grant),
        Err(error) => plant.is_hidden_by_error(&error),
    }
}
