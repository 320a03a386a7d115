//! Large documents: they always fit, at the cost of the list of advertisers and of nothing else.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tiktok_token_refresh::document::{
    Advertiser, AdvertiserInfo, Change, Credentials, Document, MAX_BYTES, Provenance, Reduction, TOKEN_HEADROOM,
    TokenFields, field, fit, leaves_room_for_tokens,
};

/// The number of advertisers, and the sizes of a person's own field and of the tokens. The number of times that names repeat
/// the text, and true if more is known than the names. The text that ids and names are made of.
type Input<'a> = (u16, u16, u16, u8, bool, &'a str);

fuzz_target!(|input: Input<'_>| {
    let (count, filler, tokens, repeated, informed, text) = input;
    let advertiser = |index: u16| Advertiser {
        // What stands around an id is taken off when a document is read, so none begins or ends with the text.
        id: format!("7{text}{index:05}"),
        name: Some(text.repeat(repeated.into())),
        info: AdvertiserInfo { status: informed.then(|| text.to_owned()), ..AdvertiserInfo::default() },
    };
    // Few enough to be fast: the person's own field leaves them as little room as it likes.
    let list: Vec<_> = (0..count % 800).map(advertiser).take_while(bytes_below(MAX_BYTES)).collect();
    let before = document(&"p".repeat(filler.into()));
    // The lineage and its like need a part of the headroom.
    let tokens = usize::from(tokens) % (TOKEN_HEADROOM / 2 - 1_000);
    let after = refreshed(&before, &"t".repeat(tokens), list.clone());
    let fitted = fit(after.clone());
    if leaves_room_for_tokens(&before).is_ok() {
        assert!(fitted.is_ok(), "there was room for tokens of {tokens} bytes");
    }
    if let Ok((fitted, reduction)) = fitted {
        assert!(fitted.size() <= MAX_BYTES && fitted.to_body().expose_secret().len() == fitted.size());
        is_whole_but_for_its_list(&after, &fitted);
        has_lost_what_it_says(&list, &fitted, reduction);
    }
});

fn bytes_below(limit: usize) -> impl FnMut(&Advertiser) -> bool {
    let mut bytes = 0;
    move |advertiser| {
        bytes += advertiser.id.len() + advertiser.name.as_ref().map_or(0, String::len);
        bytes < limit
    }
}

fn document(filler: &str) -> Document {
    let body = json!({
        "app_id": "7100000000000000001", "secret": "the-app-secret", "mine": filler,
        "refresh_token": "the-refresh-token", "access_token": "the-access-token",
    });
    Document::parse(&SecretString::from(body.to_string())).expect("a document")
}

fn refreshed(before: &Document, token: &str, list: Vec<Advertiser>) -> Document {
    let mut answer = before.clone();
    answer.set_value(field::ACCESS_TOKEN, token);
    answer.set_value(field::REFRESH_TOKEN, &format!("r{token}"));
    let spent = Credentials::of(before).expect("credentials");
    let provenance = Provenance::renewed(&spent, &spent, 0, "the-run", Timestamp::UNIX_EPOCH);
    let change =
        Change { tokens: Some((TokenFields::of(&answer), provenance)), list: Some((list, Timestamp::UNIX_EPOCH)) };
    change.apply(before, "the-version").expect("new tokens")
}

fn is_whole_but_for_its_list(after: &Document, fitted: &Document) {
    let others = |document: &Document| {
        let mut document = document.clone();
        document.set(field::ADVERTISERS, None);
        document.set(field::ADVERTISER_IDS, None);
        document.to_body().expose_secret().to_owned()
    };
    assert_eq!(others(after), others(fitted));
}

fn has_lost_what_it_says(list: &[Advertiser], fitted: &Document, reduction: Option<Reduction>) {
    let kept = Credentials::of(fitted).expect("credentials").advertisers;
    let ids = |list: &[Advertiser]| list.iter().map(|it| Advertiser::new(it.id.clone(), None)).collect::<Vec<_>>();
    match reduction {
        None => assert_eq!(kept, list),
        Some(Reduction::WithoutInfo) => {
            let named = list.iter().map(|it| Advertiser::new(it.id.clone(), it.name.clone()));
            assert!(named.eq(kept));
        }
        Some(Reduction::ToIds) => assert_eq!(kept, ids(list)),
        Some(Reduction::Cut { missing }) => {
            assert_eq!(kept, ids(&list[..list.len() - missing]));
            let next = serde_json::to_string(&list[kept.len()].id).expect("a text");
            assert!(fitted.size() + next.len() + 1 > MAX_BYTES, "one more would have fitted");
        }
    }
}
