//! Client URLs in, bound sockets out: the one place where a member's listeners are opened.
//!
//! URLs that differ only in `http` and `https` share a socket, on which the door tells plain from TLS by the first byte.
//! Must never serve anything itself, and never fall back to another address or to plain text.

mod address;

pub use address::{Address, bind_address};
pub use storage::member::{ClientUrl, UrlError, UrlTarget, parse_url};
pub use tls::verify::AllowedNames;
pub use tls::{AutoTls, ServerTls, Side, TlsError, TlsSettings, TlsVersion};

use net::Listen;
use net::door::{ListenSpec, Listener};
use net::unix_socket::{self, UnixSocketError};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Options of listening TCP sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// `SO_REUSEPORT`: several processes may listen on the same port.
    pub reuse_port: bool,
    /// `SO_REUSEADDR`. On Unix it is always on, or a restart would have to wait for old connections to time out.
    pub reuse_address: bool,
}

/// Why clients cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Not a URL clients can be served on.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Somebody else has the port.
    #[error(
        "listen on {0}: address already in use; stop the other process (find it with `ss -ltnp`), or choose another address with --listen-client-urls"
    )]
    InUse(String),
    /// A low port, or a folder of somebody else.
    #[error(
        "listen on {0}: permission denied; ports below 1024 need the capability CAP_NET_BIND_SERVICE, sockets a writable folder"
    )]
    Denied(String),
    /// No such address here.
    #[error("listen on {0}: this machine has no such address; use one of its own, or 0.0.0.0 for all")]
    NotHere(String),
    /// A file that is no socket stands where the socket should be.
    #[error("listen on unix socket {}: there is a file that is no socket; remove it or choose another path", .0.display())]
    NotASocket(PathBuf),
    /// Anything else the operating system says.
    #[error("listen on {address}: {source}")]
    Io {
        /// The address.
        address: String,
        /// What it says.
        source: io::Error,
    },
    /// A TLS URL without a certificate.
    #[error("{0} needs a certificate: give --cert-file and --key-file, or --auto-tls")]
    NoTls(String),
    /// The certificate files.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// One socket that is to be opened.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    address: Address,
    /// The first URL that asked for it, for messages.
    url: String,
    plain: bool,
    secure: bool,
}

/// TLS for listeners on these URLs; `None` when none of them is `https` or `unixs`.
///
/// # Errors
/// [`ListenError::NoTls`] and [`ListenError::Tls`].
pub fn secure(urls: &[String], settings: Option<&TlsSettings>) -> Result<Option<ServerTls>, ListenError> {
    let wanted = group(urls)?;
    match (wanted.iter().find(|w| w.secure), settings) {
        (Some(_), Some(settings)) => Ok(Some(tls::server_config(settings, &hosts(urls)?)?)),
        (Some(wanted), None) => Err(ListenError::NoTls(wanted.url.clone())),
        (None, _) => Ok(None),
    }
}

/// Opens a socket for every distinct address among `urls`; nothing is accepted yet. All are open, or none.
///
/// `tls` is needed as soon as one URL is `https` or `unixs` (see [`secure`]); with plain URLs alone it is ignored.
///
/// # Errors
/// [`ListenError`], each naming the address and saying what to do.
pub fn bind(urls: &[String], tls: Option<&ServerTls>, options: SocketOptions) -> Result<Vec<Listen>, ListenError> {
    let wanted = group(urls)?;
    let mut listens = Vec::with_capacity(wanted.len());
    for (number, wanted) in wanted.into_iter().enumerate() {
        let number = number as u32;
        let spec = match (wanted.secure, tls) {
            (true, Some(tls)) if wanted.plain => ListenSpec::tls(number, &tls.config).and_plain(),
            (true, Some(tls)) => ListenSpec::tls(number, &tls.config),
            (true, None) => return Err(ListenError::NoTls(wanted.url)),
            (false, _) => ListenSpec::plain(number),
        };
        listens.push(Listen { listener: open(&wanted.address, options)?, spec });
    }
    Ok(listens)
}

/// Hosts of the URLs, for a self-made certificate.
pub(crate) fn hosts(urls: &[String]) -> Result<Vec<String>, UrlError> {
    let mut hosts = Vec::new();
    for url in urls {
        hosts.extend(parse_url(url)?.host().map(str::to_owned));
    }
    Ok(hosts)
}

fn group(urls: &[String]) -> Result<Vec<Wanted>, ListenError> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for text in urls {
        let url = parse_url(text)?;
        let address = bind_address(&url)?;
        match wanted.iter_mut().find(|w| w.address == address) {
            Some(known) => {
                known.plain |= !url.secure;
                known.secure |= url.secure;
            }
            None => wanted.push(Wanted { address, url: text.clone(), plain: !url.secure, secure: url.secure }),
        }
    }
    Ok(wanted)
}

fn open(address: &Address, options: SocketOptions) -> Result<Listener, ListenError> {
    match address {
        Address::Tcp(addr) => tcp(*addr, options).map(Listener::Tcp).map_err(|why| explain(addr.to_string(), why)),
        Address::Unix(path) => unix(path).map(Listener::Unix),
    }
}

fn tcp(addr: SocketAddr, options: SocketOptions) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if addr.is_ipv6() {
        // [::] serves IPv4 clients too
        socket.set_only_v6(false)?;
    }
    socket.bind(&SockAddr::from(addr))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn unix(path: &Path) -> Result<std::os::unix::net::UnixListener, ListenError> {
    let name = || format!("unix socket {}", path.display());
    unix_socket::bind(path).map_err(|why| match why {
        UnixSocketError::NotASocket => ListenError::NotASocket(path.to_owned()),
        UnixSocketError::InUse => ListenError::InUse(name()),
        UnixSocketError::Io(why) => explain(name(), why),
    })
}

fn explain(address: String, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address),
        io::ErrorKind::PermissionDenied => ListenError::Denied(address),
        io::ErrorKind::AddrNotAvailable => ListenError::NotHere(address),
        _ => ListenError::Io { address, source },
    }
}

#[cfg(test)]
#[path = "listen/listen_tests.rs"]
mod listen_tests;
