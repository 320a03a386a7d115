//! The HTTP client of the AWS SDK and of TikTok.
//!
//! [`Http`] holds one TLS configuration and creates clients from it. The public root certificates are compiled in,
//! because loading the system's costs a cold start more than all else. [`Egress`] can add a proxy and more
//! certificates. Errors: an invalid proxy or certificate file.

mod egress;
mod preconnect;

use std::{mem, pin::pin, sync::Arc, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
pub use egress::Egress;
pub use preconnect::Preconnect;
use preconnect::{Connecting, MAX_AGE, Role, Waiting};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use secrecy::zeroize::Zeroizing;
use tokio::time::timeout;

use crate::error::{Error, Kind};

/// Both services are tens of milliseconds away. A connection that takes longer than this will not succeed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The end of a body follows its last bytes at once.
const TIME_FOR_THE_END: Duration = Duration::from_secs(1);

/// More headers than any gateway adds. hyper's default of 100 would reject an answer with more.
const MAX_HEADERS: usize = 1_000;

/// Creates clients that share a TLS configuration and its session cache.
#[derive(Clone, Debug)]
pub struct Http {
    tls: ClientConfig,
    proxy: Option<reqwest::Proxy>,
}

impl Http {
    /// Creates a configuration with the public root certificates.
    ///
    /// # Panics
    /// Never: ring supports the TLS versions that rustls requests.
    #[must_use]
    pub fn new() -> Self {
        Self::trusting(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// Creates a configuration with the proxy and the certificates of the environment.
    ///
    /// # Errors
    /// `InvalidConfiguration` with the variable whose file cannot be used.
    pub fn through(egress: &Egress) -> Result<Self, Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        egress.add_roots(&mut roots)?;
        let proxy = egress
            .proxy()
            .map_err(|_| Error::new(Kind::InvalidConfiguration, "HTTPS_PROXY is not the URL of a proxy."))?;
        Ok(Self { proxy, ..Self::trusting(roots) })
    }

    fn trusting(roots: RootCertStore) -> Self {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { tls, proxy: None }
    }

    /// Creates a client with connections of its own. It follows no redirects, so that a secret is only sent to the
    /// configured host.
    ///
    /// # Errors
    /// If reqwest cannot build the client.
    pub fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        self.builder().build()
    }

    /// Creates a client whose first connection can be opened in advance. It does not reuse connections that were idle
    /// for longer than `MAX_AGE`.
    ///
    /// # Errors
    /// As [`Http::client`].
    pub fn client_with_preconnect(&self) -> Result<(reqwest::Client, Preconnect), reqwest::Error> {
        let waiting = Waiting::default();
        let take = Connecting::new(Role::Take, waiting.clone());
        let client = self.builder().pool_idle_timeout(MAX_AGE).connector_layer(take).build()?;
        Ok((client, Preconnect::new(self.clone(), waiting)))
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_max_headers(MAX_HEADERS)
            // A malformed header must not cost an answer with a single-use token.
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .connect_timeout(CONNECT_TIMEOUT);
        match &self.proxy {
            Some(proxy) => builder.proxy(proxy.clone()),
            None => builder,
        }
    }

    /// Creates a client for the AWS SDK.
    ///
    /// # Errors
    /// As [`Http::client`].
    pub fn sdk_client(&self) -> Result<SharedHttpClient, reqwest::Error> {
        let connector = SharedHttpConnector::new(SdkConnector(self.client()?));
        Ok(http_client_fn(move |_, _| connector.clone()))
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

/// The largest answer about one secret, in bytes: 65,536 bytes, each escaped to six by JSON, and the envelope.
const MAX_SDK_ANSWER: usize = 512 * 1024;
/// The largest answer about 20 secrets, in bytes.
const MAX_BATCH_ANSWER: usize = 20 * 6 * 65_536 + MAX_SDK_ANSWER;

/// Returns the size limit for the answer to a request of the SDK.
fn largest_answer(request: &HttpRequest) -> usize {
    let is_batch = request.headers().get("x-amz-target").is_some_and(|target| target.ends_with(".BatchGetSecretValue"));
    if is_batch { MAX_BATCH_ANSWER } else { MAX_SDK_ANSWER }
}

#[derive(Debug)]
struct SdkConnector(reqwest::Client);

impl HttpConnector for SdkConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        let limit = largest_answer(&request);
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            // Request bodies are in memory. A streaming body would be sent empty.
            let request = request.map(|body| reqwest::Body::from(body.bytes().unwrap_or_default().to_vec()));
            let request = reqwest::Request::try_from(request).map_err(|error| ConnectorError::user(error.into()))?;
            let mut response = client.execute(request).await.map_err(connector_error)?;
            let (status, headers) = (response.status(), mem::take(response.headers_mut()));
            let (mut body, end) = read_bounded(response, limit, |_| false).await;
            end.map_err(|error| match error {
                BodyError::Broken(error) => connector_error(error),
                BodyError::Cut => ConnectorError::io("the answer is cut".into()),
                // Secrets Manager does not send such an answer, so a retry may get a valid one.
                BodyError::TooLarge => ConnectorError::io("the answer is too large".into()),
            })?;
            let mut response = hyper::Response::new(SdkBody::from(mem::take(&mut *body)));
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            HttpResponse::try_from(response).map_err(|error| ConnectorError::io(error.into()))
        })
    }
}

fn connector_error(error: reqwest::Error) -> ConnectorError {
    let timed_out = error.is_timeout();
    let error = error.without_url();
    if timed_out { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) }
}

/// The reason why a body is incomplete.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The connection ended before the body.
    Broken(reqwest::Error),
    /// The body is not complete, or its length promises more bytes than arrive.
    Cut,
    /// The body exceeds the limit.
    TooLarge,
}

/// Reads a body up to `limit` bytes and returns what arrived, even on an error. The buffer is wiped when it is dropped.
///
/// If no bytes come for a moment, and `is_whole` says that the body is complete, the function returns `Cut`. The length can
/// promise more bytes, or the last chunk can be missing, and the connection can stay open.
pub(crate) async fn read_bounded(
    mut response: reqwest::Response,
    limit: usize,
    is_whole: impl Fn(&[u8]) -> bool,
) -> (Zeroizing<Vec<u8>>, Result<(), BodyError>) {
    let mut body = Zeroizing::new(Vec::new());
    loop {
        let mut next = pin!(response.chunk());
        let chunk = match timeout(TIME_FOR_THE_END, &mut next).await {
            Ok(chunk) => chunk,
            Err(_) if is_whole(&body) => return (body, Err(BodyError::Cut)),
            Err(_) => next.await,
        };
        match chunk {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                let room = limit - body.len();
                body.extend_from_slice(&chunk[..room]);
                return (body, Err(BodyError::TooLarge));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return (body, Ok(())),
            Err(error) => return (body, Err(BodyError::Broken(error.without_url()))),
        }
    }
}
