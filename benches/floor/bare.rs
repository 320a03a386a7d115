//! The least that this job costs: the same five requests over rustls by hand, without an SDK, an HTTP client or a runtime.
//!
//! It stands for the floor, not for a way to write a function: it checks no answer, retries nothing, and would lose a token
//! at the first error.

use std::{
    env,
    error::Error,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    thread,
};

use jiff::Timestamp;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring, pki_types::ServerName};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Tls = StreamOwned<ClientConnection, TcpStream>;

const NAMESPACE: Uuid = Uuid::from_u128(0x6f0c_4d3e_92b7_4c55_a1e8_3d74_58c2_9b16);

fn main() -> Result<()> {
    let api = env::var("AWS_LAMBDA_RUNTIME_API")?;
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (tls, mut runtime) = (Arc::new(tls), TcpStream::connect(&api)?);
    loop {
        let next = format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: {api}\r\n\r\n");
        let (head, _event) = exchange(&mut runtime, &next, "")?;
        let id = head.lines().find_map(|line| line.strip_prefix("lambda-runtime-aws-request-id: "));
        let id = id.ok_or("an event without an id")?;
        let answer = refresh(&tls, id)?.to_string();
        let head = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nhost: {api}\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        exchange(&mut runtime, &head, &answer)?;
    }
}

fn refresh(tls: &Arc<ClientConfig>, request_id: &str) -> Result<Value> {
    let secret = env::var("SECRET_ID")?;
    let (aws, tiktok) = (env::var("AWS_ENDPOINT_URL_SECRETS_MANAGER")?, env::var("TIKTOK_API_URL")?);
    let (aws, tiktok) = (Url::parse(&aws)?, Url::parse(&tiktok)?);
    let ahead = {
        let (tls, tiktok) = (Arc::clone(tls), tiktok.clone());
        thread::spawn(move || connect(&tls, &tiktok).map_err(|error| error.to_string()))
    };
    let mut aws = Aws { stream: connect(tls, &aws)?, host: authority(&aws) };

    let current = aws.call("GetSecretValue", &json!({"SecretId": secret, "VersionStage": "AWSCURRENT"}))?;
    let mut document: Value = serde_json::from_str(text(&current["SecretString"])?)?;
    let pair = hex(&Sha256::digest(format!("{}\n{}", document["refresh_token"], document["access_token"])));
    let claim = json!({"claim": {"fingerprint": pair, "claimed_by": request_id, "nonce": Uuid::new_v4().to_string()}});
    aws.put(&secret, "claim", &pair, "TIKTOK_CLAIM", &claim)?;

    let mut stream = ahead.join().map_err(|_| "no connection")??;
    let redeem = json!({
        "app_id": document["app_id"], "secret": document["secret"], "grant_type": "refresh_token",
        "refresh_token": document["refresh_token"],
    });
    let (host, path) = (authority(&tiktok), tiktok.path());
    let head = format!(
        "POST {path}oauth2/refresh_token/ HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        redeem.to_string().len()
    );
    let (_, answer) = exchange(&mut stream, &head, &redeem.to_string())?;
    let answer: Value = serde_json::from_slice(&answer)?;
    for name in ["access_token", "refresh_token"] {
        document[name] = answer["data"][name].clone();
    }
    document["refreshed_at"] = json!(Timestamp::now().to_string());

    let head = format!(
        "GET {path}oauth2/advertiser/get/?app_id={}&secret={} HTTP/1.1\r\nhost: {host}\r\naccess-token: {}\r\n\r\n",
        text(&document["app_id"])?,
        text(&document["secret"])?,
        text(&document["access_token"])?,
    );
    let check = thread::spawn(move || exchange(&mut stream, &head, "").map_err(|error| error.to_string()));
    let staged = aws.put(&secret, "next", &pair, "AWSPENDING", &document)?;
    let (_, list) = check.join().map_err(|_| "no list")??;
    let list: Value = serde_json::from_slice(&list)?;

    let promote = json!({
        "SecretId": secret, "VersionStage": "AWSCURRENT", "MoveToVersionId": staged,
        "RemoveFromVersionId": current["VersionId"],
    });
    aws.call("UpdateSecretVersionStage", &promote)?;
    Ok(
        json!({"outcome": "refreshed", "version_id": staged, "advertisers": list["data"]["list"].as_array().map(Vec::len)}),
    )
}

struct Aws {
    stream: Tls,
    host: String,
}

impl Aws {
    fn put(&mut self, secret: &str, what: &str, pair: &str, label: &str, body: &Value) -> Result<String> {
        let id = Uuid::new_v5(&NAMESPACE, format!("{what}\n{pair}").as_bytes()).to_string();
        let input = json!({
            "SecretId": secret, "ClientRequestToken": id, "VersionStages": [label], "SecretString": body.to_string(),
        });
        self.call("PutSecretValue", &input)?;
        Ok(id)
    }

    /// Signs and sends a request, and reads its answer.
    fn call(&mut self, action: &str, input: &Value) -> Result<Value> {
        let (host, body) = (&self.host, input.to_string());
        let (time, target) =
            (Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string(), format!("secretsmanager.{action}"));
        let (day, region, token) = (&time[..8], env::var("AWS_REGION")?, env::var("AWS_SESSION_TOKEN")?);
        let signed = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
        let content = "application/x-amz-json-1.1";
        let canonical = format!(
            "POST\n/\n\ncontent-type:{content}\nhost:{host}\nx-amz-date:{time}\nx-amz-security-token:{token}\nx-amz-target:{target}\n\n{signed}\n{}",
            hex(&Sha256::digest(&body))
        );
        let scope = format!("{day}/{region}/secretsmanager/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let key = format!("AWS4{}", env::var("AWS_SECRET_ACCESS_KEY")?);
        let parts = [day, &region, "secretsmanager", "aws4_request", &to_sign];
        let signature = hex(&parts.iter().fold(key.into_bytes(), |key, part| hmac(&key, part.as_bytes())));
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: {content}\r\nx-amz-date: {time}\r\nx-amz-security-token: {token}\r\n\
             x-amz-target: {target}\r\nauthorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, \
             Signature={signature}\r\ncontent-length: {}\r\n\r\n",
            env::var("AWS_ACCESS_KEY_ID")?,
            body.len()
        );
        let (status, answer) = exchange(&mut self.stream, &head, &body)?;
        if !status.starts_with("HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&answer).into());
        }
        Ok(serde_json::from_slice(&answer)?)
    }
}

fn connect(tls: &Arc<ClientConfig>, url: &Url) -> Result<Tls> {
    let name = url.host_str().ok_or("a URL without a host")?.to_owned();
    let mut socket = TcpStream::connect((name.as_str(), url.port_or_known_default().unwrap_or(443)))?;
    socket.set_nodelay(true)?;
    let mut connection = ClientConnection::new(Arc::clone(tls), ServerName::try_from(name)?)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}

fn authority(url: &Url) -> String {
    url[url::Position::BeforeHost..url::Position::AfterPort].to_owned()
}

/// Sends a request and reads its answer, of which it knows the length.
fn exchange(stream: &mut (impl Read + Write), head: &str, body: &str) -> Result<(String, Vec<u8>)> {
    stream.write_all([head, body].concat().as_bytes())?;
    stream.flush()?;
    let (mut received, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err("the connection has ended".into());
        }
        received.extend_from_slice(&buffer[..read]);
        let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0").parse::<usize>()?;
        if received.len() >= end + 4 + length {
            return Ok((head, received.split_off(end + 4)));
        }
    }
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| "not a text".into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// HMAC-SHA-256 of a message under a key that fits into a block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}
