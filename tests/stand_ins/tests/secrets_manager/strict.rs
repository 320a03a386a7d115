//! The behavior that only the strict state machine can show, tested in process.

use std::time::Duration;

use stand_ins::{
    SecretsManager,
    secrets_manager::{Caller, Denial, Exception, NewSecret, Replay, SecretValue, error::Result},
};

const NAME: &str = "tiktok/ads/one";
const DAY: Duration = Duration::from_hours(24);

/// A `ClientRequestToken`.
fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A Secrets Manager with one secret, whose first version is number 0 and has the value `0`.
fn account() -> SecretsManager {
    let mut sm = SecretsManager::new();
    sm.clock.advance(DAY);
    let new = NewSecret { name: NAME.to_owned(), token: id(0), body: Some("0".into()), ..NewSecret::default() };
    sm.create_secret(new).expect("a new secret");
    sm
}

fn put(sm: &mut SecretsManager, number: usize, labels: &[&str]) -> Result<()> {
    sm.put_secret_value(NAME, &id(number), number.to_string().as_str().into(), labels).map(drop)
}

fn value(read: Result<SecretValue>) -> Option<String> {
    read.ok()?.body.as_str().map(str::to_owned)
}

fn current(sm: &mut SecretsManager) -> Option<String> {
    value(sm.get_secret_value(NAME, None, Some("AWSCURRENT")))
}

#[test]
fn a_hundred_versions_younger_than_a_day_are_the_most_that_a_secret_has() {
    let mut sm = account();
    (1..100).for_each(|number| put(&mut sm, number, &[]).expect("room"));
    let refused = put(&mut sm, 100, &[]).expect_err("no room");
    assert_eq!(refused.exception, Exception::LimitExceeded);
    assert_eq!(current(&mut sm).as_deref(), Some("99"), "nothing changed");
    put(&mut sm, 99, &[]).expect("a repeat needs no room");
}

#[test]
fn versions_without_a_label_make_room_when_they_are_a_day_old() {
    let mut sm = account();
    (1..100).for_each(|number| put(&mut sm, number, &[]).expect("room"));
    sm.clock.advance(DAY);
    put(&mut sm, 100, &[]).expect("room again");
    let oldest = sm.get_secret_value(NAME, Some(&id(0)), None).expect_err("the oldest is gone");
    assert_eq!(oldest.exception, Exception::ResourceNotFound);
    assert_eq!(sm.list_secret_version_ids(NAME, true).expect("versions").len(), 100);
}

#[test]
fn a_version_with_a_label_is_never_removed_for_room() {
    let mut sm = account();
    sm.update_secret_version_stage(NAME, "KEEP", Some(&id(0)), None).expect("a label");
    (1..100).for_each(|number| put(&mut sm, number, &[]).expect("room"));
    sm.clock.advance(DAY);
    put(&mut sm, 100, &[]).expect("room");
    assert_eq!(value(sm.get_secret_value(NAME, None, Some("KEEP"))).as_deref(), Some("0"));
    sm.get_secret_value(NAME, Some(&id(1)), None).expect_err("the next oldest went instead");
}

#[test]
fn a_read_shows_a_write_no_later_than_the_delay_says() {
    let mut sm = account();
    sm.semantics.read_delay = Duration::from_secs(1);
    sm.clock.advance(DAY);
    put(&mut sm, 1, &[]).expect("a put");
    assert_eq!(current(&mut sm).as_deref(), Some("0"), "by label");
    assert_eq!(value(sm.get_secret_value(NAME, Some(&id(1)), None)), None, "by id");
    assert!(!sm.describe_secret(NAME).expect("a description").labels.contains_key(&id(1)));
    sm.clock.advance(Duration::from_millis(999));
    assert_eq!(current(&mut sm).as_deref(), Some("0"));
    sm.clock.advance(Duration::from_millis(1));
    assert_eq!(current(&mut sm).as_deref(), Some("1"));
    assert_eq!(value(sm.get_secret_value(NAME, Some(&id(1)), None)).as_deref(), Some("1"));
}

#[test]
fn a_delayed_read_shows_the_writes_one_after_the_other() {
    let mut sm = account();
    sm.semantics.read_delay = Duration::from_secs(1);
    sm.clock.advance(DAY);
    for number in 1..=2 {
        put(&mut sm, number, &[]).expect("a put");
        sm.clock.advance(Duration::from_millis(600));
    }
    assert_eq!(current(&mut sm).as_deref(), Some("1"), "the first is 1.2 s old, the second 0.6 s");
    sm.clock.advance(Duration::from_millis(400));
    assert_eq!(current(&mut sm).as_deref(), Some("2"));
}

#[test]
fn writes_and_the_person_see_what_is_there_however_late_reads_are() {
    let mut sm = account();
    sm.semantics.read_delay = Duration::from_secs(1);
    sm.clock.advance(DAY);
    put(&mut sm, 1, &["MINE"]).expect("a put");
    let other = sm.put_secret_value(NAME, &id(1), "other".into(), &["MINE"]).expect_err("the token is taken at once");
    assert_eq!(other.exception, Exception::ResourceExists);
    sm.update_secret_version_stage(NAME, "AWSCURRENT", Some(&id(1)), Some(&id(0))).expect("a move of what is there");
    sm.caller = Caller::Operator;
    assert_eq!(current(&mut sm).as_deref(), Some("1"));
}

#[test]
fn a_replica_is_read_and_not_written() {
    let mut sm = account();
    sm.replicate_from(NAME, "us-east-1");
    assert_eq!(current(&mut sm).as_deref(), Some("0"));
    assert_eq!(sm.describe_secret(NAME).expect("a description").primary_region.as_deref(), Some("us-east-1"));
    let refusals = [
        put(&mut sm, 1, &["MINE"]),
        sm.update_secret_version_stage(NAME, "MINE", Some(&id(0)), None).map(drop),
        sm.update_secret(NAME, Some("text"), None, None).map(drop),
        sm.tag_resource(NAME, [("a".to_owned(), "b".to_owned())].into()),
        sm.delete_secret(NAME, Some(7)).map(drop),
    ];
    for refusal in refusals {
        let error = refusal.expect_err("a replica");
        assert_eq!(error.exception, Exception::InvalidParameter);
        assert!(error.message.starts_with("Operation not permitted on a replica secret."), "{error}");
    }
}

#[test]
fn a_denial_says_whether_a_policy_denies_or_none_allows() {
    let message = |denial: Denial| {
        let mut sm = account();
        sm.deny(denial);
        let error = put(&mut sm, 1, &[]).expect_err("denied");
        assert_eq!(error.exception, Exception::AccessDenied);
        error.message
    };
    let implicit = message(Denial::of("PutSecretValue"));
    assert!(implicit.ends_with("because no identity-based policy allows the secretsmanager:PutSecretValue action"));
    for (policy, phrase) in [
        ("identity-based policy", "with an explicit deny in an identity-based policy"),
        ("resource-based policy", "with an explicit deny in a resource-based policy"),
        ("service control policy", "with an explicit deny in a service control policy"),
    ] {
        let explicit = message(Denial::of("PutSecretValue").explicit(policy));
        assert!(explicit.ends_with(phrase), "{explicit}");
        assert!(explicit.contains("is not authorized to perform: secretsmanager:PutSecretValue on resource: arn:aws:"));
    }
}

#[test]
fn a_denial_can_be_for_one_label_as_the_condition_key_has_it() {
    let mut sm = account();
    sm.deny(Denial::of("PutSecretValue").label("AWSCURRENT"));
    assert_eq!(put(&mut sm, 1, &[]).expect_err("denied").exception, Exception::AccessDenied);
    put(&mut sm, 1, &["MINE"]).expect("another label is allowed");
}

#[test]
fn a_key_that_may_not_be_used_fails_reads_and_writes_by_kms_own_sentence() {
    let mut sm = account();
    sm.deny(Denial::of_decryption());
    sm.deny(Denial::of_encryption());
    let read = sm.get_secret_value(NAME, None, None).expect_err("no decryption");
    let write = put(&mut sm, 1, &[]).expect_err("no encryption");
    for error in [read, write] {
        assert_eq!(
            (error.exception, error.message.as_str()),
            (Exception::AccessDenied, "Access to KMS is not allowed")
        );
    }
    sm.allow_everything();
    sm.deny(Denial::broken_decryption());
    sm.deny(Denial::broken_encryption());
    assert_eq!(
        sm.get_secret_value(NAME, None, None).expect_err("a disabled key").exception,
        Exception::DecryptionFailure
    );
    assert_eq!(put(&mut sm, 1, &[]).expect_err("a disabled key").exception, Exception::EncryptionFailure);
}

#[test]
fn more_writes_in_a_second_than_the_quota_are_throttled() {
    let mut sm = account();
    sm.set_write_quota(Some(2));
    put(&mut sm, 1, &[]).expect("the first");
    sm.update_secret_version_stage(NAME, "MINE", Some(&id(1)), None).expect("the second");
    assert_eq!(put(&mut sm, 2, &[]).expect_err("the third").exception, Exception::Throttling);
    sm.clock.advance(Duration::from_secs(1));
    put(&mut sm, 2, &[]).expect("the first of another second");
}

#[test]
fn a_repeated_promote_is_refused_or_ignored_as_the_test_says() {
    for (replay, is_refused) in [(Replay::Refused, true), (Replay::NoOp, false)] {
        let mut sm = account();
        sm.semantics.replayed_promote = replay;
        put(&mut sm, 1, &["MINE"]).expect("a put");
        let mut promote = || sm.update_secret_version_stage(NAME, "AWSCURRENT", Some(&id(1)), Some(&id(0)));
        promote().expect("a promote");
        assert_eq!(promote().is_err(), is_refused);
        assert_eq!(current(&mut sm).as_deref(), Some("1"));
    }
}

#[test]
fn a_promote_takes_awspending_off_or_leaves_it_as_the_test_says() {
    for clears in [true, false] {
        let mut sm = account();
        sm.semantics.promote_clears_pending = clears;
        put(&mut sm, 1, &["AWSPENDING"]).expect("a put");
        sm.update_secret_version_stage(NAME, "AWSCURRENT", Some(&id(1)), Some(&id(0))).expect("a promote");
        assert_eq!(sm.labeled(NAME, "AWSPENDING").is_none(), clears);
    }
}
