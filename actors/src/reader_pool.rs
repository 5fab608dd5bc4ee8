//! The reader pool: a few threads for big scans and cold reads. Stateless: a job carries all it needs. Hashes, which walk the
//! whole store and would keep everybody else waiting, are passed on to the hasher.
//!
//! Must never write, and never hold a view between two jobs.

use crate::death_watch::{DeathWatch, ExitCell};
use crossbeam_channel::{Receiver, Sender};
use messages::read::{RunQuery, Work};
use messages::{Reply, ReplyBody, Sinks};
use model::ReadError;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What the pool's threads can do besides pulling a source.
pub trait PoolReads: Send + Sync {
    /// Does one job.
    fn run(&self, query: RunQuery) -> Reply;
}

/// Starts `count` threads, which give hashes to `hasher`; they end when the sending end of `stop` is dropped.
///
/// # Errors
/// When a thread cannot be started.
pub fn start(
    count: usize,
    jobs: Receiver<RunQuery>,
    stop: Receiver<()>,
    reads: Arc<dyn PoolReads>,
    hasher: &Sender<RunQuery>,
    sinks: Arc<Sinks>,
    exit: &ExitCell,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    (0..count)
        .map(|n| {
            let (jobs, hasher) = (jobs.clone(), hasher.clone());
            let stop = stop.clone();
            let reads = reads.clone();
            let sinks = sinks.clone();
            let watch = DeathWatch::new("reader pool", exit.clone());
            std::thread::Builder::new().name(format!("reader-{n}")).spawn(move || {
                while let Some(job) = next(&jobs, &stop) {
                    let sink = job.sink;
                    let reply = match job.work {
                        Work::HashKv { .. } | Work::PeerHash { .. } | Work::Hash => {
                            let Err(full) = hasher.try_send(job) else { continue };
                            Reply { token: full.into_inner().token, body: ReplyBody::Hash(Err(ReadError::Busy)) }
                        }
                        Work::NextChunk { mut source, max_bytes } => {
                            let chunk = source.next(max_bytes);
                            Reply { token: job.token, body: ReplyBody::Chunk { source, chunk } }
                        }
                        work => reads.run(RunQuery { work, ..job }),
                    };
                    sinks.deliver(sink, vec![reply]);
                }
                watch.finish();
            })
        })
        .collect()
}

fn next(jobs: &Receiver<RunQuery>, stop: &Receiver<()>) -> Option<RunQuery> {
    crossbeam_channel::select! {
        recv(jobs) -> job => job.ok(),
        recv(stop) -> _ => None,
    }
}
