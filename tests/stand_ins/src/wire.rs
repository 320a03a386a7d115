//! HTTP/1.1 on loopback: what both servers and the Lambda emulator have in common below their protocols.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::background::Background;

/// A whole answer, before it is decided how it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// Headers, the content type among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// An answer with a body of the given content type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).expect("an HTTP status");
        let content_type = HeaderValue::from_str(content_type).expect("a content type");
        Self { status, headers: vec![(CONTENT_TYPE, content_type)], body: body.into() }
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header value");
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    /// The same answer under another content type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: &str) -> Self {
        self.headers.retain(|(name, _)| name != CONTENT_TYPE);
        self.headers.push((CONTENT_TYPE, HeaderValue::from_str(content_type).expect("a content type")));
        self
    }

    /// The response as HTTP, with `body` in place of the answer's own.
    pub fn with_body(self, body: Payload) -> Response<Payload> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<Answer> for Response<Payload> {
    fn from(answer: Answer) -> Self {
        let body = Payload::Whole(Some(answer.body.clone()));
        answer.with_body(body)
    }
}

/// A response body: all there, or arriving piece by piece from a task that may fail half way.
#[derive(Debug)]
pub enum Payload {
    /// Sent at once, with its exact length.
    Whole(Option<Bytes>),
    /// Sent as it comes; an error cuts the connection.
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Pieces(_) => SizeHint::new(),
        }
    }
}

/// The wish to end a connection without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Close it: the client sees the end of the stream.
    Close,
    /// Reset it (RST): the client sees "connection reset by peer".
    Reset,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Close => "connection closed on purpose",
            Self::Reset => "connection reset on purpose",
        })
    }
}

impl std::error::Error for Cut {}

/// A server's request handler.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request, or cuts the connection it came over. `connection` numbers the server's connections from 1.
    fn handle(
        &self,
        request: Request<Bytes>,
        connection: u64,
    ) -> impl Future<Output = Result<Response<Payload>, Cut>> + Send;
}

/// An HTTP server on its own thread, on a free port of 127.0.0.1. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicU64>,
    background: Background,
}

impl Server {
    /// Starts to serve; connections are accepted from the moment this returns.
    pub fn start(name: &str, handler: impl Handler) -> Self {
        let background = Background::start(name);
        let listener = background.block_on(listen());
        let address = listener.local_addr().expect("a bound listener has an address");
        let accepted = Arc::new(AtomicU64::new(0));
        background.handle().spawn(serve_counted(listener, Arc::new(handler), Arc::clone(&accepted)));
        Self { address, accepted, background }
    }

    /// Returns the number of connections, used or not.
    pub fn opened(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.accepted)
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The thread that the server runs on.
    pub fn background(&self) -> &Background {
        &self.background
    }
}

/// A listener on a free port of loopback.
pub async fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port on loopback")
}

/// Serves until the future is dropped, which ends every connection too.
pub async fn serve(listener: TcpListener, handler: Arc<impl Handler>) {
    serve_counted(listener, handler, Arc::default()).await;
}

async fn serve_counted(listener: TcpListener, handler: Arc<impl Handler>, accepted: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    for number in 1.. {
        let Ok((stream, _)) = listener.accept().await else { continue };
        accepted.store(number, Ordering::Relaxed);
        connections.spawn(serve_connection(stream, number, Arc::clone(&handler)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(stream: TcpStream, number: u64, handler: Arc<impl Handler>) {
    // Without this, Nagle's algorithm would show up in every benchmark as 40 ms.
    let _ = stream.set_nodelay(true);
    let reset = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| async {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut::Close)?.to_bytes();
        let response = handler.handle(Request::from_parts(head, body), number).await;
        reset.fetch_or(matches!(response, Err(Cut::Reset)), Ordering::Relaxed);
        response
    });
    let mut connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error is a connection that was cut, on purpose or by the client.
    let _ = (&mut connection).await;
    if reset.load(Ordering::Relaxed) {
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

/// Sends one request over a connection of its own and reads the whole answer.
pub async fn send(address: impl ToSocketAddrs, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let exchange = async move {
        let response = sender.send_request(request.map(Full::<Bytes>::from)).await?;
        let (head, body) = response.into_parts();
        Ok::<_, hyper::Error>(Response::from_parts(head, body.collect().await?.to_bytes()))
    };
    let driver = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        response = exchange => response.map_err(io::Error::other),
        never = driver => match never {},
    }
}

/// Sends a POST with a `Host` header and the given others.
pub async fn post(authority: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> io::Result<Response<Bytes>> {
    let mut request = Request::post(path).header(HOST, authority);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(authority, request.body(body).expect("a well-formed request")).await
}
