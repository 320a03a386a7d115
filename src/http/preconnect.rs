//! A connection that is opened before the first request for it is known.
//!
//! reqwest connects when it has a request to send. A layer around its connector turns that round: a request that is never
//! sent makes the connector open a connection, the layer keeps it and tells the request that there is none, and the first
//! real request finds it there. The peer sees a handshake, and nothing of that request.

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

/// A connection that was idle for longer than this is not trusted: a server that waits in vain for a request may have closed
/// it, and what is sent then looks like a request whose answer was lost. Servers wait ten seconds and more.
pub const MAX_AGE: Duration = Duration::from_secs(5);

type BoxError = Box<dyn Error + Send + Sync>;

/// Opens one connection ahead for the client that it was made with. Dropping it ends the attempt.
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

    /// Begins to connect to the server of that URL, once, unless the client has connected by itself. If it fails, the first
    /// request connects by itself.
    pub fn open(&self, url: &str) {
        if self.connections() > 0 {
            return;
        }
        self.attempt.get_or_init(|| {
            let keep = Connecting::new(Role::Keep, self.waiting.clone());
            let request = self.http.builder().connector_layer(keep).build().map(|client| client.get(url).send());
            tokio::spawn(async {
                if let Ok(request) = request {
                    // It always fails: that the connection was kept is an error to whoever asked for it.
                    let _ = request.await;
                }
            })
            .abort_handle()
        });
    }

    /// How many connections the client has asked for: those that failed, and one that was there already, are counted too.
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

/// What the client and the attempt share.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The connection that waits for its first request. The lock is held while it is being opened.
    kept: Mutex<Option<Kept>>,
    /// How often the client asked for a connection.
    asked_for: AtomicUsize,
}

struct Kept {
    opened: Instant,
    /// Of a type that reqwest does not name.
    connection: Box<dyn Any + Send>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

#[derive(Clone, Copy)]
pub(super) enum Role {
    /// Keeps what is connected.
    Keep,
    /// Takes what was kept, before it connects.
    Take,
}

/// The layer, and with `S` the service in it.
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
        // The one that was polled ready goes, its clone stays.
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

/// Whether the peer has neither closed a connection nor said anything that nobody asked it for.
async fn is_open(connection: &mut (impl Read + Unpin)) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    poll_fn(|context| Poll::Ready(Pin::new(&mut *connection).poll_read(context, buffer.unfilled()).is_pending())).await
}
