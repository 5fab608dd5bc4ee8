//! Opening a store for applying: a new one, or one that a crash may have left in the middle of a large entry.
//!
//! Must never guess: a missing or damaged row is an error that says what to do.

use super::alarm::from_row_key;
use super::answer::ANSWER_BYTES;
use super::batch::Batch;
use super::machine::{CHUNK_BYTES, Effects, StateMachine};
use super::members::member_key;
use super::meta_rows::{
    ChunkRow, FORMAT_VERSION, MemberIds, MemberRow, State, damaged, decode_conf_state, encode_conf_state,
};
use super::report::OpenError;
use super::running::RunningHash;
use crate::auth::AuthState;
use crate::count::{Changes, Counts};
use crate::engine::{Direction, Engine, Family, Op, Scan, Snapshot};
use crate::schema::{Damaged, meta};
use crate::v2::V2State;
use bytes::Bytes;
use model::AlarmMember;
use prost::Message;
use raft::{ConfState, LogId};
use std::sync::Arc;

/// What a new store starts from.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Who it belongs to.
    pub identity: MemberIds,
    /// Where the log starts: its first entry is the one after this. The default for a new cluster.
    pub applied: LogId,
    /// First membership; empty for a member that joins and will learn it from the log.
    pub conf_state: ConfState,
    /// First members by id.
    pub members: Vec<(u64, MemberRow)>,
}

fn required<S: Snapshot>(snapshot: &S, key: &[u8]) -> Result<Bytes, OpenError> {
    let missing = Damaged { family: "meta", why: "a row that every store has is missing" };
    Ok(snapshot.get(Family::Meta, key)?.ok_or(missing)?)
}

impl State {
    /// Reads the numbers of a store.
    ///
    /// # Errors
    /// [`OpenError`] when rows are missing or damaged.
    pub fn read<S: Snapshot>(snapshot: &S) -> Result<Self, OpenError> {
        let row = |key: &[u8]| required(snapshot, key);
        let state = Self::decode(&row(meta::APPLIED)?, &row(meta::REVISIONS)?, &row(meta::SIZES)?)?;
        let running = snapshot.get(Family::Meta, meta::RUNNING_HASH)?;
        let running = running.map(|row| RunningHash::decode(&row, state.applied.index)).transpose()?.flatten();
        Ok(Self { running, ..state })
    }
}

fn alarms<S: Snapshot>(snapshot: &S) -> Result<Arc<[AlarmMember]>, OpenError> {
    let mut out = Vec::new();
    let mut scan = snapshot.scan(Family::Meta, &[meta::ALARM], Some(&[meta::ALARM + 1]), Direction::Forward);
    while let Some((key, _)) = scan.next()? {
        out.push(from_row_key(key)?);
    }
    out.sort_unstable();
    Ok(out.into())
}

pub(crate) fn check_format<S: Snapshot>(snapshot: &S) -> Result<(), OpenError> {
    let row = snapshot.get(Family::Meta, meta::FORMAT)?.ok_or(OpenError::Empty)?;
    let found = row.as_ref().try_into().map_err(|_| damaged("bad format version"))?;
    let found = u32::from_be_bytes(found);
    match found == FORMAT_VERSION {
        true => Ok(()),
        false => Err(OpenError::Format { found, known: FORMAT_VERSION }),
    }
}

/// Index of the entry that a crash left half done, if there is one.
pub(crate) fn unfinished_entry<S: Snapshot>(snapshot: &S) -> Result<Option<u64>, OpenError> {
    let Some(row) = snapshot.get(Family::Meta, meta::CHUNK)? else { return Ok(None) };
    Ok(Some(ChunkRow::decode(row).map_err(|_| damaged("bad chunk cursor"))?.index))
}

/// Makes a store out of an empty engine. What it writes is durable when this returns.
///
/// # Errors
/// [`OpenError::NotEmpty`] when the engine holds a store already.
pub fn bootstrap<E: Engine>(engine: &E, first: &Bootstrap) -> Result<(), OpenError> {
    if let Some(row) = engine.snapshot().get(Family::Meta, meta::IDENTITY)? {
        let MemberIds { cluster_id, member_id } = MemberIds::decode(&row)?;
        return Err(OpenError::NotEmpty { cluster_id, member_id });
    }
    let state = State::founded(first.applied);
    let put = |key: Bytes, value: Bytes| Op::Put { family: Family::Meta, key, value };
    let mut ops = vec![
        put(Bytes::from_static(meta::FORMAT), Bytes::copy_from_slice(&FORMAT_VERSION.to_be_bytes())),
        put(Bytes::from_static(meta::IDENTITY), first.identity.encode()),
        put(Bytes::from_static(meta::APPLIED), state.applied_row()),
        put(Bytes::from_static(meta::REVISIONS), state.revisions_row()),
        put(Bytes::from_static(meta::SIZES), state.sizes_row()),
        put(Bytes::from_static(meta::CONF_STATE), encode_conf_state(&first.conf_state)),
    ];
    ops.extend(state.running_row().map(|row| put(Bytes::from_static(meta::RUNNING_HASH), row)));
    for (id, row) in &first.members {
        ops.push(put(member_key(*id), row.encode_to_vec().into()));
    }
    engine.write(ops)?;
    Ok(engine.flush()?)
}

impl<E: Engine> StateMachine<E> {
    /// Bootstraps an empty engine and opens it.
    ///
    /// # Errors
    /// [`OpenError::NotEmpty`] when the engine holds a store already.
    pub fn bootstrap(engine: Arc<E>, first: &Bootstrap) -> Result<Self, OpenError> {
        bootstrap(engine.as_ref(), first)?;
        Self::open(engine)
    }

    /// Opens a store, and finishes the large entry that a crash may have left half done.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(engine: Arc<E>) -> Result<Self, OpenError> {
        Self::open_with(engine, CHUNK_BYTES)
    }

    /// From now on effects beyond so many bytes are written in chunks. Rows and outcomes do not depend on it.
    pub fn with_chunk_bytes(self, chunk_bytes: usize) -> Self {
        Self { chunk_bytes, ..self }
    }

    /// As [`Self::open`] with another size of chunks, for tests. Rows and outcomes do not depend on it.
    #[doc(hidden)]
    pub fn open_with(engine: Arc<E>, chunk_bytes: usize) -> Result<Self, OpenError> {
        let snapshot = engine.snapshot();
        check_format(&snapshot)?;
        let row = |key: &[u8]| required(&snapshot, key);
        let state = State::read(&snapshot)?;
        let version = snapshot.get(Family::Meta, meta::CLUSTER_VERSION)?;
        let version = version.map(|v| String::from_utf8(v.to_vec())).transpose();
        let chunk = snapshot.get(Family::Meta, meta::CHUNK)?;
        let v2 = V2State::read(&snapshot)?;
        let mut applier = Self {
            identity: MemberIds::decode(&row(meta::IDENTITY)?)?,
            conf_state: decode_conf_state(&row(meta::CONF_STATE)?)?,
            cluster_version: version.map_err(|_| damaged("bad cluster version"))?,
            alarms: alarms(&snapshot)?,
            auth: Arc::new(AuthState::read(&snapshot)?),
            saved_v2: v2.head(),
            v2,
            counts: Counts::new(&snapshot)?,
            changes: Changes::new(&snapshot, state.compact)?,
            created: Vec::new(),
            deleted: Vec::new(),
            engine,
            snapshot,
            now: state,
            saved: state,
            batch: Batch::default(),
            heads: Default::default(),
            leases: Default::default(),
            reattached: Default::default(),
            written: None,
            begins_hash: false,
            chunked: false,
            sub: 0,
            chunk_bytes,
            answer_bytes: ANSWER_BYTES,
            decoded: Default::default(),
            compaction: None,
            effects: Effects::default(),
        };
        applier.snapshot = applier.snapshot.clone().with_empty_stretches(applier.counts.empty_stretches());
        if let Some(chunk) = chunk {
            let chunk = ChunkRow::decode(chunk).map_err(|_| damaged("bad chunk cursor"))?;
            applier.resume(chunk)?;
        }
        Ok(applier)
    }
}
