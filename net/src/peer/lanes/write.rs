//! Frames into a stream: all that waits goes into one write, never a write or a stream per message.

use super::queue::QueueReceiver;
use crate::peer::codec::error::FrameError;
use crate::peer::codec::frame::{self, Frame};
use crate::peer::codec::lane::Lane;
use crate::peer::lanes::queue::Weigh;
use crate::peer::metrics::PeerCounters;
use bytes::Bytes;
use raft::Message;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Bytes that are gathered for one write, unless a single message is larger.
const GATHER: usize = 128 << 10;

/// The sending half of a stream.
pub enum WriteHalf {
    /// Of QUIC.
    Quic(quinn::SendStream),
    /// Of anything else.
    Other(Box<dyn AsyncWrite + Unpin>),
}

impl WriteHalf {
    /// Writes all of `bytes`, as fast as the other side reads.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        match self {
            Self::Quic(stream) => stream.write_chunk(bytes).await.map_err(io::Error::from),
            Self::Other(stream) => {
                stream.write_all(&bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Says that nothing more will come.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Quic(stream) => stream.finish().map_err(io::Error::other),
            Self::Other(stream) => stream.shutdown().await,
        }
    }
}

/// Frames of one lane, put together for a write.
#[derive(Debug)]
pub struct Batch {
    lane: Lane,
    bytes: Vec<u8>,
}

impl Batch {
    /// Empty.
    pub fn new(lane: Lane) -> Self {
        Self { lane, bytes: Vec::new() }
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// The other side would refuse it; the batch stays as it was.
    pub fn add(&mut self, frame: &Frame) -> Result<(), FrameError> {
        frame::encode(frame, self.lane, &mut self.bytes)
    }

    /// Adds a raft message.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_raft(&mut self, message: &Message) -> Result<(), FrameError> {
        self.bytes.reserve(message.weight().min(self.lane.limit()));
        frame::encode_raft(message, self.lane, &mut self.bytes)
    }

    /// Whether it should be written before more is added.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= GATHER
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes and empties it.
    ///
    /// # Errors
    /// The connection is broken: how much of the batch has arrived is unknown.
    pub async fn write(&mut self, out: &mut WriteHalf, counters: &PeerCounters) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        counters.sent_bytes.fetch_add(bytes.len() as u64, Relaxed);
        out.write(bytes).await
    }
}

/// Adds `first` and what else waits, as far as one write goes. Messages that the other side would refuse come back.
pub fn gather(first: Message, queue: &mut QueueReceiver<Message>, batch: &mut Batch) -> Vec<(Message, FrameError)> {
    let mut refused = Vec::new();
    let mut next = Some(first);
    while let Some(message) = next {
        if let Err(why) = batch.add_raft(&message) {
            refused.push((message, why));
        }
        next = if batch.is_full() { None } else { queue.ready() };
    }
    refused
}
