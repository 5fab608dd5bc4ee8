//! The hasher: hashes of the whole store for clients and other members, and of what each compaction is about to delete, as etcd
//! keeps them. Own thread, because such a walk would keep every other read waiting.
//!
//! Compactions go first: who was answered that one is decided, and then asks for the hash at its revision, gets the kept one.
//! Must never write, and never hold a view between two jobs.

use crate::calls::kinds::{AtRevision, HashAt};
use crate::calls::{Asked, PeerCalls};
use crate::cancellable::Cancellable;
use crate::death_watch::DeathWatch;
use crate::limits::{KEPT_HASHES, PEER_HASH_PATIENCE};
use crate::wiring::hashes::CompactionScheduled;
use crossbeam_channel::{Receiver, never, select};
use messages::peer::{CallError, NoAnswer};
use messages::read::{RunQuery, Work};
use messages::reply::HashAnswer;
use messages::{Gauges, Reply, ReplyBody, RequestError, SinkId, Sinks, Token};
use model::ReadError;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use storage::engine::Snapshot;
use storage::read::hash::{HashKv, hash_before_compaction, hash_db, hash_kv};
use storage::view::Views;

/// Ends the hasher talks to.
pub struct HasherParts<S> {
    /// Hashes that clients ask for.
    pub queries: Receiver<RunQuery>,
    /// Hashes that other members ask for.
    pub asked: Receiver<Asked<HashAt>>,
    /// To ask them.
    pub calls: PeerCalls,
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
        Self { parts, kept: VecDeque::with_capacity(KEPT_HASHES + 1) }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self, watch: DeathWatch) {
        // an end that nobody holds any more, as that of other members in a cluster of one, is no reason to stop
        loop {
            let HasherParts { queries, asked, compactions, stop, .. } = &self.parts;
            select! {
                recv(compactions) -> compaction => match compaction {
                    Ok(compaction) => self.keep(compaction),
                    Err(_) => self.parts.compactions = never(),
                },
                recv(queries) -> query => match query {
                    Ok(query) => self.answer(query),
                    Err(_) => self.parts.queries = never(),
                },
                recv(asked) -> asked => match asked {
                    Ok(asked) => {
                        self.keep_all();
                        let hash = self.hash_kv(asked.ask.revision);
                        asked.answer(&hash.into());
                    }
                    Err(_) => self.parts.asked = never(),
                },
                recv(stop) -> _ => break,
            }
        }
        watch.finish();
    }

    fn answer(&mut self, query: RunQuery) {
        let RunQuery { sink, token, work } = query;
        self.keep_all();
        let hash = match work {
            Work::HashKv { revision } => self.hash_kv(revision),
            Work::PeerHash { member, revision } => return self.pass_on(member, revision, (sink, token)),
            _ => self.hash_db(),
        };
        self.parts.sinks.deliver(sink, vec![Reply { token, body: ReplyBody::Hash(hash) }]);
    }

    /// Asks another member, and answers with what it says.
    fn pass_on(&self, member: u64, revision: i64, (sink, token): (SinkId, Token)) {
        let sinks = self.parts.sinks.clone();
        self.parts.calls.ask::<HashAt>(member, AtRevision { revision }, PEER_HASH_PATIENCE, move |answer| {
            let body = match answer {
                Ok(found) => ReplyBody::Hash(found.into()),
                Err(CallError::Refused(NoAnswer::Busy)) => ReplyBody::JobDone(Err(RequestError::TooManyRequests)),
                Err(_) => ReplyBody::JobDone(Err(RequestError::Timeout)),
            };
            sinks.deliver(sink, vec![Reply { token, body }]);
        });
    }

    fn keep_all(&mut self) {
        while let Ok(compaction) = self.parts.compactions.try_recv() {
            self.keep(compaction);
        }
    }

    fn keep(&mut self, compaction: CompactionScheduled<S>) {
        let view = Cancellable::view(&compaction.view, &self.parts.gauges);
        match hash_before_compaction(&view, compaction.before, compaction.target) {
            Ok(hash) => {
                self.kept.push_back(hash);
                if self.kept.len() > KEPT_HASHES {
                    self.kept.pop_front();
                }
            }
            Err(why) => {
                tracing::warn!("compact-revision" = compaction.target, %why, "The hash of a compaction was not computed.")
            }
        }
    }

    fn hash_kv(&self, asked: i64) -> Result<HashAnswer, ReadError> {
        let begun = Instant::now();
        let view = Cancellable::view(&self.parts.views.load(), &self.parts.gauges);
        let kept = self.kept.iter().find(|kept| kept.hash_revision == asked).copied();
        let HashKv { hash, compact_revision, hash_revision } = kept.map_or_else(|| hash_kv(&view, asked), Ok)?;
        self.parts.gauges.measured.revision_hashes.observe(begun.elapsed());
        Ok(HashAnswer { hash, compact_revision, hash_revision, revision: view.status.revision })
    }

    fn hash_db(&self) -> Result<HashAnswer, ReadError> {
        let begun = Instant::now();
        let view = Cancellable::view(&self.parts.views.load(), &self.parts.gauges);
        let (compact_revision, revision) = (view.status.compact_revision, view.status.revision);
        let hash = hash_db(&view)?;
        self.parts.gauges.measured.hashes.observe(begun.elapsed());
        Ok(HashAnswer { hash, compact_revision, hash_revision: revision, revision })
    }
}
