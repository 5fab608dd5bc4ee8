//! One way to one peer: dials its addresses in turn, over QUIC or over TCP, for messages or for snapshots.
//!
//! The UDP port is given up after two dials that failed: something on the way may remember the old one wrongly.

use super::address::PeerUrl;
use super::udp;
use crate::peer::codec::hello::{Purpose, Refusal};
use crate::peer::codec::lane::Lane;
use crate::peer::lanes::read::ReadHalf;
use crate::peer::lanes::write::WriteHalf;
use crate::peer::session::context::Context;
use crate::peer::session::hello::{HelloError, say};
use crate::peer::session::registry::Carries;
use crate::peer::session::sending::{ConnectionKind, SendingLink};
use crate::peer::tls::Trust;
use bytes::Bytes;
use quinn::{Connection, Endpoint};
use raft::NodeId;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;

/// Dials on one UDP port that may fail in a row.
const FAILURES_PER_PORT: u32 = 2;
/// Control goes before everything else that waits for the same path.
const CONTROL_PRIORITY: i32 = 10;

/// A lane that is silent by nature must still find out that the other side is gone.
pub fn keep_alive(stream: &TcpStream) {
    const IDLE: Duration = Duration::from_secs(10);
    let probes = TcpKeepalive::new().with_time(IDLE).with_interval(IDLE / 5).with_retries(5);
    // without it a lane of a member that is gone stays until it comes back
    let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
}

/// Why a dial failed.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No URL that can be dialled.
    #[error("there is no peer URL to dial")]
    NoUrl,
    /// The name is unknown.
    #[error("cannot resolve {0}: {1}")]
    Resolve(PeerUrl, io::Error),
    /// The resolver does not answer.
    #[error("cannot resolve the peer URL: the resolver does not answer")]
    SlowResolver,
    /// Certificates are needed.
    #[error("{0} needs --peer-cert-file and --peer-key-file, or --peer-auto-tls")]
    NoCertificates(PeerUrl),
    /// Nothing came back.
    #[error("{0} does not answer")]
    Timeout(PeerUrl),
    /// It failed.
    #[error("{0}: {1}")]
    Io(PeerUrl, io::Error),
    /// It answered, and it is not who is wanted or does not want to.
    #[error("{0}: {1}")]
    Hello(PeerUrl, HelloError),
}

impl DialError {
    /// Whether nothing came back at all, so that another way may work.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// Why the other member refused, when it did.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Hello(_, HelloError::Refused(refusal)) => Some(*refusal),
            _ => None,
        }
    }
}

/// A bulk connection on which streams are opened.
pub struct BulkLink {
    /// To the peer.
    pub out: WriteHalf,
    /// From it.
    pub back: ReadHalf,
    /// Keeps the connection, and ends it when it is dropped.
    pub connection: BulkConnection,
}

/// Ends a bulk connection when it is dropped.
pub struct BulkConnection(Option<Connection>);

impl Drop for BulkConnection {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.close(0_u32.into(), b"done");
        }
    }
}

/// The way to one peer.
pub struct Route {
    context: Rc<Context>,
    /// Who is meant.
    pub peer: NodeId,
    urls: RefCell<Vec<PeerUrl>>,
    /// Rung when the URLs change.
    pub changed: Notify,
    endpoint: RefCell<Option<(Endpoint, bool)>>,
    failures: Cell<u32>,
    attempt: Cell<usize>,
    worked: Cell<Option<SocketAddr>>,
    authenticated: Cell<bool>,
}

impl Route {
    /// To `peer` at `urls`. Those that are none are passed over, with a line in the log.
    pub fn new(context: Rc<Context>, peer: NodeId, urls: &[String]) -> Self {
        let route = Self {
            context,
            peer,
            urls: RefCell::default(),
            changed: Notify::new(),
            endpoint: RefCell::default(),
            failures: Cell::new(0),
            attempt: Cell::new(0),
            worked: Cell::new(None),
            authenticated: Cell::new(false),
        };
        route.set_urls(urls);
        route
    }

    /// Where the peer listens from now on.
    pub fn set_urls(&self, urls: &[String]) {
        let parsed = urls.iter().filter_map(|url| match url.parse::<PeerUrl>() {
            Ok(url) => Some(url),
            Err(why) => {
                tracing::error!(peer = format_args!("{:x}", self.peer), error = %why, "a peer URL cannot be used");
                None
            }
        });
        let parsed: Vec<PeerUrl> = parsed.collect();
        if *self.urls.borrow() != parsed {
            let first = self.urls.replace(parsed).is_empty();
            if !first {
                self.changed.notify_one();
            }
        }
    }

    /// Takes over the URLs of another route to the same peer.
    pub fn follow(&self, other: &Self) {
        let urls = other.urls.borrow().clone();
        *self.urls.borrow_mut() = urls;
    }

    /// Whether whoever answered last has proved who it is.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated.get()
    }

    async fn pick(&self) -> Result<(PeerUrl, SocketAddr), DialError> {
        let resolved = tokio::time::timeout(self.context.config.dial_timeout(), self.resolve()).await;
        let picked = resolved.unwrap_or(Err(DialError::SlowResolver));
        if picked.is_err() {
            self.attempt.set(self.attempt.get().wrapping_add(1));
        }
        picked
    }

    async fn resolve(&self) -> Result<(PeerUrl, SocketAddr), DialError> {
        let attempt = self.attempt.get();
        let urls = self.urls.borrow().clone();
        let url = urls.get(attempt % urls.len().max(1)).cloned().ok_or(DialError::NoUrl)?;
        let addresses = url.resolve(self.worked.get()).await.map_err(|why| DialError::Resolve(url.clone(), why))?;
        let turn = attempt / urls.len();
        let Some(address) = addresses.get(turn % addresses.len().max(1)).copied() else {
            let why = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            return Err(DialError::Resolve(url, why));
        };
        Ok((url, address))
    }

    fn trust(&self, url: &PeerUrl) -> Result<Trust, DialError> {
        self.context.config.tls.of(url.secure).cloned().ok_or_else(|| DialError::NoCertificates(url.clone()))
    }

    /// Limits a dial in time, and notes how it went.
    async fn attempt<T>(
        &self,
        url: PeerUrl,
        address: SocketAddr,
        dial: impl Future<Output = Result<T, HelloError>>,
    ) -> Result<T, DialError> {
        let outcome = tokio::time::timeout(self.context.config.dial_timeout(), dial).await;
        let failed = match outcome {
            Ok(Ok(link)) => {
                self.worked.set(Some(address));
                self.attempt.set(0);
                self.prefer(&url);
                return Ok(link);
            }
            Ok(Err(HelloError::Io(why))) if why.kind() == io::ErrorKind::TimedOut => DialError::Timeout(url),
            Ok(Err(HelloError::Io(why))) => DialError::Io(url, why),
            Ok(Err(why)) => DialError::Hello(url, why),
            Err(_) => DialError::Timeout(url),
        };
        self.attempt.set(self.attempt.get().wrapping_add(1));
        Err(failed)
    }

    /// The URL that answered is dialled first the next time.
    fn prefer(&self, url: &PeerUrl) {
        let mut urls = self.urls.borrow_mut();
        if let Some(at) = urls.iter().position(|known| known == url) {
            urls[..=at].rotate_right(1);
        }
    }

    fn endpoint(&self, remote: SocketAddr) -> io::Result<Endpoint> {
        let mut slot = self.endpoint.borrow_mut();
        if self.failures.get() >= FAILURES_PER_PORT {
            self.failures.set(0);
            *slot = None;
        }
        match &*slot {
            Some((endpoint, of_six)) if *of_six == remote.is_ipv6() => Ok(endpoint.clone()),
            _ => {
                let endpoint = udp::dialler(&self.context.config, remote)?;
                *slot = Some((endpoint.clone(), remote.is_ipv6()));
                Ok(endpoint)
            }
        }
    }

    /// The local UDP port in use, for tests.
    #[cfg(test)]
    pub fn local_port(&self) -> Option<u16> {
        self.endpoint.borrow().as_ref().and_then(|(endpoint, _)| endpoint.local_addr().ok()).map(|a| a.port())
    }

    async fn quic<T, F: Future<Output = Result<T, HelloError>>>(
        &self,
        purpose: Purpose,
        then: impl FnOnce(Connection, WriteHalf, ReadHalf, u64) -> F,
    ) -> Result<T, DialError> {
        let (url, address) = self.pick().await?;
        let trust = self.trust(&url)?;
        let failed = |why: io::Error| DialError::Io(url.clone(), why);
        let endpoint = self.endpoint(address).map_err(failed)?;
        let client = udp::client(&self.context.config, &trust, purpose == Purpose::Bulk).map_err(failed)?;
        let name = url.host.clone();
        let dial = async {
            let connecting = endpoint.connect_with(client, address, &name).map_err(io::Error::other)?;
            let connection = connecting.await.map_err(io::Error::from)?;
            let (send, receive) = connection.open_bi().await.map_err(io::Error::from)?;
            if purpose == Purpose::Raft {
                send.set_priority(CONTROL_PRIORITY).map_err(io::Error::other)?;
            }
            let mut out = WriteHalf::Quic(send);
            let mut back: ReadHalf = Box::new(receive);
            let carries = Carries { purpose, lane: None };
            self.authenticated.set(trust.authenticated);
            let epoch = say(&self.context, self.peer, carries, &mut out, &mut back).await?;
            then(connection, out, back, epoch).await
        };
        let outcome = self.attempt(url.clone(), address, dial).await;
        match &outcome {
            Ok(_) => self.failures.set(0),
            Err(DialError::Hello(..)) => {}
            Err(_) => self.failures.set(self.failures.get() + 1),
        }
        outcome
    }

    /// Whether a handshake over UDP succeeds.
    pub async fn udp_passes(&self) -> bool {
        let Ok((url, address)) = self.pick().await else { return false };
        let Ok(trust) = self.trust(&url) else { return false };
        let Ok(client) = udp::client(&self.context.config, &trust, false) else { return false };
        // a port of its own: one that something on the way remembers wrongly would never pass
        let Ok(endpoint) = udp::dialler(&self.context.config, address) else { return false };
        let Ok(connecting) = endpoint.connect_with(client, address, &url.host) else { return false };
        let tried = tokio::time::timeout(self.context.config.dial_timeout(), connecting).await;
        match tried {
            Ok(Ok(connection)) => {
                connection.close(0_u32.into(), b"UDP passes");
                // the goodbye leaves before the port is closed
                let _ = tokio::time::timeout(self.context.config.heartbeat, endpoint.wait_idle()).await;
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Dials for raft messages over QUIC.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn raft_over_quic(&self) -> Result<SendingLink, DialError> {
        self.quic(Purpose::Raft, |connection, out, back, epoch| async move {
            let uni = connection.open_uni().await.map_err(io::Error::from)?;
            let mut append = WriteHalf::Quic(uni);
            append.write(Bytes::copy_from_slice(&[Lane::Append as u8])).await?;
            let (send, receive) = connection.open_bi().await.map_err(io::Error::from)?;
            let mut calls = WriteHalf::Quic(send);
            calls.write(Bytes::copy_from_slice(&[Lane::Calls as u8])).await?;
            let kind = ConnectionKind::Quic(connection);
            let answers: ReadHalf = Box::new(receive);
            Ok(SendingLink { control: (out, back), append, calls: (calls, answers), epoch, kind })
        })
        .await
    }

    /// Dials for a snapshot over QUIC.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn bulk_over_quic(&self) -> Result<BulkLink, DialError> {
        self.quic(Purpose::Bulk, |connection, out, back, _| async move {
            Ok(BulkLink { out, back, connection: BulkConnection(Some(connection)) })
        })
        .await
    }

    /// Dials for raft messages over TCP, one connection per lane.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn raft_over_tcp(&self) -> Result<SendingLink, DialError> {
        let (url, address) = self.pick().await?;
        let trust = self.trust(&url)?;
        let host = url.host.clone();
        let dial = async {
            let lane = |lane| self.lane_over_tcp(&host, address, &trust, Carries { purpose: Purpose::Raft, lane });
            let (out, back, epoch) = lane(Some(Lane::Control)).await?;
            let (append, _, _) = lane(Some(Lane::Append)).await?;
            let (calls, answers, _) = lane(Some(Lane::Calls)).await?;
            let control = (out, back);
            Ok(SendingLink { control, append, calls: (calls, answers), epoch, kind: ConnectionKind::Tcp })
        };
        self.attempt(url, address, dial).await
    }

    /// Dials for a snapshot over TCP.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn bulk_over_tcp(&self) -> Result<BulkLink, DialError> {
        let (url, address) = self.pick().await?;
        let trust = self.trust(&url)?;
        let host = url.host.clone();
        let dial = async {
            let carries = Carries { purpose: Purpose::Bulk, lane: None };
            let (out, back, _) = self.lane_over_tcp(&host, address, &trust, carries).await?;
            Ok(BulkLink { out, back, connection: BulkConnection(None) })
        };
        self.attempt(url, address, dial).await
    }

    async fn lane_over_tcp(
        &self,
        host: &str,
        address: SocketAddr,
        trust: &Trust,
        carries: Carries,
    ) -> Result<(WriteHalf, ReadHalf, u64), HelloError> {
        let stream = super::connect(self.context.config.path.local, address).await?;
        stream.set_nodelay(true)?;
        keep_alive(&stream);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(trust.tcp_client()).connect(name, stream).await?;
        let (read, write) = tokio::io::split(stream);
        let mut out = WriteHalf::Other(Box::new(write));
        let mut back: ReadHalf = Box::new(read);
        self.authenticated.set(trust.authenticated);
        let epoch = say(&self.context, self.peer, carries, &mut out, &mut back).await?;
        Ok((out, back, epoch))
    }
}
