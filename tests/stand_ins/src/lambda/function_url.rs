//! A Lambda Function URL: turns a browser's request into an event in payload format 2.0, and the function's response
//! into an HTTP answer.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use bytes::Bytes;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use serde_json::{Map, Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use super::super::clock::wall;
use super::super::wire::{Answer, Cut, Handler, Payload, Server};
use super::{Function, Invocation, Outcome};

/// A function's URL, on a free port of loopback.
#[derive(Debug)]
pub struct FunctionUrl {
    server: Server,
}

impl FunctionUrl {
    /// Opens the function to every browser on this machine.
    pub fn start(function: Arc<Function>) -> Self {
        Self { server: Server::start("function-url", Face { function }) }
    }

    /// The URL. Its host differs from the other stand-ins', as it does on AWS: browsers count another port of the same host
    /// as the same site.
    pub fn url(&self) -> String {
        format!("http://localhost:{}/", self.server.address().port())
    }
}

struct Face {
    function: Arc<Function>,
}

impl Handler for Face {
    async fn handle(&self, request: Request<Bytes>, _: u64) -> Result<Response<Payload>, Cut> {
        let invocation = self.function.run(event(&request)).await;
        Ok(answer(&invocation).into())
    }
}

/// The event that Lambda makes of a request.
pub fn event(request: &Request<Bytes>) -> Value {
    let (method, uri) = (request.method().as_str(), request.uri());
    let (headers, cookies) = headers(request.headers());
    let query = uri.query().unwrap_or_default();
    let host = headers.get("host").cloned().unwrap_or_default();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": uri.path(),
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "stand-in",
            "domainName": &host,
            "domainPrefix": "stand-in",
            "http": {
                "method": method,
                "path": uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": headers.get("user-agent"),
            },
            "requestId": Uuid::new_v4().to_string(),
            "routeKey": "$default",
            "stage": "$default",
            "time": jiff::Timestamp::now().strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": u64::try_from(wall().as_millis()).unwrap_or(u64::MAX),
        },
        "isBase64Encoded": false,
    });
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !query.is_empty() {
        event["queryStringParameters"] = Value::Object(parameters(query));
    }
    if !request.body().is_empty() {
        let text = std::str::from_utf8(request.body());
        event["isBase64Encoded"] = json!(text.is_err());
        event["body"] = json!(text.map_or_else(|_| BASE64.encode(request.body()), str::to_owned));
    }
    event
}

/// Names in lower case, the values of one name joined by commas; cookies apart.
fn headers(all: &HeaderMap) -> (Map<String, Value>, Vec<String>) {
    let (mut headers, mut cookies) = (Map::new(), Vec::new());
    for (name, value) in all {
        let value = String::from_utf8_lossy(value.as_bytes());
        if name == "cookie" {
            cookies.extend(value.split("; ").map(str::to_owned));
            continue;
        }
        add(&mut headers, name.as_str(), &value);
    }
    for (name, value) in [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-port", "443"), ("x-forwarded-proto", "https")]
    {
        headers.insert(name.to_owned(), json!(value));
    }
    (headers, cookies)
}

fn parameters(query: &str) -> Map<String, Value> {
    let mut parameters = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        add(&mut parameters, &name, &value);
    }
    parameters
}

fn add(map: &mut Map<String, Value>, name: &str, value: &str) {
    let joined = match map.get(name).and_then(Value::as_str) {
        Some(known) => format!("{known},{value}"),
        None => value.to_owned(),
    };
    map.insert(name.to_owned(), json!(joined));
}

/// Returns the HTTP answer. A failed invocation is a 502 without details.
fn answer(invocation: &Invocation) -> Answer {
    let Outcome::Response(response, _) = &invocation.outcome else {
        return Answer::new(502, "application/json", "Internal Server Error");
    };
    let Some(status) = response.get("statusCode").and_then(Value::as_u64) else {
        return Answer::new(200, "application/json", response.to_string());
    };
    let body = response["body"].as_str().unwrap_or_default().to_owned();
    let mut answer = Answer::new(u16::try_from(status).expect("an HTTP status"), "application/json", body);
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().expect("a header is a text").parse().expect("a header value");
        answer.headers.retain(|(known, _)| known != name.as_str());
        answer.headers.push((name.parse().expect("a header name"), value));
    }
    answer
}
