//! The world as it is: answers that do not come, reads that lag, and clocks that differ.

use jiff::SignedDuration;

use super::*;

/// One request gets no answer: it is carried out and the answer lost, or it is carried out after the run has given it up.
fn unanswered(scenario: Scenario) -> Scenario {
    Scenario { unanswered: 1, ..scenario }
}

/// For up to a second the reads of a run show what there was before other writes, or before its own.
fn lagging(scenario: Scenario) -> Scenario {
    Scenario { lags: 1, ..scenario }
}

/// While a run sleeps, others may go on.
fn in_their_own_time(scenario: Scenario) -> Scenario {
    Scenario { own_time: true, ..scenario }
}

/// Only the first run has these troubles.
fn of_the_first(scenario: Scenario) -> Scenario {
    Scenario { troubled: 1, ..scenario }
}

fn runs(spec: GrantSpec) -> Scenario {
    Scenario { at_the_end: usable_at_the_end, ..scenario(spec) }
}

fn edited(scenario: Scenario) -> Scenario {
    fn at_the_end(world: &World) {
        usable_at_the_end(world);
        the_note_is_kept(world);
    }
    Scenario { person: Some(person_adds_a_field), at_the_end, ..scenario }
}

fn pasted(scenario: Scenario) -> Scenario {
    Scenario { person: Some(person_authorizes_again), ..scenario }
}

fn alone(scenario: Scenario) -> Scenario {
    Scenario { together: 1, ..scenario }
}

fn crashing(scenario: Scenario) -> Scenario {
    Scenario { crashes: 1, ..scenario }
}

#[test]
fn a_request_that_gets_no_answer_costs_a_run_no_token_that_was_stored() {
    told("crash", &explore(&unanswered(crashing(alone(runs(rotating()))))));
    told("edit", &explore(&unanswered(edited(alone(runs(rotating()))))));
    told("new grant", &explore(&unanswered(pasted(alone(runs(rotating()))))));
}

#[test]
fn a_request_that_gets_no_answer_costs_an_authorization_or_a_rotation_no_token_that_was_stored() {
    told("authorization", &explore(&unanswered(crashing(alone(authorizing(rotating()))))));
    told("rotation", &explore(&unanswered(alone(rotation(rotating())))));
}

#[test]
#[ignore = "takes a minute: `.ci/run model`"]
fn a_request_that_gets_no_answer_breaks_no_promise_of_two_runs_or_with_a_late_write() {
    told("two runs", &explore(&unanswered(runs(rotating()))));
    for (name, spec) in [("rotating", rotating()), ("not rotating", not_rotating())] {
        told(name, &explore(&unanswered(with_a_late_write(alone(runs(spec))))));
    }
    told("not rotating", &explore(&unanswered(crashing(alone(runs(not_rotating()))))));
    told("rotation and crash", &explore(&unanswered(crashing(alone(rotation(rotating()))))));
}

#[test]
fn reads_that_lag_by_a_second_break_no_promise_of_two_runs() {
    told("two runs", &explore(&lagging(runs(rotating()))));
    told("late write", &explore(&lagging(with_a_late_write(alone(runs(rotating()))))));
    told("edit", &explore(&lagging(edited(alone(runs(rotating()))))));
    told("new grant", &explore(&lagging(pasted(alone(runs(rotating()))))));
}

#[test]
#[ignore = "takes a minute: `.ci/run model`"]
fn reads_of_an_authorization_or_a_rotation_that_lag_beside_a_run_break_no_promise() {
    told("rotation", &explore(&lagging(of_the_first(rotation(rotating())))));
    told("authorization", &explore(&lagging(of_the_first(authorizing(rotating())))));
}

#[test]
#[ignore = "takes a minute: `.ci/run model`"]
fn a_request_that_gets_no_answer_while_reads_lag_breaks_no_promise_of_a_run() {
    let both = |scenario| unanswered(lagging(alone(scenario)));
    told("run", &explore(&both(runs(rotating()))));
    told("edit", &explore(&both(edited(runs(rotating())))));
    told("new grant", &explore(&both(pasted(runs(rotating())))));
    told("authorization", &explore(&both(authorizing(rotating()))));
    told("rotation", &explore(&both(rotation(rotating()))));
}

#[test]
#[ignore = "takes a minute: `.ci/run model`"]
fn reads_that_lag_while_two_runs_and_a_person_write_break_no_promise() {
    told("new grant", &explore(&lagging(of_the_first(pasted(runs(rotating()))))));
}

#[test]
#[ignore = "takes a minute: `.ci/run model`"]
fn a_secret_that_was_refreshed_the_day_before_keeps_its_promises_in_the_world_as_it_is() {
    let settled = || Scenario { world: refreshed_before(rotating(), true), ..runs(rotating()) };
    told("lag", &explore(&lagging(settled())));
    told("unanswered", &explore(&unanswered(settled())));
}

/// Two refreshes in one invocation. They share its nonce, and each has a number of its own.
fn refresh_of_one_invocation(port: Port) -> Task {
    let number = u32::try_from(port.run).expect("a few runs");
    let (request_id, nonce) = ("invocation".to_owned(), format!("{:032x}", 0xc));
    let run = InvocationContext { request_id, nonce, nonces_issued: Cell::new(number), ..run_of(&port) };
    run_with(port, run, Trigger::Scheduled(SLOT.parse().expect("a time")))
}

#[test]
fn a_secret_that_one_invocation_works_on_twice_at_once_is_one_redeem() {
    told("rotating", &explore(&Scenario { start: Rc::new(refresh_of_one_invocation), ..scenario(rotating()) }));
}

/// The first run has a minute, and the second one longer.
fn run_that_has_more_time_than_the_first(port: Port) -> Task {
    if port.run == 0 {
        return scheduled_run(port);
    }
    let run = InvocationContext { deadline: Deadline::at(port.deadline(Duration::from_mins(3))), ..run_of(&port) };
    run_with(port, run, Trigger::Scheduled(SLOT.parse().expect("a time")))
}

/// The clock of the second run is ahead by less than others wait beyond the end of a claim, and almost the whole time of
/// the first run passes at once, at any moment.
#[test]
fn clocks_that_differ_by_seconds_end_no_claim_before_its_run_is_over() {
    const CLOCKS: &[SignedDuration] = &[SignedDuration::ZERO, SignedDuration::from_secs(9)];
    let stall = Some(Duration::from_secs(53));
    let start = Rc::new(run_that_has_more_time_than_the_first);
    told("rotating", &explore(&Scenario { clocks: CLOCKS, stall, start, ..runs(rotating()) }));
}

#[test]
#[ignore = "takes a minute: `.ci/run model`"]
fn what_others_do_while_a_run_sleeps_breaks_no_promise() {
    told("crash", &explore(&in_their_own_time(crashing(runs(rotating())))));
    told("lag", &explore(&in_their_own_time(lagging(of_the_first(runs(rotating()))))));
    told("authorization", &explore(&in_their_own_time(authorizing(rotating()))));
    told("rotation", &explore(&in_their_own_time(rotation(rotating()))));
}

/// Explorations of several minutes each, for `NIGHTLY=1 .ci/run model`.
mod at_night {
    use super::*;

    #[test]
    #[ignore = "takes ten minutes: `NIGHTLY=1 .ci/run model`"]
    fn a_rotation_that_gets_no_answer_beside_a_run_breaks_no_promise() {
        told("rotation", &explore(&unanswered(of_the_first(rotation(rotating())))));
    }

    #[test]
    #[ignore = "takes minutes: `NIGHTLY=1 .ci/run model`"]
    fn reads_that_lag_for_either_of_two_runs_and_a_person_break_no_promise() {
        told("edit", &explore(&lagging(edited(runs(rotating())))));
        told("new grant", &explore(&lagging(pasted(runs(rotating())))));
    }

    #[test]
    #[ignore = "takes minutes: `NIGHTLY=1 .ci/run model`"]
    fn a_request_that_gets_no_answer_while_reads_lag_beside_a_run_breaks_no_promise() {
        told("two runs", &explore(&unanswered(lagging(of_the_first(runs(rotating()))))));
    }
}
