//! The reader pool: a few threads for big scans and cold reads, and one for hashes, which walk the whole store and would keep
//! everybody else waiting. Stateless: a job carries all it needs.
//!
//! Must never write, and never hold a view between two jobs.

use crate::death_watch::{DeathWatch, ExitCell};
use crate::limits::QUERIES;
use crossbeam_channel::{Receiver, Sender, bounded};
use messages::read::{RunQuery, Work};
use messages::{Reply, ReplyBody, Sinks};
use std::sync::Arc;
use std::thread::JoinHandle;

/// What the pool's threads can do besides pulling a source.
pub trait PoolReads: Send + Sync {
    /// Does one job.
    fn run(&self, query: RunQuery) -> Reply;
}

/// Starts `count` threads and one for hashes; they end when the sending end of `stop` is dropped.
///
/// # Errors
/// When a thread cannot be started.
pub fn start(
    count: usize,
    jobs: Receiver<RunQuery>,
    stop: Receiver<()>,
    reads: Arc<dyn PoolReads>,
    sinks: Arc<Sinks>,
    exit: &ExitCell,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let (hash, hashes) = bounded(QUERIES);
    (0..=count)
        .map(|n| {
            let (jobs, name) = if n < count { (jobs.clone(), "reader") } else { (hashes.clone(), "hasher") };
            let hash = (n < count).then(|| hash.clone());
            let stop = stop.clone();
            let reads = reads.clone();
            let sinks = sinks.clone();
            let watch = DeathWatch::new("reader pool", exit.clone());
            std::thread::Builder::new().name(format!("{name}-{n}")).spawn(move || {
                while let Some(job) = next(&jobs, &stop) {
                    let Some(job) = pass_on(job, hash.as_ref()) else { continue };
                    let sink = job.sink;
                    let reply = match job.work {
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

/// Gives a hash to the thread for hashes; a job that is to be done here comes back.
fn pass_on(job: RunQuery, hash: Option<&Sender<RunQuery>>) -> Option<RunQuery> {
    match (hash, &job.work) {
        (Some(hash), Work::HashKv { .. } | Work::Hash) => hash.try_send(job).err().map(|full| full.into_inner()),
        _ => Some(job),
    }
}

fn next(jobs: &Receiver<RunQuery>, stop: &Receiver<()>) -> Option<RunQuery> {
    crossbeam_channel::select! {
        recv(jobs) -> job => job.ok(),
        recv(stop) -> _ => None,
    }
}
