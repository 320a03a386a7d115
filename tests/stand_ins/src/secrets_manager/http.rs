//! The HTTP server: AWS's JSON 1.1 protocol for the state machine, or a proxy to another emulator.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::background::Background;
use super::super::clock::wall;
use super::super::exchange::exchange;
use super::super::faults::{Arrival, Fault, Faults};
use super::super::journal::Service;
use super::super::wire::{Answer, Cut, Handler, Payload, Server, send};
use super::access::Caller;
use super::client::Client;
use super::core::SecretsManager;
use super::error::{Error, Exception, Result};
use super::json;

/// Marks a request of the test itself: no fault, no journal, no denial.
pub(super) const OPERATOR: &str = "x-stand-in-operator";
pub(super) const TARGET: &str = "x-amz-target";
pub(super) const CONTENT: &str = "application/x-amz-json-1.1";
const REQUEST_ID: &str = "x-amzn-requestid";

/// The backend of the server.
#[derive(Clone, Debug)]
pub enum Backend {
    /// The strict state machine in this process.
    Strict(SecretsManager),
    /// Another emulator at this `http://host:port`.
    Forward(String),
}

#[derive(Clone, Debug)]
enum Source {
    Strict(Arc<Mutex<SecretsManager>>),
    Forward(Arc<str>),
}

/// Secrets Manager on a free port of loopback.
#[derive(Debug)]
pub struct SecretsManagerServer {
    server: Server,
    source: Source,
}

impl SecretsManagerServer {
    /// Starts the server.
    pub fn start(faults: Faults, backend: Backend) -> Self {
        let source = match backend {
            Backend::Strict(core) => Source::Strict(Arc::new(Mutex::new(core))),
            Backend::Forward(url) => {
                let authority = url.strip_prefix("http://").expect("an upstream emulator is reached by http://");
                Source::Forward(authority.trim_end_matches('/').into())
            }
        };
        let face = Face { faults, source: source.clone() };
        Self { server: Server::start("secrets-manager", face), source }
    }

    /// Returns the value for `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The thread that the server runs on, for blocking on a future from code that is not async.
    pub fn background(&self) -> &Background {
        self.server.background()
    }

    /// Returns true for the state machine, which has [`core`](Self::core) and its controls.
    pub fn is_strict(&self) -> bool {
        matches!(self.source, Source::Strict(_))
    }

    /// The state machine, for its controls and for assertions. The server stands still while the guard lives.
    pub fn core(&self) -> MutexGuard<'_, SecretsManager> {
        let mut core = match &self.source {
            Source::Strict(core) => lock(core),
            Source::Forward(url) => panic!("there is no strict state machine: requests go to {url}"),
        };
        core.clock.tick(wall());
        core.caller = Caller::Operator;
        core
    }

    /// Returns a client for the test. Its requests get no faults or denials and are not in the journal.
    pub fn client(&self) -> Client {
        Client::new(self.address())
    }
}

struct Face {
    faults: Faults,
    source: Source,
}

impl Handler for Face {
    async fn handle(&self, request: Request<Bytes>, connection: u64) -> std::result::Result<Response<Payload>, Cut> {
        let is_operator = request.headers().contains_key(OPERATOR);
        let input = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let arrival = Arrival {
            service: Service::SecretsManager,
            operation: action(&request).to_owned(),
            detail: json::detail(&input),
            caller: access_key_id(&request).unwrap_or_default().to_owned(),
            connection,
        };
        if is_operator {
            return Ok(self.source.apply(request, Caller::Operator, input).await.into());
        }
        let caller = Caller::Function(arrival.caller.clone());
        let call = self.faults.enter(arrival);
        if let Some(Fault::AnsweredFrom(answer)) = call.fault() {
            let answer = answer(&input);
            call.answered(answer.status.as_u16(), None);
            return Ok(answer.into());
        }
        let mut response = exchange(call, self.source.apply(request, caller, input)).await?;
        response.headers_mut().entry(REQUEST_ID).or_insert_with(request_id);
        Ok(response)
    }
}

impl Source {
    async fn apply(&self, request: Request<Bytes>, caller: Caller, input: Value) -> Answer {
        match self {
            Self::Strict(core) => answer(act(&mut lock(core), &request, caller, &input)),
            Self::Forward(authority) => Box::pin(forward(authority, request)).await,
        }
    }
}

fn act(core: &mut SecretsManager, request: &Request<Bytes>, caller: Caller, input: &Value) -> Result<Value> {
    check_protocol(request)?;
    core.clock.tick(wall());
    core.caller = caller;
    json::act(core, action(request), input)
}

fn answer(result: Result<Value>) -> Answer {
    match result {
        Ok(output) => Answer::new(200, CONTENT, output.to_string()),
        Err(Error { exception, message }) => {
            let member = if exception.is_modeled() { "Message" } else { "message" };
            Answer::new(400, CONTENT, json!({ "__type": exception.name(), member: message }).to_string())
        }
    }
}

/// Checks what AWS checks before the action.
fn check_protocol(request: &Request<Bytes>) -> Result<()> {
    let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    if request.method() != Method::POST || request.uri().path() != "/" || action(request).is_empty() {
        return Err(Error::new(Exception::UnknownOperation, ""));
    }
    if header(CONTENT_TYPE) != Some(CONTENT) {
        return Err(Error::new(Exception::Serialization, "unexpected content type"));
    }
    if header(AUTHORIZATION).is_none() {
        return Err(Error::new(Exception::MissingAuthenticationToken, "Missing Authentication Token"));
    }
    access_key_id(request).map(drop).ok_or_else(|| {
        let message = "Credential should be scoped to correct service: 'secretsmanager'.";
        Error::new(Exception::InvalidSignature, message)
    })
}

/// The access key id of a signature (version 4) that is meant for Secrets Manager.
fn access_key_id(request: &Request<Bytes>) -> Option<&str> {
    let authorization = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let parameters = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let mut parameters = parameters.split(',').map(str::trim);
    let scope = parameters.find_map(|parameter| parameter.strip_prefix("Credential="))?;
    let (access_key_id, scope) = scope.split_once('/')?;
    let has_date_and_region = scope.split('/').count() == 4;
    (has_date_and_region && scope.ends_with("/secretsmanager/aws4_request")).then_some(access_key_id)
}

/// The action that the request names, empty if it names none of this service.
fn action(request: &Request<Bytes>) -> &str {
    let target = request.headers().get(TARGET).and_then(|target| target.to_str().ok()).unwrap_or_default();
    target.strip_prefix("secretsmanager.").unwrap_or_default()
}

/// Passes a request on as it came, so that its signature stays valid, and the answer back as it came.
async fn forward(authority: &str, mut request: Request<Bytes>) -> Answer {
    request.headers_mut().remove(OPERATOR);
    if !request.headers().contains_key(HOST) {
        request.headers_mut().insert(HOST, HeaderValue::from_str(authority).expect("a host and port"));
    }
    let (head, body) = match send(authority, request).await {
        Ok(response) => response.into_parts(),
        Err(error) => return Answer::new(502, "text/plain", format!("the upstream emulator: {error}")),
    };
    // The body was read whole, so the length is set anew.
    let framing = |name: &HeaderName| [CONTENT_LENGTH, TRANSFER_ENCODING].contains(name);
    let headers = head.headers.iter().filter(|(name, _)| !framing(name));
    let headers = headers.map(|(name, value)| (name.clone(), value.clone())).collect();
    Answer { status: head.status, headers, body }
}

fn request_id() -> HeaderValue {
    HeaderValue::from_str(&Uuid::new_v4().to_string()).expect("a UUID is a header value")
}

fn lock(core: &Mutex<SecretsManager>) -> MutexGuard<'_, SecretsManager> {
    // A panicking test must not turn every other assertion into a poisoned lock.
    core.lock().unwrap_or_else(PoisonError::into_inner)
}
