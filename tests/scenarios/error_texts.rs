//! Every error has a stable name and says what to do.

use std::{collections::HashSet, path::Path};

use tiktok_token_refresh::error::{Class, Error, Kind};

/// The stable name, the class, and the sentence for a person who knows nothing but this error.
const TEXTS: [(&str, Class, &str); 14] = [
    (
        "InvalidEvent",
        Class::Permanent,
        "Send one of the events in the repository's folder events/, for example {\"action\":\"refresh\"}.",
    ),
    ("InvalidConfiguration", Class::Permanent, "Correct the function's environment variables and deploy again."),
    (
        "InvalidSecret",
        Class::Permanent,
        "Put a corrected JSON object into the secret; docs/configuration.md lists its fields.",
    ),
    ("SecretNotFound", Class::Permanent, "Create the secret, or correct SECRET_ID, its account and its region."),
    ("AccessDenied", Class::Permanent, "Grant the missing permission to the function's role."),
    (
        "ReauthorizationRequired",
        Class::Permanent,
        "Authorize the app again: the event authorize_url answers with a link, and docs/authorize.md has the rest.",
    ),
    (
        "TikTokMisconfigured",
        Class::Permanent,
        "Check the app id, the app secret, the flow and the app's permissions in TikTok's portal.",
    ),
    (
        "TikTokThrottled",
        Class::Throttled,
        "Nothing is lost, and the next run tries again; if it stays, spread the runs out or ask TikTok for a higher limit.",
    ),
    (
        "TikTokUnavailable",
        Class::Transient,
        "Nothing to do yet: the next run tries again. If it stays, look at TikTok's status page.",
    ),
    (
        "SecretsManagerUnavailable",
        Class::Transient,
        "Nothing to do yet: the next run tries again. If it stays, look at the AWS Health Dashboard.",
    ),
    (
        "NewTokenRejected",
        Class::Permanent,
        "The new tokens are kept in the version labeled TIKTOK_STAGED, and the next run tries them again; if it stays, authorize the app again.",
    ),
    (
        "SecretLimitExceeded",
        Class::Permanent,
        "Find out what writes so many versions; a schedule that runs every hour does not. Secrets Manager removes versions without labels after a day, and the function goes on by itself then.",
    ),
    (
        "DeadlineExceeded",
        Class::Permanent,
        "Raise the function's timeout (60 seconds are ample for one secret); the next run goes on where this one stopped.",
    ),
    (
        "PartialFailure",
        Class::Permanent,
        "The secrets that are not named are in order; each error says what to do for its own.",
    ),
];

#[test]
fn every_kind_has_a_name_of_its_own_a_class_and_advice() {
    let texts: Vec<_> =
        Kind::ALL.map(|kind| (kind.name(), kind.class(), Error::new(kind, "What happened.").to_string())).into();
    for ((name, class, text), (expected_name, expected_class, advice)) in texts.iter().zip(TEXTS) {
        assert_eq!((*name, *class), (expected_name, expected_class));
        assert_eq!(*text, format!("What happened. {advice}"));
    }
    let names: HashSet<_> = Kind::ALL.map(Kind::name).into();
    assert_eq!(names.len(), Kind::ALL.len());
}

#[test]
fn the_pages_that_advice_names_are_there() {
    let mut named = 0;
    for (kind, _, advice) in TEXTS {
        for page in advice.split_whitespace().map(|word| word.trim_matches(|it: char| !it.is_alphanumeric())) {
            if page.starts_with("docs/") {
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(page).is_file(), "{kind}: {page}");
                named += 1;
            }
        }
    }
    assert!(named > 0);
}

#[test]
fn advice_that_knows_more_replaces_the_kinds_own() {
    let error = Error::new(Kind::AccessDenied, "Denied.").advise("Grant it.").context("The secret 'a'");
    assert_eq!(error.to_string(), "The secret 'a': Denied. Grant it.");
    assert_eq!((error.what(), error.advice()), ("The secret 'a': Denied.", "Grant it."));
}

#[test]
fn an_error_that_was_not_carried_out_for_sure_says_so() {
    let error = Error::new(Kind::TikTokUnavailable, "No answer.").with_code(50000);
    assert_eq!((error.code(), error.lost_answer()), (Some(50000), false));
    assert!(error.with_lost_answer().lost_answer());
}
