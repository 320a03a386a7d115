//! Shows that the tests notice: a scenario that upholds a promise fails when the line that keeps the promise is broken.

use std::{
    env,
    process::{Command, Output},
    thread,
};

use tiktok_token_refresh::fault_switch::FaultSwitch;

/// The scenario that fails when this line is broken.
fn noticed_by(switch: FaultSwitch) -> &'static str {
    match switch {
        FaultSwitch::RedeemWithoutClaim | FaultSwitch::CheckBeforeStage => {
            "two_runs_in_every_interleaving_redeem_one_refresh_token_once"
        }
        FaultSwitch::PromoteWithoutCompare | FaultSwitch::RebaseDropsFields | FaultSwitch::ClaimOnVersion => {
            "a_field_that_a_person_adds_at_any_moment_of_two_runs_is_kept"
        }
        FaultSwitch::ForgetEarlierClaim => "a_write_that_arrives_after_its_run_was_given_up_is_not_passed_over",
        FaultSwitch::ClaimWithoutNonce => "an_event_that_is_delivered_twice_at_the_same_moment_is_one_redeem",
        FaultSwitch::AuthorizeWithoutClaim | FaultSwitch::NoSecondLook => {
            "an_authorization_that_ends_the_old_grant_counts_whatever_a_run_does_meanwhile"
        }
        FaultSwitch::LastPairCounts | FaultSwitch::DropLateAnswer => {
            "an_exchange_and_a_rotation_that_both_have_an_answer_lose_neither"
        }
        FaultSwitch::KeepPending => "a_rotation_and_a_run_in_every_interleaving_redeem_no_refresh_token_twice",
        FaultSwitch::PromoteRejected => "tokens_that_tiktok_never_accepts_are_never_current",
        FaultSwitch::KeepExpiredSuccessor => "tokens_that_were_staged_and_forgotten_for_a_day_are_renewed",
        FaultSwitch::KeepExpiredClaim => {
            "two_runs_of_which_one_crashes_anywhere_end_with_working_tokens_after_the_next"
        }
        FaultSwitch::ClaimWithoutGrace => "as_it_is::clocks_that_differ_by_seconds_end_no_claim_before_its_run_is_over",
        FaultSwitch::ImpatientRedeem
        | FaultSwitch::GiveUpStage
        | FaultSwitch::LostPromoteIsForeign
        | FaultSwitch::ForgetLostAnswer => {
            "as_it_is::a_request_that_gets_no_answer_costs_a_run_no_token_that_was_stored"
        }
        FaultSwitch::TrustLaggingChain | FaultSwitch::TrustLaggingClaim => {
            "as_it_is::reads_that_lag_by_a_second_break_no_promise_of_two_runs"
        }
        FaultSwitch::TrustLaggingConflict => {
            "as_it_is::reads_that_lag_while_two_runs_and_a_person_write_break_no_promise"
        }
        FaultSwitch::TrustLaggingPending => {
            "as_it_is::reads_of_an_authorization_or_a_rotation_that_lag_beside_a_run_break_no_promise"
        }
    }
}

/// Runs one scenario of this program in a process of its own.
fn run(scenario: &str, switch: FaultSwitch) -> Output {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command
        .args(["--exact", "--include-ignored", scenario])
        .env("FAULT_SWITCH", switch.name())
        .env("RUST_BACKTRACE", "0");
    command.output().expect("this program starts")
}

/// The first assertion that failed, if a scenario of ours failed by one.
fn failed_assertion(output: &Output) -> Result<String, String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.contains("running 1 test") {
        return Err("there is no scenario of this name".to_owned());
    }
    if output.status.success() {
        return Err("no scenario failed".to_owned());
    }
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at tests/model/"));
    match (lines.next(), lines.next()) {
        (Some(_), Some(sentence)) => Ok(sentence.to_owned()),
        _ => Err(format!("the scenario failed, but at no assertion of its own:\n{text}")),
    }
}

#[test]
#[ignore = "runs the model once for each switch: `.ci/run mutations`"]
#[allow(clippy::print_stdout, reason = "the table says which assertion noticed what")]
fn every_broken_line_fails_the_scenario_that_is_named_for_it() {
    let workers = thread::available_parallelism().map_or(2, usize::from);
    let mut survived = Vec::new();
    for switches in FaultSwitch::ALL.chunks(workers) {
        let outputs: Vec<_> = thread::scope(|scope| {
            let started: Vec<_> = switches.iter().map(|&it| scope.spawn(move || run(noticed_by(it), it))).collect();
            started.into_iter().map(|run| run.join().expect("a run of a scenario")).collect()
        });
        for (switch, output) in switches.iter().zip(&outputs) {
            match failed_assertion(output) {
                Ok(sentence) => println!("{:<24} {}\n{:<24} {sentence}", switch.name(), noticed_by(*switch), ""),
                Err(reason) => survived.push(format!("{}: {reason}", switch.name())),
            }
        }
    }
    assert!(survived.is_empty(), "not noticed:\n{}", survived.join("\n"));
}
