//! Frames out of a stream: whatever has arrived, as one list.

use crate::peer::codec::error::FrameError;
use crate::peer::codec::frame::Frame;
use crate::peer::codec::lane::Lane;
use crate::peer::codec::reader::{Ends, Reader};
use crate::peer::metrics::PeerCounters;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The receiving half of a stream.
pub type ReadHalf = Box<dyn AsyncRead + Unpin>;

/// Why a stream gives no more frames.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It brought something else.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It broke, or ended.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

/// One stream's frames.
pub struct FrameStream {
    half: ReadHalf,
    door: Reader,
    counters: Arc<PeerCounters>,
}

impl FrameStream {
    /// Of a stream that carries `lane`.
    pub fn new(half: ReadHalf, ends: Ends, lane: Lane, counters: Arc<PeerCounters>) -> Self {
        Self { half, door: Reader::new(ends, lane), counters }
    }

    /// Waits for frames and takes all that have arrived, at least one. What came before a bad frame is still handed out.
    ///
    /// # Errors
    /// [`StreamError`]; the stream is of no more use.
    pub async fn next(&mut self) -> Result<Vec<Frame>, StreamError> {
        loop {
            let mut frames = Vec::new();
            loop {
                match self.door.next_frame() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(_) if !frames.is_empty() => break,
                    Err(why) => {
                        self.counters.bad_frames.fetch_add(1, Relaxed);
                        return Err(why.into());
                    }
                }
            }
            if !frames.is_empty() {
                return Ok(frames);
            }
            let read = self.half.read_buf(self.door.space()).await?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.counters.received_bytes.fetch_add(read as u64, Relaxed);
        }
    }
}
