//! Counters per peer, under etcd's names where etcd has them. Plain atomics: whoever renders a page reads them.

use raft::NodeId;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bounded buckets of the histogram of round trips: from 0.1 ms, doubling, as etcd's.
const RTT_BUCKETS: usize = 15;

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
    round_trips: [AtomicU64; RTT_BUCKETS + 1],
    round_trip_micros: AtomicU64,
}

impl PeerCounters {
    /// Counts a round trip.
    pub fn round_trip(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        let bucket = (0..RTT_BUCKETS).find(|bucket| micros <= 100 << bucket).unwrap_or(RTT_BUCKETS);
        self.round_trips[bucket].fetch_add(1, Relaxed);
        self.round_trip_micros.fetch_add(micros, Relaxed);
    }

    /// Round trips that were measured.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.iter().map(|bucket| bucket.load(Relaxed)).sum()
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

    /// In Prometheus' text format, for the metrics page of the member `own`.
    pub fn render(&self, own: NodeId, page: &mut String) {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.is_empty() {
            return;
        }
        for row in ROWS {
            let _ = writeln!(page, "# HELP {} {}\n# TYPE {} {}", row.name, row.help, row.name, row.kind);
            for (peer, counters) in peers.iter() {
                let value = (row.value)(counters);
                let _ = match row.label {
                    Label::Both => {
                        writeln!(page, "{}{{Local=\"{own:x}\",Remote=\"{peer:x}\"}} {value}", row.name)
                    }
                    Label::To => writeln!(page, "{}{{To=\"{peer:x}\"}} {value}", row.name),
                    Label::From => writeln!(page, "{}{{From=\"{peer:x}\"}} {value}", row.name),
                };
            }
        }
        render_round_trips(&peers, page);
    }
}

fn render_round_trips(peers: &BTreeMap<NodeId, Arc<PeerCounters>>, page: &mut String) {
    const NAME: &str = "etcd_network_peer_round_trip_time_seconds";
    let _ = writeln!(page, "# HELP {NAME} Round-Trip-Time histogram between peers\n# TYPE {NAME} histogram");
    for (peer, counters) in peers {
        let mut sum = 0;
        for (at, bucket) in counters.round_trips.iter().enumerate() {
            sum += bucket.load(Relaxed);
            let _ = if at < RTT_BUCKETS {
                let bound = (100_u64 << at) as f64 / 1e6;
                writeln!(page, "{NAME}_bucket{{To=\"{peer:x}\",le=\"{bound}\"}} {sum}")
            } else {
                writeln!(page, "{NAME}_bucket{{To=\"{peer:x}\",le=\"+Inf\"}} {sum}")
            };
        }
        let seconds = counters.round_trip_micros.load(Relaxed) as f64 / 1e6;
        let _ = writeln!(page, "{NAME}_sum{{To=\"{peer:x}\"}} {seconds}\n{NAME}_count{{To=\"{peer:x}\"}} {sum}");
    }
}

enum Label {
    Both,
    To,
    From,
}

struct Row {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    label: Label,
    value: fn(&PeerCounters) -> u64,
}

const fn row(
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    label: Label,
    value: fn(&PeerCounters) -> u64,
) -> Row {
    Row { name, help, kind, label, value }
}

const ROWS: &[Row] = &[
    row("etcd_network_active_peers", "The current number of active peer connections.", "gauge", Label::Both, |c| {
        u64::from(c.active.load(Relaxed))
    }),
    row(
        "etcd_network_disconnected_peers_total",
        "The total number of disconnected peers.",
        "counter",
        Label::Both,
        |c| c.disconnected.load(Relaxed),
    ),
    row("etcd_network_peer_sent_bytes_total", "The total number of bytes sent to peers.", "counter", Label::To, |c| {
        c.sent_bytes.load(Relaxed)
    }),
    row(
        "etcd_network_peer_received_bytes_total",
        "The total number of bytes received from peers.",
        "counter",
        Label::From,
        |c| c.received_bytes.load(Relaxed),
    ),
    row(
        "etcd_network_peer_sent_failures_total",
        "The total number of send failures from peers.",
        "counter",
        Label::To,
        |c| c.sent_failures.load(Relaxed),
    ),
    row(
        "etcd_network_peer_received_failures_total",
        "The total number of receive failures from peers.",
        "counter",
        Label::From,
        |c| c.received_failures.load(Relaxed),
    ),
    row("etcd_network_snapshot_send_success", "Total number of successful snapshot sends", "counter", Label::To, |c| {
        c.bulk_sent.load(Relaxed)
    }),
    row(
        "etcd_network_snapshot_send_inflights_total",
        "Total number of inflight snapshot sends",
        "gauge",
        Label::To,
        |c| c.bulk_sending.load(Relaxed),
    ),
    row("etcd_network_snapshot_send_failures", "Total number of snapshot send failures", "counter", Label::To, |c| {
        c.bulk_send_failures.load(Relaxed)
    }),
    row(
        "etcd_network_snapshot_receive_success",
        "Total number of successful snapshot receives",
        "counter",
        Label::From,
        |c| c.bulk_received.load(Relaxed),
    ),
    row(
        "etcd_network_snapshot_receive_inflights_total",
        "Total number of inflight snapshot receives",
        "gauge",
        Label::From,
        |c| c.bulk_receiving.load(Relaxed),
    ),
    row(
        "etcd_network_snapshot_receive_failures",
        "Total number of snapshot receive failures",
        "counter",
        Label::From,
        |c| c.bulk_receive_failures.load(Relaxed),
    ),
    row(
        "conclave_network_peer_dropped_messages_total",
        "Messages to peers that were dropped before they left.",
        "counter",
        Label::To,
        |c| c.dropped_control.load(Relaxed) + c.dropped_append.load(Relaxed) + c.dropped_calls.load(Relaxed),
    ),
    row(
        "conclave_network_peer_dropped_received_messages_total",
        "Messages of peers that were dropped because the core's queue was full.",
        "counter",
        Label::From,
        |c| c.dropped_received.load(Relaxed),
    ),
    row(
        "conclave_network_peer_lost_packets_total",
        "Datagrams to peers that were lost on the way.",
        "counter",
        Label::To,
        |c| c.lost_packets.load(Relaxed),
    ),
    row(
        "conclave_network_peer_over_tcp",
        "1 while messages go over TCP because UDP does not get through.",
        "gauge",
        Label::To,
        |c| u64::from(c.over_tcp.load(Relaxed)),
    ),
];
