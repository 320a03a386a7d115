//! Currency, time zone and status of advertisers: requested only if they are enabled, and never at the cost of a token.

use std::time::Duration;

use serde_json::{Value, json};
use stand_ins::{APP_SECRET, Fault, Flow, Function, GrantSpec, When, World, tiktok::Advertiser, wire::Answer};
use tiktok_token_refresh::document::MAX_BYTES;

use crate::{
    evidence::metrics,
    support::{
        BINARY, SHORT, STAGE, Scenario, only_result, outcome, refresh, scheduled, side_by_side, warnings, written,
    },
};

const INFO: &str = "advertiser/info";
const FACTS: [&str; 4] = ["currency", "display_timezone", "timezone", "status"];

/// The function in a deployment that asks for the facts.
fn asking(world: &World) -> Function {
    world.function_with(BINARY, &[("ADVERTISER_INFO", "true")])
}

fn with_facts(id: &str, name: &str) -> Value {
    json!({
        "advertiser_id": id, "advertiser_name": name,
        "currency": "EUR", "display_timezone": "Europe/Berlin", "timezone": "Etc/GMT-1", "status": "STATUS_ENABLE",
    })
}

fn without_facts(id: &str, name: &str) -> Value {
    json!({"advertiser_id": id, "advertiser_name": name})
}

/// The entries of a secret for the two advertisers that every grant covers.
fn both(advertiser: fn(&str, &str) -> Value) -> Value {
    json!([
        advertiser("7000000000000000001", "First Advertiser"),
        advertiser("7000000000000000002", "Zweite Werbung GmbH")
    ])
}

fn many(count: u64, name: &str) -> Vec<Advertiser> {
    let id = |n: u64| (7_000_000_000_000_000_000 + n).to_string();
    (0..count).map(|n| Advertiser::new(&id(n), &format!("{name} {n:04}"))).collect()
}

fn grants() -> [GrantSpec; 2] {
    [GrantSpec::default(), GrantSpec::long_term()]
}

#[tokio::test]
async fn a_deployment_that_does_not_ask_for_them_makes_no_request_for_them() {
    for spec in grants() {
        let world = World::with(spec);
        for function in [world.lambda(), world.function_with(BINARY, &[("ADVERTISER_INFO", "false")])] {
            for event in [json!({"dry_run": true}), scheduled(), refresh()] {
                function.run(event).await;
            }
        }
        let journal = world.faults.journal();
        assert_eq!(journal.count(INFO), 0, "{journal}");
        assert_eq!(world.current()["advertisers"], both(without_facts));
    }
}

#[tokio::test]
async fn who_asks_for_them_finds_them_beside_the_names() {
    for spec in grants() {
        for ids_as_numbers in [false, true] {
            let world = World::with(spec.clone());
            world.tiktok.core().shape.ids_as_numbers = ids_as_numbers;
            let invocation = asking(&world).run(refresh()).await;
            assert!(["refreshed", "verified"].contains(&outcome(&invocation).as_str()));
            assert_eq!(world.current()["advertisers"], both(with_facts));
            assert_eq!(warnings(&invocation), "");
            assert_eq!(world.faults.journal().count(INFO), 1, "two advertisers are one request");
        }
    }
}

#[tokio::test]
async fn a_reader_secret_passes_them_on() {
    let (world, reader) = crate::publish::world("reader").await;
    asking(&world).run(scheduled()).await;
    let body = crate::publish::read(&world, &reader).await.expect("a value");
    assert_eq!(body["advertisers"], both(with_facts));
}

#[tokio::test]
async fn they_are_asked_for_when_the_tokens_are_staged_and_written_with_the_list() {
    let world = World::start();
    world.faults.at(When::operation("PutSecretValue").detail(STAGE), Fault::Delay(Duration::from_millis(500)));
    asking(&world).run(refresh()).await;
    let journal = world.faults.journal();
    let operations = journal.operations();
    let place = |operation: &str| operations.iter().position(|it| *it == operation).expect("it was asked for");
    let info = &journal[place(INFO)];
    let staged = journal.of("PutSecretValue").find(|put| put.detail.contains(STAGE)).expect("staged");
    assert!(staged.at + Duration::from_millis(500) <= info.at, "{journal}");
    assert!(place(INFO) < place("UpdateSecretVersionStage"), "{journal}");
    assert_eq!(journal.count("UpdateSecretVersionStage"), 1, "{journal}");
}

#[tokio::test]
async fn a_day_on_which_they_did_not_change_takes_no_more_versions_than_any_other() {
    for (spec, puts) in [(GrantSpec::default(), 2), (GrantSpec::long_term(), 0)] {
        let world = World::with(spec);
        let function = asking(&world);
        function.run(refresh()).await;
        world.faults.reset();
        function.run(refresh()).await;
        let journal = world.faults.journal();
        assert_eq!(journal.count("PutSecretValue"), puts, "{journal}");
        assert_eq!(journal.count("UpdateSecretVersionStage"), puts / 2, "{journal}");
        assert_eq!(journal.count(INFO), 1, "{journal}");
        assert_eq!(world.current()["advertisers"], both(with_facts));
    }
}

#[tokio::test]
async fn what_a_dead_run_had_staged_with_them_is_promoted_as_it_is() {
    let world = World::start();
    let function = asking(&world);
    function.run(refresh()).await;
    world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    function.run(refresh()).await;
    world.faults.reset();
    assert_eq!(outcome(&function.run(refresh()).await), "resumed");
    let journal = world.faults.journal();
    assert_eq!(written(&journal), 0, "{journal}");
    assert_eq!(world.current()["advertisers"], both(with_facts));
}

#[tokio::test]
async fn a_run_that_dies_while_it_asks_loses_nothing() {
    for fault in [Fault::KillBefore, Fault::KillAfter] {
        let world = World::start();
        let function = asking(&world);
        world.faults.at(When::operation(INFO), fault);
        function.run(refresh()).await;
        assert_eq!(outcome(&function.run(refresh()).await), "resumed");
        assert_eq!(world.redeemed(), 1);
        world.assert_usable();
        assert_eq!(world.current()["advertisers"], both(with_facts));
    }
}

#[tokio::test]
async fn a_dead_refresh_token_does_not_keep_them_from_being_asked_for() {
    let world = World::start();
    world.tiktok.core().revoke_token(&world.field("refresh_token"));
    assert_eq!(outcome(&asking(&world).run(scheduled()).await), "kept");
    assert_eq!(world.current()["advertisers"], both(with_facts));
}

#[tokio::test]
async fn a_new_advertiser_is_looked_up_as_well() {
    let world = World::start();
    let function = asking(&world);
    function.run(refresh()).await;
    world.tiktok.core().grant_mut(world.grant).advertisers.push(Advertiser::new("7000000000000000003", "Third"));
    let result = only_result(&function.run(refresh()).await);
    assert_eq!(result["advertisers_added"], json!(["7000000000000000003"]));
    assert_eq!(world.current()["advertisers"][2], with_facts("7000000000000000003", "Third"));
}

/// Everything that can go wrong with the request, and what the warning says of it.
fn troubles() -> Vec<(Fault, &'static str)> {
    vec![
        (Fault::tiktok(40001, "No permission."), "code 40001"),
        (Fault::tiktok(40100, "Too many requests."), "code 40100"),
        (Fault::tiktok(40105, "Access token is incorrect."), "code 40105"),
        (Fault::tiktok(50000, "Internal."), "code 50000"),
        (Fault::answer(200, "application/json", r#"{"code":0,"data":{}}"#), "no list of advertisers"),
        (Fault::answer(502, "text/html", "<html>"), "HTTP 502"),
        (Fault::Garbage, "not what its API answers"),
        (Fault::DropBefore, "without an answer"),
        (Fault::ResetAfter, "without an answer"),
        (Fault::TruncatedBody, "broke off"),
        (Fault::HugeBody(1 << 30), "larger than any answer"),
        (Fault::Hang, "did not answer within 5.0 seconds"),
        (Fault::SlowBody(Duration::from_mins(10)), "did not answer within 5.0 seconds"),
    ]
}

#[tokio::test]
async fn whatever_goes_wrong_costs_one_warning_and_neither_the_refresh_nor_what_was_known() {
    side_by_side(troubles().into_iter().flat_map(|(fault, says)| {
        [false, true].map(|known| {
            let fault = fault.clone();
            async move {
                let world = World::start();
                let function = asking(&world);
                if known {
                    function.run(refresh()).await;
                }
                world.faults.reset();
                world.faults.at(When::operation(INFO).always(), fault.clone());
                let invocation = function.run(refresh()).await;
                assert_eq!(outcome(&invocation), "refreshed", "{fault:?}");
                world.assert_usable();
                let (result, warning) = (only_result(&invocation), warnings(&invocation));
                assert!(
                    warning.contains("status of 2 of 2 advertisers") && warning.contains(says),
                    "{fault:?}: {warning}"
                );
                assert!(!warning.contains("authorize_url"), "its token works: {warning}");
                assert_eq!(result["warnings"].as_array().map(Vec::len), Some(1), "{warning}");
                assert_eq!((&result["advertisers"], &result["advertisers_stale"]), (&json!(2), &json!(false)));
                assert_eq!(world.current()["advertisers"], both(if known { with_facts } else { without_facts }));
                let journal = world.faults.journal();
                assert_eq!(journal.count(INFO), 1, "it is not asked again: {journal}");
                assert_eq!(journal.count("PutSecretValue"), if known { 2 } else { 3 }, "{journal}");
            }
        })
    }))
    .await;
}

#[tokio::test]
async fn a_missing_permission_is_named_and_a_dry_run_finds_it_out() {
    let world = World::start();
    world.tiktok.core().info_is_forbidden = true;
    world.tiktok.core().echo_secrets = true;
    let function = asking(&world);
    for event in [json!({"dry_run": true}), refresh()] {
        let invocation = function.run(event).await;
        let warning = warnings(&invocation);
        assert!(warning.contains("code 40001") && warning.contains("'Read Ad Account Information'"), "{warning}");
        let said = format!("{:?} {:?}", invocation.outcome, invocation.logs);
        assert!(!said.contains("canary") && !said.contains(APP_SECRET), "{said}");
    }
}

#[tokio::test]
async fn an_advertiser_that_the_answer_leaves_out_keeps_what_was_known() {
    let world = World::start();
    let function = asking(&world);
    function.run(refresh()).await;
    let data = json!({"list": [
        {"advertiser_id": "7000000000000000001", "name": "Another", "currency": "USD", "status": ""}, {"name": "Nobody"}, null,
        {"advertiser_id": "9", "name": "A stranger", "currency": "JPY"},
    ]});
    let answer = json!({"code": 0, "message": "OK", "data": data}).to_string();
    world.faults.at(When::operation(INFO), Fault::answer(200, "application/json", answer));
    let invocation = function.run(refresh()).await;
    assert!(warnings(&invocation).contains("1 of 2 advertisers are as they were before"), "{}", warnings(&invocation));
    let first = json!({
        "advertiser_id": "7000000000000000001", "advertiser_name": "First Advertiser", "currency": "USD",
    });
    assert_eq!(
        world.current()["advertisers"],
        json!([first, with_facts("7000000000000000002", "Zweite Werbung GmbH")])
    );
}

#[tokio::test]
async fn a_name_that_only_the_look_up_knows_is_kept_as_well() {
    let world = World::start();
    let function = asking(&world);
    let nameless = || {
        let list = json!([{"advertiser_id": "7000000000000000001"}, {"advertiser_id": "7000000000000000002"}]);
        Fault::answer(200, "application/json", json!({"code": 0, "data": {"list": list}}).to_string())
    };
    world.faults.at(When::operation("oauth2/advertiser/get").always(), nameless());
    function.run(refresh()).await;
    assert_eq!(world.current()["advertisers"], both(with_facts));
    world.tiktok.core().info_is_forbidden = true;
    function.run(refresh()).await;
    assert_eq!(world.current()["advertisers"], both(with_facts));
}

#[tokio::test]
async fn a_run_in_a_hurry_does_not_ask() {
    let world = World::start();
    // The redeem takes so long that less than ten seconds are left.
    world.faults.at(When::operation("oauth2/refresh_token"), Fault::Delay(Duration::from_millis(7_500)));
    let invocation = asking(&world).invoke(refresh(), SHORT).await;
    assert_eq!(outcome(&invocation), "refreshed");
    assert!(warnings(&invocation).contains("did not begin the step 'info'"), "{}", warnings(&invocation));
    assert_eq!(world.faults.journal().count(INFO), 0);
    assert_eq!(world.current()["advertisers"], both(without_facts));
}

#[tokio::test]
async fn many_are_asked_for_a_hundred_at_a_time_one_request_after_the_other() {
    let world = World::with(GrantSpec { advertisers: many(250, "A"), ..GrantSpec::default() });
    let refused = Fault::tiktok(40001, "No permission.");
    world.faults.at(When::operation(INFO).nth(2), refused);
    let invocation = asking(&world).run(refresh()).await;
    assert_eq!(world.faults.journal().count(INFO), 3);
    assert!(warnings(&invocation).contains("status of 100 of 250 advertisers"), "{}", warnings(&invocation));
    let advertisers = world.current()["advertisers"].as_array().expect("a list").clone();
    let told: Vec<bool> = advertisers.iter().map(|advertiser| advertiser["currency"] == "EUR").collect();
    assert_eq!(
        told,
        [vec![true; 100], vec![false; 100], vec![true; 50]].concat(),
        "what one refuses, the next may tell"
    );
}

#[tokio::test]
async fn what_would_refuse_the_next_hundred_too_ends_the_look_up() {
    for fault in [Fault::tiktok(40105, "Access token is incorrect"), Fault::answer(503, "text/html", "busy")] {
        let world = World::with(GrantSpec { advertisers: many(150, "A"), ..GrantSpec::default() });
        world.faults.at(When::operation(INFO), fault);
        let invocation = asking(&world).run(refresh()).await;
        assert_eq!(world.faults.journal().count(INFO), 1);
        assert!(warnings(&invocation).contains("status of 150 of 150 advertisers"), "{}", warnings(&invocation));
    }
}

#[tokio::test]
async fn what_came_before_time_ran_out_is_kept() {
    let world = World::with(GrantSpec { advertisers: many(150, "A"), ..GrantSpec::default() });
    world.faults.at(When::operation(INFO).nth(2), Fault::Hang);
    let invocation = asking(&world).run(refresh()).await;
    assert!(warnings(&invocation).contains("status of 50 of 150 advertisers"), "{}", warnings(&invocation));
    assert_eq!(world.current()["advertisers"][99]["currency"], "EUR");
}

#[tokio::test]
async fn more_than_could_ever_fit_are_not_asked_for() {
    let world = World::with(GrantSpec { advertisers: many(401, "A"), ..GrantSpec::default() });
    let function = asking(&world);
    let invocation = function.run(refresh()).await;
    assert_eq!(world.faults.journal().count(INFO), 0);
    assert!(warnings(&invocation).contains("401 advertisers would not fit"), "{}", warnings(&invocation));
    assert_eq!(only_result(&invocation)["advertisers_reduced"], true);
    assert_eq!(metrics(&invocation)["AdvertisersReduced"], 1);
    assert_eq!(world.current()["advertisers"][400], without_facts("7000000000000000400", "A 0400"));
    world.tiktok.core().grant_mut(world.grant).advertisers.truncate(400);
    function.run(refresh()).await;
    assert_eq!(world.faults.journal().count(INFO), 4, "as many as may fit");
}

#[tokio::test]
async fn they_are_the_first_to_go_when_the_secret_grows_too_large() {
    let advertisers = many(350, "An Advertising Agency With A Rather Long Name GmbH & Co. KG");
    let world = World::with(GrantSpec { advertisers, ..GrantSpec::default() });
    let function = asking(&world);
    for day in 0..2 {
        world.faults.reset();
        let invocation = function.run(refresh()).await;
        let warning = warnings(&invocation);
        assert!(warning.contains("their currencies, time zones and statuses were left out"), "{warning}");
        assert_eq!(only_result(&invocation)["advertisers_reduced"], true);
        let advertisers = world.current()["advertisers"].as_array().expect("a list").clone();
        let is_whole = |advertiser: &Value| FACTS.iter().all(|fact| advertiser[fact].is_null());
        assert!(advertisers.len() == 350 && advertisers.iter().all(is_whole), "every name is there, and no fact");
        assert!(advertisers.iter().all(|advertiser| advertiser["advertiser_name"].is_string()));
        assert!(world.text("AWSCURRENT").len() <= MAX_BYTES);
        let puts = world.faults.journal().count("PutSecretValue");
        assert_eq!(puts, if day == 0 { 3 } else { 2 }, "the day after, it is as it was");
    }
}

#[tokio::test]
async fn they_go_when_nobody_asks_for_them_any_more() {
    let world = World::start();
    asking(&world).run(refresh()).await;
    assert_eq!(world.current()["advertisers"], both(with_facts));
    world.lambda().run(refresh()).await;
    assert_eq!(world.current()["advertisers"], both(without_facts), "what nobody keeps up to date is worth nothing");
}

#[tokio::test]
async fn those_that_tiktok_refuses_by_name_do_not_cost_the_others_their_facts() {
    for refused in [&[3][..], &[1, 5], &[1, 2, 3, 4]] {
        let world = World::with(GrantSpec { advertisers: many(5, "A"), ..GrantSpec::default() });
        let id = |n: &u64| (7_000_000_000_000_000_000 + n - 1).to_string();
        world.tiktok.core().refused_advertisers = refused.iter().map(id).collect();
        let invocation = asking(&world).run(refresh()).await;
        assert_eq!(outcome(&invocation), "refreshed");
        let warning = warnings(&invocation);
        assert!(warning.contains(&format!("status of {} of 5 advertisers", refused.len())), "{warning}");
        assert!(
            warning.contains("code 40001") && warning.contains("may not operate this advertiser account"),
            "{warning}"
        );
        assert!(!warning.contains("Tick"), "the permission is there: {warning}");
        let advertisers = world.current()["advertisers"].as_array().expect("a list").clone();
        let told: Vec<bool> = advertisers.iter().map(|advertiser| advertiser["currency"] == "EUR").collect();
        assert_eq!(told, (1..=5).map(|n| !refused.contains(&n)).collect::<Vec<_>>());
        assert_eq!(world.faults.journal().count(INFO), 2, "all, and all but those");
    }
}

#[tokio::test]
async fn one_that_tiktok_refuses_without_naming_it_is_found_by_halving() {
    let world = World::with(GrantSpec { advertisers: many(100, "A"), ..GrantSpec::default() });
    world.tiktok.core().refused_advertisers = vec!["7000000000000000041".to_owned()];
    let unnamed = Fault::reshaped(|answer| {
        let mut body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        if body["code"] == 40001 {
            body["message"] = json!("No permission to operate an advertiser.");
        }
        Answer { body: body.to_string().into(), ..answer }
    });
    world.faults.at(When::operation(INFO).always(), unnamed);
    let invocation = asking(&world).run(refresh()).await;
    assert!(warnings(&invocation).contains("status of 1 of 100 advertisers"), "{}", warnings(&invocation));
    let requests = world.faults.journal().count(INFO);
    assert!((13..=15).contains(&requests), "{requests}");
}

#[tokio::test]
async fn a_refusal_of_every_advertiser_ends_after_few_requests() {
    let world = World::with(GrantSpec { advertisers: many(100, "A"), ..GrantSpec::default() });
    let refusal = Fault::tiktok(40001, "No permission to operate these advertisers.");
    world.faults.at(When::operation(INFO).always(), refusal);
    let invocation = asking(&world).run(refresh()).await;
    assert!(warnings(&invocation).contains("status of 100 of 100 advertisers"), "{}", warnings(&invocation));
    assert_eq!(world.faults.journal().count(INFO), 15);
}

#[tokio::test]
async fn an_account_holder_has_no_advertisers_to_ask_about() {
    let world = World::with(GrantSpec::of(Flow::TtUser));
    let invocation = asking(&world).run(refresh()).await;
    assert_eq!((outcome(&invocation), warnings(&invocation)), ("refreshed".to_owned(), String::new()));
    assert_eq!(world.faults.journal().count(INFO), 0);
}

#[tokio::test]
async fn a_warning_about_the_list_stands_beside_one_about_the_facts() {
    let world = World::start();
    let list =
        json!({"code": 0, "data": {"list": [{"advertiser_id": "7000000000000000001"}, {"advertiser_name": "Nobody"}]}});
    world.faults.at(When::operation("oauth2/advertiser/get"), Fault::answer(200, "application/json", list.to_string()));
    world.faults.at(When::operation(INFO), Fault::tiktok(40105, "Access token is incorrect."));
    let warning = warnings(&asking(&world).run(refresh()).await);
    assert!(
        warning.contains("1 of them without an id") && warning.contains("status of 1 of 1 advertisers"),
        "{warning}"
    );
}
