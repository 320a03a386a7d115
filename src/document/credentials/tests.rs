//! The relation of two token pairs, by what their documents remember.

use serde_json::json;

use super::*;

/// A pair as a document holds it.
#[derive(Clone, Copy)]
struct Pair {
    name: &'static str,
    /// The first pair of its chain; none of a pair that a person put there.
    root: Option<&'static str>,
    place: u32,
    lineage: &'static [&'static str],
    authorization: u64,
}

/// A pair that a run staged.
const fn staged(name: &'static str, root: &'static str, place: u32, lineage: &'static [&'static str]) -> Pair {
    Pair { name, root: Some(root), place, lineage, authorization: 0 }
}

/// A pair that a person put into the secret.
const fn pasted(name: &'static str) -> Pair {
    Pair { name, root: None, place: 0, lineage: &[], authorization: 0 }
}

const fn of_authorization(pair: Pair, authorization: u64) -> Pair {
    Pair { authorization, ..pair }
}

fn fingerprint_of(name: &str) -> Fingerprint {
    Fingerprint::of(Some(&SecretString::from(name)), None)
}

fn credentials(pair: Pair) -> Credentials {
    let fingerprint = |name: &str| fingerprint_of(name).as_str().to_owned();
    let mut body = json!({"app_id": "1", "secret": "s", "refresh_token": pair.name});
    if let Some(root) = pair.root {
        body["_refresh"] = json!({
            "parent": "p", "fingerprint": fingerprint(pair.name), "root": fingerprint(root), "place": pair.place,
            "lineage": pair.lineage.iter().map(|name| fingerprint(name)).collect::<Vec<_>>(),
            "authorization": pair.authorization, "run": "r", "at": "2026-11-22T03:00:00Z",
        });
    }
    let document = Document::parse(&SecretString::from(body.to_string())).expect("a document");
    Credentials::of(&document).expect("credentials")
}

#[test]
fn pairs_of_one_chain_know_each_other_at_any_distance_and_pairs_of_others_do_not() {
    use Relation::{Ancestor, Later, Same, Unrelated};
    let first = pasted("first");
    let second = staged("second", "first", 1, &["first"]);
    let third = staged("third", "first", 2, &["first", "second"]);
    // Sixteen pairs are remembered, and this one is further away.
    let distant = staged("distant", "first", 40, &["thirty-ninth"]);
    let bare_39 = pasted("thirty-ninth");
    let other = staged("other", "somewhere else", 1, &["somewhere else"]);
    let newer_grant = of_authorization(staged("newer grant", "first", 1, &["first"]), 7);
    for (name, ours, current, expected) in [
        ("the pair itself", second, second, Same),
        ("the pair itself, brought back by a person", second, pasted("second"), Same),
        ("the pair before", second, first, Ancestor),
        ("two pairs before", third, first, Ancestor),
        ("the root, which is forgotten as an ancestor", distant, first, Ancestor),
        ("a pair without its place, which is remembered", distant, bare_39, Ancestor),
        ("a pair without its place, which is forgotten", distant, pasted("second"), Unrelated),
        ("the pair behind", first, second, Later),
        ("two pairs behind", first, third, Later),
        ("far behind", second, distant, Later),
        ("at the same place, of another run", second, staged("twin", "first", 1, &["first"]), Later),
        ("a newer authorization at a place before", third, newer_grant, Later),
        ("an older authorization at a place behind", newer_grant, third, Ancestor),
        ("another chain", second, other, Unrelated),
        ("another chain, seen from there", other, second, Unrelated),
        ("a person's tokens", second, pasted("pasted"), Unrelated),
        ("no tokens", second, pasted(""), Unrelated),
    ] {
        assert_eq!(credentials(ours).relation(&credentials(current)), expected, "{name}");
    }
}
