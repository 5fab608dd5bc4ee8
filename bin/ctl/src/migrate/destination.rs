//! Writes to the destination: every transaction moves the state on, and is carried out once however often it is sent.
//!
//! Revisions of the destination are counted: one that is not ours means that a lease ended there, or that somebody else writes.
//! Must never go on after the second unless `--overwrite` says so.

use super::cluster::Cluster;
use super::error::MigrateError;
use super::state::{KEY, Phase, State};
use crate::client::method::{PUT, RANGE, TXN};
use crate::client::range::OPEN;
use crate::exit::{ERROR, Exit};
use api::etcdserverpb as pb;
use bytes::Bytes;
use conclave_client::EventKind;
use std::hash::{BuildHasher, Hasher, RandomState};

/// See the file header.
pub struct Destination {
    /// The cluster.
    pub cluster: Cluster,
    /// How far it is.
    pub state: State,
    /// Its last revision that is known.
    pub revision: i64,
    /// Whether it may hold something else than it should: it has to be compared with the source.
    pub doubtful: bool,
    /// Whether this process has written: nothing that another one sent before can be carried out any more.
    pub has_written: bool,
    /// Revision at which the state was written, 0 before the first time.
    guard: i64,
    overwrite: bool,
}

impl Destination {
    /// Finds out where a migration of this source stands. One that has not begun has no state in the destination.
    ///
    /// # Errors
    /// When the destination holds something else.
    pub async fn open(cluster: Cluster, source: u64, overwrite: bool) -> Result<Self, MigrateError> {
        let all = pb::RangeRequest { key: OPEN, range_end: OPEN, count_only: true, ..Default::default() };
        let found: pb::RangeResponse = cluster.ask(RANGE, get(KEY)).await?;
        let revision = found.header.unwrap_or_default().revision;
        let Some(kv) = found.kvs.into_iter().next() else {
            let held: pb::RangeResponse = cluster.ask(RANGE, all).await?;
            if held.count > 0 && !overwrite {
                return Err(not_empty(held.count).into());
            }
            let id = RandomState::new().build_hasher().finish();
            let state = State { id, source, writes: 0, phase: Phase::Copy { base: 0, done: 0 } };
            let doubtful = held.count > 0;
            return Ok(Self { cluster, state, revision, doubtful, has_written: false, guard: 0, overwrite });
        };
        let state = State::decode(&kv.value).ok_or_else(|| {
            Exit::new(
                ERROR,
                format!(
                    "the key {:?} of the destination holds something else than the state of a migration",
                    text(&KEY)
                ),
            )
        })?;
        if state.source != source {
            let said = format!(
                "the destination is in the middle of a migration from another cluster ({:x}, the source given is {source:x}); \
                 finish that one, or empty the destination",
                state.source
            );
            return Err(Exit::new(ERROR, said).into());
        }
        let guard = kv.mod_revision;
        let mut found =
            Self { cluster, state, revision: guard, doubtful: overwrite, has_written: false, guard, overwrite };
        found.moved_to(revision + 1).await?;
        found.revision = revision;
        Ok(found)
    }

    /// Whether nothing was written yet.
    pub fn is_new(&self) -> bool {
        self.guard == 0
    }

    /// Whether this is the cluster that it was opened on: it has the same state then.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn is_in(&self, other: &Cluster) -> Result<bool, MigrateError> {
        let found: pb::RangeResponse = other.ask(RANGE, get(KEY)).await?;
        Ok(found.kvs.first().is_some_and(|kv| kv.value == self.state.encode()))
    }

    /// Writes, and is then in this phase.
    ///
    /// # Errors
    /// [`MigrateError::LeaseGone`] and [`MigrateError::TooLarge`]: nothing was written then. When somebody else writes.
    pub async fn commit(&mut self, mut ops: Vec<pb::RequestOp>, phase: Phase) -> Result<(), MigrateError> {
        let next = State { writes: self.state.writes + 1, phase, ..self.state.clone() };
        let value = next.encode();
        ops.push(put(KEY, value.clone(), 0));
        let txn = pb::TxnRequest { compare: vec![self.unchanged()], success: ops, failure: vec![read(KEY)] };
        let answer: pb::TxnResponse = self.cluster.ask(TXN, txn).await?;
        let revision = if answer.succeeded {
            answer.header.unwrap_or_default().revision
        } else {
            // a transaction whose answer was lost was carried out, or somebody else wrote the state
            let ours = found(&answer).filter(|kv| kv.value == value);
            ours.map(|kv| kv.mod_revision).ok_or(MigrateError::Overtaken)?
        };
        self.state = next;
        self.has_written = true;
        self.guard = revision;
        self.moved_to(revision).await?;
        self.revision = revision;
        Ok(())
    }

    /// Writes one key by itself: what does not fit into a transaction beside the state. Twice does no harm.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub async fn put_alone(&mut self, request: pb::PutRequest) -> Result<(), MigrateError> {
        let answer: pb::PutResponse = self.cluster.ask(PUT, request).await?;
        self.revision = answer.header.unwrap_or_default().revision;
        Ok(())
    }

    /// Removes the state: the migration is over.
    ///
    /// # Errors
    /// When somebody else changed it.
    pub async fn forget(&mut self) -> Result<(), MigrateError> {
        let delete = pb::DeleteRangeRequest { key: KEY, ..Default::default() };
        let delete = pb::RequestOp { request: Some(pb::RequestUnion::DeleteRange(delete)) };
        let txn = pb::TxnRequest { compare: vec![self.unchanged()], success: vec![delete], failure: vec![read(KEY)] };
        let answer: pb::TxnResponse = self.cluster.ask(TXN, txn).await?;
        if answer.succeeded || found(&answer).is_none() { Ok(()) } else { Err(MigrateError::Overtaken) }
    }

    fn unchanged(&self) -> pb::Compare {
        pb::Compare {
            result: pb::CompareResult::Equal.into(),
            target: pb::CompareTarget::Mod.into(),
            key: KEY,
            target_union: Some(pb::TargetUnion::ModRevision(self.guard)),
            ..Default::default()
        }
    }

    /// Looks at what happened between the last revision that is known and this one of ours.
    async fn moved_to(&mut self, ours: i64) -> Result<(), MigrateError> {
        if ours <= self.revision + 1 {
            return Ok(());
        }
        self.doubtful = true;
        if self.overwrite {
            return Ok(());
        }
        let watch = self.cluster.client().watch("").prefix().since(self.revision + 1);
        let mut watcher = watch.await.map_err(cannot_tell)?;
        while let Some(changes) = watcher.next().await {
            let changes = changes.map_err(cannot_tell)?;
            for event in changes.events.iter().take_while(|event| event.kv.mod_revision < ours) {
                if event.kind == EventKind::Put && event.kv.key != KEY {
                    return Err(foreign(&event.kv.key, event.kv.mod_revision).into());
                }
            }
            if changes.revision + 1 >= ours {
                break;
            }
        }
        Ok(())
    }
}

/// A put.
pub fn put(key: Bytes, value: Bytes, lease: i64) -> pb::RequestOp {
    let request = pb::PutRequest { key, value, lease, ..Default::default() };
    pb::RequestOp { request: Some(pb::RequestUnion::Put(request)) }
}

fn get(key: Bytes) -> pb::RangeRequest {
    pb::RangeRequest { key, ..Default::default() }
}

fn read(key: Bytes) -> pb::RequestOp {
    pb::RequestOp { request: Some(pb::RequestUnion::Range(get(key))) }
}

/// What the first operation of a transaction read.
fn found(answer: &pb::TxnResponse) -> Option<&api::mvccpb::KeyValue> {
    match answer.responses.first()?.response.as_ref()? {
        pb::response_op::Response::ResponseRange(range) => range.kvs.first(),
        _ => None,
    }
}

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

fn not_empty(count: i64) -> Exit {
    let said = format!(
        "the destination holds {count} keys and no unfinished migration: name an empty cluster, or give --overwrite to make it \
         equal to the source, which removes what it holds now"
    );
    Exit::new(ERROR, said)
}

fn foreign(key: &[u8], revision: i64) -> Exit {
    let said = format!(
        "somebody else writes to the destination: key {:?} at its revision {revision}. Stop that writer; then run again with \
         --overwrite to put back what the source has",
        text(key)
    );
    Exit::new(ERROR, said)
}

fn cannot_tell(why: conclave_client::WatchError) -> Exit {
    let said = format!(
        "the destination has revisions that this migration has not written, and they cannot be looked at ({why}); make sure that \
         nobody else writes to it, then run again with --overwrite to make it equal to the source"
    );
    Exit::new(ERROR, said)
}
