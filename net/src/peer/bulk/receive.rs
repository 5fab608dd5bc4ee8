//! The receiving side of a transfer: asks the owner whether it is wanted and what is there, checks every chunk, and says when all of it
//! is kept.
//!
//! The owner's part runs on a blocking thread. Must never hand on bytes whose checksum was not right.

use super::words::{self, Opening};
use crate::peer::lanes::read::ReadHalf;
use crate::peer::lanes::write::WriteHalf;
use crate::peer::port::{BulkHeader, BulkSink};
use crate::peer::session::context::Context;
use raft::NodeId;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Chunks that wait for the owner.
const AHEAD: usize = 4;

/// Receives one transfer from `from`, when it is its `turn`: what an older connection has brought is written before.
///
/// # Errors
/// The stream broke; what was received so far is kept by the owner, as far as it does that.
pub async fn take(
    context: &Rc<Context>,
    from: NodeId,
    turn: Arc<Semaphore>,
    read: &mut ReadHalf,
    out: &mut WriteHalf,
) -> io::Result<()> {
    let counters = context.metrics.of(from);
    let opening = timeout(stall(context), Opening::read(read)).await.map_err(|_| stalled())??;
    counters.bulk_receiving.fetch_add(1, Relaxed);
    let begun = Instant::now();
    let outcome = receive(context, from, turn, opening, read, out).await;
    counters.bulk_receiving.fetch_sub(1, Relaxed);
    let counter = match &outcome {
        Ok(()) => &counters.bulk_received,
        Err(_) => &counters.bulk_receive_failures,
    };
    counter.fetch_add(1, Relaxed);
    if outcome.is_ok() {
        counters.bulk_receive_took.observe(begun.elapsed());
    }
    match outcome {
        Ok(()) => {
            out.write(words::yes(None)).await?;
            out.finish().await?;
            // the sender closes when it has read this
            let mut rest = [0; 1];
            let _ = timeout(Duration::from_secs(5), read.read(&mut rest)).await;
            Ok(())
        }
        Err(Failure::Stream(why)) => Err(why),
        Err(Failure::Owner(why)) => {
            tracing::warn!(peer = format_args!("{from:x}"), error = why, "a snapshot of a peer was not taken");
            out.write(words::no(&why)).await?;
            out.finish().await?;
            let mut rest = [0; 1024];
            // bytes under way are read, or closing would throw the reason away
            let drain = async { while matches!(read.read(&mut rest).await, Ok(1..)) {} };
            let _ = timeout(Duration::from_secs(5), drain).await;
            Ok(())
        }
    }
}

fn stall(context: &Context) -> Duration {
    (10 * context.config.election).max(Duration::from_secs(10))
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "a transfer stood still")
}

/// The owner's end of a transfer, and the right to use it.
struct Keeping {
    sink: Box<dyn BulkSink>,
    _turn: OwnedSemaphorePermit,
}

enum Failure {
    /// The stream's.
    Stream(io::Error),
    /// The owner's, in words for the sender.
    Owner(String),
}

impl From<io::Error> for Failure {
    fn from(why: io::Error) -> Self {
        Self::Stream(why)
    }
}

async fn receive(
    context: &Rc<Context>,
    from: NodeId,
    turn: Arc<Semaphore>,
    opening: Opening,
    read: &mut ReadHalf,
    out: &mut WriteHalf,
) -> Result<(), Failure> {
    let Opening { transfer, length, about } = opening;
    let header = BulkHeader { from, transfer, length, about };
    let inbound = context.inbound.clone();
    let turn = timeout(stall(context), turn.acquire_owned()).await.map_err(|_| stalled())?;
    let turn = turn.map_err(|_| Failure::Owner("the transport is stopping".into()))?;
    let opened = blocking(move || {
        let mut sink = inbound.bulk(&header)?;
        let (held, checksum) = sink.progress().map_err(|why| why.to_string())?;
        Ok((Keeping { sink, _turn: turn }, held, checksum))
    });
    let (keeping, held, checksum) = opened.await?;
    out.write(words::yes(Some((held, checksum)))).await?;
    let begin = timeout(stall(context), read.read_u64_le()).await.map_err(|_| stalled())??;
    if begin != 0 && begin != held {
        return Err(Failure::Owner("it begins where nothing was asked for".into()));
    }
    let (chunks, ready) = mpsc::channel(AHEAD);
    let restart = begin != held;
    let writer = spawn_blocking(move || write_all(keeping, restart, ready));
    let checksum = if restart { 0 } else { checksum };
    let fed = feed(context, Place { at: begin, length, checksum }, read, chunks).await;
    let written = writer.await.map_err(|_| Failure::Owner("its keeper failed".into()))?;
    // a keeper that failed explains a feed that broke off, not the other way round
    let keeping = written.map_err(Failure::Owner)?;
    fed?;
    blocking(move || keeping.sink.finish().map_err(|why| why.to_string())).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, Failure> {
    match spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(Failure::Owner),
        Err(_) => Err(Failure::Owner("its keeper failed".into())),
    }
}

struct Place {
    at: u64,
    length: u64,
    checksum: u32,
}

/// Reads and checks chunks until the last one.
async fn feed(
    context: &Context,
    place: Place,
    read: &mut ReadHalf,
    chunks: mpsc::Sender<Arc<[u8]>>,
) -> Result<(), Failure> {
    let Place { mut at, length, mut checksum } = place;
    loop {
        let patience = stall(context);
        let (size, stated) = timeout(patience, words::read_chunk(read)).await.map_err(|_| stalled())??;
        if size == 0 {
            let whole = at == length && stated == checksum;
            return if whole { Ok(()) } else { Err(Failure::Owner("it ended before all of it was there".into())) };
        }
        if at + size as u64 > length {
            return Err(Failure::Owner("it is longer than was said".into()));
        }
        let mut bytes = vec![0; size];
        timeout(patience, read.read_exact(&mut bytes)).await.map_err(|_| stalled())??;
        checksum = crc32c::crc32c_append(checksum, &bytes);
        if checksum != stated {
            return Err(Failure::Owner(format!("the checksum at byte {at} is wrong")));
        }
        at += size as u64;
        if chunks.send(bytes.into()).await.is_err() {
            // the keeper's own error says why
            return Ok(());
        }
    }
}

/// Writes what comes. The owner's end comes back when all was written.
fn write_all(mut keeping: Keeping, restart: bool, mut chunks: mpsc::Receiver<Arc<[u8]>>) -> Result<Keeping, String> {
    if restart {
        keeping.sink.restart().map_err(|why| why.to_string())?;
    }
    while let Some(bytes) = chunks.blocking_recv() {
        keeping.sink.write(&bytes).map_err(|why| why.to_string())?;
    }
    Ok(keeping)
}
