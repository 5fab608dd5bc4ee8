//! One way to one peer: dials its addresses in turn, over QUIC or over TCP, for messages or for snapshots.
//!
//! The UDP port is given up after two dials that failed: something on the way may remember the old one wrongly.

use super::address::{PeerUrl, Target};
use super::udp::Dialler;
use crate::peer::codec::hello::{Purpose, Refusal};
use crate::peer::codec::lane::Lane;
use crate::peer::lanes::read::ReadHalf;
use crate::peer::lanes::write::WriteHalf;
use crate::peer::session::context::Context;
use crate::peer::session::hello::{HelloError, Said, say};
use crate::peer::session::quic::{open_rest, receive_back};
use crate::peer::session::registry::Carries;
use crate::peer::session::sending::{ConnectionKind, Origin, SendingLink};
use crate::peer::session::shared::{Shared, put_first};
use crate::peer::tls::Trust;
use quinn::Connection;
use raft::NodeId;
use rustls::pki_types::ServerName;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Dials on one UDP port that may fail in a row.
const FAILURES_PER_PORT: u32 = 2;

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

    /// Whether a connection of the peer is, or will be, used instead.
    pub fn is_overtaken(&self) -> bool {
        matches!(self, Self::Hello(_, HelloError::Overtaken | HelloError::Refused(Refusal::Crossed)))
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
    dialler: RefCell<Option<(Dialler, bool)>>,
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
            dialler: RefCell::default(),
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

    /// Whether some of the URLs ask whoever answers there to prove who it is.
    pub fn demands_proof(&self) -> bool {
        let proves = |url: &PeerUrl| self.context.config.tls.of(url.secure).is_none_or(|trust| trust.authenticated);
        self.urls.borrow().iter().any(proves)
    }

    /// Whether the URL that is to be dialled next is a unix socket, over which there are no datagrams.
    pub fn is_path(&self) -> bool {
        let urls = self.urls.borrow();
        urls.get(self.attempt.get() % urls.len().max(1)).is_some_and(PeerUrl::is_path)
    }

    async fn pick(&self) -> Result<(PeerUrl, Target), DialError> {
        let resolved = timeout(self.context.config.dial_timeout(), self.resolve()).await;
        let picked = resolved.unwrap_or(Err(DialError::SlowResolver));
        if picked.is_err() {
            self.attempt.set(self.attempt.get().wrapping_add(1));
        }
        picked
    }

    async fn resolve(&self) -> Result<(PeerUrl, Target), DialError> {
        let attempt = self.attempt.get();
        let urls = self.urls.borrow().clone();
        let url = urls.get(attempt % urls.len().max(1)).cloned().ok_or(DialError::NoUrl)?;
        let addresses = url.resolve(self.worked.get()).await.map_err(|why| DialError::Resolve(url.clone(), why))?;
        let turn = attempt / urls.len();
        let Some(address) = addresses.get(turn % addresses.len().max(1)).cloned() else {
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
        target: &Target,
        dial: impl Future<Output = Result<T, HelloError>>,
    ) -> Result<T, DialError> {
        let outcome = timeout(self.context.config.dial_timeout(), dial).await;
        let failed = match outcome {
            Ok(Ok(link)) => {
                if let Target::Net(address) = target {
                    self.worked.set(Some(*address));
                }
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

    fn dialler(&self, remote: SocketAddr) -> io::Result<Dialler> {
        let mut slot = self.dialler.borrow_mut();
        if self.failures.get() >= FAILURES_PER_PORT {
            self.failures.set(0);
            *slot = None;
        }
        match &*slot {
            Some((dialler, of_six)) if *of_six == remote.is_ipv6() => Ok(dialler.clone()),
            _ => {
                let dialler = Dialler::new(&self.context.config, remote)?;
                *slot = Some((dialler.clone(), remote.is_ipv6()));
                Ok(dialler)
            }
        }
    }

    /// The local UDP port in use, for tests.
    #[cfg(test)]
    pub fn local_port(&self) -> Option<u16> {
        let dialler = self.dialler.borrow();
        dialler.as_ref().and_then(|(dialler, _)| dialler.endpoint.local_addr().ok()).map(|address| address.port())
    }

    async fn quic<T, F: Future<Output = Result<T, HelloError>>>(
        &self,
        purpose: Purpose,
        then: impl FnOnce(Connection, WriteHalf, ReadHalf, Said) -> F,
    ) -> Result<T, DialError> {
        let (url, target) = self.pick().await?;
        let trust = self.trust(&url)?;
        let failed = |why: io::Error| DialError::Io(url.clone(), why);
        let Target::Net(address) = target else { return Err(failed(io::ErrorKind::Unsupported.into())) };
        let dialler = self.dialler(address).map_err(failed)?;
        let client = dialler.client(&self.context.config, &trust, purpose).map_err(failed)?;
        let name = url.host().to_owned();
        let dial = async {
            let connecting = dialler.endpoint.connect_with(client, address, &name).map_err(io::Error::other)?;
            let connection = connecting.await.map_err(io::Error::from)?;
            let (send, receive) = connection.open_bi().await.map_err(io::Error::from)?;
            if purpose == Purpose::Raft {
                put_first(&send)?;
            }
            let mut out = WriteHalf::Quic(send);
            let mut back: ReadHalf = Box::new(receive);
            let carries = Carries { purpose, lane: None };
            self.authenticated.set(trust.authenticated);
            let said = say(&self.context, self.peer, carries, &mut out, &mut back).await?;
            then(connection, out, back, said).await
        };
        let outcome = self.attempt(url.clone(), &target, dial).await;
        match &outcome {
            Ok(_) => self.failures.set(0),
            Err(DialError::Hello(..)) => {}
            Err(_) => self.failures.set(self.failures.get() + 1),
        }
        outcome
    }

    /// Whether a dial over UDP would be taken: a handshake, and nothing said after it, so that no connection that is in use is replaced.
    ///
    /// # Errors
    /// [`DialError`]: no answer, a certificate that one side does not take, or a URL without UDP.
    pub async fn try_handshake(&self) -> Result<(), DialError> {
        let (url, target) = self.pick().await?;
        let trust = self.trust(&url)?;
        let failed = |why: io::Error| DialError::Io(url.clone(), why);
        let Target::Net(address) = target else { return Err(failed(io::ErrorKind::Unsupported.into())) };
        // a port of its own: one that something on the way remembers wrongly would never pass
        let dialler = Dialler::new(&self.context.config, address).map_err(failed)?;
        let client = dialler.client(&self.context.config, &trust, Purpose::Raft).map_err(failed)?;
        let connecting = dialler.endpoint.connect_with(client, address, url.host());
        let connecting = connecting.map_err(|why| failed(io::Error::other(why)))?;
        let config = &self.context.config;
        match timeout(config.dial_timeout(), connecting).await {
            Ok(Ok(connection)) => {
                // whoever does not take the certificate says so only now
                if let Ok(why) = timeout(config.heartbeat, connection.closed()).await {
                    return Err(failed(why.into()));
                }
                connection.close(0_u32.into(), b"UDP passes");
                // the goodbye leaves before the port is closed
                let _ = timeout(config.heartbeat, dialler.endpoint.wait_idle()).await;
                Ok(())
            }
            Ok(Err(why)) => Err(failed(why.into())),
            Err(_) => Err(DialError::Timeout(url)),
        }
    }

    /// Dials for raft messages over QUIC.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn raft_over_quic(&self) -> Result<SendingLink, DialError> {
        self.quic(Purpose::Raft, |connection, out, back, said| async move {
            let share = Shared::new(connection.clone());
            let later = share.downgrade();
            let link = open_rest(share, (out, back), said.epoch, Origin::Here(said.dial)).await?;
            actix_rt::spawn(receive_back(self.context.clone(), self.peer, said.epoch, connection, later));
            Ok(link)
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

    /// Dials for raft messages over TCP or a unix socket, one connection per lane.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn raft_over_tcp(&self) -> Result<SendingLink, DialError> {
        let (url, target) = self.pick().await?;
        let trust = self.trust(&url)?;
        let host = url.host().to_owned();
        let dial = async {
            let lane = |lane| self.lane_over_tcp(&host, &target, &trust, Carries { purpose: Purpose::Raft, lane });
            let (out, back, said) = lane(Some(Lane::Control)).await?;
            let (append, _, _) = lane(Some(Lane::Append)).await?;
            let (calls, answers, _) = lane(Some(Lane::Calls)).await?;
            let (kind, origin) = (ConnectionKind::Tcp, Origin::Here(None));
            Ok(SendingLink { control: (out, back), append, calls: (calls, answers), epoch: said.epoch, kind, origin })
        };
        self.attempt(url, &target, dial).await
    }

    /// Dials for a snapshot over TCP or a unix socket.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn bulk_over_tcp(&self) -> Result<BulkLink, DialError> {
        let (url, target) = self.pick().await?;
        let trust = self.trust(&url)?;
        let host = url.host().to_owned();
        let dial = async {
            let carries = Carries { purpose: Purpose::Bulk, lane: None };
            let (out, back, _) = self.lane_over_tcp(&host, &target, &trust, carries).await?;
            Ok(BulkLink { out, back, connection: BulkConnection(None) })
        };
        self.attempt(url, &target, dial).await
    }

    async fn lane_over_tcp(
        &self,
        host: &str,
        target: &Target,
        trust: &Trust,
        carries: Carries,
    ) -> Result<(WriteHalf, ReadHalf, Said), HelloError> {
        let stream = super::connect(self.context.config.path.local, target).await?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(trust.tcp_client()).connect(name, stream).await?;
        let (read, write) = tokio::io::split(stream);
        let mut out = WriteHalf::Other(Box::new(write));
        let mut back: ReadHalf = Box::new(read);
        self.authenticated.set(trust.authenticated);
        let said = say(&self.context, self.peer, carries, &mut out, &mut back).await?;
        Ok((out, back, said))
    }
}
