//! The reader pool: a few threads for big scans, cold reads and hashes. Stateless: a job carries all it needs.
//!
//! Must never write, and never hold a view between two jobs.

use crate::death_watch::{DeathWatch, ExitCell};
use crossbeam_channel::Receiver;
use messages::read::{RunQuery, Work};
use messages::{Reply, Sinks};
use std::sync::Arc;
use std::thread::JoinHandle;

/// What the pool's threads can do besides pulling a source.
pub trait PoolReads: Send + Sync {
    /// Does one job.
    fn run(&self, query: RunQuery) -> Reply;
}

/// Starts `count` threads; they end when the sending end of `stop` is dropped.
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
    (0..count)
        .map(|n| {
            let (jobs, stop, reads, sinks) = (jobs.clone(), stop.clone(), reads.clone(), sinks.clone());
            let watch = DeathWatch::new("reader pool", exit.clone());
            std::thread::Builder::new().name(format!("reader-{n}")).spawn(move || {
                while let Some(job) = next(&jobs, &stop) {
                    let sink = job.sink;
                    let reply = match job.work {
                        Work::NextChunk { mut source, max_bytes } => {
                            let chunk = source.next(max_bytes);
                            Reply::Chunk { token: job.token, source, chunk }
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
