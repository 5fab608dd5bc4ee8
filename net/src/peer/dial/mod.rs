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

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

/// The address to dial `remote` from: the one that was chosen, if it is of the same family. On any port.
fn local_address(chosen: Option<IpAddr>, remote: SocketAddr) -> SocketAddr {
    let any = match remote {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(chosen.filter(|chosen| chosen.is_ipv4() == remote.is_ipv4()).unwrap_or(any), 0)
}

/// Connects over TCP, from the address that was chosen.
///
/// # Errors
/// The connection is not made.
pub(super) async fn connect(chosen: Option<IpAddr>, remote: SocketAddr) -> std::io::Result<TcpStream> {
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
            let (connected, accepted) = tokio::join!(connect(chosen, address), listener.accept());
            connected.expect("connected");
            assert_eq!(accepted.expect("accepted").1.ip(), from.parse::<IpAddr>().expect("an address"));
        }
    }
}
