//! Opens one connection to a member, and tells when it is gone.

use super::UpstreamConfig;
use super::address::{Address, Place, Security};
use super::tls::{ClientTls, TlsFiles};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// A socket of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that speaks HTTP/2.
pub(super) struct Connection {
    pub(super) channel: Channel,
    /// Resolves, with an error, when the socket is dropped.
    pub(super) closed: oneshot::Receiver<()>,
}

/// Connects to an endpoint for gRPC.
pub(super) async fn dial(config: &UpstreamConfig, text: &str) -> Result<Connection, String> {
    let timed_out = || format!("{text} does not answer within {:?}", config.dial_timeout);
    let opened = tokio::time::timeout(config.dial_timeout, open(config, text, b"h2")).await;
    let socket = opened.map_err(|_| timed_out())??;
    let (alive, closed) = oneshot::channel();
    let socket = TokioIo::new(Guarded { socket, _alive: alive });
    // the connector gives the socket away once: a broken connection is dialled anew by its keeper
    let socket = Arc::new(Mutex::new(Some(socket)));
    let connector = tower::service_fn(move |_| {
        let socket = socket.lock().ok().and_then(|mut socket| socket.take());
        std::future::ready(socket.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let endpoint = endpoint(config, text)?;
    let connected = tokio::time::timeout(config.dial_timeout, endpoint.connect_with_connector(connector)).await;
    let channel = connected.map_err(|_| timed_out())?;
    Ok(Connection { channel: channel.map_err(|why| format!("{text}: {why}"))?, closed })
}

fn endpoint(config: &UpstreamConfig, text: &str) -> Result<Endpoint, String> {
    let uri = format!("http://{}", Address::read(text).authority());
    // a path of a socket is no authority
    let endpoint = Endpoint::from_shared(uri).or_else(|_| Endpoint::from_shared("http://localhost".to_owned()));
    let mut endpoint = endpoint.map_err(|why| format!("{text}: {why}"))?;
    if let Some(interval) = config.keepalive_time {
        endpoint = endpoint
            .http2_keep_alive_interval(interval)
            .keep_alive_timeout(config.keepalive_timeout)
            .keep_alive_while_idle(config.keepalive_idle);
    }
    Ok(endpoint)
}

/// Opens what bytes go through; `protocol` is what is spoken over TLS.
///
/// # Errors
/// One sentence about what failed.
pub async fn open(config: &UpstreamConfig, text: &str, protocol: &[u8]) -> Result<Box<dyn Stream>, String> {
    let address = Address::read(text);
    let socket: Box<dyn Stream> = match &address.place {
        Place::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(|why| format!("dial {text}: {why}"))?),
        Place::Tcp(at) => {
            let socket = TcpStream::connect(at).await.map_err(|why| format!("dial tcp {at}: {why}"))?;
            socket.set_nodelay(true).map_err(|why| format!("dial tcp {at}: {why}"))?;
            Box::new(socket)
        }
    };
    let tls = match (address.security, &config.tls) {
        (Security::Dropped, _) | (Security::Optional, None) => return Ok(socket),
        (Security::Optional | Security::Required, Some(tls)) => tls.clone(),
        (Security::Required, None) => ClientTls::read(&TlsFiles::default())?,
    };
    let name = tls.server_name.clone().unwrap_or(address.host);
    let name = ServerName::try_from(name).map_err(|why| format!("{text}: {why}"))?;
    let mut settings = (*tls.config).clone();
    settings.alpn_protocols = vec![protocol.to_vec()];
    let shaken = TlsConnector::from(Arc::new(settings)).connect(name, socket).await;
    Ok(Box::new(shaken.map_err(|why| format!("{text}: authentication handshake failed: {}", tls_text(&why)))?))
}

fn tls_text(why: &io::Error) -> String {
    match why.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(of_tls) => tls::error_text(of_tls),
        None => why.to_string(),
    }
}

/// A socket whose end is noticed: the sender is dropped with it.
struct Guarded {
    socket: Box<dyn Stream>,
    _alive: oneshot::Sender<()>,
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
