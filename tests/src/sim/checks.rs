//! A view of the store against the replay of the same entries: every key, every lease, every event, the hash.
//!
//! Must never repair or skip: a view stands for an applied index, and there is one right state for each.

use super::engine::StepEngine;
use super::params::Params;
use super::replay::{Position, Replay};
use super::replay_members::Row;
use super::running::Recovered;
use super::violation::{Checked, hold, violated};
use bytes::Bytes;
use messages::Gauges;
use model::request::RangeRequest;
use model::{KeyRange, ReadError, Revision};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use storage::apply::StateMachine;
use storage::auth::AuthState;
use storage::engine::sim::{SimEngine, SimSnapshot};
use storage::engine::{Direction, Engine, Family, Scan, Snapshot};
use storage::read::events::{EventsBudget, events};
use storage::snapshot::{Hash, SnapshotSource, StreamEnd, StreamHeader};
use storage::view::View;
use storage::wal::WalScrub;

/// No member has found that its data, or that of another one, is not that of a majority.
///
/// # Errors
/// The invariant that does not hold.
pub fn alike(at: usize, gauges: &Gauges) -> Checked {
    let corrupt = gauges.corrupt.lock().unwrap_or_else(PoisonError::into_inner);
    hold("SIM-ALIKE", corrupt.is_empty() && !gauges.fenced.load(Relaxed), || {
        let first = gauges.first_difference.load(Relaxed);
        format!(
            "m{at}: the running hashes of members {corrupt:x?} differ from those of the others, from entry {first} on"
        )
    })
}

/// Who reads the log beside its writer finds no damage in it: nobody has done any while the member runs.
///
/// # Errors
/// The invariant that does not hold.
pub fn log_is_sound(at: usize, scrub: &WalScrub) -> Checked {
    let found = scrub.walk(&mut |_| ControlFlow::Continue(()));
    hold("SIM-LOG-SOUND", found.is_none(), || format!("m{at}: damage is seen where there is none: {found:?}"))
}

fn all() -> KeyRange {
    KeyRange::new(Bytes::from_static(&[0]), Bytes::from_static(&[0]))
}

fn read<T>(what: &str, result: Result<T, ReadError>) -> Checked<T> {
    result.or_else(|why| violated("SIM-VIEW-READS", format!("{what}: {why}")))
}

/// The view of a member that has joined and has not been sent a snapshot yet.
fn is_before_all<S: Snapshot>(view: &View<S>) -> bool {
    view.status.applied_index == 0 && view.status.applied_term == 0
}

/// The numbers of a view fit each other and its index.
///
/// # Errors
/// The invariant that does not hold.
pub fn numbers<S: Snapshot>(view: &View<S>, replay: &Replay) -> Checked {
    if is_before_all(view) {
        return Ok(());
    }
    let Some(at) = replay.at(view.status.applied_index) else {
        return violated(
            "SIM-VIEW-WHOLE",
            format!("a view of entry {}, which nobody applied", view.status.applied_index),
        );
    };
    let seen = (view.status.applied_term, view.status.revision, view.status.compact_revision);
    let right = (at.term, at.revision, at.compact);
    hold("SIM-VIEW-WHOLE", seen == right, || {
        format!("entry {}: term, revision, compact revision are {seen:?}, not {right:?}", view.status.applied_index)
    })
}

/// Everything a view shows.
///
/// # Errors
/// The invariant that does not hold.
pub fn whole<S: Snapshot>(view: &View<S>, replay: &Replay) -> Checked {
    numbers(view, replay)?;
    let Some(at) = replay.at(view.status.applied_index) else { return Ok(()) };
    let request = RangeRequest { key: all().key, range_end: all().end, ..RangeRequest::default() };
    let seen = read("range", storage::read::range(view, &request))?;
    let right = replay.range(&RangeRequest { revision: at.revision, ..request });
    hold("SIM-STORE-IS-REPLAY", seen == right, || {
        format!("entry {}: keys are {seen:?}, not {right:?}", view.status.applied_index)
    })?;
    hold("SIM-STORE-IS-REPLAY", view.status.keys == right.count, || {
        format!("{} keys, not {}", view.status.keys, right.count)
    })?;
    let leases: Vec<(i64, i64)> =
        read("leases", storage::read::meta::leases(view))?.into_iter().map(|(id, row)| (id, row.ttl)).collect();
    let right: Vec<(i64, i64)> = at.leases.iter().map(|(id, ttl)| (*id, *ttl)).collect();
    hold("SIM-STORE-IS-REPLAY", leases == right, || {
        format!("entry {}: leases are {leases:?}, not {right:?}", view.status.applied_index)
    })?;
    members(view, at)?;
    users(view, at)?;
    history(view, replay)?;
    let hash = read("hash", storage::read::hash::hash_kv(view, 0))?.hash;
    let right = replay.hash_kv(at.revision, at.compact);
    hold("SIM-HASH-IS-REPLAY", hash == right, || {
        format!("entry {}: HashKV is {hash:08x}, not {right:08x}", view.status.applied_index)
    })
}

/// Who the members are, who votes and who was removed.
fn members<S: Snapshot>(view: &View<S>, at: &Position) -> Checked {
    let conf_state = read("conf state", storage::read::meta::conf_state(view))?;
    let right = at.members.conf_state();
    hold("SIM-MEMBERS", conf_state == right, || {
        format!("entry {}: the conf state is {conf_state:?}, not {right:?}", view.status.applied_index)
    })?;
    let rows = read("members", storage::read::meta::members(view))?;
    let seen: Vec<(u64, Row)> = rows.iter().map(|(id, row)| (*id, Row::from(row))).collect();
    let right: Vec<(u64, Row)> = at.members.rows.iter().map(|(id, row)| (*id, row.clone())).collect();
    hold("SIM-MEMBERS", seen == right, || {
        format!("entry {}: members are {seen:?}, not {right:?}", view.status.applied_index)
    })?;
    let removed = read("removed members", storage::read::meta::removed_members(view))?;
    let right: Vec<u64> = at.members.removed.iter().copied().collect();
    hold("SIM-MEMBERS", removed == right, || {
        format!("entry {}: removed are {removed:?}, not {right:?}", view.status.applied_index)
    })
}

/// Users and roles: as the view has them, and as they lie in its rows.
fn users<S: Snapshot>(view: &View<S>, at: &Position) -> Checked {
    let right = at.users.state();
    hold("SIM-USERS", *view.auth == right, || {
        format!("entry {}: users and roles are {:?}, not {right:?}", view.status.applied_index, view.auth)
    })?;
    match AuthState::read(&view.snapshot) {
        Ok(stored) => hold("SIM-USERS", stored == right, || {
            format!("entry {}: stored users and roles are {stored:?}, not {right:?}", view.status.applied_index)
        }),
        Err(why) => violated("SIM-VIEW-READS", format!("users and roles: {why}")),
    }
}

/// The events that watchers may still ask for.
fn history<S: Snapshot>(view: &View<S>, replay: &Replay) -> Checked {
    let from = view.status.compact_revision.max(1);
    let right = replay.changes().iter().filter(|c| c.main >= from && c.main <= view.status.revision);
    let mut right = right.map(|c| (c.main, c.key.clone(), c.kv.is_some()));
    let mut next = Revision::new(from, 0);
    while next.main <= view.status.revision {
        let budget = EventsBudget { bytes: 1 << 20, scanned: 1 << 24 };
        let chunk = read("events", events(view, next, view.status.revision, |_| true, budget))?;
        for revision in &chunk.revisions {
            for event in &revision.events {
                let seen = (revision.main, event.key.clone(), event.kind != storage::schema::Kind::Delete);
                let due = right.next();
                hold("SIM-EVENTS-ARE-REPLAY", due.as_ref() == Some(&seen), || {
                    format!("entry {}: event {seen:?}, due is {due:?}", view.status.applied_index)
                })?;
            }
        }
        hold("AI-8 AI-LOG-MOVES", chunk.next > next, || format!("a read of the log stays at {next:?}"))?;
        next = chunk.next;
    }
    let due = right.next();
    hold("SIM-EVENTS-ARE-REPLAY", due.is_none(), || format!("entry {}: due is {due:?}", view.status.applied_index))
}

/// A compaction that is finished has left what it must, and nothing else.
///
/// # Errors
/// The invariant that does not hold.
pub fn compacted(view: &View<SimSnapshot>, replay: &Replay) -> Checked {
    let mut rows = 0;
    let mut scan = view.snapshot.scan(Family::Log, &[], None, Direction::Forward);
    while let Ok(Some(_)) = scan.next() {
        rows += 1;
    }
    let right = replay.kept_versions(view.status.compact_revision);
    hold("SIM-COMPACTED", rows == right, || {
        format!("behind compaction {} the log has {rows} rows, not {right}", view.status.compact_revision)
    })
}

/// The log that was found holds every entry that was ever applied here.
///
/// # Errors
/// The invariant that does not hold.
pub fn log(recovered: &Recovered, log: &storage::wal::Recovered, replay: &Replay, applied: u64) -> Checked {
    hold("SIM-ACK-DURABLE", log.last.index >= applied, || {
        format!("AI-9: the log ends at {}, entry {applied} was applied", log.last.index)
    })?;
    let mut reader = recovered.wal.reader();
    let mut next = log.truncated.index + 1;
    while next <= log.last.index {
        let entries = match reader.read(next, log.last.index + 1, 1 << 20) {
            Ok(entries) => entries,
            Err(why) => return violated("SIM-LOG-READS", format!("from entry {next}: {why}")),
        };
        for entry in &entries {
            // what is behind may have been replaced by another leader since
            if entry.index <= applied {
                replay.same_entry(entry)?;
            }
            next = entry.index + 1;
        }
    }
    Ok(())
}

/// A checkpoint becomes a stream, the stream a store, and the store is the state at its index; a flipped bit is refused.
///
/// # Errors
/// The invariant that does not hold.
pub fn checkpoint(bytes: &[u8], params: &Params, replay: &Replay, flip: (usize, u8)) -> Checked<u64> {
    let fresh = StepEngine::default();
    if let Err(why) = storage::snapshot::restore(bytes, &fresh, Hash::Check) {
        return violated("SIM-SNAPSHOT-WHOLE", format!("a stream does not restore: {why}"));
    }
    let store = match StateMachine::open_with(Arc::new(fresh), params.chunk_bytes) {
        Ok(store) => store,
        Err(why) => return violated("SIM-SNAPSHOT-WHOLE", format!("a restored store does not open: {why}")),
    };
    whole(&store.view(), replay)?;
    let mut bad = bytes.to_vec();
    bad[flip.0 % bytes.len()] ^= 1 << (flip.1 % 8);
    let verified = storage::snapshot::verify(&bad[..], Hash::Check);
    hold("SIM-ROT-REFUSED", verified.is_err(), || format!("bit {} of byte {} flipped unseen", flip.1, flip.0))?;
    Ok(store.applied().index)
}

/// The chunks of a checkpoint's stream, the last one with the hash.
///
/// # Errors
/// When the rows cannot be read.
pub fn stream(copy: &SimEngine) -> Checked<VecDeque<Vec<u8>>> {
    let read = || {
        let snapshot = copy.snapshot();
        let header = StreamHeader::read(&snapshot, "3.7.1").map_err(|why| why.to_string())?;
        let mut chunks = VecDeque::new();
        let source = SnapshotSource::new(snapshot, &header).map_err(|why| why.to_string())?;
        let end = source.send(|chunk| {
            chunks.push_back(chunk.to_vec());
            ControlFlow::Continue(())
        });
        match (end, chunks.back_mut()) {
            (Ok(StreamEnd::Whole(hash)), Some(last)) => last.extend_from_slice(&hash),
            (end, _) => return Err(format!("the stream ended with {end:?}")),
        }
        Ok(chunks)
    };
    read().or_else(|why: String| violated("SIM-SNAPSHOT-WHOLE", format!("a checkpoint cannot be read: {why}")))
}
