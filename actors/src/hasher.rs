//! The hasher: hashes of the whole store for clients, and of what each compaction is about to delete, as etcd keeps them. Own
//! thread, because such a walk would keep every other read waiting.
//!
//! Compactions go first: who was answered that one is decided, and then asks for the hash at its revision, gets the kept one.
//! Must never write, and never hold a view between two jobs.

use crate::cancellable::Cancellable;
use crate::death_watch::DeathWatch;
use crate::wiring::hashes::CompactionScheduled;
use crossbeam_channel::{Receiver, select};
use messages::read::{RunQuery, Work};
use messages::reply::HashAnswer;
use messages::{Gauges, Reply, ReplyBody, Sinks};
use model::ReadError;
use std::collections::VecDeque;
use std::sync::Arc;
use storage::engine::Snapshot;
use storage::read::hash::{HashKv, hash_before_compaction, hash_db, hash_kv};
use storage::view::Views;

/// Hashes that are kept: those of the newest compactions, as many as etcd keeps.
const KEPT: usize = 10;

/// Ends the hasher talks to.
pub struct HasherParts<S> {
    /// Hashes that clients ask for.
    pub queries: Receiver<RunQuery>,
    /// Compactions whose rows are still there.
    pub compactions: Receiver<CompactionScheduled<S>>,
    /// It ends when the other end is dropped.
    pub stop: Receiver<()>,
    /// Where the newest view is.
    pub views: Arc<Views<S>>,
    /// Says when the node stops: a walk ends then.
    pub gauges: Arc<Gauges>,
    /// Answers.
    pub sinks: Arc<Sinks>,
}

/// The hasher.
pub struct Hasher<S> {
    parts: HasherParts<S>,
    /// Ascending by revision; lost with the process, as in etcd.
    kept: VecDeque<HashKv>,
}

impl<S: Snapshot> Hasher<S> {
    /// Has kept nothing yet.
    pub fn new(parts: HasherParts<S>) -> Self {
        Self { parts, kept: VecDeque::with_capacity(KEPT + 1) }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self, watch: DeathWatch) {
        loop {
            let HasherParts { queries, compactions, stop, .. } = &self.parts;
            select! {
                recv(compactions) -> compaction => match compaction {
                    Ok(compaction) => self.keep(compaction),
                    Err(_) => break,
                },
                recv(queries) -> query => match query {
                    Ok(query) => self.answer(query),
                    Err(_) => break,
                },
                recv(stop) -> _ => break,
            }
        }
        watch.finish();
    }

    fn answer(&mut self, query: RunQuery) {
        while let Ok(compaction) = self.parts.compactions.try_recv() {
            self.keep(compaction);
        }
        let body = ReplyBody::Hash(self.hash(&query.work));
        self.parts.sinks.deliver(query.sink, vec![Reply { token: query.token, body }]);
    }

    fn keep(&mut self, compaction: CompactionScheduled<S>) {
        let view = Cancellable::view(&compaction.view, &self.parts.gauges);
        match hash_before_compaction(&view, compaction.before, compaction.target) {
            Ok(hash) => {
                self.kept.push_back(hash);
                if self.kept.len() > KEPT {
                    self.kept.pop_front();
                }
            }
            Err(why) => {
                tracing::warn!("compact-revision" = compaction.target, %why, "The hash of a compaction was not computed.")
            }
        }
    }

    fn hash(&self, work: &Work) -> Result<HashAnswer, ReadError> {
        let view = Cancellable::view(&self.parts.views.load(), &self.parts.gauges);
        let revision = view.status.revision;
        let Work::HashKv { revision: asked } = *work else {
            let compact_revision = view.status.compact_revision;
            return Ok(HashAnswer { hash: hash_db(&view)?, compact_revision, hash_revision: revision, revision });
        };
        let kept = self.kept.iter().find(|kept| kept.hash_revision == asked).copied();
        let HashKv { hash, compact_revision, hash_revision } = kept.map_or_else(|| hash_kv(&view, asked), Ok)?;
        Ok(HashAnswer { hash, compact_revision, hash_revision, revision })
    }
}
