//! Secret documents: what is not changed comes back to the byte, and no value is shown, however broken the body is.

#![no_main]

use std::collections::BTreeMap;

use jiff::Timestamp;
use libfuzzer_sys::{Corpus, fuzz_target};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, value::RawValue};
use tiktok_token_refresh::{
    document::{
        Change, Credentials, Document, Provenance, TokenFields, app_of, field, fit, leaves_room_for_tokens,
        lost_credential, project, publications,
    },
    error::Error,
};
use tiktok_token_refresh_fuzz::Plant;

/// The fields of a document that are no secret, and are shown where that helps.
const SHOWN: [&str; 6] =
    [field::APP_ID, field::APP_SECRET_ID, field::ADVERTISERS, field::ADVERTISER_IDS, field::PUBLISH, field::ORIGIN];

fuzz_target!(|body: &str| -> Corpus {
    let plant = Plant::of(body);
    if let Err(error) = parse(&plant.somewhere(body)) {
        plant.is_hidden_by_error(&error);
    }
    let Ok(document) = parse(body) else { return Corpus::Keep };
    every_field_is_kept(body, &document);
    errors_quote_no_value(&document, &plant);
    secrets_are_hidden(&document, &plant);
    refresh_tokens_are_not_published(&document, &plant);
    pasting_changes_nothing(&document);
    a_change_changes_its_own_fields_alone(&document);
    Corpus::Keep
});

fn parse(body: &str) -> Result<Document, Error> {
    Document::parse(&SecretString::from(body))
}

fn every_field_is_kept(body: &str, document: &Document) {
    let written = document.to_body();
    let written = written.expose_secret();
    assert_eq!(written.len(), document.size());
    assert_eq!(parse(written).expect("what was written can be read").to_body().expose_secret(), written);
    // What pasting puts around a document is taken off: then the bodies are not the same.
    let Ok(arrived) = serde_json::from_str::<BTreeMap<String, &RawValue>>(body) else { return };
    let kept: BTreeMap<String, &RawValue> = serde_json::from_str(written).expect("an object");
    assert!(arrived.iter().map(text_of).eq(kept.iter().map(text_of)), "{body} became {written}");
}

fn text_of<'a>((name, value): (&'a String, &'a &RawValue)) -> (&'a str, &'a str) {
    (name, value.get())
}

/// Whatever field a secret was pasted into.
fn errors_quote_no_value(document: &Document, plant: &Plant) {
    let document = planted(document, plant, |_| true);
    let credentials = Credentials::of(&document);
    let errors = [
        credentials.as_ref().err().cloned(),
        credentials.as_ref().ok().and_then(|credentials| credentials.has_tokens().err()),
        app_of(&document).err(),
        publications(&document).err(),
        publications(&document).ok().and_then(|entries| entries.into_iter().find_map(Result::err)).map(|bad| bad.error),
        leaves_room_for_tokens(&document).err(),
        fit(document.clone()).err(),
    ];
    errors.iter().flatten().for_each(|error| plant.is_hidden_by_error(error));
    plant.is_hidden(&document);
}

fn secrets_are_hidden(document: &Document, plant: &Plant) {
    let document = planted(document, plant, |name| !SHOWN.contains(&name));
    plant.is_hidden(&Credentials::of(&document));
    plant.is_hidden(&app_of(&document));
    plant.is_hidden(&TokenFields::of_new_grant(&document));
}

fn refresh_tokens_are_not_published(document: &Document, plant: &Plant) {
    let document = planted(document, plant, |name| name == field::REFRESH_TOKEN);
    let (Ok(credentials), Ok(publications)) = (Credentials::of(&document), publications(&document)) else { return };
    let app = app_of(&document).ok();
    for publication in publications.iter().flatten() {
        let body = project(publication, &document, &credentials, app.as_ref());
        plant.is_not_in(body.expose_secret());
        serde_json::from_str::<Value>(body.expose_secret()).expect("a reader secret is JSON");
        // What is there already is never lost, and what the function wrote is never in its own way.
        assert!(lost_credential(plant.text(), &body, None).is_some(), "a token that stands alone");
        assert_eq!(lost_credential(body.expose_secret(), &body, app.as_ref().map(|app| app.id.as_str())), None);
    }
}

/// A body is read the same with what pasting puts around it.
fn pasting_changes_nothing(document: &Document) {
    let body = document.to_body();
    let body = body.expose_secret();
    for pasted in [format!("\u{feff}{body}\r\n"), serde_json::json!(body).to_string(), format!("'{body}'")] {
        assert_eq!(parse(&pasted).expect("understood").to_body().expose_secret(), body);
    }
}

fn a_change_changes_its_own_fields_alone(document: &Document) {
    let Ok(credentials) = Credentials::of(document) else { return };
    let mut answer = document.clone();
    answer.set_value(field::ACCESS_TOKEN, "the-next-access-token");
    answer.set_value(field::REFRESH_TOKEN, "the-next-refresh-token");
    let provenance =
        Provenance::renewed(&credentials, &credentials, credentials.authorization(), "the-run", Timestamp::UNIX_EPOCH);
    let change = Change {
        tokens: Some((TokenFields::of(&answer), provenance)),
        list: Some((credentials.advertisers.clone(), Timestamp::UNIX_EPOCH)),
    };
    let next = change.apply(document, "the-version").expect("a document that was read takes new tokens");
    assert_eq!(others(document), others(&next));
    let renewed = Credentials::of(&next).expect("what was written can be read");
    assert!(renewed.origin.is_some() && renewed.lineage().contains(&credentials.fingerprint));
    assert_eq!(renewed.advertisers, credentials.advertisers);
    assert!(renewed.lineage().len() <= 16);
    // A rebase after a crash says the same once more.
    let again = change.apply(&next, "the-version").expect("it was taken once");
    assert_eq!(again.to_body().expose_secret(), next.to_body().expose_secret());
}

/// The body of a document without what a change may write.
fn others(document: &Document) -> String {
    let mut document = document.clone();
    for name in field::TOKENS.iter().chain(&field::LIST).chain(&[field::ORIGIN]) {
        document.set(name, None);
    }
    document.to_body().expose_secret().to_owned()
}

/// The document with a secret in every text of some fields.
fn planted(document: &Document, plant: &Plant, wanted: impl Fn(&str) -> bool) -> Document {
    let mut document = document.clone();
    let body = document.to_body();
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(body.expose_secret()).expect("an object");
    for (name, json) in fields.into_iter().filter(|(name, _)| wanted(name)) {
        // What serde_json cannot hold, such as a number beyond all floats, is no text.
        let Ok(mut value) = serde_json::from_str::<Value>(json.get()) else { continue };
        plant.into_texts(&mut value);
        document.set_value(&name, &value);
    }
    document
}
