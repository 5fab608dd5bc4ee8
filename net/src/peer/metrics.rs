//! Counters per peer, under etcd's names where etcd has them. Plain atomics: whoever renders a page reads them.

use crate::http::page::{Kind, Page, Unit};
use messages::histogram::{Distribution, DoublingHistogram};
use raft::NodeId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Counters of one peer.
#[derive(Debug, Default)]
pub struct PeerCounters {
    /// Bytes of frames handed to connections.
    pub sent_bytes: AtomicU64,
    /// Bytes of frames taken from connections.
    pub received_bytes: AtomicU64,
    /// Messages that could not be sent.
    pub sent_failures: AtomicU64,
    /// Streams that broke or brought what is no frame.
    pub received_failures: AtomicU64,
    /// Messages dropped before they left, on the lane of control.
    pub dropped_control: AtomicU64,
    /// Messages dropped before they left, on the lane of appends.
    pub dropped_append: AtomicU64,
    /// Calls refused before they left.
    pub dropped_calls: AtomicU64,
    /// Messages received and dropped, because the core's queue was full.
    pub dropped_received: AtomicU64,
    /// Streams closed because they brought garbage.
    pub bad_frames: AtomicU64,
    /// Messages can be sent.
    pub active: AtomicBool,
    /// Times that a connection was lost.
    pub disconnected: AtomicU64,
    /// The connection in use runs over TCP, because UDP does not get through.
    pub over_tcp: AtomicBool,
    /// Datagrams that were lost on the way, over all connections.
    pub lost_packets: AtomicU64,
    /// Times that the path was found congested, over all connections.
    pub congestion_events: AtomicU64,
    /// Bulk transfers under way from here.
    pub bulk_sending: AtomicU64,
    /// Bulk transfers delivered.
    pub bulk_sent: AtomicU64,
    /// Bulk transfers given up.
    pub bulk_send_failures: AtomicU64,
    /// Bulk transfers under way to here.
    pub bulk_receiving: AtomicU64,
    /// Bulk transfers received.
    pub bulk_received: AtomicU64,
    /// Bulk transfers whose receipt broke off.
    pub bulk_receive_failures: AtomicU64,
    /// Round trips, from 0.1 ms doubling.
    pub round_trip: DoublingHistogram<100, 16>,
    /// How long snapshots took that the peer has taken whole.
    pub bulk_send_took: DoublingHistogram<100_000, 10>,
    /// How long snapshots took that were received whole.
    pub bulk_receive_took: DoublingHistogram<100_000, 10>,
}

/// What is known of the way to a follower.
#[derive(Clone, Copy, Debug)]
pub struct Follower {
    /// The member.
    pub id: NodeId,
    /// How long round trips took.
    pub latency: Latency,
    /// Round trips.
    pub succeeded: u64,
    /// Messages that could not be sent.
    pub failed: u64,
}

/// Milliseconds that round trips took, as far as a histogram tells: each counts as the bound of its bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// The mean, which stands for the last one.
    pub current: f64,
    /// The mean.
    pub average: f64,
    /// The standard deviation.
    pub deviation: f64,
    /// The bound of the first bucket with any.
    pub minimum: f64,
    /// The bound of the last one.
    pub maximum: f64,
}

impl Latency {
    fn of<const FIRST: u64, const BOUNDED: usize>(histogram: &DoublingHistogram<FIRST, BOUNDED>) -> Self {
        let longest = (FIRST << BOUNDED) as f64 / 1e3;
        let (mut before, mut counted) = (0, Vec::new());
        let told = histogram.distribution();
        for (bound, count) in told.cumulative {
            if count > before {
                counted.push((bound.map_or(longest, |micros| micros as f64 / 1e3), count - before));
            }
            before = count;
        }
        if before == 0 {
            return Self::default();
        }
        let average = told.seconds * 1e3 / before as f64;
        let squares: f64 = counted.iter().map(|(bound, count)| (bound - average).powi(2) * *count as f64).sum();
        let bound = |at: Option<&(f64, u64)>| at.map_or(0.0, |(bound, _)| *bound);
        Self {
            current: average,
            average,
            deviation: (squares / before as f64).sqrt(),
            minimum: bound(counted.first()),
            maximum: bound(counted.last()),
        }
    }
}

/// Counters of all peers that were ever known. A peer that left keeps its line until the member restarts, as in etcd.
#[derive(Clone, Debug, Default)]
pub struct PeerMetrics {
    peers: Arc<Mutex<BTreeMap<NodeId, Arc<PeerCounters>>>>,
}

impl PeerMetrics {
    /// The counters of a peer.
    pub fn of(&self, peer: NodeId) -> Arc<PeerCounters> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).entry(peer).or_default().clone()
    }

    /// How far the followers of this member are away, by their round trips.
    pub fn followers(&self) -> Vec<Follower> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let follower = |(peer, counters): (&NodeId, &Arc<PeerCounters>)| Follower {
            id: *peer,
            latency: Latency::of(&counters.round_trip),
            succeeded: counters.round_trip.count(),
            failed: counters.sent_failures.load(Relaxed),
        };
        peers.iter().map(follower).collect()
    }

    /// The families of all peers, for the metrics page of the member `own`.
    pub fn render(&self, own: NodeId, page: &mut Page) {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.is_empty() {
            return;
        }
        for row in ROWS {
            page.family(row.name, row.kind, row.help);
            for (peer, counters) in peers.iter() {
                page.sample(row.name, &row.label.of(own, *peer), (row.value)(counters) as f64);
            }
        }
        for Times { name, help, label, value } in TIMES {
            page.family(name, Kind::Histogram, help);
            for (peer, counters) in peers.iter() {
                page.histogram(name, &label.of(own, *peer), &value(counters), Unit::Seconds);
            }
        }
    }
}

/// A histogram of each peer.
struct Times {
    name: &'static str,
    help: &'static str,
    label: Label,
    value: fn(&PeerCounters) -> Distribution,
}

const TIMES: &[Times] = &[
    Times {
        name: "etcd_network_peer_round_trip_time_seconds",
        help: "Seconds that a frame to a peer and its echo took.",
        label: Label::To,
        value: |c| c.round_trip.distribution(),
    },
    Times {
        name: "etcd_network_snapshot_send_total_duration_seconds",
        help: "Seconds that snapshots took that the peer has taken whole.",
        label: Label::To,
        value: |c| c.bulk_send_took.distribution(),
    },
    Times {
        name: "etcd_network_snapshot_receive_total_duration_seconds",
        help: "Seconds that snapshots of the peer took that were received whole.",
        label: Label::From,
        value: |c| c.bulk_receive_took.distribution(),
    },
];

enum Label {
    Both,
    To,
    From,
}

impl Label {
    fn of(&self, own: NodeId, peer: NodeId) -> String {
        match self {
            Self::Both => format!("Local=\"{own:x}\",Remote=\"{peer:x}\""),
            Self::To => format!("To=\"{peer:x}\""),
            Self::From => format!("From=\"{peer:x}\""),
        }
    }
}

struct Row {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    label: Label,
    value: fn(&PeerCounters) -> u64,
}

const fn row(name: &'static str, help: &'static str, kind: Kind, label: Label, value: fn(&PeerCounters) -> u64) -> Row {
    Row { name, help, kind, label, value }
}

const ROWS: &[Row] = &[
    row(
        "etcd_network_active_peers",
        "Whether messages can be sent to the peer: 1 or 0.",
        Kind::Gauge,
        Label::Both,
        |c| u64::from(c.active.load(Relaxed)),
    ),
    row(
        "etcd_network_disconnected_peers_total",
        "Times that the connection to the peer was lost.",
        Kind::Counter,
        Label::Both,
        |c| c.disconnected.load(Relaxed),
    ),
    row(
        "etcd_network_peer_sent_bytes_total",
        "Bytes of frames handed to connections to the peer.",
        Kind::Counter,
        Label::To,
        |c| c.sent_bytes.load(Relaxed),
    ),
    row(
        "etcd_network_peer_received_bytes_total",
        "Bytes of frames taken from connections of the peer.",
        Kind::Counter,
        Label::From,
        |c| c.received_bytes.load(Relaxed),
    ),
    row(
        "etcd_network_peer_sent_failures_total",
        "Messages to the peer that could not be sent.",
        Kind::Counter,
        Label::To,
        |c| c.sent_failures.load(Relaxed),
    ),
    row(
        "etcd_network_peer_received_failures_total",
        "Streams of the peer that broke or brought something that is no frame.",
        Kind::Counter,
        Label::From,
        |c| c.received_failures.load(Relaxed),
    ),
    row(
        "etcd_network_snapshot_send_success",
        "Snapshots that the peer has taken whole.",
        Kind::Counter,
        Label::To,
        |c| c.bulk_sent.load(Relaxed),
    ),
    row(
        "etcd_network_snapshot_send_inflights_total",
        "Snapshots on their way to the peer.",
        Kind::Gauge,
        Label::To,
        |c| c.bulk_sending.load(Relaxed),
    ),
    row(
        "etcd_network_snapshot_send_failures",
        "Snapshots to the peer that were given up.",
        Kind::Counter,
        Label::To,
        |c| c.bulk_send_failures.load(Relaxed),
    ),
    row(
        "etcd_network_snapshot_receive_success",
        "Snapshots of the peer that were received whole.",
        Kind::Counter,
        Label::From,
        |c| c.bulk_received.load(Relaxed),
    ),
    row(
        "etcd_network_snapshot_receive_inflights_total",
        "Snapshots on their way from the peer.",
        Kind::Gauge,
        Label::From,
        |c| c.bulk_receiving.load(Relaxed),
    ),
    row(
        "etcd_network_snapshot_receive_failures",
        "Snapshots of the peer whose receipt broke off.",
        Kind::Counter,
        Label::From,
        |c| c.bulk_receive_failures.load(Relaxed),
    ),
    row(
        "conclave_network_peer_dropped_messages_total",
        "Messages to peers that were dropped before they left.",
        Kind::Counter,
        Label::To,
        |c| c.dropped_control.load(Relaxed) + c.dropped_append.load(Relaxed) + c.dropped_calls.load(Relaxed),
    ),
    row(
        "conclave_network_peer_dropped_received_messages_total",
        "Messages of peers that were dropped because the core's queue was full.",
        Kind::Counter,
        Label::From,
        |c| c.dropped_received.load(Relaxed),
    ),
    row(
        "conclave_network_peer_lost_packets_total",
        "Datagrams to peers that were lost on the way.",
        Kind::Counter,
        Label::To,
        |c| c.lost_packets.load(Relaxed),
    ),
    row(
        "conclave_network_peer_over_tcp",
        "1 while messages go over TCP because UDP does not get through.",
        Kind::Gauge,
        Label::To,
        |c| u64::from(c.over_tcp.load(Relaxed)),
    ),
];
