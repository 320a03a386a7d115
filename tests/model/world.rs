//! The world of the model: the same strict Secrets Manager and TikTok that the servers put on the wire, and the cycle's
//! ports on top of them.

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
    time::Duration,
};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tiktok_token_refresh::{
    document::{Advertiser, AdvertiserInfo, App, Flow},
    error::{Error, Kind},
    transport::{
        Clock, Description, Label, Labels, Listing, PutResult, Store, Stored, SwapResult, TikTok, TokenSet,
        VersionSelector,
    },
};

use super::explorer::{Port, hash};
use stand_ins::{
    secrets_manager::{Body, Exception, SecretsManager},
    tiktok::{self as stand_in, GrantId},
};

pub const SECRET: &str = "tiktok/ads";

/// One redeem that TikTok carried out, and for which run.
#[derive(Clone, Debug, Hash)]
pub struct Spent {
    pub run: usize,
    pub refresh_token: String,
    pub access_token: String,
    /// Whether the answer is in the store.
    pub staged: bool,
    /// Whether its run has begun to write it.
    pub offered: bool,
    /// Whether its run died before it was written.
    pub lost: bool,
}

#[derive(Clone, Debug)]
pub struct World {
    pub secrets: SecretsManager,
    pub tiktok: stand_in::TikTok,
    pub now: Timestamp,
    pub spent: Vec<Spent>,
    /// The access tokens that TikTok has rejected when a run checked them.
    pub rejected: Vec<String>,
    /// How each run ended: its outcome or the name of its error; none while it runs or if it crashed.
    pub endings: Vec<(usize, String)>,
    /// The grant whose tokens a person pasted in, if one did.
    pub pasted: Option<GrantId>,
    /// The auth code that a person brings back from the consent page, if one does.
    pub code: Option<String>,
    /// Whether the new grant puts an end to the old one.
    pub one_grant_at_a_time: bool,
    /// The grant that the code was exchanged for.
    pub exchanged: Option<GrantId>,
    /// The runs that have claimed a pair whose answer was in the store by then.
    pub too_late: BTreeSet<usize>,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.secrets.versions(SECRET).hash(state);
        self.tiktok.redeems().hash(state);
        self.tiktok.refused_redeems().hash(state);
        (self.now, &self.spent, &self.rejected, &self.endings, self.pasted, self.exchanged).hash(state);
        self.too_late.hash(state);
    }
}

impl World {
    pub fn body(&self, label: &str) -> Option<String> {
        let version = self.secrets.labeled(SECRET, label)?;
        version.body.as_ref().and_then(Body::as_str).map(str::to_owned)
    }

    pub fn field(&self, name: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_str(&self.body("AWSCURRENT")?).ok()?;
        body.get(name)?.as_str().map(str::to_owned)
    }

    pub fn crashed(&mut self, run: usize) {
        for spent in self.spent.iter_mut().filter(|spent| spent.run == run && !spent.staged) {
            spent.lost = true;
        }
    }

    pub fn advance(&mut self, by: Duration) {
        self.now += by;
        self.secrets.clock.advance(by);
        self.tiktok.clock.advance(by);
    }

    /// What TikTok has given for a refresh token or an auth code, and what of it the cycle is told.
    fn note_spent(&mut self, run: usize, spent: &str, tokens: stand_in::Tokens) -> Given {
        self.spent.push(Spent {
            run,
            refresh_token: spent.to_owned(),
            access_token: tokens.access_token.clone(),
            staged: false,
            offered: false,
            lost: false,
        });
        (tokens.access_token, tokens.refresh_token, tokens.expires_in)
    }

    fn note_offered(&mut self, body: &str) {
        for spent in &mut self.spent {
            spent.offered |= body.contains(&spent.access_token);
        }
    }

    /// The run holds a claim from now on. What is in the store at this moment it can know.
    fn note_claimed(&mut self, run: usize, claim: &str) {
        let claim: serde_json::Value = serde_json::from_str(claim).expect("a claim is JSON");
        let answer = claim["claim"]["result_version_id"].as_str().expect("a claim names what comes of it");
        if self.secrets.get_secret_value(SECRET, Some(answer), None).is_ok() {
            self.too_late.insert(run);
        } else {
            self.too_late.remove(&run);
        }
    }

    fn note_staged(&mut self, body: &str) {
        for spent in &mut self.spent {
            spent.staged |= body.contains(&spent.access_token);
        }
    }
}

fn unexpected(what: impl std::fmt::Debug) -> Error {
    Error::new(Kind::SecretsManagerUnavailable, format!("the model did not expect {what:?}"))
}

impl Store for Port {
    async fn get(&self, _: &str, which: VersionSelector<'_>) -> Result<Option<Stored>, Error> {
        let (name, id, label) = match which {
            VersionSelector::Label(label) => (format!("get {}", label.name()), None, Some(label.name())),
            VersionSelector::Id(id) => (format!("get version {id}"), Some(id), None),
        };
        let read = |world: &mut World| world.secrets.get_secret_value(SECRET, id, label).ok();
        let value = self.request(name, move |world| Told(read(world))).await.0;
        Ok(value.map(|value| Stored {
            arn: value.arn,
            version_id: value.version_id,
            labels: value.labels.iter().filter_map(|name| Label::named(name)).collect(),
            body: SecretString::from(value.body.as_str().unwrap_or_default()),
        }))
    }

    async fn count_versions(&self, _: &str, since: Timestamp) -> Result<usize, Error> {
        let since = Duration::from_secs(since.as_second().unsigned_abs());
        // The room in a secret concerns no order of things, so it needs no gate.
        Ok(self.world(|world| world.secrets.versions(SECRET).iter().filter(|it| it.created >= since).count()))
    }

    async fn describe(&self, _: &str) -> Result<Option<Description>, Error> {
        Ok(Some(Description { labels: Labels::default(), tags: Vec::new() }))
    }

    async fn put(&self, _: &str, id: &str, labels: &[Label], body: &SecretString) -> Result<PutResult, Error> {
        let (run, text) = (self.run, body.expose_secret().to_owned());
        self.world(|world| world.note_offered(&text));
        let names: Vec<_> = labels.iter().map(|label| label.name()).collect();
        let name = format!("put {} {id}", names.join(" "));
        let put = move |world: &mut World| {
            let answer = world.secrets.put_secret_value(SECRET, id, Body::String(text.as_str().into()), &names);
            if answer.is_ok() {
                world.note_staged(&text);
                if labels == [Label::Claim] {
                    world.note_claimed(run, &text);
                }
            }
            answer.map(|_| ()).map_err(|error| error.exception)
        };
        match self.request(name, put).await {
            Ok(()) => Ok(PutResult::Written),
            Err(Exception::ResourceExists) => Ok(PutResult::Taken),
            Err(other) => Err(unexpected(other)),
        }
    }

    async fn promote(&self, _: &str, to: &str, from: &str) -> Result<SwapResult, Error> {
        self.move_label("AWSCURRENT", Some(to), from).await
    }

    async fn move_pending(&self, _: &str, to: &str, from: &str) -> Result<SwapResult, Error> {
        self.move_label("AWSPENDING", Some(to), from).await
    }

    async fn detach(&self, _: &str, label: Label, from: &str) -> Result<SwapResult, Error> {
        self.move_label(label.name(), None, from).await
    }
}

impl Port {
    async fn move_label(&self, label: &str, to: Option<&str>, from: &str) -> Result<SwapResult, Error> {
        let swap = |world: &mut World| {
            let answer = world.secrets.update_secret_version_stage(SECRET, label, to, Some(from));
            let token = world.field("access_token").unwrap_or_default();
            let was_redeemed = world.spent.iter().any(|spent| spent.access_token == token);
            let is_rejected = was_redeemed && world.rejected.contains(&token);
            assert!(!(answer.is_ok() && label == "AWSCURRENT" && is_rejected), "a rejected token is not promoted");
            answer.map(|_| ()).map_err(|error| error.exception)
        };
        match self.request(format!("move {label} to {} from {from}", to.unwrap_or("nothing")), swap).await {
            Ok(()) => Ok(SwapResult::Swapped),
            Err(Exception::InvalidParameter) => Ok(SwapResult::Conflict),
            Err(other) => Err(unexpected(other)),
        }
    }
}

impl TikTok for Port {
    async fn redeem(&self, flow: Flow, app: &App, refresh_token: &SecretString) -> Result<TokenSet, Error> {
        let family = if flow == Flow::TtUser { stand_in::Flow::TtUser } else { stand_in::Flow::Business };
        let (run, token) = (self.run, refresh_token.expose_secret());
        let redeem = |world: &mut World| {
            let was_answered = world.too_late.contains(&run);
            assert!(!was_answered, "nothing is redeemed whose answer was stored before it was claimed");
            let tokens = world.tiktok.refresh(family, &app.id, app.secret.expose_secret(), token)?;
            Ok(world.note_spent(run, token, tokens))
        };
        self.request("redeem".to_owned(), redeem).await.map(grant).map_err(rejection)
    }

    async fn exchange(&self, family: Flow, app: &App, code: &SecretString, _: &str) -> Result<TokenSet, Error> {
        let family = if family == Flow::TtUser { stand_in::Flow::TtUser } else { stand_in::Flow::Business };
        let (run, code) = (self.run, code.expose_secret());
        let exchange = |world: &mut World| {
            let tokens = world.tiktok.exchange(family, &app.id, app.secret.expose_secret(), code)?;
            world.exchanged = Some(tokens.grant);
            if world.one_grant_at_a_time {
                (0..tokens.grant).for_each(|old| world.tiktok.revoke(old));
            }
            Ok(world.note_spent(run, code, tokens))
        };
        self.request("exchange".to_owned(), exchange).await.map(grant).map_err(rejection)
    }

    async fn advertisers(&self, app: &App, access_token: &SecretString) -> Result<Listing, Error> {
        let token = access_token.expose_secret();
        if self.world(|world| world.rejected.iter().any(|rejected| rejected == token)) {
            // It stays dead, so asking once more needs no place in the order of things.
            return Err(
                Error::new(Kind::ReauthorizationRequired, "Access token is incorrect or revoked.").with_code(40105)
            );
        }
        let list = |world: &mut World| {
            let waits_for_the_check = |spent: &Spent| spent.access_token == token && !spent.offered;
            assert!(!world.spent.iter().any(waits_for_the_check), "nothing comes between an answer and its write");
            let list = world.tiktok.advertisers(&app.id, app.secret.expose_secret(), token);
            if list.is_err() {
                world.rejected.push(token.to_owned());
            }
            list
        };
        let list = self.request(format!("list with {:x}", hash(token)), list).await.map_err(rejection)?;
        let list: Vec<_> = list.into_iter().map(|entry| Advertiser::new(entry.id, Some(entry.name))).collect();
        Ok(list.into())
    }

    async fn token_info(&self, app: &App, access_token: &SecretString) -> Result<(), Error> {
        self.advertisers(app, access_token).await.map(drop)
    }

    async fn advertiser_info(&self, access_token: &SecretString, ids: &[&str]) -> Result<Vec<Advertiser>, Error> {
        let token = access_token.expose_secret();
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let look_up = |world: &mut World| {
            let is_in_danger = |spent: &Spent| spent.access_token == token && !spent.staged;
            assert!(!world.spent.iter().any(is_in_danger), "nobody looks up advertisers while a token can be lost");
            world.tiktok.advertiser_info(token, &ids)
        };
        let list = self.request(format!("look up with {:x}", hash(token)), look_up).await.map_err(rejection)?;
        let info = AdvertiserInfo { currency: Some("EUR".to_owned()), ..AdvertiserInfo::default() };
        Ok(list.into_iter().map(|entry| Advertiser { id: entry.id, name: None, info: info.clone() }).collect())
    }
}

/// Access token, refresh token, and how long the former lives.
type Given = (String, Option<String>, Option<Duration>);

fn grant((access_token, refresh_token, expires_in): Given) -> TokenSet {
    TokenSet {
        access_token: SecretString::from(access_token),
        refresh_token: refresh_token.map(SecretString::from),
        expires_in,
        refresh_token_expires_in: None,
        scope: None,
        open_id: None,
        advertiser_ids: Vec::new(),
        warnings: Vec::new(),
        reported_error: None,
    }
}

fn rejection(error: stand_in::ApiError) -> Error {
    let kind = match error.code {
        40102 | 40103 | 40105 | 40107 | 40110 => Kind::ReauthorizationRequired,
        _ => Kind::TikTokMisconfigured,
    };
    Error::new(kind, error.message).with_code(error.code.into())
}

impl Clock for Port {
    fn now(&self) -> Timestamp {
        self.world(|world| world.now)
    }

    async fn sleep(&self, duration: Duration) {
        // Waiting concerns nobody else, so it needs no gate.
        self.world(|world| world.advance(duration));
    }

    async fn timeout<F: Future>(&self, _: Duration, future: F) -> Option<F::Output> {
        Some(future.await)
    }
}

/// A value that was read, as far as it tells states apart.
struct Told(Option<stand_ins::secrets_manager::SecretValue>);

impl Hash for Told {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_ref().map(|value| (&value.version_id, &value.labels, &value.body)).hash(state);
    }
}
