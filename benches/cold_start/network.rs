//! The network between the function and a stand-in: TLS on the stand-in's side, and a line that takes its time.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustls::ServerConfig;
use stand_ins::{background::Background, wire};
use tokio_rustls::TlsAcceptor;

/// A stand-in behind TLS and a line. It ends when it is dropped.
pub struct Front {
    address: SocketAddr,
    accepted: Arc<AtomicU64>,
    _background: Background,
}

impl Front {
    /// Puts TLS in front of `stand_in`, at the end of a line with that round-trip time.
    pub fn start(stand_in: SocketAddr, tls: Arc<ServerConfig>, round_trip: Duration) -> io::Result<Self> {
        let accepted = Arc::new(AtomicU64::new(0));
        let background = Background::start("tls");
        let listener = background.block_on(wire::listen());
        let near = listener.local_addr()?;
        background.handle().spawn(terminate(listener, TlsAcceptor::from(tls), stand_in, Arc::clone(&accepted)));
        let address = if round_trip.is_zero() { near } else { line(near, round_trip)? };
        Ok(Self { address, accepted, _background: background })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The number of connections that were opened so far, used or not.
    pub fn connections(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn terminate(
    listener: tokio::net::TcpListener,
    tls: TlsAcceptor,
    stand_in: SocketAddr,
    accepted: Arc<AtomicU64>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        let tls = tls.clone();
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            let mut far = tls.accept(stream).await?;
            let mut near = tokio::net::TcpStream::connect(stand_in).await?;
            near.set_nodelay(true)?;
            tokio::io::copy_bidirectional(&mut far, &mut near).await
        });
    }
}

/// A line to `end`: whatever goes in comes out half a round trip later, and the first bytes of a connection one more
/// round trip later, which is what the TCP handshake takes. Threads, because tokio's timers are too coarse.
pub fn line(end: SocketAddr, round_trip: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let opened = Instant::now() + round_trip;
            let Ok(far) = TcpStream::connect(end) else { continue };
            let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { continue };
            carry(near, far, opened, round_trip / 2);
            carry(far_too, near_too, opened, round_trip / 2);
        }
    });
    Ok(address)
}

/// Carries bytes one way.
fn carry(mut from: TcpStream, mut to: TcpStream, opened: Instant, takes: Duration) {
    let (sender, pieces) = mpsc::channel::<(Instant, Vec<u8>)>();
    let _ = to.set_nodelay(true);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let due = Instant::now().max(opened) + takes;
            if sender.send((due, buffer[..read].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// Measures the real duration of a round trip over the line, timers and threads included: the median of many.
pub fn round_trip(nominal: Duration) -> io::Result<Duration> {
    const TIMES: usize = 21;
    let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = line(echo.local_addr()?, nominal)?;
    thread::spawn(move || -> io::Result<()> {
        let (mut stream, _) = echo.accept()?;
        stream.set_nodelay(true)?;
        let mut byte = [0];
        loop {
            stream.read_exact(&mut byte)?;
            stream.write_all(&byte)?;
        }
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut times = Vec::new();
    for _ in 0..=TIMES {
        let (started, mut byte) = (Instant::now(), [7]);
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
        times.push(started.elapsed());
    }
    // The first one had the handshake in it.
    times.remove(0);
    times.sort();
    Ok(times[TIMES / 2])
}
