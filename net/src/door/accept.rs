//! From an accepted socket to an HTTP/2 or HTTP/1.1 connection: TLS or not, which protocol, in bounded time.
//!
//! Runs as one short task per connection on its loop (HTTP/1.1 connections stay in it). Must not read more than it needs to decide.

use super::calls::LoopCtx;
use super::conn::ConnPermit;
use super::flood_protection;
use super::h2_input::PREFACE;
use super::http::{self, HttpHandler};
use super::io::{Io, IoKind, IoStats, Sock, SockKind};
use super::peer::{Peer, PeerTls};
use super::upgraded::{UpgradeFn, Upgraded};
use crate::origin;
use crate::throttle::Throttle;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// First byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// Handshakes that failed.
static REFUSED: Throttle = Throttle::new(Duration::from_secs(5));

/// What a listener serves and how.
#[derive(Clone)]
pub struct ListenSpec {
    /// Number that [`Peer::listener`] shows, chosen by the caller.
    pub number: u32,
    /// TLS, offered with ALPN `h2` and `http/1.1`. Certificates are reloaded by the config's own resolver.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Plain connections are taken (with [`Self::tls`] too: the first byte tells them apart).
    pub plain: bool,
    /// gRPC is served.
    pub grpc: bool,
    /// Plain HTTP is served.
    pub http: bool,
    /// Scrapers and probes are served, and nobody else. Their certificates must be for the address they come from, as in etcd.
    pub metrics_only: bool,
}

impl ListenSpec {
    /// Plain only.
    pub fn plain(number: u32) -> Self {
        Self { number, tls: None, plain: true, grpc: true, http: true, metrics_only: false }
    }

    /// TLS only.
    pub fn tls(number: u32, config: &rustls::ServerConfig) -> Self {
        let mut config = config.clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { number, tls: Some(Arc::new(config)), plain: false, grpc: true, http: true, metrics_only: false }
    }

    /// Takes plain connections as well.
    pub fn and_plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Serves HTTP but no gRPC (`--listen-client-http-urls`).
    pub fn http_only(mut self) -> Self {
        self.grpc = false;
        self
    }

    /// Serves gRPC but no HTTP: the client port beside `--listen-client-http-urls`.
    pub fn grpc_only(mut self) -> Self {
        self.http = false;
        if let Some(tls) = &mut self.tls {
            Arc::make_mut(tls).alpn_protocols = vec![b"h2".to_vec()];
        }
        self
    }

    /// Serves what scrapers and probes ask for (`--listen-metrics-urls`).
    pub fn metrics_only(mut self) -> Self {
        self.metrics_only = true;
        self.http_only()
    }
}

/// An accepted socket on its way to a loop.
pub(super) struct Socket {
    pub(super) kind: StdSocket,
    pub(super) spec: Arc<ListenSpec>,
    pub(super) permit: ConnPermit,
}

pub(super) enum StdSocket {
    Tcp(std::net::TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

/// An HTTP/2 connection whose handshake is done.
pub(super) struct NewConnection {
    pub(super) h2: h2::server::Connection<Io, Bytes>,
    pub(super) peer: Rc<Peer>,
    pub(super) stats: Rc<IoStats>,
    pub(super) permit: ConnPermit,
    /// Receive window it was given.
    pub(super) window: u32,
}

/// Where the connection will live.
pub(super) struct Destination {
    pub(super) ctx: Rc<LoopCtx>,
    pub(super) http: Rc<dyn HttpHandler>,
    pub(super) fresh: Rc<RefCell<Vec<NewConnection>>>,
    pub(super) tasks: Rc<Cell<usize>>,
    pub(super) stop: watch::Receiver<bool>,
}

/// Counts a task of the loop while it runs, and wakes the loop when it ends.
struct Task(Rc<Cell<usize>>, Rc<LoopCtx>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
        self.1.ready.wake_loop();
    }
}

/// Starts the task that finds out what a socket speaks.
pub(super) fn start(socket: Socket, destination: Destination) {
    destination.tasks.set(destination.tasks.get() + 1);
    let task = Task(destination.tasks.clone(), destination.ctx.clone());
    tokio::task::spawn_local(async move {
        if let Err(error) = serve(socket, destination).await {
            tracing::debug!(%error, "client connection refused");
        }
        drop(task);
    });
}

async fn serve(socket: Socket, destination: Destination) -> io::Result<()> {
    let limit = destination.ctx.limits.handshake_timeout;
    let (mut io, peer, alpn) = timeout(limit, secure(&socket.spec, socket.kind, limit)).await??;
    let peer = Rc::new(peer);
    let is_h2 = match alpn {
        Some(is_h2) => is_h2,
        // a plain connection may stay silent as long as an HTTP/1.1 head may take
        None => timeout(destination.ctx.limits.http1_header_timeout, sniff(&mut io)).await??,
    };
    if !is_h2 && !peer.http {
        return Err(io::Error::other("HTTP/1.1 is not spoken here, but on --listen-client-http-urls"));
    }
    if !is_h2 {
        return serve_http1(io, peer, destination).await;
    }
    io.speaks_h2();
    let stats = io.stats.clone();
    let window = destination.ctx.window();
    let handshake = flood_protection::builder(&destination.ctx.limits, window).handshake(io);
    let h2 = timeout(limit, handshake).await?.map_err(io::Error::other)?;
    destination.fresh.borrow_mut().push(NewConnection { h2, peer, stats, permit: socket.permit, window });
    destination.ctx.ready.wake_loop();
    Ok(())
}

/// TLS where it is asked for. The last value tells what ALPN chose: HTTP/2 or not, or nothing.
async fn secure(spec: &ListenSpec, socket: StdSocket, patience: Duration) -> io::Result<(Io, Peer, Option<bool>)> {
    let (inner, addr) = match socket {
        StdSocket::Tcp(tcp) => {
            tcp.set_nonblocking(true)?;
            tcp.set_nodelay(true)?;
            let addr = tcp.peer_addr().ok();
            (SockKind::Tcp(tokio::net::TcpStream::from_std(tcp)?), addr)
        }
        #[cfg(unix)]
        StdSocket::Unix(unix) => {
            unix.set_nonblocking(true)?;
            (SockKind::Unix(tokio::net::UnixStream::from_std(unix)?), None)
        }
    };
    let mut sock = Sock { ahead: Bytes::new(), inner };
    let &ListenSpec { number, grpc, http, metrics_only, .. } = spec;
    let mut peer = Peer { addr, tls: None, listener: number, grpc, http, metrics_only };
    let tls = match &spec.tls {
        Some(config) if spec.plain => {
            let mut first = [0];
            sock.read_exact(&mut first).await?;
            sock.ahead = Bytes::copy_from_slice(&first);
            (first[0] == TLS_HANDSHAKE).then_some(config)
        }
        config => config.as_ref(),
    };
    let Some(config) = tls else {
        return Ok((Io::new(IoKind::Plain(sock)), peer, None));
    };
    let stream = match TlsAcceptor::from(config.clone()).accept(sock).await {
        Ok(stream) => stream,
        Err(why) => return Err(refused(&why, addr)),
    };
    let (_, session) = stream.get_ref();
    if let Some(addr) = addr.filter(|_| metrics_only)
        && let Err(why) = origin::check(session.peer_certificates(), addr, patience).await
    {
        return Err(reject(io::ErrorKind::PermissionDenied, why, Some(addr)));
    }
    peer.tls = Some(PeerTls {
        certs: session.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect(),
        server_name: session.server_name().map(str::to_owned),
        common_name: OnceCell::new(),
    });
    let alpn = session.alpn_protocol().map(|p| p == b"h2");
    Ok((Io::new(IoKind::Tls(Box::new(stream))), peer, alpn))
}

/// Says why a handshake failed, once in a while per cause: a client that retries does so for ever.
fn refused(why: &io::Error, addr: Option<SocketAddr>) -> io::Error {
    // whoever hangs up before a handshake is over (a probe of the port, a balancer) was not refused
    let Some(why_tls) = why.get_ref().and_then(|inner| inner.downcast_ref()) else {
        return io::Error::new(why.kind(), format!("TLS handshake: {why}"));
    };
    reject(why.kind(), tls::error_text(why_tls), addr)
}

fn reject(kind: io::ErrorKind, error: String, addr: Option<SocketAddr>) -> io::Error {
    // what differs from one handshake to the next is no cause
    let cause = error.split(": current time").next().unwrap_or(&error);
    if let Some(left_out) = REFUSED.admit(cause) {
        let remote = addr.map_or_else(|| "unix socket".to_owned(), |addr| addr.to_string());
        tracing::warn!(remote_addr = remote, error, left_out, "rejected connection on client endpoint");
    }
    io::Error::new(kind, error)
}

/// Reads until the bytes are the HTTP/2 preface or cannot become it; the bytes stay in front of the stream.
async fn sniff(io: &mut Io) -> io::Result<bool> {
    let mut seen = BytesMut::with_capacity(PREFACE.len());
    while seen.len() < PREFACE.len() && PREFACE.starts_with(&seen) {
        let mut buf = [0; PREFACE.len()];
        let n = io.read(&mut buf[..PREFACE.len() - seen.len()]).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        seen.extend_from_slice(&buf[..n]);
    }
    io.ahead = seen.freeze();
    Ok(io.ahead == PREFACE[..])
}

/// What of a connection's head and pipelined requests may lie in memory.
const HTTP1_BUFFER: usize = 64 << 10;

async fn serve_http1(io: Io, peer: Rc<Peer>, mut destination: Destination) -> io::Result<()> {
    let limits = destination.ctx.limits.clone();
    let stall = takes_nothing(io.stats.clone(), limits.write_stall);
    let mut stall = pin!(stall);
    let upgrade = Rc::<RefCell<Option<UpgradeFn>>>::default();
    let service = service_fn(|request| {
        http::serve_h1(destination.http.clone(), peer.clone(), upgrade.clone(), request).boxed_local()
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.http1_header_timeout);
    // as Go writes names; and no client may fill more than this with a head
    builder.title_case_headers(true).max_buf_size(HTTP1_BUFFER);
    let mut connection = builder.serve_connection(TokioIo::new(io), service);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            result = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break result.map_err(io::Error::other)?,
            _ = destination.stop.wait_for(|stop| *stop), if !is_stopping => {
                is_stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
            () = &mut stall => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
    let parts = connection.into_parts();
    let mut io = parts.io.into_inner();
    let Some(go_on) = upgrade.take() else { return io.shutdown().await };
    tokio::select! {
        () = go_on(Upgraded::new(io, parts.read_buf)) => Ok(()),
        () = &mut stall => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Ends when the socket has taken no byte for so long although there is something to write (twice as long at most).
async fn takes_nothing(stats: Rc<IoStats>, limit: Duration) {
    let mut written = u64::MAX;
    loop {
        tokio::time::sleep(limit).await;
        let now = stats.written.get();
        if stats.blocked.get() && now == written {
            tracing::info!("client takes no bytes: closing its HTTP/1.1 connection");
            return;
        }
        written = now;
    }
}
