//! Events: any JSON is understood to the last field or refused, and no auth code is shown on the way.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::{Value, json};
use tiktok_token_refresh::{
    error::Kind,
    event::{Event, Refresh, Rotation},
};
use tiktok_token_refresh_fuzz::Plant;

/// The names that a person misspells, and that an error therefore quotes.
const QUOTED: [&str; 3] = ["action", "Step", "scheduled_time"];

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(event) = serde_json::from_slice::<Value>(data) else { return Corpus::Reject };
    let plant = Plant::of(data);
    errors_quote_no_value(&event, &plant);
    auth_codes_are_hidden(&event, &plant);
    match Event::parse(event.clone()) {
        Ok(parsed) => {
            is_sane(&parsed);
            no_field_is_overlooked(event);
        }
        Err(error) => assert_eq!(error.kind(), Kind::InvalidEvent),
    }
    Corpus::Keep
});

fn errors_quote_no_value(event: &Value, plant: &Plant) {
    let mut event = event.clone();
    plant.into_fields(&mut event, |name| !QUOTED.contains(&name));
    if let Err(error) = Event::parse(event) {
        plant.is_hidden_by_error(&error);
    }
}

fn auth_codes_are_hidden(event: &Value, plant: &Plant) {
    let mut planted = event.clone();
    plant.into_fields(&mut planted, |name| ["redirect_url", "auth_code"].contains(&name));
    let parsed = Event::parse(planted);
    assert_eq!(parsed.is_ok(), Event::parse(event.clone()).is_ok(), "what a code says makes no difference");
    plant.is_hidden(&parsed);
    if let Ok(Event::Exchange { input, .. }) = parsed {
        let consent = input.consent();
        plant.is_hidden(&consent);
        if let Err(error) = consent {
            plant.is_hidden_by_error(&error);
        }
    }
}

fn is_sane(event: &Event) {
    match event {
        Event::Refresh(Refresh { secret_ids, .. }) | Event::Status { secret_ids } => {
            assert!(secret_ids.iter().all(|id| !id.trim().is_empty()));
        }
        Event::AuthorizeUrl { secret_id, request } => {
            assert!(secret_id.as_ref().is_none_or(|id| !id.trim().is_empty()));
            assert!((3_600..=7 * 86_400).contains(&request.valid_for.as_secs()));
        }
        Event::Exchange { secret_id, .. } => assert!(secret_id.as_ref().is_none_or(|id| !id.trim().is_empty())),
        Event::Rotation(Rotation { secret_id, token, .. }) => {
            assert!(!secret_id.trim().is_empty());
            assert!((32..=64).contains(&token.chars().count()));
        }
    }
}

/// One field more, of which nobody knows, and the event is refused; AWS's own events alone may have such.
fn no_field_is_overlooked(mut event: Value) {
    let fields = event.as_object_mut().expect("what is understood is an object");
    if fields.contains_key("Step") || fields.contains_key("detail-type") {
        return;
    }
    fields.insert("dry-run".to_owned(), json!(true));
    let error = Event::parse(event).expect_err("a misspelt option is not understood");
    assert!(error.to_string().contains("dry-run"), "{error}");
}
