//! The transport of a member: its sockets, one arbiter that runs all connections, and a handle for the other threads.
//!
//! The handle never waits for the arbiter: messages go into the queues of connections, everything else is an order.

use crate::peer::bulk::send::deliver;
use crate::peer::codec::talk::Call;
use crate::peer::config::{PeerConfig, PeerListen, PeerSocket};
use crate::peer::dial::keep::Keeper;
use crate::peer::dial::route::Route;
use crate::peer::dial::udp::{self, Listening};
use crate::peer::http::Pages;
use crate::peer::lanes::outbox::{Asked, Outbox};
use crate::peer::listen::accepted::Strangers;
use crate::peer::listen::tcp::StreamPort;
use crate::peer::listen::{quic, tcp};
use crate::peer::metrics::PeerMetrics;
use crate::peer::port::{
    BulkError, CallDone, Inbound, Parcel, PeerAddress, PeerSender, Peers, Question, Transport, Vitals,
};
use crate::peer::session::context::Context;
use crate::peer::session::registry::Registry;
use crate::peer::session::shared::FAREWELL;
use crate::peer::session::throttle::Throttle;
use crate::server::LoopGuard;
use crate::unix_socket::{self, UnixSocketError};
use actix_rt::Arbiter;
use arc_swap::ArcSwap;
use raft::{Message, NodeId};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Patience with connections at the end: what they carry is told to be lost, and the other side that it is over.
const GOODBYE: Duration = Duration::from_millis(200);

/// Why a transport cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken, or is not ours.
    #[error("cannot listen for peers on {protocol} {address}: {source}")]
    Bind {
        /// UDP or TCP.
        protocol: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A unix socket cannot be opened.
    #[error("cannot listen for peers on the unix socket {}: {why}", path.display())]
    Unix {
        /// Where.
        path: PathBuf,
        /// Why.
        why: UnixSocketError,
    },
    /// `https` without certificates.
    #[error("--listen-peer-urls says https for {0}: give --peer-cert-file and --peer-key-file, or --peer-auto-tls")]
    NoCertificates(String),
    /// A TLS configuration that QUIC cannot use.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

type Outboxes = HashMap<NodeId, Arc<Outbox>>;

enum Order {
    Peers(Vec<(PeerAddress, Arc<Outbox>)>, Vec<NodeId>),
    Introduced(PeerAddress, Arc<Outbox>),
    Bulk(NodeId, Parcel),
    #[cfg(test)]
    Count(tokio::sync::oneshot::Sender<usize>),
    Stop,
}

/// A running transport. Dropped, it stops by itself.
pub struct PeerTransport {
    own: NodeId,
    inbound: Arc<dyn Inbound>,
    metrics: PeerMetrics,
    vitals: Arc<ArcSwap<Vitals>>,
    outboxes: ArcSwap<Outboxes>,
    orders: mpsc::UnboundedSender<Order>,
    /// Orders are given in the order in which the outboxes change.
    changing: Mutex<()>,
    next_call: AtomicU64,
    addresses: Vec<SocketAddr>,
    arbiter: Mutex<Option<Arbiter>>,
}

enum Port {
    Net { tcp: TcpListener, udp: Option<UdpSocket>, secure: bool },
    Unix { socket: UnixListener, path: PathBuf, secure: bool },
}

impl PeerTransport {
    /// Binds the sockets and starts the arbiter. `guard` learns when it ends unasked.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// Outside an actix system.
    pub fn start(
        config: PeerConfig,
        inbound: Arc<dyn Inbound>,
        pages: Arc<dyn Pages>,
        metrics: PeerMetrics,
        guard: Box<dyn LoopGuard>,
    ) -> Result<Self, StartError> {
        let mut ports = Vec::new();
        let mut addresses = Vec::new();
        for listen in &config.listen {
            let missing = || StartError::NoCertificates(listen.address.to_string());
            let trust = config.tls.of(listen.secure).ok_or_else(missing)?;
            trust.quic_server()?;
            let (port, address) = bind(*listen, &config)?;
            addresses.push(address);
            ports.push(port);
        }
        for PeerSocket { path, secure } in &config.listen_unix {
            let missing = || StartError::NoCertificates(path.display().to_string());
            config.tls.of(*secure).ok_or_else(missing)?;
            let bound = unix_socket::bind(path);
            let socket = bound.map_err(|why| StartError::Unix { path: path.clone(), why })?;
            ports.push(Port::Unix { socket, path: path.clone(), secure: *secure });
        }
        if config.listen.iter().any(|listen| !listen.secure) {
            tracing::warn!(
                "peer URLs of http are encrypted, but anybody who reaches the port can pose as a member; use https with \
                 --peer-cert-file, --peer-key-file, --peer-trusted-ca-file and --peer-client-cert-auth"
            );
        }
        let own = config.own;
        let vitals: Arc<ArcSwap<Vitals>> = Arc::default();
        let (orders, received) = mpsc::unbounded_channel();
        let arbiter = Arbiter::new();
        let shared = (inbound.clone(), metrics.clone(), vitals.clone());
        arbiter.spawn_fn(move || {
            let (inbound, metrics, vitals) = shared;
            let registry = Rc::new(Registry::new(config.own, config.limits.receive, config.limits.strangers));
            let started = Instant::now();
            let throttle = Throttle::default();
            let context = Rc::new(Context { config, inbound, metrics, vitals, registry, throttle, started });
            actix_rt::spawn(async move {
                let (listening, sockets, peers) = (Vec::new(), Vec::new(), HashMap::new());
                Director { context, pages, listening, sockets, peers }.run(ports, received).await;
                guard.finished();
                Arbiter::current().stop();
            });
        });
        Ok(Self {
            own,
            inbound,
            metrics,
            vitals,
            outboxes: ArcSwap::default(),
            orders,
            changing: Mutex::new(()),
            next_call: AtomicU64::new(1),
            addresses,
            arbiter: Mutex::new(Some(arbiter)),
        })
    }

    /// The addresses it listens on, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Its counters.
    pub fn metrics(&self) -> &PeerMetrics {
        &self.metrics
    }

    /// Connections over QUIC that others dialled and that are not gone yet.
    #[cfg(test)]
    pub async fn accepted(&self) -> usize {
        let (tell, told) = tokio::sync::oneshot::channel();
        assert!(self.orders.send(Order::Count(tell)).is_ok(), "it runs");
        told.await.expect("it runs")
    }

    /// Ends as a killed process does: without a word to anybody.
    #[cfg(test)]
    pub fn kill(&self) {
        let arbiter = self.arbiter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(arbiter) = arbiter {
            arbiter.stop();
            arbiter.join().expect("it runs until it is stopped");
        }
    }

    /// Stops, and waits until the thread has ended. Blocks for about 200 ms at most.
    pub fn join(&self) {
        self.stop();
        let arbiter = self.arbiter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(arbiter) = arbiter {
            // a thread that panicked has been reported by its guard
            let _ = arbiter.join();
        }
    }
}

impl Drop for PeerTransport {
    fn drop(&mut self) {
        self.stop();
    }
}

impl PeerSender for PeerTransport {
    fn send(&self, messages: Vec<Message>) {
        let outboxes = self.outboxes.load();
        let mut refused: BTreeMap<NodeId, Vec<Message>> = BTreeMap::new();
        for message in messages {
            let to = message.to;
            let offered = match outboxes.get(&to) {
                Some(outbox) => outbox.offer(message),
                None => Err(message),
            };
            if let Err(message) = offered {
                refused.entry(to).or_default().push(message);
            }
        }
        for (peer, never_left) in refused {
            self.inbound.unreachable(peer, never_left);
        }
    }
}

impl Transport for PeerTransport {
    fn set_vitals(&self, vitals: Vitals) {
        self.vitals.store(Arc::new(vitals));
    }

    fn set_peers(&self, peers: Peers) {
        let _in_order = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.outboxes.load();
        let others = peers.members.into_iter().filter(|peer| peer.member != self.own);
        let after: Vec<(PeerAddress, Arc<Outbox>)> = others
            .map(|peer| {
                let known = before.get(&peer.member).cloned();
                let made = || Arc::new(Outbox::new(peer.member, self.metrics.of(peer.member)));
                let outbox = known.unwrap_or_else(made);
                (peer, outbox)
            })
            .collect();
        let outboxes: Outboxes = after.iter().map(|(peer, outbox)| (peer.member, outbox.clone())).collect();
        self.outboxes.store(Arc::new(outboxes));
        // after a stop there is nobody to tell
        let _ = self.orders.send(Order::Peers(after, peers.removed));
    }

    fn introduce(&self, peer: PeerAddress) {
        let _in_order = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.outboxes.load();
        if peer.member == self.own || before.contains_key(&peer.member) {
            return;
        }
        let outbox = Arc::new(Outbox::new(peer.member, self.metrics.of(peer.member)));
        let mut after = Outboxes::clone(&before);
        after.insert(peer.member, outbox.clone());
        self.outboxes.store(Arc::new(after));
        // after a stop there is nobody to tell
        let _ = self.orders.send(Order::Introduced(peer, outbox));
    }

    fn call(&self, to: NodeId, question: Question, done: CallDone) {
        let id = self.next_call.fetch_add(1, Ordering::Relaxed);
        let Question { kind, body, deadline } = question;
        let call = Call { id, kind, deadline_millis: 0, body };
        let asked = Asked { call, expires: Instant::now() + deadline, done };
        match self.outboxes.load().get(&to) {
            Some(outbox) => outbox.ask(asked),
            None => asked.fail(crate::peer::port::CallError::Unreachable),
        }
    }

    fn bulk(&self, to: NodeId, parcel: Parcel) {
        if let Err(mpsc::error::SendError(Order::Bulk(_, parcel))) = self.orders.send(Order::Bulk(to, parcel)) {
            (parcel.done)(Err(BulkError::Stopped));
        }
    }

    fn active_since(&self, peer: NodeId) -> Option<Instant> {
        self.outboxes.load().get(&peer).and_then(|outbox| outbox.active_since())
    }

    fn stop(&self) {
        // it may have stopped before
        let _ = self.orders.send(Order::Stop);
    }
}

/// Binds both protocols on one port. With port 0, one that is free for both.
fn bind(listen: PeerListen, config: &PeerConfig) -> Result<(Port, SocketAddr), StartError> {
    const TRIES: u32 = 20;
    let failed = |protocol, address| move |source| StartError::Bind { protocol, address, source };
    let mut tries = 0;
    loop {
        let tcp = bind_tcp(listen.address).map_err(failed("TCP", listen.address))?;
        let address = tcp.local_addr().map_err(failed("TCP", listen.address))?;
        let udp = if config.path.udp { udp::bind(address, config.path.socket_buffer).map(Some) } else { Ok(None) };
        tries += 1;
        match udp {
            Ok(udp) => return Ok((Port::Net { tcp, udp, secure: listen.secure }, address)),
            Err(why) if why.kind() == io::ErrorKind::AddrInUse && listen.address.port() == 0 && tries < TRIES => {}
            Err(why) => return Err(failed("UDP", address)(why)),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // a member that restarts finds connections of its last run still closing
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

struct Kept {
    route: Rc<Route>,
    parcels: mpsc::UnboundedSender<Parcel>,
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
}

/// Runs on the arbiter and carries out orders.
struct Director {
    context: Rc<Context>,
    pages: Arc<dyn Pages>,
    listening: Vec<Listening>,
    /// Socket files, which go with this run.
    sockets: Vec<PathBuf>,
    peers: HashMap<NodeId, Kept>,
}

impl Director {
    async fn run(mut self, ports: Vec<Port>, mut orders: mpsc::UnboundedReceiver<Order>) {
        let acceptors: Vec<JoinHandle<()>> = ports.into_iter().flat_map(|port| self.listen(port)).collect();
        while let Some(order) = orders.recv().await {
            match order {
                Order::Peers(peers, removed) => self.set_peers(peers, removed),
                Order::Introduced(peer, outbox) => {
                    let kept = self.keep(&peer, outbox);
                    self.peers.insert(peer.member, kept);
                }
                Order::Bulk(to, parcel) => self.bulk(to, parcel),
                #[cfg(test)]
                Order::Count(tell) => {
                    let accepted = self.listening.iter().map(|listening| listening.endpoint.open_connections());
                    tell.send(accepted.sum()).expect("the test waits for it");
                }
                Order::Stop => break,
            }
        }
        orders.close();
        while let Some(order) = orders.recv().await {
            if let Order::Bulk(_, parcel) = order {
                (parcel.done)(Err(BulkError::Stopped));
            }
        }
        acceptors.iter().for_each(JoinHandle::abort);
        for path in &self.sockets {
            // the next run replaces one that is left
            let _ = std::fs::remove_file(path);
        }
        let left: Vec<Kept> = self.peers.drain().map(|(_, kept)| kept).collect();
        left.iter().for_each(|kept| {
            kept.stop.send_replace(true);
        });
        let goodbye = async {
            for kept in left {
                drop(kept.parcels);
                for task in kept.tasks {
                    // a task that panicked has nothing left to say
                    let _ = task.await;
                }
            }
            self.context.registry.close_all();
            for Listening { endpoint, .. } in &self.listening {
                endpoint.close(0_u32.into(), b"stopped");
                endpoint.wait_idle().await;
            }
        };
        // a peer that does not answer must not hold up the stop
        let _ = timeout(GOODBYE, goodbye).await;
    }

    fn listen(&mut self, port: Port) -> Vec<JoinHandle<()>> {
        let context = self.context.clone();
        let trust_of = |secure| context.config.tls.of(secure).cloned().expect("checked when it was bound");
        let (tcp, udp, secure) = match port {
            Port::Net { tcp, udp, secure } => (tcp, udp, secure),
            Port::Unix { socket, path, secure } => {
                let trust = trust_of(secure);
                let port = StreamPort { context, pages: self.pages.clone(), trust, secure };
                return self.listen_unix(port, socket, path).into_iter().collect();
            }
        };
        let trust = trust_of(secure);
        let mut tasks = Vec::new();
        if let Some(socket) = udp {
            match udp::listen(&context.config, socket, &trust) {
                Ok(listening) => {
                    let endpoint = listening.endpoint.clone();
                    self.listening.push(listening);
                    let strangers = Strangers::default();
                    tasks.push(actix_rt::spawn(quic::accept(context.clone(), endpoint, strangers, trust.clone())));
                }
                Err(why) => tracing::error!(error = %why, "cannot take peers over UDP: only TCP is left"),
            }
        }
        match tokio::net::TcpListener::from_std(tcp) {
            Ok(listener) => {
                let port = StreamPort { context, pages: self.pages.clone(), trust, secure };
                tasks.push(actix_rt::spawn(tcp::accept(port, listener, Strangers::default())));
            }
            Err(why) => tracing::error!(error = %why, "cannot take peers over TCP"),
        }
        tasks
    }

    fn listen_unix(&mut self, port: StreamPort, socket: UnixListener, path: PathBuf) -> Option<JoinHandle<()>> {
        match tokio::net::UnixListener::from_std(socket) {
            Ok(listener) => {
                self.sockets.push(path);
                Some(actix_rt::spawn(tcp::accept_unix(port, listener, Strangers::default())))
            }
            Err(why) => {
                tracing::error!(error = %why, path = %path.display(), "cannot take peers over a unix socket");
                None
            }
        }
    }

    fn set_peers(&mut self, peers: Vec<(PeerAddress, Arc<Outbox>)>, removed: Vec<NodeId>) {
        let own = self.context.config.own;
        let members = peers.iter().map(|(peer, _)| peer.member).chain([own]);
        self.context.registry.set_members(members, removed);
        self.listening.iter().for_each(|listening| listening.share(&self.context.config, peers.len()));
        let gone = self.peers.extract_if(|member, _| peers.iter().all(|(peer, _)| peer.member != *member));
        for (member, kept) in gone.collect::<Vec<_>>() {
            tracing::info!(peer = format_args!("{member:x}"), "stopped talking to a member that left");
            // nothing is added to what waits for it, but what does may be the commit of its own removal
            actix_rt::spawn(async move {
                sleep(FAREWELL).await;
                kept.stop.send_replace(true);
            });
        }
        for (peer, outbox) in peers {
            match self.peers.get(&peer.member) {
                Some(kept) => kept.route.set_urls(&peer.urls),
                None => {
                    let kept = self.keep(&peer, outbox);
                    self.peers.insert(peer.member, kept);
                }
            }
        }
    }

    fn keep(&self, peer: &PeerAddress, outbox: Arc<Outbox>) -> Kept {
        let context = self.context.clone();
        let route = Rc::new(Route::new(context.clone(), peer.member, &peer.urls));
        // snapshots have a UDP port and a turn through the URLs of their own
        let bulk_route = Rc::new(Route::new(context.clone(), peer.member, &peer.urls));
        let (stop, stopped) = watch::channel(false);
        let (parcels, mut queue) = mpsc::unbounded_channel();
        let keeper = Keeper::new(context.clone(), route.clone(), outbox);
        let messages = actix_rt::spawn(keeper.run(stopped.clone()));
        let urls = route.clone();
        let snapshots = actix_rt::spawn(async move {
            while let Some(parcel) = queue.recv().await {
                bulk_route.follow(&urls);
                deliver(context.clone(), bulk_route.clone(), parcel, stopped.clone()).await;
            }
        });
        Kept { route, parcels, stop, tasks: [messages, snapshots] }
    }

    fn bulk(&self, to: NodeId, parcel: Parcel) {
        match self.peers.get(&to) {
            None => (parcel.done)(Err(BulkError::Unreachable)),
            Some(kept) => {
                if let Err(mpsc::error::SendError(parcel)) = kept.parcels.send(parcel) {
                    (parcel.done)(Err(BulkError::Stopped));
                }
            }
        }
    }
}
