//! The HTTP server for `/open_api/v1.3/`. TikTok sends nearly every error with HTTP 200.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::ACCEPT_ENCODING;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::clock::wall;
use super::super::exchange::exchange;
use super::super::faults::{Arrival, Faults};
use super::super::journal::Service;
use super::super::wire::{Answer, Cut, Handler, Payload, Server};
use super::core::TikTok;
use super::grant::Flow;
use super::portal;
use super::records::{ApiError, Result};

const ROOT: &str = "/open_api/v1.3/";

/// The one path that answers without its last slash: the Singer tap in use asks so before every sync.
const LIVENESS: &str = "user/info";

/// The endpoints that connectors sync. The stand-in's advertisers have no data.
const ADVERTISED: [&str; 4] = ["campaign/get/", "adgroup/get/", "ad/get/", "report/integrated/get/"];

/// TikTok's Business API on a free port of loopback.
#[derive(Debug)]
pub struct TikTokServer {
    server: Server,
    core: Arc<Mutex<TikTok>>,
}

impl TikTokServer {
    /// Starts the server.
    pub fn start(faults: Faults, core: TikTok) -> Self {
        let core = Arc::new(Mutex::new(core));
        let face =
            Face { faults, core: Arc::clone(&core), in_flight: InFlight::default(), answered: AtomicU64::new(0) };
        Self { server: Server::start("tiktok", face), core }
    }

    /// The base URL, up to and with `/open_api/v1.3/`.
    pub fn url(&self) -> String {
        format!("http://{}{ROOT}", self.address())
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the number of connections, used or not.
    pub fn opened(&self) -> Arc<AtomicU64> {
        self.server.opened()
    }

    /// The address of the portal's pages.
    pub fn portal(&self) -> String {
        format!("http://{}/portal/auth", self.address())
    }

    /// The state machine, for its controls and for assertions. The server stands still while the guard lives.
    pub fn core(&self) -> MutexGuard<'_, TikTok> {
        let mut core = lock(&self.core);
        // So that what a test sets up counts from now, and not from the last request.
        core.clock.tick(wall());
        core
    }
}

struct Face {
    faults: Faults,
    core: Arc<Mutex<TikTok>>,
    in_flight: InFlight,
    answered: AtomicU64,
}

impl Handler for Face {
    async fn handle(&self, request: Request<Bytes>, connection: u64) -> std::result::Result<Response<Payload>, Cut> {
        if let Some(answer) = self.portal(&request) {
            return Ok(answer.into());
        }
        let encoding = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
        lock(&self.core).accepted_encodings.insert(encoding.unwrap_or_default().to_owned());
        let incoming = Incoming::new(&request);
        let arrival = Arrival {
            service: Service::TikTok,
            operation: incoming.path.trim_matches('/').to_owned(),
            detail: self.detail(&incoming),
            caller: String::new(),
            connection,
        };
        let call = self.faults.enter(arrival);
        let flight = self.in_flight.enter(incoming.redeemed());
        if flight.overlaps_for_long().await {
            lock(&self.core).note_overlap(incoming.redeemed().unwrap_or_default());
        }
        let admitted = self.admit(&incoming);
        exchange(call, async { self.apply(&incoming, admitted) }).await
    }
}

impl Face {
    /// Answers a request of a person to the portal. It gets no fault and is not in the journal.
    fn portal(&self, request: &Request<Bytes>) -> Option<Answer> {
        let (uri, mut core) = (request.uri(), lock(&self.core));
        core.clock.tick(wall());
        portal::answer(&mut core, request.method(), uri.path(), uri.query().unwrap_or_default())
    }

    /// Names the token of a request without showing it.
    fn detail(&self, call: &Incoming) -> String {
        let token = call.redeemed().or(call.access_token.as_deref()).or(call.member("access_token").ok());
        token.map(|token| lock(&self.core).name_of(token)).unwrap_or_default()
    }

    /// Checks the app's rate limits. Every request counts when it arrives.
    fn admit(&self, call: &Incoming) -> Result<()> {
        let mut core = lock(&self.core);
        core.clock.tick(wall());
        let of_token = || call.access_token.as_deref().and_then(|token| core.app_of(token)).map(str::to_owned);
        match call.app_id().or_else(of_token) {
            Some(app_id) => core.admit(&app_id),
            None => Ok(()),
        }
    }

    fn apply(&self, call: &Incoming, admitted: Result<()>) -> Answer {
        let mut core = lock(&self.core);
        core.clock.tick(wall());
        let request_id = format!("{:020}", self.answered.fetch_add(1, Ordering::Relaxed) + 1);
        let routed = match admitted {
            Ok(()) => route(&mut core, call, &request_id),
            Err(refused) => Routed::Api(Err(refused)),
        };
        let answer = match routed {
            Routed::Api(Ok(answer)) => Answer::new(200, "application/json", answer.to_string()),
            Routed::Api(Err(error)) => {
                Answer::new(200, "application/json", core.shape.error(&error, &request_id).to_string())
            }
            Routed::NotFound => return Answer::new(404, "text/plain", "404 page not found"),
            Routed::WrongMethod => return Answer::new(405, "text/plain", "405 method not allowed"),
        };
        if core.shape.log_id { answer.with_header("x-tt-logid", &format!("log-{request_id}")) } else { answer }
    }
}

enum Routed {
    Api(Result<Value>),
    NotFound,
    WrongMethod,
}

fn route(core: &mut TikTok, call: &Incoming, request_id: &str) -> Routed {
    let method = match call.path.as_str() {
        "oauth2/refresh_token/"
        | "tt_user/oauth2/refresh_token/"
        | "oauth2/access_token/"
        | "tt_user/oauth2/token/"
        | "tt_user/token_info/get/" => Method::POST,
        "oauth2/advertiser/get/" | "advertiser/info/" | "user/info/" => Method::GET,
        path if ADVERTISED.contains(&path) => Method::GET,
        _ => return Routed::NotFound,
    };
    if call.method != method {
        return Routed::WrongMethod;
    }
    Routed::Api(match call.path.as_str() {
        "oauth2/refresh_token/" => refresh(core, call, Flow::Business, request_id),
        "tt_user/oauth2/refresh_token/" => refresh(core, call, Flow::TtUser, request_id),
        "oauth2/access_token/" => exchange_code(core, call, Flow::Business, request_id),
        "tt_user/oauth2/token/" => exchange_code(core, call, Flow::TtUser, request_id),
        "tt_user/token_info/get/" => token_info(core, call, request_id),
        "oauth2/advertiser/get/" => advertisers(core, call, request_id),
        "advertiser/info/" => advertiser_info(core, call, request_id),
        path if ADVERTISED.contains(&path) => nothing_advertised(core, call, request_id),
        _ => user_info(core, call, request_id),
    })
}

fn refresh(core: &mut TikTok, call: &Incoming, flow: Flow, request_id: &str) -> Result<Value> {
    let (app_id, secret) = call.app(flow)?;
    call.check_grant_type("refresh_token")?;
    let tokens = core.refresh(flow, app_id, secret, call.member("refresh_token")?)?;
    Ok(core.shape.tokens(&tokens, request_id))
}

fn exchange_code(core: &mut TikTok, call: &Incoming, flow: Flow, request_id: &str) -> Result<Value> {
    let (app_id, secret) = call.app(flow)?;
    if flow == Flow::TtUser {
        call.check_grant_type("authorization_code")?;
        call.member("redirect_uri")?;
    }
    let tokens = core.exchange(flow, app_id, secret, call.member("auth_code")?)?;
    Ok(core.shape.tokens(&tokens, request_id))
}

fn token_info(core: &mut TikTok, call: &Incoming, request_id: &str) -> Result<Value> {
    let app_id = call.member("app_id")?;
    let (grant, scope) = core.token_info(app_id, call.member("access_token")?)?;
    let data = json!({ "app_id": app_id, "creator_id": format!("creator-{grant}"), "scope": core.shape.scope(&scope) });
    Ok(core.shape.success(data, request_id))
}

fn advertisers(core: &mut TikTok, call: &Incoming, request_id: &str) -> Result<Value> {
    let advertisers = core.advertisers(call.query("app_id")?, call.query("secret")?, call.access_token()?)?;
    let page = match call.query.get("page") {
        Some(page) => page.parse().map_err(|_| ApiError::new(40002, "page: Not a valid integer."))?,
        None => 1,
    };
    Ok(core.shape.advertisers(&advertisers, page, request_id))
}

fn advertiser_info(core: &mut TikTok, call: &Incoming, request_id: &str) -> Result<Value> {
    let list = |name: &str| {
        let list: Option<Vec<String>> = serde_json::from_str(call.query(name)?).ok();
        list.ok_or_else(|| ApiError::new(40002, format!("{name}: Not a valid list.")))
    };
    let ids = list("advertiser_ids")?;
    let wanted = if call.query.contains_key("fields") { Some(list("fields")?) } else { None };
    let advertisers = core.advertiser_info(call.access_token()?, &ids)?;
    Ok(core.shape.info(&advertisers, wanted.as_deref(), request_id))
}

fn nothing_advertised(core: &mut TikTok, call: &Incoming, request_id: &str) -> Result<Value> {
    core.advertiser_info(call.access_token()?, &[call.query("advertiser_id")?.to_owned()])?;
    let pages = json!({ "page": 1, "page_size": 1000, "total_number": 0, "total_page": 0 });
    Ok(core.shape.success(json!({ "list": [], "page_info": pages }), request_id))
}

fn user_info(core: &mut TikTok, call: &Incoming, request_id: &str) -> Result<Value> {
    let grant = core.user_info(call.access_token()?)?;
    let data = json!({ "core_user_id": format!("{}", 7_000_000_000_000_000_500_u64 + grant as u64),
        "display_name": "Stand In", "email": "s***@example.com", "create_time": 1_600_000_000 });
    Ok(core.shape.success(data, request_id))
}

/// A request, taken apart.
struct Incoming {
    method: Method,
    path: String,
    query: BTreeMap<String, String>,
    access_token: Option<String>,
    body: Value,
}

impl Incoming {
    fn new(request: &Request<Bytes>) -> Self {
        let path = request.uri().path();
        let path = path.strip_prefix(ROOT).unwrap_or(path);
        let access_token = request.headers().get("access-token").and_then(|token| token.to_str().ok());
        Self {
            method: request.method().clone(),
            // A path outside the API keeps its leading slash, and so matches no endpoint.
            path: if path == LIVENESS { format!("{LIVENESS}/") } else { path.to_owned() },
            query: parse_query(request.uri().query().unwrap_or_default()),
            access_token: access_token.map(str::to_owned),
            body: serde_json::from_slice(request.body()).unwrap_or(Value::Null),
        }
    }

    /// The refresh token or auth code of the request.
    fn redeemed(&self) -> Option<&str> {
        let member = |name: &str| self.body.get(name).and_then(Value::as_str);
        member("refresh_token").or(member("auth_code"))
    }

    /// A member of the JSON body. TikTok takes strings as strings only.
    fn member(&self, name: &str) -> Result<&str> {
        let value = self.body.get(name).ok_or_else(|| missing(name))?;
        value.as_str().ok_or_else(|| ApiError::new(40002, format!("{name}: Not a valid string.")))
    }

    fn query(&self, name: &str) -> Result<&str> {
        self.query.get(name).map(String::as_str).ok_or_else(|| missing(name))
    }

    fn access_token(&self) -> Result<&str> {
        let absent = || ApiError::new(40104, "Access token is empty.");
        self.access_token.as_deref().filter(|token| !token.is_empty()).ok_or_else(absent)
    }

    /// The app's credentials. Their names depend on the flow.
    fn app(&self, flow: Flow) -> Result<(&str, &str)> {
        match flow {
            Flow::Business => Ok((self.member("app_id")?, self.member("secret")?)),
            Flow::TtUser => Ok((self.member("client_id")?, self.member("client_secret")?)),
        }
    }

    /// The app that says it is asking, if the request names one.
    fn app_id(&self) -> Option<String> {
        let named = self.member("app_id").or(self.member("client_id")).or(self.query("app_id"));
        named.ok().map(str::to_owned)
    }

    fn check_grant_type(&self, expected: &str) -> Result<()> {
        if self.member("grant_type")? == expected {
            return Ok(());
        }
        Err(ApiError::new(40108, "Grant type is invalid."))
    }
}

fn missing(name: &str) -> ApiError {
    ApiError::new(40002, format!("{name}: Missing data for required field."))
}

pub(super) fn parse_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (percent_decode(name), percent_decode(value))).collect()
}

fn percent_decode(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        decoded.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The refresh tokens that are being redeemed right now.
#[derive(Debug, Default)]
struct InFlight(Arc<Mutex<Vec<String>>>);

impl InFlight {
    /// Notes a token for as long as the guard lives.
    fn enter(&self, token: Option<&str>) -> Flight {
        lock(&self.0).extend(token.map(str::to_owned));
        Flight { tokens: Arc::clone(&self.0), token: token.map(str::to_owned) }
    }
}

struct Flight {
    tokens: Arc<Mutex<Vec<String>>>,
    token: Option<String>,
}

impl Flight {
    /// Returns true if another request with the same token is in progress for some time. A request whose client has
    /// disconnected may still be in the kernel, and does not count.
    async fn overlaps_for_long(&self) -> bool {
        if !self.overlaps() {
            return false;
        }
        sleep(Duration::from_millis(5)).await;
        self.overlaps()
    }

    fn overlaps(&self) -> bool {
        lock(&self.tokens).iter().filter(|token| Some(*token) == self.token.as_ref()).count() > 1
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut tokens = lock(&self.tokens);
        let place = tokens.iter().position(|token| Some(token) == self.token.as_ref());
        place.map(|place| tokens.swap_remove(place));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panicking test must not turn every other assertion into a poisoned lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
