//! A start: the boot path of the daemon, on the simulated disk and engine.
//!
//! Must never go on where the daemon would refuse.

use super::engine::StepEngine;
use super::params::Params;
use super::running::Recovered;
use actors::raft_core::log_tail::LogTail;
use raft::{ConfState, LogId};
use std::io;
use std::path::Path;
use std::sync::Arc;
use storage::apply::{Bootstrap, MemberIds};
use storage::boot::{Boot, Stores};
use storage::disk::SimDisk;
use storage::engine::EngineError;
use storage::member::pointer::FIRST_STORE;
use storage::wal::{Recovered as Log, UncheckedWal, Wal, WalError};

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
    /// Number of the start.
    pub boot_epoch: u64,
}

/// The one store of a member to which no snapshot is ever sent.
struct OneStore<'a>(&'a StepEngine);

impl Stores for OneStore<'_> {
    type Engine = StepEngine;

    fn open(&self, _name: &str) -> Result<Arc<StepEngine>, EngineError> {
        Ok(Arc::new(self.0.clone()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(vec![FIRST_STORE.to_owned()])
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        panic!("the only store, {name}, is never removed")
    }
}

/// Opens or makes the member. Errors are texts for the operator.
///
/// # Errors
/// As the daemon's.
pub fn start(disk: &SimDisk, engine: &StepEngine, params: &Params, log_id: u64) -> Result<Start1, String> {
    let boot = Boot {
        disk: disk.shared(),
        member: Path::new("/member"),
        wal_dir: Path::new(LOG),
        stores: &OneStore(engine),
        wal: params.wal,
        chunk_bytes: params.chunk_bytes,
        log_id,
        force_new_cluster: false,
        epoch_floor: 0,
    };
    let booted = boot.start(|| {
        Ok(Bootstrap {
            identity: MemberIds { cluster_id: CLUSTER, member_id: MEMBER },
            applied: FIRST,
            conf_state: ConfState { voters: vec![MEMBER], learners: vec![LEARNER], ..ConfState::default() },
            members: Vec::new(),
        })
    });
    let booted = booted.map_err(|why| why.to_string())?;
    let applied = booted.store.applied().index;
    let boot_epoch = booted.boot_epoch;
    let recovered = Recovered { store: booted.store, wal: booted.wal, tail: LogTail::new(booted.log) };
    Ok(Start1 { recovered, log: booted.recovered, applied, boot_epoch })
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
