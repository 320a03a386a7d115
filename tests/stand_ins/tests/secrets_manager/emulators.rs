//! Which documented rules public emulators break. A listed rule has to fail there: who repairs it is taken off the list.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;

use crate::desk::{Desk, upstream};

const MOTO: &[&str] = &[];

const MINISTACK: &[&str] = &[];

/// Runs one rule's test against the strict stand-in, or against the emulator as its list says.
pub async fn keeps<F: Future<Output = ()>>(rule: &str, test: impl FnOnce(Desk) -> F) {
    let outcome = AssertUnwindSafe(test(Desk::open())).catch_unwind().await;
    match (outcome, upstream().is_some_and(|url| broken_by(&url).contains(&rule))) {
        (Ok(()), false) => {}
        (Ok(()), true) => panic!("the emulator keeps this rule now: take it off its list"),
        (Err(_), true) => {}
        (Err(failed), false) => std::panic::resume_unwind(failed),
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
