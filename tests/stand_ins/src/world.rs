//! Everything that a scenario needs, started and wired together.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::faults::Faults;
use super::lambda::{Function, FunctionConfig};
use super::secrets_manager::client::new_token;
use super::secrets_manager::{Backend, NewSecret, SecretsManager, SecretsManagerServer};
use super::tiktok::{Advertiser, Flow, GrantId, GrantSpec, Issued, TikTok, TikTokServer};

/// The app that every world has.
pub const APP_ID: &str = "7100000000000000001";
/// Its secret.
pub const APP_SECRET: &str = "canary-app-secret-0123456789abcdef";

/// Runs every scenario against the emulator at this URL instead of the strict state machine.
const UPSTREAM: &str = "TEST_SECRETS_MANAGER_URL";

/// Both servers with one fault plan, an app, a grant, and a credentials secret that holds the grant's first tokens.
#[derive(Debug)]
pub struct World {
    /// The fault plan and the journal.
    pub faults: Faults,
    /// AWS.
    pub secrets_manager: SecretsManagerServer,
    /// TikTok.
    pub tiktok: TikTokServer,
    /// The grant whose tokens are in the secret.
    pub grant: GrantId,
    /// The name of the credentials secret.
    pub secret_id: String,
    /// The secrets of a fleet; none in a world of one.
    pub members: Vec<Member>,
    /// The tag by which the function finds them.
    pub tag: Option<String>,
}

/// One authorization of a fleet.
#[derive(Clone, Debug)]
pub struct Member {
    /// The name of its credentials secret.
    pub secret_id: String,
    /// The ARN.
    pub arn: String,
    /// The grant whose tokens are in it.
    pub grant: GrantId,
    /// The app that the grant was given to.
    pub app_id: String,
}

impl World {
    /// A world whose grant is renewed daily by a refresh token that rotates.
    pub fn start() -> Self {
        Self::with(GrantSpec::default())
    }

    /// A world with another kind of grant.
    pub fn with(spec: GrantSpec) -> Self {
        Self::with_document(spec, |_| {})
    }

    /// A world with another kind of grant, and with changes to the credentials document before it is stored.
    pub fn with_document(spec: GrantSpec, change: impl FnOnce(&mut Value)) -> Self {
        let mut world = Self::empty();
        let (flow, issued) = (spec.flow, world.tiktok.core().authorize(APP_ID, spec));
        world.grant = issued.grant;
        let mut document = credentials(flow, &issued);
        change(&mut document);
        world.create_secret(&world.secret_id, &document);
        world
    }

    /// A world with `n` credentials secrets, each with a grant of its own, which the function finds by the tag `key` or
    /// `key=value`. The first is the one that [`document`](Self::document) shows.
    pub fn fleet(n: usize, tag: &str) -> Self {
        Self::fleet_of(n, tag, 1, &GrantSpec::default())
    }

    /// A fleet whose grants are of one kind and belong to so many apps in turn.
    pub fn fleet_of(n: usize, tag: &str, apps: usize, spec: &GrantSpec) -> Self {
        Self::fleet_with_documents(n, tag, apps, spec, |_| {})
    }

    /// Such a fleet, with changes to each credentials document before it is stored.
    pub fn fleet_with_documents(
        n: usize,
        tag: &str,
        apps: usize,
        spec: &GrantSpec,
        change: impl Fn(&mut Value),
    ) -> Self {
        let mut world = Self::empty();
        let id = world.secret_id.clone();
        let apps: Vec<_> = (0..apps).map(app).collect();
        apps.iter().skip(1).for_each(|(app_id, secret)| world.tiktok.core().add_app(app_id, secret));
        let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
        for (number, (app_id, secret)) in apps.iter().cycle().take(n).enumerate() {
            let issued = world.tiktok.core().authorize(app_id, spec.clone());
            let mut document = credentials(spec.flow, &issued);
            (document["app_id"], document["secret"]) = (json!(app_id), json!(secret));
            change(&mut document);
            let secret_id = format!("{id}/{number:05}");
            let arn = world.create_tagged_secret(&secret_id, &document, &[(key, value)]);
            world.members.push(Member { secret_id, arn, grant: issued.grant, app_id: app_id.clone() });
        }
        if let Some(first) = world.members.first() {
            (world.secret_id, world.grant) = (first.secret_id.clone(), first.grant);
        }
        world.tag = Some(tag.to_owned());
        world
    }

    /// Both servers and the app: no grant, no secret. The name of the secret-to-be is set.
    pub fn empty() -> Self {
        let faults = Faults::new();
        let backend = match env::var(UPSTREAM) {
            Ok(url) => Backend::Forward(url),
            Err(_) => Backend::Strict(SecretsManager::new()),
        };
        let secrets_manager = SecretsManagerServer::start(faults.clone(), backend);
        // Unique, because all scenarios of a run may share one upstream emulator.
        let id = Uuid::new_v4().simple().to_string();
        let mut tiktok = TikTok::new(&id[..8]);
        tiktok.add_app(APP_ID, APP_SECRET);
        let tiktok = TikTokServer::start(faults.clone(), tiktok);
        let (secret_id, members) = (format!("tiktok/ads/{id}"), Vec::new());
        Self { faults, secrets_manager, tiktok, grant: 0, secret_id, members, tag: None }
    }

    /// A world in which every event of the folder `events` succeeds as it is: its secret is `tiktok/ads`, and TikTok takes the
    /// auth code `AUTH_CODE` once.
    pub fn of_the_events() -> Self {
        let mut world = Self::empty();
        "tiktok/ads".clone_into(&mut world.secret_id);
        let issued = world.tiktok.core().authorize(APP_ID, GrantSpec::default());
        world.grant = issued.grant;
        world.create_secret(&world.secret_id, &credentials(Flow::Business, &issued));
        let year = Duration::from_hours(365 * 24);
        world.tiktok.core().authorize_by_this_code("AUTH_CODE", APP_ID, GrantSpec::default(), year);
        world
    }

    /// Creates another secret, from code that need not be async, and returns its ARN.
    pub fn create_secret(&self, name: &str, document: &Value) -> String {
        self.create_tagged_secret(name, document, &[])
    }

    /// Creates another secret with tags, from code that need not be async, and returns its ARN.
    pub fn create_tagged_secret(&self, name: &str, document: &Value, tags: &[(&str, &str)]) -> String {
        let (name, body) = (name.to_owned(), document.to_string());
        let tags: Vec<_> = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        if self.secrets_manager.is_strict() {
            // Not over the wire: ten thousand connections take their time.
            let (tags, body) = (tags.into_iter().collect(), Some(body.as_str().into()));
            let new = NewSecret { name, token: new_token(), body, tags, ..NewSecret::default() };
            return self.secrets_manager.core().create_secret(new).expect("a new secret").arn;
        }
        let client = self.secrets_manager.client();
        let created = async move {
            let tags: Vec<_> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            client.create_tagged_secret(&name, &body, &tags).await
        };
        self.secrets_manager.background().block_on(created).expect("a new secret")
    }

    /// The document that a label of the credentials secret holds, from code that need not be async.
    pub fn document(&self, label: &str) -> Option<Value> {
        self.document_of(&self.secret_id, label)
    }

    /// The document that a label of any secret holds.
    pub fn document_of(&self, secret_id: &str, label: &str) -> Option<Value> {
        let (client, name, label) = (self.secrets_manager.client(), secret_id.to_owned(), label.to_owned());
        let (_, body) = self.secrets_manager.background().block_on(async move { client.get(&name, &label).await })?;
        Some(serde_json::from_str(&body).expect("the secret holds JSON"))
    }

    /// The variables by which the function finds this world.
    pub fn function_env(&self) -> Vec<(String, String)> {
        let variables = [
            match &self.tag {
                Some(tag) => ("SECRET_TAG", tag.clone()),
                None => ("SECRET_ID", self.secret_id.clone()),
            },
            ("TIKTOK_API_URL", self.tiktok.url()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets_manager.url()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The function in this world. The fault plan's kills are for the last one started.
    pub fn function(&self, binary: impl Into<PathBuf>) -> Function {
        self.function_with(binary, &[])
    }

    /// The function with more variables, or with other values for those that it has.
    pub fn function_with(&self, binary: impl Into<PathBuf>, variables: &[(&str, &str)]) -> Function {
        let mut env = self.function_env();
        env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let function = Function::start(FunctionConfig::new(binary, env));
        self.faults.set_killer(function.killer());
        function
    }
}

/// The id and the secret of an app of a fleet: the first is the one that every world has.
fn app(number: usize) -> (String, String) {
    match number {
        0 => (APP_ID.to_owned(), APP_SECRET.to_owned()),
        _ => (format!("72{number:017}"), format!("canary-app-secret-{number:016x}")),
    }
}

/// The document that a person stores at first.
pub fn credentials(flow: Flow, issued: &Issued) -> Value {
    let mut document = json!({ "app_id": APP_ID, "secret": APP_SECRET, "access_token": issued.access_token });
    if let Some(refresh_token) = &issued.refresh_token {
        document["refresh_token"] = json!(refresh_token);
    }
    if flow == Flow::TtUser {
        document["flow"] = json!("tt_user");
    }
    document
}

/// Adds what a refresh leaves in a document: the advertisers, as on the usual day, when none has come and none has gone.
pub fn add_advertisers(document: &mut Value, spec: &GrantSpec) {
    let entry = |Advertiser { id, name }: &Advertiser| json!({ "advertiser_id": id, "advertiser_name": name });
    document["advertiser_ids"] = spec.advertisers.iter().map(|advertiser| json!(advertiser.id)).collect();
    document["advertisers"] = spec.advertisers.iter().map(entry).collect();
    document["advertisers_fetched_at"] = json!("2026-01-01T00:00:00Z");
}
