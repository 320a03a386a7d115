//! The rows of the fault matrix: an event and its world.

use std::{
    future::{Future, ready},
    pin::Pin,
    time::Duration,
};

use serde_json::{Value, json};
use tiktok_token_refresh::rotation::RotationStep;

use super::oracle::Watched;
use crate::{
    authorize,
    support::{BINARY, Scenario, refresh, scheduled},
};
use stand_ins::{
    APP_ID, APP_SECRET, Fault, Flow as Family, Function, GrantSpec, When, World, add_advertisers,
    secrets_manager::client::new_token, tiktok::Renewal,
};

const TAG: &str = "tiktok-token-refresh=faults";

/// A world at the moment before the run that is disturbed.
#[derive(Debug)]
pub struct Scene {
    pub world: World,
    pub function: Function,
    pub secrets: Vec<Watched>,
    /// The secrets that a request may name: credentials secrets, then reader secrets and the app's.
    pub names: Vec<String>,
    /// The event that is disturbed.
    pub event: Value,
    /// The event after the failure: the same again, or the next step.
    pub next: Vec<Value>,
}

impl Scene {
    /// A scene of one secret, in which the disturbed event is repeated as Lambda does.
    fn of(world: World, event: Value) -> Self {
        let function = world.lambda();
        Self::with(world, function, event)
    }

    fn with(world: World, function: Function, event: Value) -> Self {
        let secrets = vec![Watched::new(&world.secret_id, world.grant)];
        let names = vec![world.secret_id.clone()];
        Self { world, function, secrets, names, next: vec![event.clone()], event }
    }

    fn then(self, next: Vec<Value>) -> Self {
        Self { next, ..self }
    }
}

type Prepared = Pin<Box<dyn Future<Output = Scene> + Send>>;

/// A scene that needs no run before it.
fn now(scene: Scene) -> Prepared {
    Box::pin(ready(scene))
}

/// Something that the function is asked for.
#[derive(Clone, Copy)]
pub struct Flow {
    pub name: &'static str,
    pub prepare: fn() -> Prepared,
}

/// All flows.
pub const FLOWS: [Flow; 21] = [
    Flow { name: "daily, rotating", prepare: || now(daily(rotating())) },
    Flow { name: "daily, settled", prepare: || Box::pin(settled(refresh())) },
    Flow { name: "daily, same token", prepare: || now(daily(renewed(Renewal::SameRefreshToken))) },
    Flow { name: "daily, tt_user", prepare: || now(daily(GrantSpec::of(Family::TtUser))) },
    Flow { name: "daily, long-term", prepare: || now(daily_with(GrantSpec::long_term(), |_| {})) },
    Flow { name: "daily, other advertisers", prepare: || now(daily_with(rotating(), put_old_list)) },
    Flow { name: "daily, app apart, facts", prepare: || now(app_apart()) },
    Flow { name: "daily, two readers", prepare: || Box::pin(readers(scheduled())) },
    Flow { name: "resume", prepare: || Box::pin(resume()) },
    Flow { name: "top-up, due", prepare: || Box::pin(top_up(Duration::from_hours(11))) },
    Flow { name: "top-up, fresh", prepare: || Box::pin(top_up(Duration::from_hours(24))) },
    Flow { name: "status", prepare: || Box::pin(status()) },
    Flow { name: "dry run", prepare: || now(dry_run()) },
    Flow { name: "authorize_url", prepare: || now(link()) },
    Flow { name: "exchange", prepare: || Box::pin(exchange()) },
    Flow { name: "exchange, the first", prepare: || Box::pin(first_exchange()) },
    Flow { name: "createSecret", prepare: || Box::pin(rotation(rotating(), RotationStep::CreateSecret)) },
    Flow { name: "testSecret", prepare: || Box::pin(rotation(rotating(), RotationStep::TestSecret)) },
    Flow { name: "finishSecret", prepare: || Box::pin(rotation(rotating(), RotationStep::FinishSecret)) },
    Flow {
        name: "createSecret, long-term",
        prepare: || Box::pin(rotation(GrantSpec::long_term(), RotationStep::CreateSecret)),
    },
    Flow { name: "a fleet of three", prepare: || now(fleet()) },
];

/// The worst that TikTok is believed to do: who sends a used refresh token once more loses every token of the grant.
fn rotating() -> GrantSpec {
    renewed(Renewal::Rotating { reuse_revokes: true })
}

fn renewed(renewal: Renewal) -> GrantSpec {
    GrantSpec { renewal, ..GrantSpec::default() }
}

/// A world whose TikTok repeats in its errors what it was sent, and whose secret has fields of a person's.
fn world(spec: GrantSpec, change: impl FnOnce(&mut Value)) -> World {
    let world = World::with_document(spec, |document| {
        put_own_fields(document);
        change(document);
    });
    world.tiktok.core().echo_secrets = true;
    world
}

/// Adds fields that this project does not know. They must neither get lost nor show.
fn put_own_fields(document: &mut Value) {
    document["owner"] = json!("Überwachung, canary-note");
    document["mine"] = json!({"large": 9_007_199_254_740_995_u64, "list": [1, 2.5, null, {"": "\"\\\u{7}"}]});
}

/// The list as it was before an advertiser came and another went.
fn put_old_list(document: &mut Value) {
    document["advertiser_ids"] = json!(["6999", "7000000000000000001"]);
    let entry = |id, name| json!({"advertiser_id": id, "advertiser_name": name});
    document["advertisers"] = json!([entry("6999", "Old"), entry("7000000000000000001", "First Advertiser")]);
    document["advertisers_fetched_at"] = json!("2026-01-01T00:00:00Z");
}

fn if_needed() -> Value {
    json!({"action": "refresh", "if_needed": true})
}

/// The usual day: the advertisers are those of yesterday.
fn daily(spec: GrantSpec) -> Scene {
    let known = spec.clone();
    daily_with(spec, move |document| add_advertisers(document, &known))
}

fn daily_with(spec: GrantSpec, change: impl FnOnce(&mut Value)) -> Scene {
    Scene::of(world(spec, change), scheduled())
}

/// A secret that was refreshed before: the labels on it say that there is nothing else to look for.
async fn settled(event: Value) -> Scene {
    let spec = rotating();
    let known = spec.clone();
    let scene = Scene::of(world(spec, move |document| add_advertisers(document, &known)), event);
    for _ in 0..2 {
        scene.function.run(refresh()).await;
    }
    scene
}

/// The app's credentials are in a secret of their own, and TikTok is asked for more about each advertiser.
fn app_apart() -> Scene {
    let app = format!("app/{}", new_token());
    let mut credentials = Value::Null;
    let world = world(rotating(), |document| {
        let fields = document.as_object_mut().expect("an object");
        credentials = json!({"app_id": fields.remove("app_id"), "secret": fields.remove("secret")});
        document["app_secret_id"] = json!(app);
    });
    world.create_secret(&app, &credentials);
    let function = world.function_with(BINARY, &[("ADVERTISER_INFO", "true")]);
    let mut scene = Scene::with(world, function, scheduled());
    scene.names.push(app);
    scene
}

/// Two reader secrets: one holds what the secret holds, the other one is new and has no value yet.
async fn readers(event: Value) -> Scene {
    let readers = ["old", "new"].map(|which| format!("reader/{which}/{}", new_token()));
    let spec = rotating();
    let world = world(spec.clone(), |document| {
        add_advertisers(document, &spec);
        let entry = |reader: &String| json!({"secret_id": reader, "format": "reader"});
        document["publish"] = readers.iter().map(entry).collect();
    });
    let current = world.current();
    let value = json!({"access_token": current["access_token"], "advertiser_ids": current["advertiser_ids"]});
    world.create_secret(&readers[0], &value);
    let empty = json!({"Name": readers[1], "ClientRequestToken": new_token()});
    world.secrets_manager.client().call("CreateSecret", empty).await.expect("a new secret");
    let mut scene = Scene::of(world, event);
    scene.names.extend(readers.clone());
    scene.secrets[0].readers = readers.into();
    scene
}

/// A run before this one died when its tokens were staged.
async fn resume() -> Scene {
    let scene = daily(rotating());
    scene.world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    scene.function.run(scene.event.clone()).await;
    scene.world.faults.clear();
    scene.world.let_the_claim_expire().await;
    scene
}

/// Tokens that live so long. Those that come after them live for a day.
async fn top_up(lifetime: Duration) -> Scene {
    let spec = GrantSpec { access_lifetime: lifetime, ..rotating() };
    let scene = Scene::of(world(spec, |_| {}), if_needed());
    scene.function.run(refresh()).await;
    scene.world.tiktok.core().grant_mut(scene.world.grant).access_lifetime = Duration::from_hours(24);
    scene
}

async fn status() -> Scene {
    let scene = readers(json!({"action": "status"})).await.then(vec![scheduled()]);
    // Something to look at: tokens that wait, and a claim.
    scene.world.faults.at(When::operation("UpdateSecretVersionStage"), Fault::KillBefore);
    scene.function.run(scheduled()).await;
    scene.world.faults.clear();
    scene
}

fn dry_run() -> Scene {
    Scene::of(world(rotating(), |_| {}), json!({"action": "refresh", "dry_run": true})).then(vec![scheduled()])
}

fn link() -> Scene {
    Scene::of(world(rotating(), |_| {}), authorize::authorize_url()).then(vec![scheduled()])
}

/// A person authorizes the app anew while the old tokens still work.
async fn exchange() -> Scene {
    consented(settled(scheduled()).await).await
}

/// A person authorizes the app, and the secret holds no tokens yet.
async fn first_exchange() -> Scene {
    let world = World::empty();
    let mut document = json!({"app_id": APP_ID, "secret": APP_SECRET});
    put_own_fields(&mut document);
    world.create_secret(&world.secret_id, &document);
    world.tiktok.core().echo_secrets = true;
    let mut scene = Scene::of(world, Value::Null);
    scene.secrets[0].grants.clear();
    consented(scene).await
}

/// The person has consented, and sends the address on which the browser ended.
async fn consented(mut scene: Scene) -> Scene {
    let link = authorize::link(&scene.function, authorize::authorize_url()).await;
    scene.event = authorize::exchange(&authorize::consent(&scene.world, &link, rotating()));
    scene.secrets[0].grants.push(scene.world.tiktok.core().grants());
    // Sent again after it has done its work, a link is refused. The schedule goes on in any case.
    let next = vec![scene.event.clone(), if_needed()];
    scene.then(next)
}

/// A step of a rotation, after those before it. Secrets Manager repeats it, and goes on.
async fn rotation(spec: GrantSpec, step: RotationStep) -> Scene {
    let scene = daily_with(spec, put_old_list);
    let token = new_token();
    scene.world.secrets_manager.core().begin_rotation(&scene.world.secret_id, &token);
    let secret_id = &scene.world.secret_id;
    let event = |step: RotationStep| json!({"Step": step.name(), "SecretId": secret_id, "ClientRequestToken": token});
    let place = RotationStep::ALL.iter().position(|it| *it == step).expect("one of the steps");
    let (before, after) = RotationStep::ALL.split_at(place);
    for step in before {
        scene.function.run(event(*step)).await;
    }
    let (event, next) = (event(step), after.iter().map(|step| event(*step)).collect());
    Scene { event, next, ..scene }
}

/// Three secrets that are alike.
fn fleet() -> Scene {
    let spec = rotating();
    let world = World::fleet_with_documents(3, TAG, 1, &spec, |document| {
        put_own_fields(document);
        add_advertisers(document, &spec);
    });
    world.tiktok.core().echo_secrets = true;
    let mut scene = Scene::of(world, scheduled());
    scene.secrets = scene.world.members.iter().map(|member| Watched::new(&member.secret_id, member.grant)).collect();
    scene.names = scene.secrets.iter().map(|secret| secret.secret_id.clone()).collect();
    scene
}
