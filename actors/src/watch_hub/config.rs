//! Sizes and times of a hub, where its store is, and what it is busy with. Must hold no state.

use crate::limits::{
    HUB_FRAGMENTED_BYTES, HUB_READ_BYTES, HUB_RESPONSE_REVISIONS, HUB_RING_BYTES, HUB_SENT_BYTES,
    OVERSIZED_REVISION_BYTES,
};
use std::time::Duration;

/// Sizes and times of a hub.
#[derive(Clone, Copy, Debug)]
pub struct HubConfig {
    /// Bytes of events kept in memory.
    pub ring_bytes: usize,
    /// A response that reaches this many bytes is split where the client asked for fragments (etcd: the largest request
    /// plus 512 KiB).
    pub fragment_bytes: usize,
    /// A response that reaches this many bytes ends with the revision at hand.
    pub frame_bytes: usize,
    /// Budget of one read of the store.
    pub read_bytes: usize,
    /// Several events of one revision with more bytes than this are not held in memory.
    pub oversized_bytes: usize,
    /// Revisions of one response at most.
    pub response_revisions: usize,
    /// A response in fragments ends with the revision that reaches this many bytes.
    pub fragmented_bytes: u64,
    /// Bytes sent on all streams together that the clients have not taken.
    pub sent_bytes: usize,
    /// Milliseconds without an event after which a watcher that asked for it is told of progress.
    pub progress_interval: u64,
}

impl HubConfig {
    /// Defaults for a largest request.
    pub fn for_requests(max_request_bytes: usize) -> Self {
        Self {
            ring_bytes: HUB_RING_BYTES,
            fragment_bytes: max_request_bytes + (512 << 10),
            frame_bytes: 256 << 10,
            read_bytes: HUB_READ_BYTES,
            oversized_bytes: OVERSIZED_REVISION_BYTES,
            response_revisions: HUB_RESPONSE_REVISIONS,
            fragmented_bytes: HUB_FRAGMENTED_BYTES,
            sent_bytes: HUB_SENT_BYTES,
            progress_interval: 600_000,
        }
    }

    /// How often time is looked at: notices of progress are late by this much at most, a tenth of their interval.
    pub fn tick(&self) -> Duration {
        Duration::from_millis((self.progress_interval / 10).clamp(10, 1_000))
    }
}

/// Revision and compact revision of a published view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Current revision.
    pub revision: i64,
    /// Compact revision, below one before any compaction.
    pub compact_revision: i64,
}

/// What a hub is busy with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// Watchers.
    pub watchers: usize,
    /// Streams.
    pub streams: usize,
    /// Watchers behind the head.
    pub slow: usize,
    /// Events sent since the start.
    pub events: u64,
    /// Bytes in the ring.
    pub ring_bytes: usize,
}
