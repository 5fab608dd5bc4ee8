//! A start: the boot path of the daemon, on the simulated disk and stores.
//!
//! Must never go on where the daemon would refuse.

use super::machine::{FirstStart, Machine};
use super::params::{Params, Shape};
use super::running::Recovered;
use super::stores::MEMBER_DIR;
use actors::raft_core::log_tail::LogTail;
use raft::{ConfState, LogId};
use std::path::Path;
use storage::apply::{Bootstrap, MemberIds};
use storage::boot::Boot;
use storage::disk::SimDisk;
use storage::member::{ClusterError, Founders, InitialMember, RunningCluster, founders, joiner, refuse_bootstrapped};
use storage::wal::{Recovered as Log, UncheckedWal, Wal, WalError};

/// Where the log lies.
pub const LOG: &str = "/member/wal";
/// Who the only member is.
pub const MEMBER: u64 = 1;
/// A learner that never catches up: it may speak up, and has no voice.
pub const LEARNER: u64 = 2;
/// The cluster of the only member.
pub const CLUSTER: u64 = 0xc1;
/// Makes ids of members and clusters.
const TOKEN: &str = "simulated";

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

/// The description of the founders, as each of them is told.
#[derive(Clone, Debug, Default)]
pub struct Founding {
    /// All of them.
    pub cluster: Vec<InitialMember>,
}

impl Founding {
    /// Of so many members.
    pub fn of(members: usize) -> Self {
        let member = |nth: usize| InitialMember { name: name_of(nth), peer_urls: vec![url_of(nth, 0)] };
        Self { cluster: (0..members).map(member).collect() }
    }

    /// Where the log of the cluster begins.
    pub fn begins(&self, shape: Shape) -> LogId {
        match shape {
            Shape::One => LogId { term: 1, index: 1 },
            Shape::Cluster => LogId { term: 1, index: self.cluster.len() as u64 },
        }
    }

    /// What a machine without data starts from. `others` is what another member says of the cluster, if one answers.
    ///
    /// # Errors
    /// As the daemon's.
    pub fn first(
        &self,
        shape: Shape,
        machine: &Machine,
        others: Option<&RunningCluster>,
    ) -> Result<Bootstrap, ClusterError> {
        if shape == Shape::One {
            return Ok(lone());
        }
        match &machine.first {
            FirstStart::Founder => {
                let start = founders(Founders { cluster: &self.cluster, token: TOKEN, name: &machine.name })?;
                if let Some(running) = others {
                    refuse_bootstrapped(start.identity.member_id, running)?;
                }
                Ok(start)
            }
            FirstStart::Joiner(told) => {
                let running = others.unwrap_or(told);
                let named = running.members.iter().map(|(id, row)| {
                    let own = row.peer_urls == [machine.url.clone()];
                    let name = if own { machine.name.clone() } else { format!("other-{id:x}") };
                    InitialMember { name, peer_urls: row.peer_urls.clone() }
                });
                let cluster: Vec<InitialMember> = named.collect();
                joiner(Founders { cluster: &cluster, token: TOKEN, name: &machine.name }, running)
            }
        }
    }
}

/// Name of the member of a machine.
pub fn name_of(nth: usize) -> String {
    format!("m{nth}")
}

/// Where the member of a machine is reached; the machines of one place follow each other.
pub fn url_of(nth: usize, turn: u64) -> String {
    format!("http://10.0.0.{}:{}", nth + 1, 2_380 + turn)
}

fn lone() -> Bootstrap {
    Bootstrap {
        identity: MemberIds { cluster_id: CLUSTER, member_id: MEMBER },
        applied: LogId { term: 1, index: 1 },
        conf_state: ConfState { voters: vec![MEMBER], learners: vec![LEARNER], ..ConfState::default() },
        members: Vec::new(),
    }
}

/// Opens or makes the member. Errors are texts for the operator.
///
/// # Errors
/// As the daemon's.
pub fn start(
    machine: &Machine,
    params: &Params,
    log_id: u64,
    first: impl FnOnce() -> Result<Bootstrap, ClusterError>,
) -> Result<Start1, String> {
    let boot = Boot {
        disk: machine.disk.shared(),
        member: Path::new(MEMBER_DIR),
        wal_dir: Path::new(LOG),
        stores: &machine.stores,
        wal: params.wal,
        chunk_bytes: params.chunk_bytes,
        log_id,
        force_new_cluster: false,
        rebuild: None,
        epoch_floor: 0,
    };
    let booted = boot.start(first).map_err(|why| why.to_string())?;
    let applied = booted.store.applied().index;
    let boot_epoch = booted.boot_epoch;
    let engine = (*booted.engine).clone();
    let recovered = Recovered {
        store: booted.store,
        engine,
        store_name: booted.store_name,
        wal: booted.wal,
        tail: LogTail::new(booted.log),
    };
    Ok(Start1 { recovered, log: booted.recovered, applied, boot_epoch })
}

/// Opens the log alone.
///
/// # Errors
/// [`WalError`].
pub fn open(disk: &SimDisk, params: &Params, (cluster, member): (u64, u64)) -> Result<(Wal, Log), WalError> {
    let unchecked = UncheckedWal::open(disk.shared(), Path::new(LOG), params.wal)?;
    unchecked.expect(cluster, member)?;
    unchecked.recover()
}
