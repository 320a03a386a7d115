//! The documented limits of AWS and TikTok, enforced by the stand-ins.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use stand_ins::{
    APP_ID, APP_SECRET, GrantSpec, Limit, SecretsManager, World,
    secrets_manager::{Caller, Exception, client::new_token},
    wire::send,
};

use crate::support::strictly;

const TAG: &str = "fleet=ads";

/// A page of the list, as AWS answers it.
async fn page(world: &World, next_token: Option<&Value>) -> Value {
    let filters = json!([{ "Key": "tag-key", "Values": ["fleet"] }, { "Key": "tag-value", "Values": ["ads"] }]);
    let mut input = json!({ "Filters": filters, "MaxResults": 100 });
    if let Some(token) = next_token {
        input["NextToken"] = token.clone();
    }
    world.secrets_manager.client().call("ListSecrets", input).await.expect("a page")
}

/// Asks TikTok for a grant's advertisers, and returns the code of its answer.
async fn ask(world: &World) -> u64 {
    let (access_token, _) = world.tiktok.core().newest(world.grant);
    let path = format!("/open_api/v1.3/oauth2/advertiser/get/?app_id={APP_ID}&secret={APP_SECRET}");
    let authority = world.tiktok.address();
    let mut request = hyper::Request::get(path).header("host", authority.to_string());
    request = request.header("access-token", access_token);
    let request = request.body(Bytes::new()).expect("a request");
    let answer = send(authority, request).await.expect("an answer");
    serde_json::from_slice::<Value>(answer.body()).expect("JSON")["code"].as_u64().expect("a code")
}

#[tokio::test]
async fn a_fleet_is_listed_a_hundred_at_a_time_with_tags_and_labels() {
    let Some(world) = strictly(|| World::fleet(201, TAG)) else { return };
    world.create_tagged_secret("tiktok/other", &json!({}), &[("fleet", "search")]);
    let (mut names, mut sizes, mut next) = (BTreeSet::new(), Vec::new(), None);
    loop {
        let page = page(&world, next.as_ref()).await;
        let secrets = page["SecretList"].as_array().expect("a list");
        for secret in secrets {
            assert_eq!(secret["Tags"], json!([{ "Key": "fleet", "Value": "ads" }]));
            let labels: Vec<_> = secret["SecretVersionsToStages"].as_object().expect("labels").values().collect();
            assert_eq!(labels, [&json!(["AWSCURRENT"])]);
            names.insert(secret["Name"].as_str().expect("a name").to_owned());
        }
        sizes.push(secrets.len());
        next = page.get("NextToken").cloned();
        if next.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [100, 100, 1]);
    assert_eq!(names, world.members.iter().map(|member| member.secret_id.clone()).collect());
}

#[tokio::test]
async fn the_list_may_be_minutes_old_and_a_secret_itself_is_not() {
    let Some(world) = strictly(|| World::fleet(1, TAG)) else { return };
    let client = world.secrets_manager.client();
    world.secrets_manager.core().freeze_list();
    let staged = new_token();
    client.put_labeled(&world.secret_id, &staged, "{}", &["AWSPENDING"]).await.expect("a staged version");
    let listed = page(&world, None).await["SecretList"][0]["SecretVersionsToStages"].clone();
    assert!(!listed.as_object().expect("labels").contains_key(&staged), "{listed}");
    assert_eq!(client.describe(&world.secret_id).await.expect("a description")[&staged], ["AWSPENDING"]);
}

#[tokio::test]
async fn a_batch_takes_twenty_secrets_and_names_each_that_it_cannot_read() {
    let Some(world) = strictly(|| World::fleet(20, TAG)) else { return };
    let client = world.secrets_manager.client();
    let mut ids: Vec<&str> = world.members.iter().map(|member| member.arn.as_str()).collect();
    ids[7] = "tiktok/gone";
    let batch = client.call("BatchGetSecretValue", json!({ "SecretIdList": ids })).await.expect("a batch");
    let values = batch["SecretValues"].as_array().expect("values");
    assert_eq!(values.len(), 19);
    assert!(values.iter().all(|value| value["VersionStages"] == json!(["AWSCURRENT"])));
    let errors = batch["Errors"].as_array().expect("errors");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["SecretId"], "tiktok/gone");
    assert_eq!(errors[0]["ErrorCode"], "ResourceNotFoundException");

    ids.push("tiktok/one/too/many");
    let refused = client.call("BatchGetSecretValue", json!({ "SecretIdList": ids })).await.expect_err("21 are refused");
    assert_eq!(refused.exception, "ValidationException");
}

#[test]
fn more_than_fifty_writes_in_a_second_are_throttled_whichever_they_are() {
    let Some(world) = strictly(|| World::fleet(1, TAG)) else { return };
    let mut core = world.secrets_manager.core();
    core.set_write_quota(Some(50));
    core.caller = Caller::Function("function".to_owned());
    let version = core.labeled(&world.secret_id, "AWSCURRENT").expect("a version").id;
    for write in 0..50 {
        let result = if write % 2 == 0 {
            core.put_secret_value(&world.secret_id, &new_token(), "{}".into(), &["AWSPENDING"]).map(drop)
        } else {
            core.update_secret_version_stage(&world.secret_id, "LABEL", Some(&version), None).map(drop)
        };
        assert_eq!(result, Ok(()), "write {write}");
    }
    let put = |core: &mut SecretsManager| {
        core.put_secret_value(&world.secret_id, &new_token(), "{}".into(), &["AWSPENDING"]).map(drop)
    };
    assert_eq!(put(&mut core).map_err(|error| error.exception), Err(Exception::Throttling));
    assert_eq!((core.write_rate().greatest, core.write_rate().refused), (51, 1));
    core.clock.advance(Duration::from_secs(1));
    assert_eq!(put(&mut core), Ok(()));
}

#[tokio::test]
async fn more_than_ten_requests_of_an_app_in_a_second_are_too_frequent() {
    let world = World::fleet_of(2, TAG, 2, &GrantSpec::default());
    world.tiktok.core().set_rate_limit(Some(10));
    for _ in 0..10 {
        assert_eq!(ask(&world).await, 0);
    }
    assert_eq!(ask(&world).await, 40100);
    {
        let mut tiktok = world.tiktok.core();
        assert_eq!((tiktok.rate_of(APP_ID).greatest, tiktok.rate_of(APP_ID).refused), (11, 1));
        assert_eq!(tiktok.rate_of(&world.members[1].app_id).requests, 0, "each app has a limit of its own");
        tiktok.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(ask(&world).await, 0);
}

#[tokio::test]
async fn an_app_that_asked_too_often_in_a_minute_has_to_pause() {
    let world = World::start();
    let (window, pause) = (Duration::from_mins(1), Duration::from_mins(5));
    world.tiktok.core().set_minute_limit(Some(Limit { requests: 3, window, pause }));
    let ahead = |by| world.tiktok.core().clock.advance(by);
    for code in [0, 0, 0, 40100] {
        assert_eq!(ask(&world).await, code);
    }
    ahead(Duration::from_mins(4));
    assert_eq!(ask(&world).await, 40100, "a minute later it is still too early");
    ahead(Duration::from_mins(1));
    assert_eq!(ask(&world).await, 0);
}
