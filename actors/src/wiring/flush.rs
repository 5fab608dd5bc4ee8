//! Applier, WAL writer → flusher.

use storage::wal::PrepareRequest;

/// What the flusher is asked.
#[derive(Debug)]
pub enum ToFlusher {
    /// So many entries were applied since the last flush: make the store durable and tell the core how far.
    Flush,
    /// Zero-fill a segment for the WAL writer.
    Prepare(PrepareRequest),
    /// End.
    Stop,
}
