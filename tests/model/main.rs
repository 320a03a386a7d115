//! Every interleaving of two runs, with crashes and a person, over the real refresh. `.ci/run mutations` breaks the refresh
//! in one place at a time, and shows that a scenario of the model notices.

mod as_it_is;
mod explorer;
mod switches;
mod world;

use std::{cell::Cell, collections::BTreeSet, rc::Rc, time::Duration};

use explorer::{Coverage, Port, Scenario, after_one_run, explore};
use secrecy::SecretString;
use stand_ins::{
    secrets_manager::{Body, NewSecret, SecretsManager},
    tiktok::{GrantSpec, Propagation, Renewal, TikTok},
};
use tiktok_token_refresh::{
    authorize::AuthorizationResponse,
    refresh::{Refresher, Trigger},
    rotation::RotationStep,
    transport::{Deadline, InvocationContext, RateLimits},
};
use world::{LOST_ANSWER, SECRET, Spent, World};

const APP_ID: &str = "7000000000000000000";
const APP_SECRET: &str = "app-secret";
const ROTATION: &str = "00000000-0000-4000-8000-0000000000aa";
const SLOT: &str = "2026-11-22T03:00:00Z";
/// After this, what a run leaves behind has expired.
const CLAIMS_EXPIRE: Duration = Duration::from_mins(2);
/// After this, an access token has expired too.
const TOKENS_EXPIRE: Duration = Duration::from_hours(25);

fn world(spec: GrantSpec) -> World {
    world_at(SLOT.parse().expect("a time"), spec)
}

/// A secret as a person made it: tokens from a first authorization, and a field of their own.
fn world_at(now: jiff::Timestamp, spec: GrantSpec) -> World {
    let mut tiktok = TikTok::new("model");
    let mut secrets = SecretsManager::new();
    let since_epoch = Duration::from_secs(now.as_second().unsigned_abs());
    tiktok.clock.advance(since_epoch);
    secrets.clock.advance(since_epoch);
    tiktok.add_app(APP_ID, APP_SECRET);
    let issued = tiktok.authorize(APP_ID, spec);
    let body = serde_json::json!({
        "app_id": APP_ID, "secret": APP_SECRET, "mine": "kept",
        "access_token": issued.access_token, "refresh_token": issued.refresh_token,
    });
    let new = NewSecret {
        name: SECRET.to_owned(),
        token: "00000000-0000-4000-8000-000000000001".to_owned(),
        body: Some(Body::String(body.to_string().into())),
        ..NewSecret::default()
    };
    secrets.create_secret(new).expect("the secret is new");
    World {
        secrets,
        tiktok,
        now,
        spent: vec![],
        rejected: vec![],
        endings: vec![],
        pasted: None,
        code: None,
        one_grant_at_a_time: false,
        exchanged: None,
        too_late: BTreeSet::new(),
        past: vec![],
        keeps_past: false,
        loses_answer: false,
        is_late: false,
        spent_late: false,
        missed_a_rejection: false,
    }
}

fn run_of(port: &Port) -> InvocationContext {
    InvocationContext {
        request_id: format!("run-{}", port.run),
        nonce: format!("{:032x}", port.run),
        nonces_issued: Cell::default(),
        deadline: Deadline::at(port.deadline(Duration::from_mins(1))),
        min_token_lifetime: Duration::from_hours(12),
        advertiser_info: false,
        // Turns concern nobody else.
        rate_limits: RateLimits::new(f64::INFINITY, f64::INFINITY),
    }
}

/// The first run exchanges the auth code that a person brings back; all others are scheduled ones.
fn exchange_or_scheduled_run(port: Port) -> Task {
    match port.run {
        0 => {}
        1 => return scheduled_run(port),
        // What died after the daily run is made good by the hourly one.
        _ => return hourly_run(port),
    }
    // Enough to exchange, and to look once or twice more whether another run is done.
    exchange_with(port, Duration::from_secs(24))
}

fn exchange_with(port: Port, time: Duration) -> Task {
    Box::pin(async move {
        let run = invocation_of(&port, 0, time);
        let code = port.world(|world| world.code.clone()).expect("a code");
        let brought = AuthorizationResponse::bare(&SecretString::from(code), None).expect("a code");
        let refresher = Refresher::new(&port, &port, &port, &run, SECRET);
        let ended = Box::pin(refresher.exchange(&brought)).await;
        port.world(|world| world.ended(port.run, ended.map(|outcome| outcome.outcome.name().to_owned())));
    })
}

/// An invocation of a run that takes several.
fn invocation_of(port: &Port, invocation: usize, time: Duration) -> InvocationContext {
    let run = run_of(port);
    InvocationContext { nonce: format!("{:031x}{invocation}", 0xf), deadline: Deadline::at(port.deadline(time)), ..run }
}

type Task = std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn scheduled_run(port: Port) -> Task {
    let run = run_of(&port);
    run_with(port, run, Trigger::Scheduled(SLOT.parse().expect("a time")))
}

fn hourly_run(port: Port) -> Task {
    let run = run_of(&port);
    run_with(port, run, Trigger::IfNeeded)
}

/// Lambda may deliver an event twice, under one request id, and here at the same moment.
fn run_of_the_same_event(port: Port) -> Task {
    let run = InvocationContext { request_id: "event".to_owned(), ..run_of(&port) };
    run_with(port, run, Trigger::Scheduled(SLOT.parse().expect("a time")))
}

fn run_that_looks_advertisers_up(port: Port) -> Task {
    let run = InvocationContext { advertiser_info: true, ..run_of(&port) };
    run_with(port, run, Trigger::Scheduled(SLOT.parse().expect("a time")))
}

fn run_with(port: Port, run: InvocationContext, trigger: Trigger) -> Task {
    Box::pin(async move {
        let refresher = Refresher::new(&port, &port, &port, &run, SECRET);
        let ended = Box::pin(refresher.refresh(trigger)).await;
        port.world(|world| world.ended(port.run, ended.map(|outcome| outcome.outcome.name().to_owned())));
    })
}

/// The first run is a rotation: each step an invocation of its own, and the last only if the first ended well.
fn rotation_beside_runs(port: Port) -> Task {
    match port.run {
        0 => {}
        1 => return scheduled_run(port),
        // What died after the daily run is made good by the hourly one.
        _ => return hourly_run(port),
    }
    // Enough to redeem, and to look once more whether another run is done.
    rotation_of(port, Duration::from_secs(18))
}

fn rotation_of(port: Port, time: Duration) -> Task {
    Box::pin(async move {
        let mut ended = Ok(String::new());
        for (invocation, step) in [RotationStep::CreateSecret, RotationStep::FinishSecret].into_iter().enumerate() {
            let run = invocation_of(&port, invocation, time);
            let rotate = Refresher::rotate(&port, &port, &port, &run, SECRET, step, ROTATION);
            let (rotated, _) = Box::pin(rotate).await;
            ended = rotated.map(|rotated| format!("{} {:?}", step.name(), rotated.outcome));
            if ended.is_err() {
                break;
            }
        }
        port.world(|world| world.ended(port.run, ended));
    })
}

/// The secret as the refreshes of the days before left it: the labels on its current version say that there is nothing else.
fn refreshed_before(spec: GrantSpec, clears_pending: bool) -> World {
    let age = Duration::from_hours(23);
    let by_hand = |port: Port| {
        let run = InvocationContext { nonce: format!("{:032x}", 0xb), ..run_of(&port) };
        run_with(port, run, Trigger::Now)
    };
    let slot: jiff::Timestamp = SLOT.parse().expect("a time");
    let mut world = world_at(slot - age, spec);
    world.secrets.semantics.promote_clears_pending = clears_pending;
    // The first one finds advertisers, and writes a version more because of them.
    for _ in 0..2 {
        world = after_one_run(Scenario { world, start: Rc::new(by_hand), ..scenario(not_rotating()) });
        assert_eq!(world.endings, [(0, "Refreshed".to_owned())]);
        world.endings.clear();
        world.spent.clear();
    }
    let current = world.secrets.labeled(SECRET, "AWSCURRENT").expect("there is a current version");
    assert!(current.labels.iter().any(|label| label == "TIKTOK_STAGED"), "{:?}", current.labels);
    world.advance(age);
    world
}

/// Secrets Manager has begun a rotation.
fn rotation(spec: GrantSpec) -> Scenario {
    let at_each_step = match spec.renewal {
        Renewal::SameRefreshToken => at_each_step_of_two_refreshes,
        _ => at_each_step,
    };
    let mut world = world(spec);
    world.secrets.begin_rotation(SECRET, ROTATION);
    Scenario {
        world,
        at_each_step,
        start: Rc::new(rotation_beside_runs),
        at_the_end: at_the_end_of_a_rotation,
        ..scenario(not_rotating())
    }
}

fn scenario(spec: GrantSpec) -> Scenario {
    Scenario {
        world: world(spec),
        together: 2,
        crashes: 0,
        writes_come_late: false,
        unanswered: 0,
        lags: 0,
        troubled: usize::MAX,
        stall: None,
        own_time: false,
        clocks: &[],
        pause: CLAIMS_EXPIRE,
        start: Rc::new(scheduled_run),
        person: None,
        at_each_step,
        at_the_end,
    }
}

/// A rotation and a slot may be two refreshes. Where TikTok goes on with the same refresh token, the second one redeems it
/// again: not before the first one's answer is stored.
fn at_each_step_of_two_refreshes(world: &World) {
    complete_at_each_step(world);
    assert_redeemed_again(world, |earlier| earlier.lost || earlier.staged);
}

/// Asserts the promises that hold at every moment.
fn at_each_step(world: &World) {
    complete_at_each_step(world);
    assert!(world.field("refresh_token").is_some_and(|token| !token.is_empty()), "AWSCURRENT is a complete document");
    assert_redeemed_again(world, |earlier| earlier.lost);
}

fn assert_redeemed_again(world: &World, may_be: impl Fn(&Spent) -> bool) {
    for (index, spent) in world.spent.iter().enumerate().filter(|(_, spent)| !spent.late) {
        let again = world.spent[..index].iter().find(|earlier| earlier.refresh_token == spent.refresh_token);
        assert!(again.is_none_or(&may_be), "a refresh token was redeemed again although its answer was not lost");
    }
}

/// Asserts the promises that hold when everything is over.
fn at_the_end(world: &World) {
    usable_at_the_end(world);
    let token = world.field("access_token").expect("AWSCURRENT is a complete document");
    if world.pasted.is_none() && world.tiktok.is_alive(&token) {
        let answered = world.spent.iter().filter(|spent| !spent.lost).count();
        assert_eq!(answered, 1, "one slot is one redeem: {:?}", world.endings);
    }
}

/// A rotation and a slot are two refreshes, unless one sees that the other came first.
fn at_the_end_of_a_rotation(world: &World) {
    usable_at_the_end(world);
    if let Some((_, ending)) = world.endings.iter().find(|(_, ending)| ending.starts_with("finishSecret")) {
        let holder = |label| world.secrets.labeled(SECRET, label).map(|version| version.id);
        let is_left =
            holder("AWSPENDING").as_deref() == Some(ROTATION) && holder("AWSCURRENT").as_deref() != Some(ROTATION);
        assert!(!is_left, "AWSPENDING keeps the next rotation from beginning: {ending}");
    }
}

fn usable_at_the_end(world: &World) {
    let token = world.field("access_token").expect("AWSCURRENT is a complete document");
    let refresh_token = world.field("refresh_token").expect("AWSCURRENT is a complete document");
    let lost = world.lost_an_answer();
    let (_, ending) = world.endings.last().expect("a run came to its end");
    if lost && !world.tiktok.is_alive(&token) {
        // The answer died with its run before it was stored. Nothing can bring it back, and nobody may call that success.
        let errors = [LOST_ANSWER, "NewTokenRejected", "TikTokUnavailable", "DeadlineExceeded"];
        let is_said = errors.contains(&ending.as_str());
        // A token goes on whose check got no answer.
        assert!(
            is_said || world.spent_late || world.missed_a_rejection,
            "a lost answer that cannot be made good is an error: {ending}"
        );
        return;
    }
    assert!(world.tiktok.is_alive(&token), "the access token works: {:?}", world.endings);
    assert!(world.tiktok.is_newest_refresh_token(&refresh_token), "the refresh token is the newest");
    assert!(lost || world.tiktok.refused_redeems().is_empty(), "no dead refresh token was sent");
    if let Some(grant) = world.pasted {
        let (_, newest) = world.tiktok.newest(grant);
        assert_eq!(newest.as_deref(), Some(refresh_token.as_str()), "the tokens that the person pasted in count");
    }
}

/// Asserts the promises that hold when everything is over and a person has authorized the app meanwhile.
fn the_new_grant_counts(world: &World) {
    let token = world.field("access_token").expect("AWSCURRENT is a complete document");
    let refresh_token = world.field("refresh_token").expect("AWSCURRENT is a complete document");
    let lost = |of: &dyn Fn(&Spent) -> bool| world.spent.iter().any(|spent| spent.lost && of(spent));
    let code = world.code.as_deref().expect("a code");
    let Some(grant) = world.exchanged.filter(|_| !lost(&|spent| spent.refresh_token == code)) else {
        // Nothing was exchanged, or the answer died with its run: the old grant goes on, if there is still one.
        let old_one_is_over = world.exchanged.is_some() && world.one_grant_at_a_time;
        assert!(old_one_is_over || world.lost_an_answer() || world.tiktok.is_alive(&token), "the old tokens work");
        return;
    };
    let (_, newest) = world.tiktok.newest(grant);
    let later_is_lost = world.spent_late || lost(&|spent| spent.refresh_token != code);
    assert!(later_is_lost || world.tiktok.is_alive(&token), "the access token works: {:?}", world.endings);
    assert!(
        later_is_lost || newest.as_deref() == Some(refresh_token.as_str()),
        "the tokens of the new grant count: {:?}",
        world.endings
    );
    assert!(world.field("authorized_at").is_some(), "the secret says when the app was authorized");
}

/// Asserts the promises that hold at every moment, also where a new grant puts an end to tokens that are current.
fn complete_at_each_step(world: &World) {
    assert!(world.field("access_token").is_some_and(|token| !token.is_empty()), "AWSCURRENT is a complete document");
    assert_eq!(world.field("mine").as_deref(), Some("kept"), "a person's field survives");
}

fn authorizing(spec: GrantSpec) -> Scenario {
    authorizing_over(world(spec.clone()), spec)
}

fn authorizing_over(world: World, spec: GrantSpec) -> Scenario {
    let mut scenario = Scenario {
        world,
        start: Rc::new(exchange_or_scheduled_run),
        at_the_end: the_new_grant_counts,
        ..scenario(spec)
    };
    let hour = Duration::from_hours(1);
    let code = scenario.world.tiktok.authorize_by_code(APP_ID, rotating(), hour);
    scenario.world.code = Some(code);
    scenario
}

fn person_adds_a_field(world: &mut World) {
    let mut body: serde_json::Value = serde_json::from_str(&world.body("AWSCURRENT").expect("a value")).expect("JSON");
    body["note"] = "added by a person".into();
    put_by_hand(world, &body);
}

fn person_authorizes_again(world: &mut World) {
    let issued = world.tiktok.authorize(APP_ID, GrantSpec::default());
    let mut body: serde_json::Value = serde_json::from_str(&world.body("AWSCURRENT").expect("a value")).expect("JSON");
    body["access_token"] = issued.access_token.into();
    body["refresh_token"] = issued.refresh_token.into();
    world.pasted = Some(issued.grant);
    put_by_hand(world, &body);
}

fn put_by_hand(world: &mut World, body: &serde_json::Value) {
    let token = "00000000-0000-4000-8000-00000000000e";
    world
        .secrets
        .put_secret_value(SECRET, token, Body::String(body.to_string().into()), &[])
        .expect("a person may write");
}

fn the_note_is_there(world: &World) {
    at_the_end(world);
    the_note_is_kept(world);
}

fn the_note_is_kept(world: &World) {
    let is_written = world.secrets.versions(SECRET).iter().any(|version| version.id.ends_with("00000e"));
    assert!(!is_written || world.field("note").is_some(), "a person's edit is never overwritten");
}

#[allow(clippy::print_stdout, reason = "what was covered is worth knowing")]
fn told(name: &str, coverage: &Coverage) {
    assert!(coverage.ends > 0, "no path came to an end");
    println!("{name}: {} states, {} paths, {} ends", coverage.states, coverage.paths, coverage.ends);
}

fn rotating() -> GrantSpec {
    GrantSpec { renewal: Renewal::Rotating { reuse_revokes: true }, ..GrantSpec::default() }
}

fn not_rotating() -> GrantSpec {
    GrantSpec { renewal: Renewal::SameRefreshToken, ..GrantSpec::default() }
}

#[test]
fn two_runs_in_every_interleaving_redeem_one_refresh_token_once() {
    for (name, spec) in [("rotating", rotating()), ("not rotating", not_rotating())] {
        told(name, &explore(&scenario(spec)));
    }
}

#[test]
fn two_runs_of_which_one_crashes_anywhere_end_with_working_tokens_after_the_next() {
    for (name, spec) in [("rotating", rotating()), ("not rotating", not_rotating())] {
        told(name, &explore(&Scenario { crashes: 1, ..scenario(spec) }));
    }
}

#[test]
#[ignore = "takes a minute: `.ci/run model`"]
fn one_run_and_its_successors_survive_three_crashes_anywhere() {
    for (name, spec) in [("rotating", rotating()), ("not rotating", not_rotating())] {
        told(name, &explore(&Scenario { together: 1, crashes: 3, ..scenario(spec) }));
    }
}

#[test]
#[ignore = "takes a minute: `.ci/run model`"]
fn runs_on_a_secret_that_was_refreshed_the_day_before_break_no_promise_either() {
    // AWSPENDING stays on what is promoted, or does not: AWS's documentation has both.
    for (name, spec, clears) in
        [("rotating", rotating(), true), ("rotating", rotating(), false), ("not rotating", not_rotating(), true)]
    {
        let scenario = || Scenario { world: refreshed_before(spec.clone(), clears), ..scenario(spec.clone()) };
        told(name, &explore(&Scenario { crashes: 1, ..scenario() }));
        told("crashes", &explore(&Scenario { together: 1, crashes: 3, ..scenario() }));
        told("new grant", &explore(&Scenario { person: Some(person_authorizes_again), ..scenario() }));
        let edited = Scenario { person: Some(person_adds_a_field), at_the_end: the_note_is_there, ..scenario() };
        told("edit", &explore(&edited));
    }
}

#[test]
fn an_event_that_is_delivered_twice_at_the_same_moment_is_one_redeem() {
    for (name, spec) in [("rotating", rotating()), ("not rotating", not_rotating())] {
        told(name, &explore(&Scenario { start: Rc::new(run_of_the_same_event), ..scenario(spec) }));
    }
}

/// A crash, and a write that arrives after everybody has given its run up.
///
/// One such write. Where the refresh token stays the same, there may be two answers to it by then, and a second late write
/// can move AWSCURRENT to one while a run is renewing the other, which ends the one. It takes two processes in a row that die
/// with a write on its way for minutes.
fn with_a_late_write(scenario: Scenario) -> Scenario {
    Scenario { crashes: 1, writes_come_late: true, ..scenario }
}

#[test]
#[ignore = "takes seconds of every core: `.ci/run model`"]
fn a_write_that_arrives_after_its_run_was_given_up_is_not_passed_over() {
    for (name, spec) in [("rotating", rotating()), ("not rotating", not_rotating())] {
        let late = || Scenario { at_the_end: usable_at_the_end, ..with_a_late_write(scenario(spec.clone())) };
        told(name, &explore(&Scenario { together: 1, ..late() }));
        told("two runs", &explore(&late()));
        told("new grant", &explore(&Scenario { together: 1, person: Some(person_authorizes_again), ..late() }));
    }
}

#[test]
#[ignore = "takes a minute: `.ci/run model`"]
fn a_write_that_arrives_late_breaks_no_promise_of_an_authorization_or_a_rotation_either() {
    told("authorization", &explore(&with_a_late_write(authorizing(rotating()))));
    let refreshed_before = authorizing_over(refreshed_before(rotating(), true), rotating());
    told("refreshed before", &explore(&with_a_late_write(refreshed_before)));
    for (name, spec) in [("rotating", rotating()), ("not rotating", not_rotating())] {
        told(name, &explore(&with_a_late_write(Scenario { together: 1, ..rotation(spec) })));
    }
}

#[test]
#[ignore = "takes seconds of every core: `.ci/run model`"]
fn tokens_that_were_staged_and_forgotten_for_a_day_are_renewed() {
    let forgotten = |spec| Scenario {
        together: 1,
        crashes: 2,
        pause: TOKENS_EXPIRE,
        at_each_step: at_each_step_of_two_refreshes,
        at_the_end: usable_at_the_end,
        ..scenario(spec)
    };
    for (name, spec) in [("rotating", rotating()), ("not rotating", not_rotating())] {
        told(name, &explore(&forgotten(spec)));
    }
}

#[test]
fn looking_advertisers_up_breaks_no_promise_of_two_runs_or_of_one_that_crashes() {
    let looking = Scenario { start: Rc::new(run_that_looks_advertisers_up), ..scenario(rotating()) };
    told("looking up", &explore(&looking));
    told("looking up and crashes", &explore(&Scenario { together: 1, crashes: 2, ..looking }));
}

#[test]
fn a_field_that_a_person_adds_at_any_moment_of_two_runs_is_kept() {
    let edited = Scenario { person: Some(person_adds_a_field), at_the_end: the_note_is_there, ..scenario(rotating()) };
    told("edit", &explore(&edited));
    told("edit and crash", &explore(&Scenario { together: 1, crashes: 1, ..edited }));
}

#[test]
fn tokens_that_a_person_pastes_in_at_any_moment_of_a_run_that_may_crash_win() {
    let pasted = Scenario { person: Some(person_authorizes_again), ..scenario(rotating()) };
    told("new grant and crash", &explore(&Scenario { together: 1, crashes: 1, ..pasted }));
}

#[test]
#[ignore = "takes seconds: `.ci/run model`"]
fn tokens_that_a_person_pastes_in_at_any_moment_of_two_runs_win() {
    told("new grant", &explore(&Scenario { person: Some(person_authorizes_again), ..scenario(rotating()) }));
}

#[test]
fn a_rotation_and_a_run_in_every_interleaving_redeem_no_refresh_token_twice() {
    for (name, spec) in [("rotating", rotating()), ("not rotating", not_rotating())] {
        told(name, &explore(&rotation(spec)));
    }
}

#[test]
fn a_rotation_that_crashes_anywhere_is_finished_by_the_next_run() {
    for (name, spec) in [("rotating", rotating()), ("not rotating", not_rotating())] {
        told(name, &explore(&Scenario { together: 1, crashes: 2, ..rotation(spec) }));
    }
}

#[test]
#[ignore = "takes seconds of every core: `.ci/run model`"]
fn a_rotation_and_a_run_of_which_one_crashes_anywhere_end_with_working_tokens_after_the_next() {
    told("rotating", &explore(&Scenario { crashes: 1, ..rotation(rotating()) }));
}

#[test]
fn what_a_person_writes_at_any_moment_of_a_rotation_is_kept() {
    let edited = |world: &World| {
        at_the_end_of_a_rotation(world);
        the_note_is_kept(world);
    };
    let edit = Scenario {
        together: 1,
        crashes: 1,
        person: Some(person_adds_a_field),
        at_the_end: edited,
        ..rotation(rotating())
    };
    told("edit", &explore(&edit));
    let paste = Scenario { together: 1, crashes: 1, person: Some(person_authorizes_again), ..rotation(rotating()) };
    told("new grant", &explore(&paste));
}

#[test]
fn an_authorization_in_every_interleaving_with_a_run_counts() {
    told("rotating", &explore(&authorizing(rotating())));
}

#[test]
#[ignore = "takes a minute: `.ci/run model`"]
fn an_authorization_in_every_interleaving_with_a_run_counts_and_no_crash_costs_it() {
    for (name, spec) in [("rotating", rotating()), ("not rotating", not_rotating())] {
        told(name, &explore(&authorizing(spec.clone())));
        told(name, &explore(&Scenario { crashes: 1, ..authorizing(spec.clone()) }));
        let refreshed_before = authorizing_over(refreshed_before(spec.clone(), true), spec);
        told("refreshed before", &explore(&Scenario { crashes: 1, ..refreshed_before }));
    }
}

#[test]
#[ignore = "takes a minute: `.ci/run model`"]
fn an_authorization_that_ends_the_old_grant_counts_whatever_a_run_does_meanwhile() {
    let mut ending = Scenario { at_each_step: complete_at_each_step, crashes: 1, ..authorizing(rotating()) };
    ending.world.one_grant_at_a_time = true;
    told("the old grant ends", &explore(&ending));
}

#[test]
fn a_field_that_a_person_adds_while_authorizing_is_kept() {
    let edited = Scenario {
        person: Some(person_adds_a_field),
        at_the_end: |world| {
            the_new_grant_counts(world);
            let is_written = world.secrets.versions(SECRET).iter().any(|version| version.id.ends_with("00000e"));
            assert!(!is_written || world.field("note").is_some(), "a person's edit is never overwritten");
        },
        together: 1,
        crashes: 1,
        ..authorizing(rotating())
    };
    told("edit", &explore(&edited));
}

/// An exchange holds its claim for a moment only, and a rotation waits for that: both get an answer from TikTok.
fn exchange_beside_a_rotation(port: Port) -> Task {
    match port.run {
        0 => exchange_with(port, Duration::from_secs(24)),
        1 => rotation_of(port, Duration::from_secs(30)),
        _ => hourly_run(port),
    }
}

#[test]
#[ignore = "takes seconds of every core: `.ci/run model`"]
fn an_exchange_and_a_rotation_that_both_have_an_answer_lose_neither() {
    let mut scenario = Scenario { start: Rc::new(exchange_beside_a_rotation), ..authorizing(rotating()) };
    scenario.world.secrets.begin_rotation(SECRET, ROTATION);
    told("both", &explore(&scenario));
}

#[test]
fn tokens_that_tiktok_never_accepts_are_never_current() {
    let never = GrantSpec { propagation: Propagation::Time(Duration::from_hours(24 * 365)), ..rotating() };
    let rejected = Scenario {
        // The first pair was put in by a person, and works.
        at_each_step: complete_at_each_step,
        at_the_end: |world| {
            let token = world.field("access_token").expect("AWSCURRENT is a complete document");
            assert!(!world.spent.iter().any(|spent| spent.access_token == token), "a rejected token is current");
        },
        ..scenario(never)
    };
    told("never accepted", &explore(&rejected));
    told("never accepted and crash", &explore(&Scenario { together: 1, crashes: 1, ..rejected }));
}
