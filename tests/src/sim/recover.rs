//! A start: store and log are opened as `bootstrap.rs` of the embedded node does it, on the simulated disk.
//!
//! Must never go on where the daemon would refuse.

use super::engine::StepEngine;
use super::params::Params;
use super::running::Recovered;
use actors::raft_core::recover;
use raft::{ConfState, HardState, LogId};
use std::path::Path;
use std::sync::Arc;
use storage::apply::{Bootstrap, MemberIds, OpenError, StateMachine};
use storage::disk::{Disk, SimDisk};
use storage::wal::{Recovered as Log, Start, UncheckedWal, Wal, WalError, WalMeta};

/// Where the log lies.
pub const LOG: &str = "/member/wal";
/// Who the member is.
pub const MEMBER: u64 = 1;
/// A learner that never catches up: it may speak up, and has no voice.
pub const LEARNER: u64 = 2;
/// The cluster.
pub const CLUSTER: u64 = 0xc1;
/// Where the log of the cluster begins.
pub const FIRST: LogId = LogId { term: 1, index: 1 };

/// What a start found.
pub struct Start1 {
    /// For the owners.
    pub recovered: Recovered,
    /// What the log said.
    pub log: Log,
    /// Applied index of the store.
    pub applied: u64,
}

/// Opens or makes the member. Errors are texts for the operator.
///
/// # Errors
/// As the daemon's.
pub fn start(disk: &SimDisk, engine: &StepEngine, params: &Params, log_id: u64) -> Result<Start1, String> {
    let shared = Arc::new(engine.clone());
    let (wal, log, store) = match StateMachine::open_with(shared.clone(), params.chunk_bytes) {
        Ok(store) => {
            let (wal, log) = open(disk, params).map_err(|e| e.to_string())?;
            (wal, log, store)
        }
        Err(OpenError::Empty) => found(disk, shared, params, log_id)?,
        Err(why) => return Err(why.to_string()),
    };
    let applied = store.applied();
    let tail = recover::tail(&wal, &log, store.conf_state().clone(), applied).map_err(|e| e.to_string())?;
    Ok(Start1 { recovered: Recovered { store, wal, tail }, log, applied: applied.index })
}

/// Opens the log alone.
///
/// # Errors
/// [`WalError`].
pub fn open(disk: &SimDisk, params: &Params) -> Result<(Wal, Log), WalError> {
    let unchecked = UncheckedWal::open(disk.shared(), Path::new(LOG), params.wal)?;
    unchecked.expect(CLUSTER, MEMBER)?;
    unchecked.recover()
}

/// Log first, then store: a log without a store is a first start that was interrupted.
fn found(
    disk: &SimDisk,
    engine: Arc<StepEngine>,
    params: &Params,
    log_id: u64,
) -> Result<(Wal, Log, StateMachine<StepEngine>), String> {
    let (wal, log) = match open(disk, params) {
        Err(WalError::Missing { .. }) => make(disk, params, log_id)?,
        opened => opened.map_err(|e| e.to_string())?,
    };
    if log.truncated != FIRST {
        return Err(format!("the log begins behind entry {} and there is no store", log.truncated.index));
    }
    let first = Bootstrap {
        identity: MemberIds { cluster_id: CLUSTER, member_id: MEMBER },
        applied: FIRST,
        conf_state: ConfState { voters: vec![MEMBER], learners: vec![LEARNER], ..ConfState::default() },
        members: Vec::new(),
    };
    storage::apply::bootstrap(engine.as_ref(), &first).map_err(|e| e.to_string())?;
    let store = StateMachine::open_with(engine, params.chunk_bytes).map_err(|e| e.to_string())?;
    Ok((wal, log, store))
}

fn make(disk: &SimDisk, params: &Params, log_id: u64) -> Result<(Wal, Log), String> {
    let meta = WalMeta { cluster: CLUSTER, member: MEMBER, log_id };
    let hard_state = HardState { term: FIRST.term, vote: 0, commit: FIRST.index };
    let start = Start { at: FIRST, hard_state };
    let wal = Wal::create(disk.shared(), Path::new(LOG), params.wal, meta, start).map_err(|e| e.to_string())?;
    for dir in ["/member", "/"] {
        disk.sync_dir(Path::new(dir)).map_err(|e| e.to_string())?;
    }
    Ok((wal, Log { meta, hard_state, truncated: FIRST, last: FIRST, ..Log::default() }))
}
