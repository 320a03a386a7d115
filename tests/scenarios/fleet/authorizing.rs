//! The authorization of one secret of a fleet.

use serde_json::{Value, json};

use super::{Fleet, fleet};
use crate::{
    page::{HOST, browser, page},
    support::{BINARY, Scenario, assert_failed, only_result, scheduled},
};
use stand_ins::{APP_ID, GrantSpec, World, lambda::url_event};

/// The redirect that TikTok's consent page sends back for a link.
fn redirected(world: &World, link: &Value) -> String {
    let spec = GrantSpec::default();
    let code = world.tiktok.core().authorize_by_code(APP_ID, spec, std::time::Duration::from_hours(1));
    let url = url::Url::parse(link["authorize_url"].as_str().expect("a link")).expect("a URL");
    let state = url.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    let mut back = url::Url::parse(link["redirect_uri"].as_str().expect("where to")).expect("a URL");
    back.query_pairs_mut().append_pair("auth_code", &code).append_pair("state", &state);
    back.to_string()
}

#[tokio::test]
async fn who_authorizes_says_for_which_secret() {
    let Some(world) = fleet(2) else { return };
    let invocation = world.lambda().run(json!({"action": "authorize_url"})).await;
    let says = ["keeps every secret with the tag tiktok-token-refresh=ads", "'secret_id'"];
    assert_failed(&invocation, "InvalidEvent", &says);
}

#[tokio::test]
async fn a_link_for_one_of_a_fleet_leads_back_to_that_one() {
    let Some(world) = fleet(3) else { return };
    let (function, id) = (world.lambda(), &world.members[1].arn);
    let link = only_result(&function.run(json!({"action": "authorize_url", "secret_id": id})).await);
    let back = redirected(&world, &link);
    let result = only_result(&function.run(json!({"action": "exchange", "redirect_url": back})).await);
    assert_eq!((&result["secret_id"], &result["outcome"]), (&json!(id), &json!("authorized")));
}

#[tokio::test]
async fn a_dead_grant_of_a_fleet_names_the_command_with_its_id() {
    let Some(world) = fleet(2) else { return };
    world.tiktok.core().revoke(world.members[0].grant);
    let id = &world.members[0].arn;
    let command = format!(r#"<<<'{{"action":"authorize_url","secret_id":"{id}"}}'"#);
    assert_failed(&world.lambda().run(scheduled()).await, "PartialFailure", &["ReauthorizationRequired", &command]);
}

#[tokio::test]
async fn the_page_connects_what_has_the_tag_and_nothing_else() {
    let Some(world) = fleet(2) else { return };
    let stranger = world.tagged(&format!("{}/stranger", world.secret_id), &[("tiktok-token-refresh", "other")]);
    let (member, function) = (world.members[1].arn.clone(), world.lambda());
    for (id, status) in [(&member, 200), (&stranger, 400)] {
        let before = world.document_of(id, "AWSCURRENT");
        // The owner of the other secret has a function too, which shares the app and may make links for it.
        let its_own = world.function_with(BINARY, &[("SECRET_TAG", ""), ("SECRET_ID", id)]);
        let uri = format!("https://{HOST}/callback");
        let event = json!({"action": "authorize_url", "redirect_uri": uri, "secret_id": id});
        let back = redirected(&world, &only_result(&its_own.run(event).await));
        let query = back.split_once('?').expect("a query").1;
        let answer = page(&function.run(url_event(&browser(query))).await);
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(world.document_of(id, "AWSCURRENT") != before, status == 200);
    }
}
