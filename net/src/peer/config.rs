//! What the transport is told at its start. Every bound of it stands here.

use super::tls::PeerTls;
use raft::NodeId;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a member's transport.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Cluster id.
    pub cluster: u64,
    /// This member.
    pub own: NodeId,
    /// Grows with every start, and is durable before the transport starts.
    pub boot_epoch: u64,
    /// Heartbeat interval.
    pub heartbeat: Duration,
    /// Election timeout.
    pub election: Duration,
    /// Where to listen, on UDP and TCP alike.
    pub listen: Vec<PeerListen>,
    /// Unix sockets to listen on.
    pub listen_unix: Vec<PeerSocket>,
    /// Random, kept in the data folder: with it a restarted member can tell others that their old connections are gone.
    pub secret: [u8; 32],
    /// Certificates.
    pub tls: PeerTls,
    /// Bounds.
    pub limits: PeerLimits,
    /// Details of the path that only tests and unusual networks change.
    pub path: PathTuning,
}

/// A socket for peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerListen {
    /// Address. Port 0 takes a free one.
    pub address: SocketAddr,
    /// The URL says `https`.
    pub secure: bool,
}

/// A unix socket for peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSocket {
    /// Its path.
    pub path: PathBuf,
    /// The URL says `unixs`.
    pub secure: bool,
}

/// Bounds, in bytes per peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// Control messages that wait to be sent.
    pub control_queue: usize,
    /// Appends and proposals that wait to be sent.
    pub append_queue: usize,
    /// Calls, and answers, that wait to be sent.
    pub call_queue: usize,
    /// Appends and proposals that were received and not yet taken by the core.
    pub receive: usize,
    /// Bytes per second of a bulk transfer; zero for no limit.
    pub bulk_rate: u64,
    /// Connections that have not said a valid hello yet, and peers that are not in the membership.
    pub strangers: usize,
}

impl Default for PeerLimits {
    fn default() -> Self {
        Self {
            control_queue: 1 << 20,
            append_queue: 32 << 20,
            call_queue: 16 << 20,
            receive: 32 << 20,
            bulk_rate: 128 << 20,
            strangers: 64,
        }
    }
}

/// How datagrams are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathTuning {
    /// Listen on, and dial by, UDP. Without it everything goes over TCP.
    pub udp: bool,
    /// Address that connections to others come from, where the family allows it; without it the system chooses.
    pub local: Option<IpAddr>,
    /// Hand several datagrams to the kernel at once (GSO). A kernel or driver that cannot do it is found out anyway.
    pub offload: bool,
    /// Largest datagram tried, 1,200 at least.
    pub max_mtu: u16,
    /// Wanted size of socket buffers; the system may give less.
    pub socket_buffer: usize,
    /// Pause between attempts to get back from TCP to UDP.
    pub udp_retry: Duration,
}

impl Default for PathTuning {
    fn default() -> Self {
        Self {
            udp: true,
            local: None,
            offload: true,
            max_mtu: 1452,
            socket_buffer: 4 << 20,
            udp_retry: Duration::from_secs(30),
        }
    }
}

impl PeerConfig {
    /// How often vitals are sent: with every heartbeat, and often enough that losing one does not end a connection.
    pub(super) fn pulse(&self) -> Duration {
        self.heartbeat.min(self.election / 8).max(Duration::from_millis(1))
    }

    /// Longest silence of a connection before it is closed and dialled again.
    pub(super) fn silence(&self) -> Duration {
        self.election / 2
    }

    /// Patience with a dial, from the first datagram to the answered hello.
    pub(super) fn dial_timeout(&self) -> Duration {
        self.election.clamp(Duration::from_millis(300), Duration::from_secs(5))
    }
}
