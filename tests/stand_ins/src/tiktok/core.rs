//! The state machine: tokens, their state, and the effect of a redeem.
//!
//! It is synchronous, can be cloned, and creates the same tokens in every run, so that the model can explore it.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::super::clock::Clock;
use super::super::rate::{Gate, Limit, Rate};
use super::grant::{Advertiser, Flow, GrantId, GrantSpec, Issued, Propagation, Renewal, Tokens};
use super::records::{Alive, ApiError, Burned, Redeem, Refused, Result};
use super::shape::Shape;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Access,
    Refresh,
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    kind: Kind,
    grant: GrantId,
    number: u32,
    expires: Option<Duration>,
    alive: Alive,
    uses_refused: u32,
    accepted_from: Duration,
}

#[derive(Clone, Debug)]
struct Grant {
    app_id: String,
    spec: GrantSpec,
    refresh_expires: Duration,
    renewals: u32,
    rotations: u32,
    // The indexes of its tokens, oldest first.
    tokens: Vec<usize>,
}

#[derive(Clone, Debug)]
struct App {
    id: String,
    secret: String,
    redirects: Vec<String>,
    rate: Rate,
    per_second: Gate,
    per_minute: Gate,
}

#[derive(Clone, Debug)]
struct AuthCode {
    text: String,
    app_id: String,
    spec: GrantSpec,
    expires: Duration,
    is_used: bool,
}

/// The state of TikTok.
#[derive(Clone, Debug)]
pub struct TikTok {
    apps: Vec<App>,
    grants: Vec<Grant>,
    tokens: Vec<Token>,
    // The index of each token. With ten thousand grants, a search would dominate the benchmark.
    places: HashMap<String, usize>,
    codes: Vec<AuthCode>,
    redeems: Vec<Redeem>,
    refused: Vec<Refused>,
    burned: Vec<Burned>,
    overlapping: Vec<String>,
    seed: String,
    minted: u32,
    /// The form of answers.
    pub shape: Shape,
    /// The worst case for leaks: error messages repeat the app secret and the token.
    pub echo_secrets: bool,
    /// The code for a wrong app id or secret: 40113 in the documentation, 40000 in production.
    pub wrong_app_code: u32,
    /// True if `advertiser/info/` is rejected because the scope is missing.
    pub info_is_forbidden: bool,
    /// The advertisers that `oauth2/advertiser/get/` lists and `advertiser/info/` refuses, as it does after their deletion.
    pub refused_advertisers: Vec<String>,
    /// The values of `Accept-Encoding` in the requests. Empty for requests without it.
    pub accepted_encodings: BTreeSet<String>,
    /// The choices on the consent page: a label and the consent.
    pub choices: Vec<(String, GrantSpec)>,
    /// The time.
    pub clock: Clock,
}

impl Default for TikTok {
    fn default() -> Self {
        Self::new("0")
    }
}

/// Controls and records for tests.
impl TikTok {
    /// A TikTok without apps. Tokens depend on `seed` and on the order in which they are minted, on nothing else.
    pub fn new(seed: &str) -> Self {
        Self {
            apps: Vec::new(),
            grants: Vec::new(),
            tokens: Vec::new(),
            places: HashMap::new(),
            codes: Vec::new(),
            redeems: Vec::new(),
            refused: Vec::new(),
            burned: Vec::new(),
            overlapping: Vec::new(),
            seed: seed.to_owned(),
            minted: 0,
            shape: Shape::default(),
            echo_secrets: false,
            wrong_app_code: 40113,
            info_is_forbidden: false,
            refused_advertisers: Vec::new(),
            accepted_encodings: BTreeSet::new(),
            choices: vec![
                ("A token that is refreshed".to_owned(), GrantSpec::default()),
                ("A long-term token".to_owned(), GrantSpec::long_term()),
            ],
            clock: Clock::default(),
        }
    }

    /// Registers an app.
    pub fn add_app(&mut self, app_id: &str, secret: &str) {
        self.apps.push(App {
            id: app_id.to_owned(),
            secret: secret.to_owned(),
            redirects: Vec::new(),
            rate: Rate::default(),
            per_second: Gate::default(),
            per_minute: Gate::default(),
        });
    }

    /// Registers a redirect URL of an app.
    pub fn add_redirect(&mut self, app_id: &str, redirect_uri: &str) {
        let apps = self.apps.iter_mut().filter(|app| app.id == app_id);
        apps.for_each(|app| app.redirects.push(redirect_uri.to_owned()));
    }

    /// Returns true if the app exists and has this redirect URL, compared as text. An app without redirect URLs accepts
    /// any, so that a manual test need not register one.
    pub fn takes_redirect(&self, app_id: &str, redirect_uri: &str) -> bool {
        let takes = |app: &App| app.redirects.is_empty() || app.redirects.iter().any(|known| known == redirect_uri);
        self.apps.iter().any(|app| app.id == app_id && takes(app))
    }

    /// Limits how many requests of one app TikTok takes in a second; ten at the default tier.
    pub fn set_rate_limit(&mut self, per_second: Option<usize>) {
        let limit = per_second.map(|requests| Limit { requests, window: SECOND, pause: Duration::ZERO });
        self.apps.iter_mut().for_each(|app| app.per_second = Gate::of(limit));
    }

    /// Limits the requests of one app in a longer window and sets the pause after it. The default tier has 600 a minute
    /// and five minutes. Tests use shorter ones.
    pub fn set_minute_limit(&mut self, limit: Option<Limit>) {
        self.apps.iter_mut().for_each(|app| app.per_minute = Gate::of(limit));
    }

    /// Returns the number of requests of an app, the largest number in one second, and the number of rejected ones.
    pub fn rate_of(&self, app_id: &str) -> &Rate {
        let app = self.apps.iter().find(|app| app.id == app_id).expect("an app that exists");
        &app.rate
    }

    /// Counts every app's requests from here on.
    pub fn count_anew(&mut self) {
        self.apps.iter_mut().for_each(|app| app.rate = Rate::default());
    }

    /// A person consents, and the first tokens are handed out without an auth code.
    pub fn authorize(&mut self, app_id: &str, spec: GrantSpec) -> Issued {
        let tokens = self.consent(app_id.to_owned(), spec);
        Issued { grant: tokens.grant, access_token: tokens.access_token, refresh_token: tokens.refresh_token }
    }

    /// A person consents, and the redirect brings an auth code that works once within `lifetime`.
    pub fn authorize_by_code(&mut self, app_id: &str, spec: GrantSpec, lifetime: Duration) -> String {
        // With what browsers percent-encode, as TikTok's have it.
        let text = format!("{}*0!", self.mint("canary-code"));
        self.authorize_by_this_code(&text, app_id, spec, lifetime);
        text
    }

    /// A person consents, and the auth code is this text.
    pub fn authorize_by_this_code(&mut self, text: &str, app_id: &str, spec: GrantSpec, lifetime: Duration) {
        let expires = self.clock.now() + lifetime;
        let (text, app_id) = (text.to_owned(), app_id.to_owned());
        self.codes.push(AuthCode { text, app_id, spec, expires, is_used: false });
    }

    /// A person ends a consent. Every token of it is revoked.
    pub fn revoke(&mut self, grant: GrantId) {
        for &place in &self.grants[grant].tokens {
            self.tokens[place].alive = Alive::Revoked;
        }
    }

    /// Revokes one token, of either kind.
    pub fn revoke_token(&mut self, token: &str) {
        if let Some(&place) = self.places.get(token) {
            self.tokens[place].alive = Alive::Revoked;
        }
    }

    /// Returns the consent of a grant, which tests may change.
    pub fn grant_mut(&mut self, grant: GrantId) -> &mut GrantSpec {
        &mut self.grants[grant].spec
    }

    /// Returns the consent of a grant.
    pub fn spec_of(&self, grant: GrantId) -> &GrantSpec {
        &self.grants[grant].spec
    }

    /// Returns the number of consents that were exchanged for tokens.
    pub fn grants(&self) -> usize {
        self.grants.len()
    }

    /// Every redeem that was carried out, in order.
    pub fn redeems(&self) -> &[Redeem] {
        &self.redeems
    }

    /// Every redeem that was refused, in order.
    pub fn refused_redeems(&self) -> &[Refused] {
        &self.refused
    }

    /// Returns the refresh tokens that were sent to the wrong flow's endpoint.
    pub fn burned(&self) -> &[Burned] {
        &self.burned
    }

    /// Returns the refresh tokens that were sent again while a first request was in progress.
    pub fn overlapping_redeems(&self) -> &[String] {
        &self.overlapping
    }

    /// Returns the number of redeems of this refresh token.
    pub fn redeem_count_of(&self, refresh_token: &str) -> usize {
        self.redeems.iter().filter(|redeem| redeem.refresh_token == refresh_token).count()
    }

    /// Returns the state of a token.
    pub fn state_of(&self, token: &str) -> Alive {
        let Some(token) = self.token(token) else { return Alive::Unknown };
        match token.alive {
            Alive::Yes if token.is_expired(self.clock.now()) => Alive::Expired,
            state => state,
        }
    }

    /// Returns true if a token works now or after its propagation.
    pub fn is_alive(&self, token: &str) -> bool {
        self.state_of(token) == Alive::Yes
    }

    /// Returns true if this is the refresh token of its grant's latest redeem, in any state.
    pub fn is_newest_refresh_token(&self, token: &str) -> bool {
        self.is_newest(token, Kind::Refresh)
    }

    /// Returns true if this is the access token of its grant's latest redeem, in any state.
    pub fn is_newest_access_token(&self, token: &str) -> bool {
        self.is_newest(token, Kind::Access)
    }

    /// The newest tokens of a grant: access and refresh.
    pub fn newest(&self, grant: GrantId) -> (String, Option<String>) {
        let newest = |kind| self.newest_of(grant, kind).map(|token| token.text.clone());
        (newest(Kind::Access).unwrap_or_default(), newest(Kind::Refresh))
    }

    /// Returns the grant of an access token and its number in the grant. Later tokens have higher numbers.
    pub fn place_of(&self, access_token: &str) -> Option<(GrantId, u32)> {
        self.token(access_token).filter(|token| token.kind == Kind::Access).map(|token| (token.grant, token.number))
    }

    /// A token's name for journals and failure messages, which must not show the token.
    pub fn name_of(&self, token: &str) -> String {
        match self.token(token) {
            Some(Token { kind: Kind::Access, grant, number, .. }) => format!("grant {grant} access token {number}"),
            Some(Token { kind: Kind::Refresh, grant, number, .. }) => format!("grant {grant} refresh token {number}"),
            None if self.codes.iter().any(|code| code.text == token) => "auth code".to_owned(),
            None => "unknown token".to_owned(),
        }
    }

    fn is_newest(&self, token: &str, kind: Kind) -> bool {
        let newest = self.token(token).and_then(|token| self.newest_of(token.grant, kind));
        newest.is_some_and(|newest| newest.text == token)
    }

    fn newest_of(&self, grant: GrantId, kind: Kind) -> Option<&Token> {
        self.grants[grant].tokens.iter().rev().map(|&place| &self.tokens[place]).find(|token| token.kind == kind)
    }

    fn token(&self, text: &str) -> Option<&Token> {
        self.places.get(text).map(|&place| &self.tokens[place])
    }

    /// Counts a request of this app and rejects it if it exceeds a limit.
    pub(super) fn admit(&mut self, app_id: &str) -> Result<()> {
        let now = self.clock.now();
        let Some(app) = self.apps.iter_mut().find(|app| app.id == app_id) else { return Ok(()) };
        app.rate.count(now);
        // Both limits count every request, even one that the other limit rejects.
        let (second, minute) = (app.per_second.admits(now), app.per_minute.admits(now));
        if second && minute {
            return Ok(());
        }
        app.rate.refused += 1;
        Err(ApiError::new(40100, "Requests made too frequently."))
    }

    /// The app that a token was handed out to.
    pub(super) fn app_of(&self, access_token: &str) -> Option<&str> {
        self.token(access_token).map(|token| self.grants[token.grant].app_id.as_str())
    }

    pub(super) fn note_overlap(&mut self, refresh_token: &str) {
        self.overlapping.push(refresh_token.to_owned());
    }
}

/// The endpoints.
impl TikTok {
    /// `oauth2/refresh_token/` and `tt_user/oauth2/refresh_token/`.
    pub fn refresh(&mut self, flow: Flow, app_id: &str, secret: &str, refresh_token: &str) -> Result<Tokens> {
        let result = self.try_refresh(flow, app_id, secret, refresh_token);
        if let Err(ApiError { code, .. }) = result {
            self.refused.push(Refused { refresh_token: refresh_token.to_owned(), code });
        }
        result.map_err(|error| self.echo(error, &[secret, refresh_token]))
    }

    /// `oauth2/access_token/` and `tt_user/oauth2/token/`.
    pub fn exchange(&mut self, flow: Flow, app_id: &str, secret: &str, auth_code: &str) -> Result<Tokens> {
        let result = self.check_app(app_id, secret).and_then(|()| self.spend_code(flow, app_id, auth_code));
        match result {
            Ok(spec) => Ok(self.consent(app_id.to_owned(), spec)),
            Err(error) => Err(self.echo(error, &[secret, auth_code])),
        }
    }

    /// `oauth2/advertiser/get/`.
    pub fn advertisers(&mut self, app_id: &str, secret: &str, access_token: &str) -> Result<Vec<Advertiser>> {
        let result = self.check_app(app_id, secret).and_then(|()| {
            let grant = self.use_access_token(access_token)?;
            self.check_owner(grant, app_id)?;
            self.check_family(grant, Flow::Business)?;
            Ok(self.grants[grant].spec.advertisers.clone())
        });
        result.map_err(|error| self.echo(error, &[secret, access_token]))
    }

    /// `tt_user/token_info/get/`: the permissions of an account holder's token.
    pub fn token_info(&mut self, app_id: &str, access_token: &str) -> Result<(GrantId, Vec<u64>)> {
        let result = self.use_access_token(access_token).and_then(|grant| {
            self.check_owner(grant, app_id)?;
            self.check_family(grant, Flow::TtUser)?;
            Ok((grant, self.grants[grant].spec.scope.clone()))
        });
        result.map_err(|error| self.echo(error, &[access_token]))
    }

    /// `advertiser/info/`: those of the ids that the grant covers.
    pub fn advertiser_info(&mut self, access_token: &str, ids: &[String]) -> Result<Vec<Advertiser>> {
        let grant = self.use_access_token(access_token).map_err(|error| self.echo(error, &[access_token]))?;
        if ids.is_empty() || ids.len() > 100 {
            return Err(ApiError::new(40002, "advertiser_ids: Length must be between 1 and 100."));
        }
        self.check_family(grant, Flow::Business)?;
        if self.info_is_forbidden {
            return Err(
                self.echo(ApiError::new(40001, "No permission to read ad account information."), &[access_token])
            );
        }
        let advertisers = &self.grants[grant].spec.advertisers;
        let find = |id: &String| advertisers.iter().find(|advertiser| advertiser.id == *id).cloned();
        let is_refused = |id: &String| find(id).is_none() || self.refused_advertisers.contains(id);
        match ids.iter().filter(|id| is_refused(id)).cloned().collect::<Vec<_>>().join(", ") {
            refused if refused.is_empty() => Ok(ids.iter().filter_map(find).collect()),
            refused => Err(ApiError::new(40001, format!("No permission to operate advertiser: {refused}."))),
        }
    }

    /// `user/info/`.
    pub fn user_info(&mut self, access_token: &str) -> Result<GrantId> {
        self.use_access_token(access_token).map_err(|error| self.echo(error, &[access_token]))
    }
}

impl TikTok {
    fn try_refresh(&mut self, flow: Flow, app_id: &str, secret: &str, refresh_token: &str) -> Result<Tokens> {
        self.check_app(app_id, secret)?;
        let spent = self.redeemable(flow, app_id, refresh_token)?;
        let Token { grant, number, .. } = self.tokens[spent];
        let tokens = self.renew(grant, spent);
        self.redeems.push(Redeem {
            grant,
            refresh_token: refresh_token.to_owned(),
            refresh_number: number,
            access_token: tokens.access_token.clone(),
            access_number: self.grants[grant].renewals,
            next_refresh_token: tokens.refresh_token.clone().unwrap_or_default(),
        });
        Ok(tokens)
    }

    /// Returns the index of a refresh token that this app may redeem at this flow's endpoint. A failed attempt can have
    /// consequences.
    fn redeemable(&mut self, flow: Flow, app_id: &str, refresh_token: &str) -> Result<usize> {
        let invalid = || ApiError::new(40107, "Refresh token is invalid.");
        let index = *self.places.get(refresh_token).ok_or_else(invalid)?;
        let Token { kind, grant, alive, .. } = self.tokens[index];
        self.check_owner(grant, app_id)?;
        if kind == Kind::Access {
            let message = "Refresh token is invalid. A long-term Marketing API access token cannot be refreshed.";
            return Err(ApiError::new(40107, message));
        }
        let spec = &self.grants[grant].spec;
        if spec.flow != flow {
            self.tokens[index].alive = Alive::Burned;
            self.burned.push(Burned { grant, refresh_token: refresh_token.to_owned(), sent_to: flow });
            return Err(invalid());
        }
        if alive == Alive::Replaced && spec.renewal == (Renewal::Rotating { reuse_revokes: true }) {
            self.revoke(grant);
        }
        if alive != Alive::Yes {
            return Err(invalid());
        }
        if self.tokens[index].is_expired(self.clock.now()) {
            return Err(ApiError::new(40103, "Refresh token is expired."));
        }
        Ok(index)
    }

    /// Creates the successor of the refresh token at index `spent`.
    fn renew(&mut self, grant: GrantId, spent: usize) -> Tokens {
        if self.grants[grant].spec.renewal == Renewal::SamePair {
            return self.prolong(grant, spent);
        }
        let Grant { spec, renewals, rotations, tokens, .. } = &mut self.grants[grant];
        *renewals += 1;
        let (old_dies, rotates) = (spec.old_access_token_dies, matches!(spec.renewal, Renewal::Rotating { .. }));
        *rotations += u32::from(rotates);
        if old_dies {
            for &place in &*tokens {
                let token = &mut self.tokens[place];
                if token.kind == Kind::Access && token.alive == Alive::Yes {
                    token.alive = Alive::Replaced;
                }
            }
        }
        if rotates {
            self.tokens[spent].alive = Alive::Replaced;
        }
        let access_token = self.mint_access(grant);
        let refresh_token = if rotates { self.mint_refresh(grant) } else { self.tokens[spent].text.clone() };
        self.describe(grant, access_token, Some(refresh_token))
    }

    /// Restarts the lifetime of a grant's newest access token.
    fn prolong(&mut self, grant: GrantId, spent: usize) -> Tokens {
        let expires = self.clock.now() + self.grants[grant].spec.access_lifetime;
        let (access_token, _) = self.newest(grant);
        let place = self.places[&access_token];
        self.tokens[place].expires = Some(expires);
        let refresh_token = self.tokens[spent].text.clone();
        self.describe(grant, access_token, Some(refresh_token))
    }

    /// A new grant with its first tokens.
    fn consent(&mut self, app_id: String, spec: GrantSpec) -> Tokens {
        let refresh_expires = self.clock.now() + spec.refresh_lifetime;
        let is_long_term = spec.renewal == Renewal::LongTerm;
        self.grants.push(Grant { app_id, spec, refresh_expires, renewals: 0, rotations: 0, tokens: Vec::new() });
        let grant = self.grants.len() - 1;
        let access_token = self.mint_access(grant);
        let refresh_token = (!is_long_term).then(|| self.mint_refresh(grant));
        self.describe(grant, access_token, refresh_token)
    }

    fn describe(&self, grant: GrantId, access_token: String, refresh_token: Option<String>) -> Tokens {
        let Grant { spec, refresh_expires, .. } = &self.grants[grant];
        let is_refreshable = spec.renewal != Renewal::LongTerm;
        Tokens {
            grant,
            flow: spec.flow,
            access_token,
            refresh_token,
            expires_in: is_refreshable.then_some(spec.access_lifetime),
            refresh_token_expires_in: is_refreshable.then(|| refresh_expires.saturating_sub(self.clock.now())),
            scope: spec.scope.clone(),
            advertiser_ids: spec.advertisers.iter().map(|advertiser| advertiser.id.clone()).collect(),
        }
    }

    fn mint_access(&mut self, grant: GrantId) -> String {
        let text = self.mint("canary-access");
        let now = self.clock.now();
        let Grant { spec, renewals, .. } = &self.grants[grant];
        let (uses_refused, accepted_from) = match spec.propagation {
            Propagation::Immediate => (0, now),
            Propagation::Uses(uses) => (uses, now),
            Propagation::Time(time) => (0, now + time),
        };
        let expires = (spec.renewal != Renewal::LongTerm).then(|| now + spec.access_lifetime);
        let (kind, number, alive) = (Kind::Access, *renewals, Alive::Yes);
        let token = Token { text: text.clone(), kind, grant, number, expires, alive, uses_refused, accepted_from };
        self.add_token(token);
        text
    }

    fn mint_refresh(&mut self, grant: GrantId) -> String {
        let text = self.mint("canary-refresh");
        let Grant { refresh_expires, rotations, .. } = self.grants[grant];
        self.add_token(Token {
            text: text.clone(),
            kind: Kind::Refresh,
            grant,
            number: rotations,
            expires: Some(refresh_expires),
            alive: Alive::Yes,
            uses_refused: 0,
            accepted_from: Duration::ZERO,
        });
        text
    }

    fn add_token(&mut self, token: Token) {
        let place = self.tokens.len();
        self.grants[token.grant].tokens.push(place);
        self.places.insert(token.text.clone(), place);
        self.tokens.push(token);
    }

    /// Creates a token that looks random, is the same in every run, and can be searched for in logs.
    fn mint(&mut self, prefix: &str) -> String {
        self.minted += 1;
        let mut hasher = DefaultHasher::new();
        (prefix, &self.seed, self.minted).hash(&mut hasher);
        let hash = hasher.finish();
        format!("{prefix}-{}-{:04}-{hash:016x}{:016x}", self.seed, self.minted, hash.rotate_left(29) ^ 0x5bd1_e995)
    }

    /// Checks an access token as every data endpoint does, and counts the use.
    fn use_access_token(&mut self, access_token: &str) -> Result<GrantId> {
        let now = self.clock.now();
        let incorrect = || ApiError::new(40105, "Access token is incorrect or has been revoked.");
        let place = *self.places.get(access_token).ok_or_else(incorrect)?;
        let token = &mut self.tokens[place];
        if token.kind != Kind::Access {
            return Err(incorrect());
        }
        if token.alive != Alive::Yes {
            return Err(incorrect());
        }
        if token.is_expired(now) {
            return Err(ApiError::new(40102, "Access token is expired."));
        }
        if token.uses_refused > 0 {
            token.uses_refused -= 1;
            return Err(incorrect());
        }
        if now < token.accepted_from {
            return Err(incorrect());
        }
        Ok(token.grant)
    }

    fn spend_code(&mut self, flow: Flow, app_id: &str, auth_code: &str) -> Result<GrantSpec> {
        let now = self.clock.now();
        let found = self.codes.iter_mut().find(|code| code.text == auth_code);
        let code = found.ok_or_else(|| ApiError::new(40110, "Auth_code is invalid."))?;
        if code.app_id != app_id || code.spec.flow != flow {
            return Err(ApiError::new(40110, "Auth_code does not belong to this app."));
        }
        if code.is_used {
            return Err(ApiError::new(40110, "Auth_code has been used."));
        }
        if code.expires <= now {
            return Err(ApiError::new(40109, "Auth_code is expired."));
        }
        code.is_used = true;
        Ok(code.spec.clone())
    }

    fn check_app(&self, app_id: &str, secret: &str) -> Result<()> {
        let is_right = self.apps.iter().any(|app| app.id == app_id && app.secret == secret);
        is_right
            .then_some(())
            .ok_or_else(|| ApiError::new(self.wrong_app_code, "The app id or the secret is incorrect."))
    }

    fn check_owner(&self, grant: GrantId, app_id: &str) -> Result<()> {
        let is_owner = self.grants[grant].app_id == app_id;
        is_owner
            .then_some(())
            .ok_or_else(|| ApiError::new(self.wrong_app_code, "The token does not belong to this app."))
    }

    /// Checks that the grant belongs to this flow.
    fn check_family(&self, grant: GrantId, flow: Flow) -> Result<()> {
        let is_of_it = self.grants[grant].spec.flow == flow;
        is_of_it.then_some(()).ok_or_else(|| ApiError::new(40105, "Access token is incorrect or has been revoked."))
    }

    fn echo(&self, mut error: ApiError, secrets: &[&str]) -> ApiError {
        if self.echo_secrets {
            error.message = format!("{} Received: {}", error.message, secrets.join(", "));
        }
        error
    }
}

impl Token {
    fn is_expired(&self, now: Duration) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}
