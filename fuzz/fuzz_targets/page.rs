//! Requests to the function's URL, which anybody may send: what they say is never in the answer.

#![no_main]

use futures_executor::block_on;
use jiff::Timestamp;
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use tiktok_token_refresh::{
    authorize::page,
    error::{Error, Kind},
};
use tiktok_token_refresh_fuzz::Plant;
use url::form_urlencoded::{Serializer, parse};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(request) = serde_json::from_slice::<Value>(data) else { return Corpus::Reject };
    if !page::is_request(&request) {
        return Corpus::Reject;
    }
    let plant = Plant::of(data);
    let (_, asked) = answer(&request);
    if asked {
        assert_eq!(request["requestContext"]["http"]["method"], "GET");
        assert_eq!(request["rawPath"], "/callback");
        let another = with_query(&request, &plant, |name| name != "state");
        // The page looks at eight kilobytes.
        let is_short = another["rawQueryString"].as_str().is_some_and(|query| query.len() <= 8_192);
        assert!(!is_short || answer(&another).1, "another code is a code");
        plant.is_not_in(&answer(&another).0.to_string());
    }
    for planted in [
        with_query(&request, &plant, |_| true),
        with_query(&request, &plant, |name| name == "state"),
        elsewhere(&request, &plant),
    ] {
        plant.is_not_in(&answer(&planted).0.to_string());
    }
    Corpus::Keep
});

/// The answer, and whether TikTok would have been asked to exchange a code.
fn answer(request: &Value) -> (Value, bool) {
    let mut asked = false;
    let answer = block_on(page::answer(request, "the-reference", Timestamp::UNIX_EPOCH, async |_| {
        asked = true;
        Err(Error::new(Kind::AccessDenied, "The function may not."))
    }));
    let answer = Value::from(answer);
    let status = answer["statusCode"].as_u64().expect("a status");
    assert!(if asked { status == 500 } else { [400, 404, 410].contains(&status) }, "{status}");
    assert_eq!(answer["headers"]["cache-control"], "no-store");
    assert_eq!(answer["headers"]["referrer-policy"], "no-referrer");
    (answer, asked)
}

/// The request with a secret in some of its parameters.
fn with_query(request: &Value, plant: &Plant, planted: impl Fn(&str) -> bool) -> Value {
    let mut request = request.clone();
    let Some(query) = request["rawQueryString"].as_str() else { return request };
    let pairs = parse(query.as_bytes()).map(|(name, value)| {
        let value = if planted(&name) { format!("{value}{}", plant.text()) } else { value.into_owned() };
        (name.into_owned(), value)
    });
    let query = Serializer::new(String::new()).extend_pairs(pairs.collect::<Vec<_>>()).finish();
    request["rawQueryString"] = query.into();
    request
}

/// The request with a secret in everything but what makes it one.
fn elsewhere(request: &Value, plant: &Plant) -> Value {
    let mut request = request.clone();
    plant.into_fields(&mut request, |name| !["requestContext", "rawPath", "rawQueryString"].contains(&name));
    request
}
