//! The meaning of a compare-and-swap that did not apply.

use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::document::{Fingerprint, Provenance, TokenFields};

/// A version, by its id and the pair that it holds.
#[derive(Clone, Copy)]
struct Found {
    id: &'static str,
    /// Of the chain that begins with `first`, except where it says otherwise; none if the tokens were removed.
    pair: Option<&'static str>,
    root: Option<&'static str>,
    place: u32,
    authorization: u64,
    refreshed_at: &'static str,
}

const fn found(id: &'static str, pair: &'static str, place: u32) -> Found {
    let root = Some("first");
    Found { id, pair: Some(pair), root, place, authorization: 0, refreshed_at: "2026-11-22T03:00:00Z" }
}

const fn pasted(id: &'static str, pair: &'static str) -> Found {
    Found { root: None, ..found(id, pair, 0) }
}

const fn of_authorization(version: Found, authorization: u64) -> Found {
    Found { authorization, ..version }
}

fn version(found: Found) -> Version {
    let fingerprint = |pair: &str| Fingerprint::of(Some(&SecretString::from(pair)), None).as_str().to_owned();
    let mut body = json!({"app_id": "1", "secret": "s", "refreshed_at": found.refreshed_at});
    if let Some(pair) = found.pair {
        body["refresh_token"] = pair.into();
        if let Some(root) = found.root {
            body["_refresh"] = json!({
                "parent": "p", "fingerprint": fingerprint(pair), "root": fingerprint(root), "place": found.place,
                "lineage": [], "authorization": found.authorization, "run": "r", "at": found.refreshed_at,
            });
        }
    }
    let document = Document::parse(&SecretString::from(body.to_string())).expect("a document");
    Version::new("arn".to_owned(), found.id.to_owned(), document).expect("credentials")
}

#[test]
fn a_conflict_is_judged_by_what_is_current_now() {
    use Conflict::{Promoted, Rebase, Superseded};
    const REFRESH: (bool, bool) = (true, false);
    const EXCHANGE: (bool, bool) = (true, true);
    const LIST: (bool, bool) = (false, false);
    let (read, ours) = (pasted("read", "first"), found("ours", "second", 1));
    let older = Found { refreshed_at: "2026-11-21T03:00:00Z", ..found("theirs", "second", 1) };
    let removed = Found { pair: None, ..pasted("theirs", "") };
    let filled = Found { root: Some(""), ..found("ours", "third", 2) };
    let new_grant = of_authorization(found("ours", "new grant", 1), 5);
    let read_later_grant = of_authorization(found("read", "third", 2), 5);
    let ours_later_grant = of_authorization(found("ours", "fourth", 3), 5);
    for (name, (tokens, authorizes), ours, read, now, expected) in [
        ("our version: the answer was lost", REFRESH, ours, read, ours, Promoted),
        ("what was read: the read lags", REFRESH, ours, read, read, Rebase),
        ("a person's edit", REFRESH, ours, read, pasted("edit", "first"), Rebase),
        ("our pair, promoted by another run", REFRESH, ours, read, found("theirs", "second", 1), Promoted),
        ("our pair with older lifetimes", REFRESH, ours, read, older, Rebase),
        ("a successor of our pair", REFRESH, ours, read, found("theirs", "third", 2), Superseded),
        ("tokens that a person pasted", REFRESH, ours, read, pasted("theirs", "pasted"), Superseded),
        ("removed tokens", REFRESH, ours, read, removed, Superseded),
        (
            "removed tokens of a chain that began without",
            REFRESH,
            filled,
            of_authorization(found("read", "second", 1), 0),
            removed,
            Superseded,
        ),
        ("a newer authorization", REFRESH, ours, read, of_authorization(found("theirs", "third", 1), 5), Superseded),
        ("an earlier authorization: rolled back", REFRESH, ours_later_grant, read_later_grant, read, Superseded),
        ("an earlier pair of the same authorization", REFRESH, found("ours", "third", 2), ours, read, Rebase),
        ("an exchange over a refresh", EXCHANGE, new_grant, read, found("theirs", "second", 1), Rebase),
        ("an exchange over pasted tokens", EXCHANGE, new_grant, read, pasted("theirs", "pasted"), Rebase),
        (
            "an exchange under a newer one",
            EXCHANGE,
            new_grant,
            read,
            of_authorization(found("theirs", "newer grant", 2), 6),
            Superseded,
        ),
        (
            "an exchange that another run has promoted",
            EXCHANGE,
            new_grant,
            read,
            Found { id: "theirs", ..new_grant },
            Promoted,
        ),
        (
            "a list for tokens that are still there",
            LIST,
            pasted("ours", "first"),
            read,
            pasted("edit", "first"),
            Rebase,
        ),
        (
            "a list for tokens that were replaced",
            LIST,
            pasted("ours", "first"),
            read,
            found("theirs", "second", 1),
            Superseded,
        ),
        ("a list that is there", LIST, pasted("ours", "first"), read, pasted("ours", "first"), Promoted),
    ] {
        let (ours, read, now) = (version(ours), version(read), version(now));
        let provenance = Provenance::unmoved(&ours.credentials, 0, "r", jiff::Timestamp::UNIX_EPOCH);
        let tokens = tokens.then(|| (TokenFields::of(&ours.document), provenance));
        let change = Change { tokens, list: None };
        assert_eq!(conflict(Promotion { change: &change, authorizes }, &ours, &read, &now), expected, "{name}");
    }
}
