//! Opens one connection: TCP or a Unix socket, TLS, HTTP/2. Failures are told in the words that gRPC clients use.
//!
//! Must never fall back to plain text, nor dial the same connection twice: the pool decides that.

use super::config::Config;
use super::endpoint::{Address, Endpoint, Security, authority, check_host_port, read};
use super::io_text::io_text;
use super::preface::{FirstBytes, Noticed};
use super::proxy;
use super::secure::{self, Tls};
use super::tls_text::tls_text;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::transport::Channel;

/// Longest a single attempt takes, as in gRPC clients.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens a connection to one endpoint. `first` is the endpoint whose scheme decides about TLS.
///
/// # Errors
/// `connection error: desc = …`.
pub async fn dial(config: &Config, text: &str, first: &str) -> Result<Channel, String> {
    let said = |why: String| format!("connection error: desc = {why:?}");
    let socket = tokio::time::timeout(PATIENCE, open(config, text, first, b"h2"))
        .await
        .unwrap_or_else(|_| Err("transport: Error while dialing: i/o timeout".into()))
        .map_err(said)?;
    let uri = format!("http://{}", authority(text));
    // a path of a socket is no authority
    let endpoint = tonic::transport::Endpoint::from_shared(uri)
        .or_else(|_| tonic::transport::Endpoint::from_shared("http://localhost".to_owned()))
        .map_err(|why| said(why.to_string()))?;
    let mut endpoint = endpoint.user_agent(config.user_agent).map_err(|e| said(e.to_string()))?;
    if !config.keepalive_time.is_zero() {
        endpoint = endpoint.http2_keep_alive_interval(config.keepalive_time);
        endpoint = endpoint.keep_alive_timeout(config.keepalive_timeout);
    }
    // the connector gives the socket away once: a broken connection is dialled anew by the pool
    let first_bytes = FirstBytes::default();
    let socket = TokioIo::new(Noticed { socket, first: first_bytes.clone() });
    let socket = Arc::new(Mutex::new(Some(socket)));
    let connector = tower::service_fn(move |_| {
        let socket = socket.lock().ok().and_then(|mut socket| socket.take());
        std::future::ready(socket.ok_or_else(|| io::Error::other(Spent)))
    });
    let opened = async {
        let channel = endpoint.connect_with_connector(connector).await.map_err(|why| format!("transport: {why}"))?;
        first_bytes.bytes().await.map_err(|why| format!("error reading server preface: {why}"))?;
        Ok(channel)
    };
    let opened = tokio::time::timeout(PATIENCE, opened).await;
    opened.unwrap_or_else(|_| Err("error reading server preface: i/o timeout".into())).map_err(said)
}

/// Opens what bytes go through; `protocol` is what is spoken over TLS. Also for plain HTTP, which asks for metrics.
///
/// # Errors
/// In gRPC's words.
pub async fn open(config: &Config, text: &str, first: &str, protocol: &[u8]) -> Result<Box<dyn Stream>, String> {
    let endpoint = read(text);
    let tls = tls_for(config, first)?;
    let socket = plain(&endpoint).await.map_err(|why| format!("transport: Error while dialing: {why}"))?;
    let Some(tls) = tls else { return Ok(socket) };
    let name = tls.server_name.clone().unwrap_or_else(|| endpoint.host.clone());
    let name =
        ServerName::try_from(name).map_err(|why| format!("transport: authentication handshake failed: {why}"))?;
    let mut settings = (*tls.config).clone();
    settings.alpn_protocols = vec![protocol.to_vec()];
    let handshake = TlsConnector::from(Arc::new(settings)).connect(name, socket).await;
    let socket = handshake.map_err(|why| format!("transport: authentication handshake failed: {}", tls_text(&why)))?;
    Ok(Box::new(socket))
}

/// The first endpoint's scheme decides for all of them, as in etcd's client.
fn tls_for(config: &Config, first: &str) -> Result<Option<Tls>, String> {
    match (read(first).security, &config.tls) {
        (Security::Dropped, _) => Ok(None),
        (Security::Optional, tls) => Ok(tls.clone()),
        (Security::Required, Some(tls)) => Ok(Some(tls.clone())),
        (Security::Required, None) => secure::system().map(Some),
    }
}

async fn plain(endpoint: &Endpoint) -> Result<Box<dyn Stream>, String> {
    match &endpoint.address {
        Address::Unix(path) => {
            let shown = path.display();
            let socket = UnixStream::connect(path).await;
            let socket = socket.map_err(|why| format!("dial unix {shown}: connect: {}", io_text(&why)))?;
            Ok(Box::new(socket))
        }
        Address::Tcp(address) => {
            check_host_port(address).map_err(|why| format!("dial tcp: address {address}: {why}"))?;
            let proxy = proxy::for_address(address, |name| std::env::var(name).ok())?;
            let Some(proxy) = proxy else { return Ok(Box::new(tcp(address, &endpoint.host).await?)) };
            let proxy_host = proxy.address.rsplit_once(':').map_or("", |(host, _)| host);
            let mut socket = tcp(&proxy.address, proxy_host).await?;
            proxy::connect(&mut socket, &proxy, address).await?;
            Ok(Box::new(socket))
        }
    }
}

/// Connects to the first address of a name that takes the connection.
async fn tcp(address: &str, host: &str) -> Result<TcpStream, String> {
    let found = tokio::net::lookup_host(address).await;
    let unknown = || format!("dial tcp: lookup {}: no such host", super::srv::asked(host));
    let found: Vec<_> = found.map_err(|_| unknown())?.collect();
    let mut last = unknown();
    for address in found {
        match TcpStream::connect(address).await {
            Ok(socket) => {
                socket.set_nodelay(true).map_err(|why| format!("dial tcp {address}: {why}"))?;
                return Ok(socket);
            }
            Err(why) => last = format!("dial tcp {address}: connect: {}", io_text(&why)),
        }
    }
    Err(last)
}

/// The connection was opened once, and is not opened again under its old name: what was to go through it was not sent.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed")]
pub struct Spent;

/// A socket of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
