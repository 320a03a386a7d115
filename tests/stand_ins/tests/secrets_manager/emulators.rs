//! The documented rules that public emulators break. A listed rule has to fail there. A repaired rule is taken off the list.

use std::{
    future::Future,
    panic::{self, AssertUnwindSafe},
};

use futures_util::FutureExt;

use crate::desk::{Desk, upstream};

/// moto 5.2.5.
const MOTO: &[&str] = &[
    "a_batch_by_filter_leaves_out_secrets_that_are_marked_for_deletion",
    "a_batch_by_filter_returns_the_others_when_one_has_no_value",
    "a_batch_has_at_most_20_ids",
    "a_description_names_versions_with_a_label_only",
    "a_key_that_does_not_exist_is_refused",
    "a_label_of_ones_own_is_not_moved_without_naming_its_holder",
    "a_label_that_is_attached_twice_is_there_once",
    "a_list_of_versions_hides_those_without_a_label_unless_asked",
    "a_move_to_a_version_that_is_not_there_moves_nothing",
    "a_name_with_other_characters_is_refused",
    "a_put_leaves_other_labels_where_they_are",
    "a_put_of_awspending_repeated_with_another_value_is_refused_and_changes_nothing",
    "a_read_without_a_label_is_of_awscurrent_after_it_moved",
    "a_secret_has_at_most_20_labels",
    "a_secret_that_is_marked_for_deletion_is_not_written",
    "a_value_of_65537_bytes_is_refused",
    "a_value_that_is_both_text_and_bytes_is_refused",
    "an_update_of_the_description_keeps_value_and_tags",
    "awscurrent_is_not_taken_off",
    "the_labels_of_a_secret_that_is_marked_for_deletion_do_not_move",
];

/// `MiniStack` 1.5.33.
const MINISTACK: &[&str] = &[
    "a_batch_by_filter_returns_the_others_when_one_has_no_value",
    "a_batch_has_at_most_20_ids",
    "a_creation_repeated_with_its_token_and_value_succeeds",
    "a_key_that_does_not_exist_is_refused",
    "a_list_of_versions_hides_those_without_a_label_unless_asked",
    "a_name_with_other_characters_is_refused",
    "a_put_of_awspending_repeated_with_another_value_is_refused_and_changes_nothing",
    "a_put_repeated_after_the_labels_moved_on_does_not_bring_them_back",
    "a_put_repeated_with_another_value_is_refused_and_changes_nothing",
    "a_second_put_of_awspending_moves_the_label",
    "a_secret_has_at_most_20_labels",
    "a_secret_without_a_value_has_no_version",
    "a_token_of_fewer_than_32_characters_is_refused",
    "a_value_of_65537_bytes_is_refused",
    "a_value_that_is_both_text_and_bytes_is_refused",
    "a_version_without_a_label_is_read_by_its_id",
    "awscurrent_is_not_taken_off",
    "the_token_of_a_creation_is_the_id_of_the_first_version",
];

/// Runs one rule's test against the strict stand-in, or against the emulator as its list says.
pub async fn keeps<F: Future<Output = ()>>(rule: &str, test: impl FnOnce(Desk) -> F) {
    let is_broken = upstream().is_some_and(|url| broken_by(&url).contains(&rule));
    match AssertUnwindSafe(test(Desk::open())).catch_unwind().await {
        Ok(()) => assert!(!is_broken, "the emulator keeps this rule now: take it off its list"),
        Err(_) if is_broken => {}
        Err(failed) => panic::resume_unwind(failed),
    }
}

/// The list for the emulator that `TEST_SECRETS_MANAGER` names.
fn broken_by(url: &str) -> &'static [&'static str] {
    match std::env::var("TEST_SECRETS_MANAGER").as_deref() {
        Ok("moto") => MOTO,
        Ok("ministack") => MINISTACK,
        _ => panic!("TEST_SECRETS_MANAGER says which emulator is at {url}: moto or ministack"),
    }
}
