//! UDP sockets, and how QUIC uses them: windows that fit the buffers the system really gave, small datagrams to begin with, no
//! migration, keys that survive a restart.

use crate::peer::codec::hello::Purpose;
use crate::peer::config::PeerConfig;
use crate::peer::tls::{SecretKeys, Trust};
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    AckFrequencyConfig, ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// Smallest window: enough for a distant peer, whatever the buffer.
const LEAST_WINDOW: usize = 256 << 10;
/// Largest window.
const MOST_WINDOW: usize = 8 << 20;
/// Bytes that may be sent and not acknowledged. More than two full windows, so that a lane that is full never holds up another one.
const SEND_WINDOW: u64 = 4 * MOST_WINDOW as u64;
/// Streams that a peer may open on one connection, of each direction. There are three lanes, and a few transfers on a bulk connection.
const STREAMS: u32 = 8;

/// Packets that the other side may leave unacknowledged. Its answers carry the acknowledgement of what they answer, so that most packets need
/// none of their own; a loss is told at once all the same.
const ACK_AFTER: u32 = 10;
/// How long it may wait for something to send. Nothing waits for an acknowledgement but a full window and the search for a lost last packet.
const ACK_DELAY: Duration = Duration::from_millis(10);

/// Binds a UDP socket and makes its buffers as large as the system allows.
///
/// # Errors
/// The address cannot be bound.
pub fn bind(address: SocketAddr, buffer: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // a machine without dual stack reaches the others of its own kind at least
        let _ = socket.set_only_v6(address.ip() != Ipv6Addr::UNSPECIFIED);
    }
    // what the system does not give is seen in the windows
    let _ = socket.set_recv_buffer_size(buffer);
    let _ = socket.set_send_buffer_size(buffer);
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// What a peer may send before it is read: its share of a socket's buffer.
fn window(buffer: usize, peers: usize) -> usize {
    (buffer / peers.max(1)).clamp(LEAST_WINDOW, MOST_WINDOW)
}

fn transport(config: &PeerConfig, window: usize, keep_alive: bool) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(config.election).unwrap_or_else(|_| VarInt::MAX.into());
    transport.max_idle_timeout(Some(idle));
    // a raft connection keeps itself alive by vitals; the receiver of a snapshot may be silent while it syncs
    transport.keep_alive_interval(keep_alive.then_some(config.election / 3));
    transport.max_concurrent_bidi_streams(STREAMS.into());
    transport.max_concurrent_uni_streams(STREAMS.into());
    let window = VarInt::from_u32(window as u32);
    transport.stream_receive_window(window);
    // control and calls have room of their own beside a full lane of appends
    transport.receive_window(VarInt::from_u32(3 * u32::try_from(window.into_inner()).unwrap_or(u32::MAX / 3)));
    transport.send_window(SEND_WINDOW);
    transport.initial_rtt(config.heartbeat.clamp(Duration::from_millis(10), Duration::from_millis(333)) / 3);
    transport.initial_mtu(1200);
    transport.min_mtu(1200);
    if config.path.max_mtu <= 1200 {
        transport.mtu_discovery_config(None);
    } else {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(config.path.max_mtu);
        transport.mtu_discovery_config(Some(discovery));
    }
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_AFTER));
    acks.max_ack_delay(Some(ACK_DELAY));
    transport.ack_frequency_config(Some(acks));
    transport.enable_segmentation_offload(config.path.offload);
    transport.datagram_receive_buffer_size(None);
    transport.congestion_controller_factory(Arc::new(CubicConfig::default()));
    Arc::new(transport)
}

fn endpoint_config(config: &PeerConfig) -> EndpointConfig {
    let keys = SecretKeys::new(config.secret);
    let ids = keys.connection_ids();
    let mut endpoint = EndpointConfig::new(keys.reset());
    endpoint.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    endpoint
}

/// A socket that takes connections.
pub struct Listening {
    /// Gives them.
    pub endpoint: Endpoint,
    crypto: Arc<QuicServerConfig>,
    buffer: usize,
}

/// Takes connections on a socket. To be called on the arbiter.
///
/// # Errors
/// The socket, or a TLS configuration that QUIC cannot use.
pub fn listen(config: &PeerConfig, socket: UdpSocket, trust: &Trust) -> io::Result<Listening> {
    let crypto = trust.quic_server().map_err(io::Error::other)?;
    let buffer = socket2::SockRef::from(&socket).recv_buffer_size().unwrap_or(LEAST_WINDOW);
    let server = server(config, crypto.clone(), window(buffer, 2));
    let endpoint = Endpoint::new(endpoint_config(config), Some(server), socket, Arc::new(TokioRuntime))?;
    Ok(Listening { endpoint, crypto, buffer })
}

impl Listening {
    /// Shares the socket's buffer between so many peers from now on, for connections that are still to come.
    pub fn share(&self, config: &PeerConfig, peers: usize) {
        let server = server(config, self.crypto.clone(), window(self.buffer, peers));
        self.endpoint.set_server_config(Some(server));
    }
}

fn server(config: &PeerConfig, crypto: Arc<QuicServerConfig>, window: usize) -> ServerConfig {
    let mut server = ServerConfig::new(crypto, SecretKeys::new(config.secret).tokens());
    server.transport_config(transport(config, window, true));
    server.migration(false);
    server.max_incoming(config.limits.strangers);
    server.incoming_buffer_size(256 << 10);
    server.incoming_buffer_size_total(4 << 20);
    server
}

/// A socket that dials.
#[derive(Clone)]
pub struct Dialler {
    /// Makes connections.
    pub endpoint: Endpoint,
    /// Bytes of its buffer, as the system gave them.
    buffer: usize,
}

impl Dialler {
    /// On a new port, for addresses of `remote`'s family. To be called on the arbiter.
    ///
    /// # Errors
    /// There is no port.
    pub fn new(config: &PeerConfig, remote: SocketAddr) -> io::Result<Self> {
        let socket = bind(super::local_address(config.path.local, remote), config.path.socket_buffer)?;
        let buffer = socket2::SockRef::from(&socket).recv_buffer_size().unwrap_or(LEAST_WINDOW);
        let endpoint = Endpoint::new(endpoint_config(config), None, socket, Arc::new(TokioRuntime))?;
        Ok(Self { endpoint, buffer })
    }

    /// How to dial for a purpose. Messages may come back on the connection, and have the whole buffer of the socket; a snapshot only goes
    /// one way, but may be silent for longer than an election timeout.
    ///
    /// # Errors
    /// A TLS configuration that QUIC cannot use.
    pub fn client(&self, config: &PeerConfig, trust: &Trust, purpose: Purpose) -> io::Result<ClientConfig> {
        let mut client = ClientConfig::new(trust.quic_client().map_err(io::Error::other)?);
        let (window, keep_alive) = match purpose {
            Purpose::Raft => (window(self.buffer, 1), false),
            Purpose::Bulk => (LEAST_WINDOW, true),
        };
        client.transport_config(transport(config, window, keep_alive));
        Ok(client)
    }
}
