//! A connection that opens before the first request.
//!
//! reqwest connects when it sends a request. A layer around its connector opens the connection for a request that is
//! never sent, keeps the connection and fails that request. The first real request then takes the connection. The
//! server sees a handshake and no request.

use std::{
    any::Any,
    error::Error,
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Read, ReadBuf};
use tokio::{sync::Mutex, task::AbortHandle};
use tower_layer::Layer;
use tower_service::Service;

use super::Http;

/// The longest idle time of a reused connection. Servers close idle connections after ten seconds or more, and a
/// request on a closed connection looks like a lost answer.
pub const MAX_AGE: Duration = Duration::from_secs(5);

type BoxError = Box<dyn Error + Send + Sync>;

/// Opens one connection for its client. Dropping it cancels the attempt.
#[derive(Debug)]
pub struct Preconnect {
    http: Http,
    waiting: Waiting,
    attempt: OnceLock<AbortHandle>,
}

impl Preconnect {
    pub(super) fn new(http: Http, waiting: Waiting) -> Self {
        Self { http, waiting, attempt: OnceLock::new() }
    }

    /// Starts to connect to the server of `url`, once, unless the client has connected already. If it fails, the first
    /// request connects.
    pub fn open(&self, url: &str) {
        if self.connections() > 0 {
            return;
        }
        self.attempt.get_or_init(|| {
            let keep = Connecting::new(Role::Keep, self.waiting.clone());
            let request = self.http.builder().connector_layer(keep).build().map(|client| client.get(url).send());
            tokio::spawn(async {
                if let Ok(request) = request {
                    // The request always fails: the layer keeps its connection and returns an error.
                    let _ = request.await;
                }
            })
            .abort_handle()
        });
    }

    /// Returns the number of connections that the client requested, including failed and preopened ones.
    pub fn connections(&self) -> usize {
        self.waiting.0.asked_for.load(Ordering::Relaxed)
    }
}

impl Drop for Preconnect {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.get() {
            attempt.abort();
        }
    }
}

/// The state that the client and the attempt share.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The connection that no request uses yet. The lock is held while the connection opens.
    kept: Mutex<Option<Kept>>,
    /// The number of connections that the client requested.
    asked_for: AtomicUsize,
}

struct Kept {
    opened: Instant,
    /// A type that reqwest does not export.
    connection: Box<dyn Any + Send>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

#[derive(Clone, Copy)]
pub(super) enum Role {
    /// Keeps a new connection.
    Keep,
    /// Takes the kept connection, or connects.
    Take,
}

/// The layer; with `S`, the connector service inside it.
#[derive(Clone)]
pub(super) struct Connecting<S = ()> {
    role: Role,
    waiting: Waiting,
    connector: S,
}

impl Connecting {
    pub(super) const fn new(role: Role, waiting: Waiting) -> Self {
        Self { role, waiting, connector: () }
    }
}

impl<S> Layer<S> for Connecting {
    type Service = Connecting<S>;

    fn layer(&self, connector: S) -> Self::Service {
        Connecting { role: self.role, waiting: self.waiting.clone(), connector }
    }
}

impl<S, Target> Service<Target> for Connecting<S>
where
    S: Service<Target, Error = BoxError, Future: Send, Response: Read + Unpin + Send + 'static>
        + Clone
        + Send
        + 'static,
    Target: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, target: Target) -> Self::Future {
        // The service that was polled ready is used, and its clone stays.
        let clone = self.connector.clone();
        let mut connector = mem::replace(&mut self.connector, clone);
        let (role, waiting) = (self.role, self.waiting.clone());
        Box::pin(async move {
            let mut kept = waiting.0.kept.lock().await;
            match role {
                Role::Keep => {
                    let connection = connector.call(target).await?;
                    *kept = Some(Kept { opened: Instant::now(), connection: Box::new(connection) });
                    Err("kept for the first request".into())
                }
                Role::Take => {
                    waiting.0.asked_for.fetch_add(1, Ordering::Relaxed);
                    let young = kept.take().filter(|kept| kept.opened.elapsed() < MAX_AGE);
                    drop(kept);
                    let connection = young.and_then(|kept| kept.connection.downcast::<S::Response>().ok());
                    if let Some(mut connection) = connection
                        && is_open(&mut *connection).await
                    {
                        return Ok(*connection);
                    }
                    connector.call(target).await
                }
            }
        })
    }
}

/// Returns true if the server has neither closed the connection nor sent anything.
async fn is_open(connection: &mut (impl Read + Unpin)) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    poll_fn(|context| Poll::Ready(Pin::new(&mut *connection).poll_read(context, buffer.unfilled()).is_pending())).await
}
