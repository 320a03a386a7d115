//! Properties that hold for every document.

use std::collections::HashSet;

use jiff::Timestamp;
use proptest::{collection::vec, prelude::*, string::string_regex};
use secrecy::{ExposeSecret, SecretString};
use tiktok_token_refresh::document::{
    Advertiser, AdvertiserInfo, Change, Credentials, Document, MAX_BYTES, Provenance, Reduction, TokenFields, field,
    fit, json_text,
};

/// A field as it stands in a body: its name, and the text of its value.
type Field = (String, String);

fn regex(pattern: &str) -> impl Strategy<Value = String> + use<> {
    string_regex(pattern).expect("a pattern")
}

/// The text of any JSON value: numbers that no float holds, escapes, white space.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?"),
        regex(r#""([^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,12}""#),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let space = || regex(r"[ \t\r\n]{0,2}");
        let item = || (space(), inner.clone(), space()).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        let member = (regex(r#""[a-z"]{0,3}""#).prop_map(|name| json_text(&name)), item());
        let member = member.prop_map(|(name, value)| format!("{name}:{value}"));
        prop_oneof![
            vec(item(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// Fields of a person's own. No name comes twice, and none is one that this project knows.
fn fields() -> impl Strategy<Value = Vec<Field>> {
    let names = prop_oneof![regex("[a-z_ ]{0,8}"), regex("\\PC{0,4}"), Just("\n\u{0}\"\\".to_owned())];
    vec((names, value()), 0..12).prop_map(|fields| {
        let mut seen: HashSet<String> = KNOWN.into_iter().map(str::to_owned).collect();
        fields.into_iter().filter(|(name, _)| seen.insert(name.clone())).collect()
    })
}

const KNOWN: [&str; 16] = [
    field::APP_ID,
    field::SECRET,
    field::APP_SECRET,
    field::APP_SECRET_ID,
    field::FLOW,
    field::REFRESH_TOKEN,
    field::ACCESS_TOKEN,
    field::ACCESS_TOKEN_EXPIRES_AT,
    field::REFRESH_TOKEN_EXPIRES_AT,
    field::REFRESHED_AT,
    field::SCOPE,
    field::OPEN_ID,
    field::ADVERTISER_IDS,
    field::ADVERTISERS,
    field::ADVERTISERS_FETCHED_AT,
    field::ORIGIN,
];

/// True if a change may write the field. The rest of [`KNOWN`] is a person's.
fn is_written_by_changes(name: &str) -> bool {
    field::TOKENS.contains(&name) || field::LIST.contains(&name) || name == field::ORIGIN
}

fn body(fields: &[Field], between: &str) -> String {
    let members: Vec<String> =
        fields.iter().map(|(name, value)| format!("{between}{}{between}:{between}{value}", json_text(name))).collect();
    format!("{between}{{{}{between}}}{between}", members.join(","))
}

fn parse(fields: &[Field], between: &str) -> Document {
    Document::parse(&SecretString::from(body(fields, between))).expect("valid JSON")
}

/// A document that a run can refresh: the app, a pair of tokens, and a person's fields around them.
fn credentials() -> impl Strategy<Value = Vec<Field>> {
    let token = || regex("[A-Za-z0-9]{1,40}").prop_map(|token| format!("\"{token}\""));
    (fields(), token(), token(), any::<prop::sample::Index>()).prop_map(|(mut fields, refresh, access, place)| {
        let own = [
            (field::APP_ID, "\"1\"".to_owned()),
            (field::REFRESH_TOKEN, refresh),
            (field::SECRET, "\"s\"".to_owned()),
            (field::ACCESS_TOKEN, access),
        ];
        let place = place.index(fields.len() + 1);
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        fields.splice(place..place, own).for_each(drop);
        fields
    })
}

fn advertisers() -> impl Strategy<Value = Vec<Advertiser>> {
    let words = || proptest::option::of(regex("\\PC{0,60}"));
    let info = (words(), words(), words(), words()).prop_map(|(currency, display_timezone, timezone, status)| {
        AdvertiserInfo { currency, display_timezone, timezone, status }
    });
    let info = proptest::option::of(info).prop_map(Option::unwrap_or_default);
    let advertiser = (regex("[1-9][0-9]{0,18}"), words(), info);
    vec(advertiser.prop_map(|(id, name, info)| Advertiser { id, name, info }), 0..20)
}

/// A change with the tokens of one document and a list, each or both.
fn change(tokens: &Document, list: Option<Vec<Advertiser>>) -> Change {
    let spent = Credentials::of(tokens).expect("credentials");
    let provenance = Provenance::renewed(&spent, &spent, 0, "run", Timestamp::UNIX_EPOCH);
    Change { tokens: Some((TokenFields::of(tokens), provenance)), list: list.map(|list| (list, Timestamp::UNIX_EPOCH)) }
}

fn text_of(document: &Document, name: &str) -> Option<String> {
    document.get(name).map(|json| json.expose_secret().to_owned())
}

fn written(document: &Document) -> String {
    document.to_body().expose_secret().to_owned()
}

/// The body without what a change writes.
fn others(document: &Document) -> String {
    let mut document = document.clone();
    KNOWN.iter().filter(|name| is_written_by_changes(name)).for_each(|name| document.set(name, None));
    written(&document)
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_document_is_written_as_it_was_read(fields in fields(), between in "[ \t\r\n]{0,2}") {
        let document = parse(&fields, &between);
        for (name, value) in &fields {
            prop_assert_eq!(text_of(&document, name), Some(value.clone()));
        }
        prop_assert_eq!(written(&document), body(&fields, ""));
        prop_assert_eq!(document.size(), written(&document).len());
        let again = Document::parse(&document.to_body()).expect("what was written can be read");
        prop_assert_eq!(written(&again), written(&document));
    }

    #[test]
    fn any_text_is_read_or_refused_without_being_shown(text in "\\PC{0,40}") {
        if let Err(error) = Document::parse(&SecretString::from(text.as_str())) {
            let message = error.to_string();
            prop_assert!(text.trim().len() < 4 || !message.contains(text.trim()), "{}", message);
        }
    }

    #[test]
    fn a_change_on_top_of_a_persons_edit_loses_neither_sides_fields(
        (ours, theirs, list) in (credentials(), credentials(), proptest::option::of(advertisers()))
    ) {
        let (ours, theirs) = (parse(&ours, ""), parse(&theirs, ""));
        let next = change(&ours, list.clone()).apply(&theirs, "parent").expect("both are valid");
        prop_assert_eq!(others(&next), others(&theirs), "the person's");
        for name in field::TOKENS {
            prop_assert_eq!(text_of(&next, name), text_of(&ours, name), "the tokens'");
        }
        if let Some(list) = list {
            prop_assert_eq!(Credentials::of(&next).expect("valid").advertisers, list);
        }
        prop_assert!(Credentials::of(&next).expect("valid").origin.is_some(), "it says where its tokens came from");
    }

    #[test]
    fn a_list_alone_touches_no_token((fields, list) in (credentials(), advertisers())) {
        let document = parse(&fields, "");
        let next = Change { tokens: None, list: Some((list, Timestamp::UNIX_EPOCH)) };
        let next = next.apply(&document, "parent").expect("valid");
        prop_assert_eq!(others(&next), others(&document));
        for name in field::TOKENS {
            prop_assert_eq!(text_of(&next, name), text_of(&document, name));
        }
        prop_assert!(next.get(field::ORIGIN).is_none(), "these tokens are not this function's");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..config() })]

    #[test]
    fn what_is_written_always_fits_and_costs_facts_names_and_ids_alone(
        (fields, few, count, mine) in (credentials(), advertisers(), 0_usize..6_000, 0_usize..60_000)
    ) {
        let list: Vec<Advertiser> = few.iter().cycle().take(count).cloned().collect();
        let mut base = parse(&fields, "");
        base.set_value("mine", &"x".repeat(mine));
        let next = change(&base, Some(list.clone())).apply(&base, "parent").expect("valid");
        let (fitted, reduction) = fit(next.clone()).expect("there is room for all but the list");
        prop_assert!(fitted.size() <= MAX_BYTES);
        prop_assert_eq!(others(&fitted), others(&next));
        for name in field::TOKENS.into_iter().chain([field::ORIGIN, field::ADVERTISERS_FETCHED_AT]) {
            prop_assert_eq!(text_of(&fitted, name), text_of(&next, name), "{}", name);
        }
        let ids: Vec<String> = list.iter().map(|advertiser| advertiser.id.clone()).collect();
        let kept: Vec<String> = serde_json::from_str(&text_of(&fitted, field::ADVERTISER_IDS).expect("ids")).expect("ids");
        match reduction {
            None => prop_assert_eq!(written(&fitted), written(&next)),
            Some(Reduction::WithoutInfo) => {
                let names = list.into_iter().map(|advertiser| Advertiser::new(advertiser.id, advertiser.name));
                let left = Credentials::of(&fitted).expect("valid").advertisers;
                prop_assert_eq!(left, names.collect::<Vec<_>>(), "every name is there");
            }
            Some(Reduction::ToIds) => prop_assert_eq!(&kept, &ids),
            Some(Reduction::Cut { missing }) => {
                prop_assert!(ids.starts_with(&kept) && kept.len() + missing == ids.len() && missing > 0);
                let one_more = format!(",\"{}\"", ids[kept.len()]).len();
                prop_assert!(fitted.size() + one_more > MAX_BYTES, "no id is left out that would fit");
            }
        }
        prop_assert_eq!(reduction.is_none(), next.size() <= MAX_BYTES, "nothing is left out without need");
    }
}
