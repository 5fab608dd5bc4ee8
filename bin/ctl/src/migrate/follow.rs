//! The source's changes, as they come, cut into batches. Must never hand out a part of a revision that fits into one batch.

use super::batch::{Batch, Change, Limits};
use super::cluster::Cluster;
use super::error::MigrateError;
use super::state::Phase;
use crate::exit::{ERROR, Exit};
use conclave_client::{Changes, EventKind, WatchError, Watcher};
use std::collections::VecDeque;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Answers that wait; the source holds the rest.
const QUEUE: usize = 16;
/// Changes that are looked at for one batch: more than one can hold.
const LOOK_AHEAD: usize = 4096;

/// See the file header. Dropping it ends the watch.
pub struct Feed {
    answers: mpsc::Receiver<Result<Changes, WatchError>>,
    progress: mpsc::Sender<()>,
    task: JoinHandle<()>,
    pending: VecDeque<Change>,
    /// Everything up to this revision was handed out.
    position: i64,
    /// Changes of the next revision that were handed out.
    inside: usize,
    /// Changes of the next revision that are to be left out: they were written before.
    skip: usize,
}

impl Feed {
    /// Begins behind a revision, and behind the first few changes of the next one.
    ///
    /// # Errors
    /// What the source refuses.
    pub async fn start(source: &Cluster, position: i64, inside: usize) -> Result<Self, MigrateError> {
        let watch = source.client().watch("").prefix().since(position + 1);
        let watcher = watch.await.map_err(trouble)?;
        let (out, answers) = mpsc::channel(QUEUE);
        let (progress, asked) = mpsc::channel(1);
        let task = tokio::spawn(pump(watcher, out, asked));
        Ok(Self { answers, progress, task, pending: VecDeque::new(), position, inside, skip: inside })
    }

    /// Waits for changes, and takes as many of those that are there as one transaction may hold. May be dropped while it waits.
    ///
    /// # Errors
    /// [`MigrateError::Compacted`]; what the source refuses.
    pub async fn next(&mut self, limits: Limits) -> Result<(Batch, Phase), MigrateError> {
        while self.pending.is_empty() {
            let answer = self.answers.recv().await;
            self.take(answer.ok_or_else(|| Exit::new(ERROR, "the watch of the source ended"))?)?;
        }
        while self.pending.len() < LOOK_AHEAD {
            match self.answers.try_recv() {
                Ok(answer) => self.take(answer)?,
                Err(_) => break,
            }
        }
        Ok(self.cut(limits))
    }

    /// Asks the source to say how far it is when nothing changes: its revision may move without a change.
    pub fn request_progress(&self) {
        // one that waits already asks for the same
        let _ = self.progress.try_send(());
    }

    fn take(&mut self, answer: Result<Changes, WatchError>) -> Result<(), MigrateError> {
        let changes = answer.map_err(trouble)?;
        if changes.is_progress() && changes.revision > self.position {
            self.pending.push_back(Change::nothing(changes.revision));
        }
        for event in changes.events {
            let kv = event.kv;
            if kv.mod_revision == self.position + 1 && self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            self.pending.push_back(match event.kind {
                EventKind::Put => Change::put(kv.mod_revision, kv.key, kv.value, kv.lease),
                EventKind::Delete => Change::delete(kv.mod_revision, kv.key),
            });
        }
        Ok(())
    }

    fn cut(&mut self, limits: Limits) -> (Batch, Phase) {
        let mut batch = Batch::new(limits);
        self.pending.make_contiguous();
        while let Some(first) = self.pending.front() {
            let revision = first.revision;
            let group = self.pending.as_slices().0;
            // more than fit need not be counted, beside the reserved key
            let most = limits.ops.saturating_add(2);
            let length = group.iter().take(most).take_while(|change| change.revision == revision).count();
            if batch.fits(&group[..length]) {
                batch.add(self.pending.drain(..length));
                (self.position, self.inside) = (revision, 0);
                continue;
            }
            if batch.is_empty() {
                let part = Batch::part_that_fits(limits, &group[..length]);
                batch.add(self.pending.drain(..part));
                let whole = self.pending.front().is_none_or(|next| next.revision != revision);
                (self.position, self.inside) = if whole { (revision, 0) } else { (revision - 1, self.inside + part) };
            }
            break;
        }
        (batch, Phase::Follow { position: self.position, inside: self.inside })
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pump(mut watcher: Watcher, out: mpsc::Sender<Result<Changes, WatchError>>, mut asked: mpsc::Receiver<()>) {
    loop {
        tokio::select! {
            answer = watcher.next() => {
                let Some(answer) = answer else { return };
                if out.send(answer).await.is_err() {
                    return;
                }
            }
            Some(()) = asked.recv() => watcher.request_progress(),
        }
    }
}

fn trouble(why: WatchError) -> MigrateError {
    match why {
        WatchError::Compacted { .. } => MigrateError::Compacted,
        other => Exit::new(ERROR, other.to_string()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const LIMITS: Limits = Limits { ops: 4, bytes: 10_000, exact: false };

    fn feed(changes: &[(i64, &'static str)]) -> Feed {
        let (_, answers) = mpsc::channel(1);
        let (progress, _) = mpsc::channel(1);
        let put = |(revision, key): &(i64, &'static str)| {
            Change::put(*revision, Bytes::from_static(key.as_bytes()), Bytes::new(), 0)
        };
        let pending = changes.iter().map(put).collect();
        Feed { answers, progress, task: tokio::spawn(async {}), pending, position: 1, inside: 0, skip: 0 }
    }

    fn cut(feed: &mut Feed) -> (Vec<i64>, Phase) {
        let (batch, phase) = feed.cut(LIMITS);
        (batch.changes.iter().map(|change| change.revision).collect(), phase)
    }

    fn at(position: i64, inside: usize) -> Phase {
        Phase::Follow { position, inside }
    }

    #[tokio::test]
    async fn whole_revisions_are_handed_out() {
        let mut feed = feed(&[(2, "a"), (3, "b"), (3, "c"), (4, "d"), (4, "e"), (5, "a")]);
        assert_eq!(cut(&mut feed), (vec![2, 3, 3], at(3, 0)), "revision 4 does not fit any more");
        assert_eq!(cut(&mut feed), (vec![4, 4, 5], at(5, 0)));
    }

    #[tokio::test]
    async fn a_revision_larger_than_a_transaction_comes_in_parts_that_are_counted() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let mut changes: Vec<_> = names.map(|name| (2, name)).to_vec();
        changes.push((3, "z"));
        let mut feed = feed(&changes);
        assert_eq!(cut(&mut feed), (vec![2; 4], at(1, 4)));
        assert_eq!(cut(&mut feed), (vec![2; 4], at(1, 8)));
        assert_eq!(cut(&mut feed), (vec![2, 3], at(3, 0)));
    }
}
