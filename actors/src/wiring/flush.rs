//! Applier, WAL writer → flusher.

use storage::wal::PrepareRequest;

/// What the flusher is asked.
#[derive(Debug)]
pub enum ToFlusher {
    /// So many entries were applied since the last flush: make the store durable and tell the core how far.
    Flush,
    /// The log is mostly padding: make the store durable, unless that was done a moment ago, so that the log can be released.
    FlushForLog,
    /// Zero-fill a segment for the WAL writer.
    Prepare(PrepareRequest),
    /// End.
    Stop,
}
