//! The gRPC proxy as a server: sockets, TLS, and which requests are calls and which are pages.
//!
//! Must never let a client hold a connection that says nothing, or more of them than there is room for.

use crate::calls::Calls;
use crate::cluster::{self, Members, Proxies, Registration};
use crate::config::Config;
use crate::kv::{self, Kv, Leasing};
use crate::leader::Leader;
use crate::lease::Leases;
use crate::namespace::Namespace;
use crate::pages::{CallCounts, Counters, Pages};
use crate::upstream::Pool;
use crate::watch::Watches;
use http::{Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;

/// Most connections of clients.
const CONNECTIONS: usize = 8192;
/// Longest that a handshake of TLS, or the head of a request over HTTP/1.1, may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Most calls of a connection, whatever the flag says.
const STREAMS: u32 = 16_384;
/// Bytes that a client may send ahead, for a call and for its connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 2 << 20;
/// Largest head of a request. Tokens may be long.
const HEAD: u32 = 256 << 10;
/// Pause after a connection could not be accepted: the process may be out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A socket.
    #[error("listen tcp {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// `--metrics-addr`.
    #[error("cannot parse {0:?} as the URL of a metrics listener; write http://host:port or https://host:port")]
    Metrics(String),
}

/// What every connection uses.
struct Parts {
    calls: Arc<Calls>,
    pages: Pages,
    counters: Arc<Counters>,
    room: Arc<Semaphore>,
    http: auto::Builder<TokioExecutor>,
}

/// A listener, its certificates, and whether calls are answered there.
struct Door {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    takes_calls: bool,
}

/// A proxy that serves.
pub struct Proxy {
    pool: Pool,
    registration: Arc<Registration>,
    leasing: Option<Arc<Leasing>>,
    tasks: tokio::task::JoinSet<()>,
}

impl Proxy {
    /// Starts to serve. Must be called inside a tokio runtime with several threads.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        let tls = acceptor(&config)?;
        let mut doors = vec![open(&config.listen, tls.clone(), true).await?];
        if let Some(url) = &config.metrics {
            let (scheme, address) = url.split_once("://").ok_or_else(|| ServeError::Metrics(url.clone()))?;
            let tls = match (scheme, tls) {
                ("http", _) => None,
                ("https", Some(tls)) => Some(tls),
                _ => return Err(ServeError::Metrics(url.clone())),
            };
            doors.push(open(address.trim_end_matches('/'), tls, false).await?);
            tracing::info!(address = url, "gRPC proxy listening for metrics");
        }
        tracing::info!(address = config.listen, "listening for gRPC proxy client requests");
        let pool = Pool::start(config.upstream.clone());
        let registration = Arc::new(Registration::default());
        let mut tasks = tokio::task::JoinSet::new();
        let namespace = Namespace(config.namespace.clone());
        let leasing = config.leasing.clone().map(|prefix| Arc::new(Leasing::new(pool.clone(), namespace, prefix)));
        let parts = Arc::new(assemble(&config, &pool, &registration, leasing.clone(), &mut tasks));
        for door in doors {
            tasks.spawn(accept(door, parts.clone()));
        }
        tracing::info!(address = config.listen, "started gRPC proxy");
        Ok(Self { pool, registration, leasing, tasks })
    }

    /// Ends the registration and the lease of keys in memory, and stops to serve. Takes two seconds at most.
    pub async fn stop(mut self) {
        // nothing is renewed any more
        self.tasks.abort_all();
        self.registration.end(&self.pool).await;
        if let Some(leasing) = &self.leasing {
            leasing.end().await;
        }
    }
}

fn assemble(
    config: &Config,
    pool: &Pool,
    registration: &Arc<Registration>,
    leasing: Option<Arc<Leasing>>,
    tasks: &mut tokio::task::JoinSet<()>,
) -> Parts {
    let (counters, namespace) = (Arc::new(Counters::default()), Namespace(config.namespace.clone()));
    let leader = Arc::new(Leader::new(pool.clone()));
    let leases = Arc::new(Leases::new(pool.clone(), namespace.clone(), leader.clone()));
    let watches = Arc::new(Watches::new(pool.clone(), namespace.clone(), leader, counters.clone()));
    let counts = Arc::new(CallCounts::new());
    let proxies = Arc::new(Proxies::default());
    if let Some(registry) = &config.registry {
        let (registry, address) = (registry.clone(), config.advertised.clone());
        tasks.spawn(cluster::follow(proxies.clone(), pool.clone(), watches.clone(), registry.prefix.clone()));
        let leases = leases.clone();
        tasks.spawn(cluster::register(
            registration.clone(),
            pool.clone(),
            leases,
            namespace.clone(),
            registry,
            address,
        ));
    }
    if let Some(leasing) = &leasing {
        tasks.spawn(kv::hold_lease(leasing.clone(), leases.clone()));
        tasks.spawn(kv::follow(leasing.clone(), watches.clone()));
    }
    let calls = Calls {
        pool: pool.clone(),
        kv: Arc::new(Kv::new(pool.clone(), namespace, config.ordering, leasing, counters.clone())),
        watches: watches.clone(),
        leases,
        members: Arc::new(Members::new(pool.clone(), config.advertised.clone(), proxies)),
        max_message: config.max_message,
        log: config.log_calls,
        counts: counts.clone(),
    };
    let pages = Pages { pool: pool.clone(), watches, counters: counters.clone(), counts, process: config.process_page };
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    Parts { calls: Arc::new(calls), pages, counters, room, http: http(config) }
}

fn http(config: &Config) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_streams.min(STREAMS))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEAD)
        .keep_alive_interval(config.keepalive_interval)
        .keep_alive_timeout(config.keepalive_timeout);
    http
}

fn acceptor(config: &Config) -> Result<Option<TlsAcceptor>, ServeError> {
    let Some(settings) = &config.tls else { return Ok(None) };
    let host = config.listen.rsplit_once(':').map_or(config.listen.as_str(), |(host, _)| host);
    let tls::ServerTls { mut config, .. } = tls::server_config(settings, &[host.to_owned()])?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

async fn open(address: &str, tls: Option<TlsAcceptor>, takes_calls: bool) -> Result<Door, ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_owned(), source };
    Ok(Door { listener: TcpListener::bind(address).await.map_err(failed)?, tls, takes_calls })
}

async fn accept(door: Door, parts: Arc<Parts>) {
    loop {
        // the semaphore is never closed
        let Ok(permit) = parts.room.clone().acquire_owned().await else { return };
        let (socket, peer) = match door.listener.accept().await {
            Ok(accepted) => accepted,
            Err(why) => {
                tracing::warn!(error = %why, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (parts, tls, takes_calls) = (parts.clone(), door.tls.clone(), door.takes_calls);
        tokio::spawn(async move {
            parts.counters.connections.fetch_add(1, Relaxed);
            serve(&parts, socket, tls, takes_calls, peer.to_string()).await;
            parts.counters.connections.fetch_sub(1, Relaxed);
            drop(permit);
        });
    }
}

async fn serve(parts: &Arc<Parts>, socket: TcpStream, tls: Option<TlsAcceptor>, takes_calls: bool, peer: String) {
    let _ = socket.set_nodelay(true);
    let handler = service_fn(|request: Request<Incoming>| {
        let (parts, peer) = (parts.clone(), peer.clone());
        async move { Ok::<_, Infallible>(answer(&parts, request, takes_calls, peer).await) }
    });
    let ended = match tls {
        None => parts.http.serve_connection(TokioIo::new(socket), handler).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(socket)).await {
            Ok(Ok(socket)) => parts.http.serve_connection(TokioIo::new(socket), handler).await,
            Ok(Err(why)) => {
                tracing::warn!("remote-addr" = peer, error = %why, "rejected connection on client endpoint");
                return;
            }
            Err(_) => return,
        },
    };
    if let Err(why) = ended {
        tracing::debug!("remote-addr" = peer, error = %why, "a connection broke");
    }
}

async fn answer(parts: &Parts, request: Request<Incoming>, takes_calls: bool, peer: String) -> Response<Body> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let is_call = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_call && takes_calls {
        return parts.calls.clone().answer(request.map(Body::new), peer).await;
    }
    parts.pages.answer(request.method(), request.uri().path()).await
}
