//! The main job, as the schedule starts it.

use crate::{
    stand_ins::World,
    support::{only_result, outcome, scheduled},
};

#[tokio::test]
async fn a_scheduled_run_leaves_a_working_token_and_the_advertisers() {
    let world = World::start();
    let invocation = world.lambda().run(scheduled()).await;
    assert_eq!(outcome(&invocation), "refreshed");
    world.assert_usable();
    assert_eq!(only_result(&invocation)["advertisers"], 2);
    assert_eq!(world.current()["advertiser_ids"], serde_json::json!(["7000000000000000001", "7000000000000000002"]));
}
