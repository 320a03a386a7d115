//! The world of the model: the same strict Secrets Manager and TikTok that the servers put on the wire, and the
//! refresh's ports on top of them.

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
    rc::Rc,
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

use super::explorer::{Port, Sort, hash};
use stand_ins::{
    secrets_manager::{Body, Exception, SecretsManager, Version},
    tiktok::{self as stand_in, GrantId},
};

pub const SECRET: &str = "tiktok/ads";
/// The time for which a read may show the state before a write.
const LAG: Duration = Duration::from_secs(1);

/// The ending of a run that TikTok refuses, and that knows of an answer that did not come.
pub const LOST_ANSWER: &str = "ReauthorizationRequired after a lost answer";

/// The secrets before a write.
#[derive(Clone, Debug)]
pub struct Past {
    /// When they were written.
    pub at: Timestamp,
    pub secrets: Rc<SecretsManager>,
    pub hash: u64,
}

/// One redeem that TikTok carried out, and for which run.
#[derive(Clone, Debug, Hash)]
pub struct Spent {
    pub run: usize,
    pub refresh_token: String,
    pub access_token: String,
    /// True if the answer is in the store.
    pub staged: bool,
    /// True if its run has begun to write it.
    pub offered: bool,
    /// True if its run died before it was written, or was never told.
    pub lost: bool,
    /// True if it arrived after its run had given it up.
    pub late: bool,
}

#[derive(Clone, Debug)]
pub struct World {
    pub secrets: SecretsManager,
    pub tiktok: stand_in::TikTok,
    pub now: Timestamp,
    pub spent: Vec<Spent>,
    /// The access tokens that TikTok has rejected when a run checked them.
    pub rejected: Vec<String>,
    /// The ending of each run: its outcome or the name of its error. A run has none while it runs or if it crashed.
    pub endings: Vec<(usize, String)>,
    /// The grant whose tokens a person pasted in, if one did.
    pub pasted: Option<GrantId>,
    /// The auth code that a person brings back from the consent page, if one does.
    pub code: Option<String>,
    /// True if the new grant puts an end to the old one.
    pub one_grant_at_a_time: bool,
    /// The grant that the code was exchanged for.
    pub exchanged: Option<GrantId>,
    /// The runs that have claimed a pair whose answer was in the store by then.
    pub too_late: BTreeSet<usize>,
    /// The secrets before each of the latest writes, oldest first, if reads lag.
    pub past: Vec<Past>,
    pub keeps_past: bool,
    /// True if the run that has sent what is carried out now is not told what came of it.
    pub loses_answer: bool,
    /// True if it has given it up before.
    pub is_late: bool,
    /// True if something that works once arrived after its run had given it up.
    pub spent_late: bool,
    /// True if a run did not hear TikTok say that a token is dead.
    pub missed_a_rejection: bool,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.secrets.versions(SECRET).hash(state);
        self.tiktok.redeems().hash(state);
        self.tiktok.refused_redeems().hash(state);
        (self.now, &self.spent, &self.rejected, &self.endings, self.pasted, self.exchanged).hash(state);
        (&self.too_late, self.spent_late, self.missed_a_rejection).hash(state);
    }
}

impl World {
    /// True if an answer of TikTok's is gone for good.
    pub fn lost_an_answer(&self) -> bool {
        self.spent_late || self.spent.iter().any(|spent| spent.lost)
    }

    /// Changes the secrets; for a moment reads may still show what was before.
    pub fn write<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        if self.keeps_past {
            let hash = hash(&self.secrets.versions(SECRET));
            let secrets = Rc::new(self.secrets.clone());
            self.past.push(Past { at: self.now, secrets, hash });
        }
        change(self)
    }

    /// True if reads may still show what was before a write.
    pub fn is_recent(&self, past: &Past) -> bool {
        self.now < past.at + LAG
    }

    /// Lets time pass until then.
    pub fn reach(&mut self, time: Timestamp) {
        self.advance(Duration::try_from(time.duration_since(self.now)).unwrap_or_default());
    }

    pub fn body(&self, label: &str) -> Option<String> {
        let version = self.secrets.labeled(SECRET, label)?;
        version.body.as_ref().and_then(Body::as_str).map(str::to_owned)
    }

    pub fn field(&self, name: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_str(&self.body("AWSCURRENT")?).ok()?;
        body.get(name)?.as_str().map(str::to_owned)
    }

    /// Notes how a run ended.
    pub fn ended(&mut self, run: usize, ended: Result<String, Error>) {
        let ending = ended.unwrap_or_else(|error| {
            let (name, is_lost) = (error.kind().name(), error.what().contains("was lost"));
            if is_lost { format!("{name} after a lost answer") } else { name.to_owned() }
        });
        let is_current = |spent: &&Spent| self.field("access_token").is_some_and(|token| token == spent.access_token);
        let is_own = self.spent.iter().find(is_current).is_some_and(|spent| spent.run == run);
        assert!(!(is_own && ending == "Superseded"), "a run's own tokens do not supersede it");
        self.endings.push((run, ending));
    }

    pub fn crashed(&mut self, run: usize) {
        for spent in self.spent.iter_mut().filter(|spent| spent.run == run && !spent.staged) {
            spent.lost = true;
        }
    }

    pub fn advance(&mut self, by: Duration) {
        self.now += by;
        let mut past = std::mem::take(&mut self.past);
        past.retain(|past| self.is_recent(past));
        self.past = past;
        self.secrets.clock.advance(by);
        self.tiktok.clock.advance(by);
    }

    /// Records the tokens that TikTok has given for a refresh token or an auth code. Returns the part that the run is told.
    fn note_spent(&mut self, run: usize, spent: &str, tokens: stand_in::Tokens) -> Given {
        self.spent.push(Spent {
            run,
            refresh_token: spent.to_owned(),
            access_token: tokens.access_token.clone(),
            staged: false,
            offered: false,
            lost: self.loses_answer || self.is_late,
            late: self.is_late,
        });
        self.spent_late |= self.is_late;
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

/// Returns the version with an id or with a label, if it has a value.
pub fn read(secrets: &SecretsManager, id: Option<&str>, label: Option<&str>) -> Option<Version> {
    let versions = || secrets.versions(SECRET).into_iter();
    let by_id = id.and_then(|id| versions().find(|version| version.id == id));
    by_id.or_else(|| secrets.labeled(SECRET, label?)).filter(|version| version.body.is_some())
}

impl Store for Port {
    async fn get(&self, _: &str, which: VersionSelector<'_>) -> Result<Option<Stored>, Error> {
        let (name, id, label) = match which {
            VersionSelector::Label(label) => (format!("get {}", label.name()), None, Some(label.name())),
            VersionSelector::Id(id) => (format!("get version {id}"), Some(id.to_owned()), None),
        };
        let sort = Sort::Read { id: id.clone(), label };
        let read = move |world: &mut World| Told(world.secrets.get_secret_value(SECRET, id.as_deref(), label).ok());
        let value = self.request(name, sort, read, || Told(None)).await.0;
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
        let (run, id, text) = (self.run, id.to_owned(), body.expose_secret().to_owned());
        self.world(|world| world.note_offered(&text));
        let names: Vec<_> = labels.iter().map(|label| label.name()).collect();
        let name = format!("put {} {id}", names.join(" "));
        let is_claim = labels == [Label::Claim];
        let put = move |world: &mut World| {
            let body = Body::String(text.as_str().into());
            let answer = world.write(|world| world.secrets.put_secret_value(SECRET, &id, body, &names));
            if answer.is_ok() {
                world.note_staged(&text);
                if is_claim && !world.is_late {
                    world.note_claimed(run, &text);
                }
            }
            answer.map(|_| ()).map_err(|error| error.exception)
        };
        match self.request(name, Sort::Write, put, || Ok(())).await {
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
    async fn move_label(&self, label: &'static str, to: Option<&str>, from: &str) -> Result<SwapResult, Error> {
        let name = format!("move {label} to {} from {from}", to.unwrap_or("nothing"));
        let (to, from) = (to.map(str::to_owned), from.to_owned());
        let swap = move |world: &mut World| {
            let swap = |world: &mut World| {
                world.secrets.update_secret_version_stage(SECRET, label, to.as_deref(), Some(&from))
            };
            let answer = world.write(swap);
            let token = world.field("access_token").unwrap_or_default();
            let was_redeemed = world.spent.iter().any(|spent| spent.access_token == token);
            let is_rejected = was_redeemed && world.rejected.contains(&token);
            // A late redeem can end tokens that a run has checked before.
            let is_wrong = answer.is_ok() && label == "AWSCURRENT" && is_rejected && !world.spent_late;
            assert!(!is_wrong, "a rejected token is not promoted");
            answer.map(|_| ()).map_err(|error| error.exception)
        };
        match self.request(name, Sort::Write, swap, || Ok(())).await {
            Ok(()) => Ok(SwapResult::Swapped),
            Err(Exception::InvalidParameter) => Ok(SwapResult::Conflict),
            Err(other) => Err(unexpected(other)),
        }
    }
}

/// Why a request to TikTok came to nothing.
#[derive(Hash)]
enum Failure {
    Refused(stand_in::ApiError),
    /// The connection broke after the request was sent.
    Reset,
}

impl From<stand_in::ApiError> for Failure {
    fn from(error: stand_in::ApiError) -> Self {
        Self::Refused(error)
    }
}

impl TikTok for Port {
    async fn redeem(&self, flow: Flow, app: &App, refresh_token: &SecretString) -> Result<TokenSet, Error> {
        let family = if flow == Flow::TtUser { stand_in::Flow::TtUser } else { stand_in::Flow::Business };
        let (run, app, token) = (self.run, app.clone(), refresh_token.expose_secret().to_owned());
        let redeem = move |world: &mut World| {
            let was_answered = world.too_late.contains(&run) && !world.is_late;
            assert!(!was_answered, "nothing is redeemed whose answer was stored before it was claimed");
            world.spent_late |= world.is_late;
            let tokens = world.tiktok.refresh(family, &app.id, app.secret.expose_secret(), &token)?;
            Ok(world.note_spent(run, &token, tokens))
        };
        let asked_at = self.now();
        let answer = self.request("redeem".to_owned(), Sort::Spend, redeem, || Err(Failure::Reset)).await;
        answer.map(|given| grant(given, asked_at)).map_err(rejection)
    }

    async fn exchange(&self, family: Flow, app: &App, code: &SecretString, _: &str) -> Result<TokenSet, Error> {
        let family = if family == Flow::TtUser { stand_in::Flow::TtUser } else { stand_in::Flow::Business };
        let (run, app, code) = (self.run, app.clone(), code.expose_secret().to_owned());
        let exchange = move |world: &mut World| {
            let tokens = world.tiktok.exchange(family, &app.id, app.secret.expose_secret(), &code)?;
            world.exchanged = Some(tokens.grant);
            if world.one_grant_at_a_time {
                (0..tokens.grant).for_each(|old| world.tiktok.revoke(old));
            }
            Ok(world.note_spent(run, &code, tokens))
        };
        let asked_at = self.now();
        let answer = self.request("exchange".to_owned(), Sort::Spend, exchange, || Err(Failure::Reset)).await;
        answer.map(|given| grant(given, asked_at)).map_err(rejection)
    }

    async fn advertisers(&self, app: &App, access_token: &SecretString) -> Result<Listing, Error> {
        let (app, token) = (app.clone(), access_token.expose_secret().to_owned());
        if self.world(|world| world.rejected.contains(&token)) {
            // It stays dead, so asking once more needs no place in the order of things.
            return Err(
                Error::new(Kind::ReauthorizationRequired, "Access token is incorrect or revoked.").with_code(40105)
            );
        }
        let name = format!("list with {:x}", hash(token.as_str()));
        let list = move |world: &mut World| {
            let waits_for_the_check = |spent: &Spent| spent.access_token == token && !spent.offered;
            assert!(!world.spent.iter().any(waits_for_the_check), "nothing comes between an answer and its write");
            let list = world.tiktok.advertisers(&app.id, app.secret.expose_secret(), &token);
            match &list {
                Err(_) if world.loses_answer => world.missed_a_rejection = true,
                Err(_) => world.rejected.push(token),
                Ok(_) => {}
            }
            list.map_err(Failure::from)
        };
        let list = self.request(name, Sort::Check, list, || Err(Failure::Reset)).await.map_err(rejection)?;
        let list: Vec<_> = list.into_iter().map(|entry| Advertiser::new(entry.id, Some(entry.name))).collect();
        Ok(list.into())
    }

    async fn token_info(&self, app: &App, access_token: &SecretString) -> Result<(), Error> {
        self.advertisers(app, access_token).await.map(drop)
    }

    async fn advertiser_info(&self, access_token: &SecretString, ids: &[&str]) -> Result<Vec<Advertiser>, Error> {
        let token = access_token.expose_secret().to_owned();
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let name = format!("look up with {:x}", hash(token.as_str()));
        let look_up = move |world: &mut World| {
            let is_in_danger = |spent: &Spent| spent.access_token == token && !spent.staged;
            assert!(!world.spent.iter().any(is_in_danger), "nobody looks up advertisers while a token can be lost");
            world.tiktok.advertiser_info(&token, &ids).map_err(Failure::from)
        };
        let list = self.request(name, Sort::Check, look_up, || Err(Failure::Reset)).await.map_err(rejection)?;
        let info = AdvertiserInfo { currency: Some("EUR".to_owned()), ..AdvertiserInfo::default() };
        Ok(list.into_iter().map(|entry| Advertiser { id: entry.id, name: None, info: info.clone() }).collect())
    }
}

/// Access token, refresh token, and how long the former lives.
type Given = (String, Option<String>, Option<Duration>);

fn grant((access_token, refresh_token, expires_in): Given, asked_at: Timestamp) -> TokenSet {
    TokenSet {
        asked_at,
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

fn rejection(failure: Failure) -> Error {
    let Failure::Refused(error) = failure else {
        return Error::new(Kind::TikTokUnavailable, "The connection broke.").with_lost_answer();
    };
    let kind = match error.code {
        40102 | 40103 | 40105 | 40107 | 40110 => Kind::ReauthorizationRequired,
        _ => Kind::TikTokMisconfigured,
    };
    Error::new(kind, error.message).with_code(error.code.into())
}

impl Clock for Port {
    fn now(&self) -> Timestamp {
        self.time()
    }

    /// A run wakes when the explorer lets it, but not before that time. Waits are rounded up to full seconds, because some
    /// are random; a wait for reads that lag is long enough then.
    async fn sleep(&self, duration: Duration) {
        let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
        let until = self.world(|world| world.now) + Duration::from_secs(seconds);
        self.wake_at(until).await;
    }

    async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        self.within(limit, future).await
    }
}

/// A value that was read, as far as it tells states apart.
struct Told(Option<stand_ins::secrets_manager::SecretValue>);

impl Hash for Told {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_ref().map(|value| (&value.version_id, &value.labels, &value.body)).hash(state);
    }
}
