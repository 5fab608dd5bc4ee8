//! The sending side of a transfer: as many connections as it takes, each going on where the receiver says it is.
//!
//! Reading and checksums run on a blocking thread: the arbiter keeps the clock of all connections.

use super::rate::Rate;
use super::words::{self, CHUNK, Opening};
use crate::peer::dial::backoff::Backoff;
use crate::peer::dial::route::{BulkLink, DialError, Route};
use crate::peer::port::{BulkError, BulkSource, Parcel};
use crate::peer::session::context::Context;
use bytes::Bytes;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

/// Connections that may break in a row without progress.
const FRUITLESS: u32 = 12;
/// Chunks that are read ahead.
const AHEAD: usize = 4;
/// Patience with a receiver that syncs and checks what it has.
const FINISHING: Duration = Duration::from_secs(600);

/// How an attempt ended.
enum Attempt {
    Delivered,
    /// Trying again is of no use.
    Failed(BulkError),
    /// The connection broke, when so many bytes had been sent or were there.
    Broken(u64),
}

/// Delivers a parcel, or tells why not. Gives up when `stop` becomes true.
pub async fn deliver(context: Rc<Context>, route: Rc<Route>, parcel: Parcel, mut stop: watch::Receiver<bool>) {
    let counters = context.metrics.of(route.peer);
    let Parcel { transfer, about, source, done } = parcel;
    counters.bulk_sending.fetch_add(1, Relaxed);
    let begun = Instant::now();
    let outcome = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => Err(BulkError::Stopped),
        outcome = attempts(&context, &route, transfer, about, source) => outcome,
    };
    counters.bulk_sending.fetch_sub(1, Relaxed);
    let counter = if outcome.is_ok() { &counters.bulk_sent } else { &counters.bulk_send_failures };
    counter.fetch_add(1, Relaxed);
    if outcome.is_ok() {
        counters.bulk_send_took.observe(begun.elapsed());
    }
    done(outcome);
}

async fn attempts(
    context: &Context,
    route: &Route,
    transfer: u64,
    about: Bytes,
    mut source: Box<dyn BulkSource>,
) -> Result<(), BulkError> {
    if about.len() > words::MAX_ABOUT {
        return Err(BulkError::Refused("its description is too long".into()));
    }
    let length = source.length();
    let opening = Opening { transfer, length, about };
    let mut backoff = Backoff::new(context.config.heartbeat, context.config.election.max(Duration::from_secs(1)));
    let mut fruitless = 0;
    let mut furthest = 0;
    let mut rate = Rate::new(context.config.limits.bulk_rate);
    while fruitless < FRUITLESS {
        match dial(context, route).await {
            Ok(mut link) => {
                let (attempt, back) = attempt(context, &opening, &mut link, source, &mut rate).await;
                source = back.ok_or_else(|| BulkError::Source("its reader failed".into()))?;
                match attempt {
                    Attempt::Delivered => return Ok(()),
                    Attempt::Failed(why) => return Err(why),
                    Attempt::Broken(at) if at > furthest => {
                        furthest = at;
                        fruitless = 0;
                        backoff.reset();
                    }
                    Attempt::Broken(_) => fruitless += 1,
                }
            }
            Err(why) => {
                fruitless += 1;
                if let Some(repeated) = context.throttle.pass(route.peer, "bulk") {
                    let peer = format_args!("{:x}", route.peer);
                    tracing::warn!(%peer, error = %why, repeated, "cannot connect to a peer for a snapshot");
                }
            }
        }
        sleep(backoff.next_pause()).await;
    }
    Err(BulkError::Unreachable)
}

async fn dial(context: &Context, route: &Route) -> Result<BulkLink, DialError> {
    let over_tcp = context.metrics.of(route.peer).over_tcp.load(Relaxed);
    if context.config.path.udp && !over_tcp && !route.is_path() {
        match route.bulk_over_quic().await {
            Err(why) if why.is_silence() => {}
            dialled => return dialled,
        }
    }
    route.bulk_over_tcp().await
}

/// One connection's worth. Gives the source back, unless its reader panicked.
async fn attempt(
    context: &Context,
    opening: &Opening,
    link: &mut BulkLink,
    source: Box<dyn BulkSource>,
    rate: &mut Rate,
) -> (Attempt, Option<Box<dyn BulkSource>>) {
    let patience = stall(context);
    let greeted = timeout(patience, async {
        link.out.write(opening.encode()).await?;
        words::read_held(&mut link.back).await
    });
    let (held, checksum) = match greeted.await {
        Ok(Ok(Ok((held, checksum)))) if held <= opening.length => (held, checksum),
        Ok(Ok(Ok(_))) => (0, 0),
        Ok(Ok(Err(why))) => return (Attempt::Failed(BulkError::Refused(why)), Some(source)),
        Ok(Err(_)) | Err(_) => return (Attempt::Broken(0), Some(source)),
    };
    let (chunks, mut ready) = mpsc::channel(AHEAD);
    let length = opening.length;
    let reader = spawn_blocking(move || read_ahead(source, length, held, checksum, &chunks));
    let mut sent = held;
    let attempt = send(link, &mut ready, rate, &mut sent, patience).await;
    drop(ready);
    match reader.await {
        Ok((source, Some(why))) => (Attempt::Failed(BulkError::Source(why.to_string())), Some(source)),
        Ok((source, None)) => (attempt.unwrap_or(Attempt::Broken(sent)), Some(source)),
        Err(_) => (Attempt::Broken(sent), None),
    }
}

/// Longest pause of a receiver that takes bytes.
fn stall(context: &Context) -> Duration {
    (10 * context.config.election).max(Duration::from_secs(10))
}

/// What the reading thread hands over.
enum Piece {
    Begin(u64),
    Chunk(Bytes, u32),
    End(u32),
}

async fn send(
    link: &mut BulkLink,
    ready: &mut mpsc::Receiver<Piece>,
    rate: &mut Rate,
    sent: &mut u64,
    patience: Duration,
) -> Option<Attempt> {
    while let Some(piece) = ready.recv().await {
        let last = matches!(piece, Piece::End(_));
        let (words, bytes) = match piece {
            Piece::Begin(at) => {
                *sent = at;
                (Bytes::copy_from_slice(&at.to_le_bytes()), Bytes::new())
            }
            Piece::Chunk(bytes, checksum) => (words::chunk(bytes.len(), checksum), bytes),
            Piece::End(checksum) => (words::chunk(0, checksum), Bytes::new()),
        };
        sleep(rate.after(bytes.len(), Instant::now())).await;
        let length = bytes.len() as u64;
        let write = async {
            link.out.write(words).await?;
            if !bytes.is_empty() {
                link.out.write(bytes).await?;
            }
            Ok::<_, io::Error>(())
        };
        // a receiver that fails says why before it closes
        match timeout(patience, write).await {
            Ok(Ok(())) => *sent += length,
            Ok(Err(_)) => return refusal(link).await,
            Err(_) => return None,
        }
        if last {
            return match timeout(FINISHING, words::read_verdict(&mut link.back)).await {
                Ok(Ok(Ok(()))) => Some(Attempt::Delivered),
                Ok(Ok(Err(why))) => Some(Attempt::Failed(BulkError::Refused(why))),
                Ok(Err(_)) | Err(_) => None,
            };
        }
    }
    None
}

async fn refusal(link: &mut BulkLink) -> Option<Attempt> {
    match timeout(Duration::from_secs(1), words::read_verdict(&mut link.back)).await {
        Ok(Ok(Err(why))) => Some(Attempt::Failed(BulkError::Refused(why))),
        _ => None,
    }
}

type Read = (Box<dyn BulkSource>, Option<io::Error>);

/// Reads everything the receiver does not have. Ends early when nobody takes it any more.
fn read_ahead(mut source: Box<dyn BulkSource>, length: u64, held: u64, theirs: u32, out: &mpsc::Sender<Piece>) -> Read {
    let outcome = read_all(&mut *source, length, held, theirs, out);
    match outcome {
        Ok(()) => (source, None),
        Err(why) => (source, Some(why)),
    }
}

fn read_all(
    source: &mut dyn BulkSource,
    length: u64,
    held: u64,
    theirs: u32,
    out: &mpsc::Sender<Piece>,
) -> io::Result<()> {
    let mut checksum = 0;
    let mut at = 0;
    while at < held {
        let bytes = read(source, at, held)?;
        checksum = crc32c::crc32c_append(checksum, &bytes);
        at += bytes.len() as u64;
        if out.is_closed() {
            return Ok(());
        }
    }
    if checksum != theirs {
        // what the receiver has is of something else
        at = 0;
        checksum = 0;
    }
    if out.blocking_send(Piece::Begin(at)).is_err() {
        return Ok(());
    }
    while at < length {
        let bytes = read(source, at, length)?;
        checksum = crc32c::crc32c_append(checksum, &bytes);
        at += bytes.len() as u64;
        if out.blocking_send(Piece::Chunk(bytes, checksum)).is_err() {
            return Ok(());
        }
    }
    // nobody takes it: the connection broke
    let _ = out.blocking_send(Piece::End(checksum));
    Ok(())
}

fn read(source: &mut dyn BulkSource, at: u64, end: u64) -> io::Result<Bytes> {
    let most = CHUNK.min(usize::try_from(end - at).unwrap_or(CHUNK));
    let bytes = source.read_at(at, most)?;
    if bytes.is_empty() || bytes.len() > most {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has become shorter than it said"));
    }
    Ok(bytes)
}
