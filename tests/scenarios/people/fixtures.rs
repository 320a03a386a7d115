//! The events in the folder `events`.

use std::fs;

use stand_ins::World;
use tiktok_token_refresh::rotation::RotationStep;

use crate::{
    events::examples,
    support::{Scenario, outcome, strictly},
};

#[tokio::test]
async fn every_event_of_the_folder_succeeds_as_it_is_against_the_stand_ins() {
    let Some(world) = strictly(World::of_the_events) else { return };
    let function = world.lambda();
    let mut events = examples();
    // The steps of a rotation in their order, and all that is no step before them.
    let step = |event: &serde_json::Value| {
        let step = event["Step"].as_str()?.to_owned();
        RotationStep::ALL.iter().position(|known| known.name() == step)
    };
    events.sort_by_key(|(name, event)| (step(event), name.clone()));
    for (name, event) in events {
        let invocation = function.run(event).await;
        let result = &invocation.outcome.response()["results"][0];
        let expected = match name.as_str() {
            "refresh" => Some("refreshed"),
            "exchange" => Some("authorized"),
            "dry-run" => Some("dry_run"),
            "rotation-create" => Some("staged"),
            "rotation-set" => Some("nothing_to_set"),
            "rotation-test" => Some("works"),
            "rotation-finish" => Some("promoted"),
            _ => None,
        };
        assert!(expected.is_none_or(|expected| result["outcome"] == expected), "{name}: {result}");
        assert_eq!(result["secret_id"], "tiktok/ads", "{name}");
    }
    world.assert_usable();
    assert_eq!(outcome(&function.run(crate::support::refresh()).await), "refreshed");
}

#[test]
fn the_readme_of_the_folder_names_every_event() {
    let readme = fs::read_to_string("events/README.md").expect("the page");
    for (name, _) in examples() {
        assert!(readme.contains(&format!("`{name}.json`")), "{name}");
    }
}
