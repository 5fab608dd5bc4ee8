//! Dialling: from a peer's URLs to an agreed connection, and the task that keeps one up.
//!
//! | file | what |
//! |---|---|
//! | [`address`] | peer URLs, and names resolved at every dial |
//! | [`backoff`] | pauses between dials |
//! | [`certificate`] | whether the other member does not take this one's certificate |
//! | [`udp`] | UDP sockets and what QUIC does on them |
//! | [`route`] | one way to one peer: a dial over QUIC or TCP for any purpose |
//! | [`keep`] | keeps the raft connection to a peer up |

pub mod address;
pub mod backoff;
pub mod certificate;
pub mod keep;
pub mod route;
pub mod udp;

use address::Target;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

/// A connection of bytes, whatever carries it.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

/// A lane that is silent by nature must still find out that the other side is gone.
pub fn keep_alive(stream: &TcpStream) {
    const IDLE: Duration = Duration::from_secs(10);
    let probes = TcpKeepalive::new().with_time(IDLE).with_interval(IDLE / 5).with_retries(5);
    // without it a lane of a member that is gone stays until it comes back
    let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
}

/// The address to dial `remote` from: the one that was chosen, if it is of the same family. On any port.
fn local_address(chosen: Option<IpAddr>, remote: SocketAddr) -> SocketAddr {
    let any = match remote {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(chosen.filter(|chosen| chosen.is_ipv4() == remote.is_ipv4()).unwrap_or(any), 0)
}

/// Connects over TCP, from the address that was chosen, or over a unix socket.
///
/// # Errors
/// The connection is not made.
pub(super) async fn connect(chosen: Option<IpAddr>, target: &Target) -> io::Result<Box<dyn ByteStream>> {
    match target {
        Target::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Target::Net(remote) => {
            let stream = connect_tcp(chosen, *remote).await?;
            stream.set_nodelay(true)?;
            keep_alive(&stream);
            Ok(Box::new(stream))
        }
    }
}

async fn connect_tcp(chosen: Option<IpAddr>, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if chosen.is_some() {
        socket.bind(local_address(chosen, remote))?;
    }
    socket.connect(remote).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_come_from_the_address_that_was_chosen() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        for (chosen, from) in [(None, "127.0.0.1"), (Some("127.0.0.9"), "127.0.0.9"), (Some("::1"), "127.0.0.1")] {
            let chosen = chosen.map(|text| text.parse().expect("an address"));
            let (connected, accepted) = tokio::join!(connect_tcp(chosen, address), listener.accept());
            connected.expect("connected");
            assert_eq!(accepted.expect("accepted").1.ip(), from.parse::<IpAddr>().expect("an address"));
        }
    }
}
