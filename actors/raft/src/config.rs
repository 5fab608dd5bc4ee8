//! Knobs of the core, checked once.
//!
//! Plain values: must never hold a clock, a file or a callback.

use std::fmt;

use crate::types::{Index, NodeId};

/// No limit.
pub const NO_LIMIT: u64 = u64::MAX;

/// How a leader makes sure that it still leads before it grants a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadOnly {
    /// One round of heartbeats confirmed by a quorum; shared by all reads that wait.
    #[default]
    Safe,
    /// Trust the leader lease: needs `check_quorum`, and clocks that do not drift apart.
    LeaseBased,
}

/// Configuration of a [`Node`](crate::Node). Times are ticks, sizes are bytes of
/// [`Entry::encoded_len`](crate::Entry::encoded_len) unless said otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    /// Own id.
    pub id: NodeId,
    /// Ticks without a leader after which a member may campaign; the actual timeout is drawn from `election_tick..2 *
    /// election_tick`.
    pub election_tick: u32,
    /// Ticks between heartbeats.
    pub heartbeat_tick: u32,
    /// Seed of the generator that draws election timeouts; must differ between members.
    pub seed: u64,
    /// Index already applied to the state machine at start, zero if the storage's first index says it.
    pub applied: Index,
    /// True: `append` and `apply` of a [`Ready`](crate::Ready) run on their own and only durable entries are applied.
    /// False: each `Ready` is carried out whole and given back by [`Node::advance`](crate::Node::advance).
    pub async_storage_writes: bool,
    /// True: a commit index that moved alone makes no append of its own, it travels with the next one. Safe, as an
    /// append with entries always carries the commit index known when they were taken, and what is applied is known
    /// to be committed.
    pub lazy_commit: bool,
    /// Entries in one append message.
    pub max_size_per_msg: u64,
    /// Entries handed out for applying and not yet reported applied; zero means `max_size_per_msg`.
    pub max_committed_size_per_ready: u64,
    /// Payload bytes appended by a leader and not yet applied, beyond which proposals are dropped; zero for no limit.
    pub max_uncommitted_size: u64,
    /// Append messages in flight to one peer.
    pub max_inflight_msgs: usize,
    /// Payload bytes in flight to one peer; zero for no limit.
    pub max_inflight_bytes: u64,
    /// A leader steps down when it has not heard from a quorum for an election timeout, and members that hear from a
    /// leader refuse to vote.
    pub check_quorum: bool,
    /// Ask before campaigning, so that a member that was cut off does not disturb.
    pub pre_vote: bool,
    /// How reads are granted.
    pub read_only: ReadOnly,
    /// Drop proposals on a follower instead of forwarding them.
    pub disable_proposal_forwarding: bool,
    /// Append membership changes even when they look wrong; whoever applies them must then validate.
    pub disable_conf_change_validation: bool,
    /// A leader that is removed or demoted steps down when it applies that.
    pub step_down_on_removal: bool,
    /// That a change of the membership is committed is told to members that are being probed as well. Whom it removes is no peer any
    /// more once it is applied, and would not hear of it.
    pub tell_probed_of_changes: bool,
}

impl Config {
    /// A configuration without limits, for `id`, with etcd's ratio of ten heartbeats per election timeout.
    pub fn new(id: NodeId) -> Self {
        Config {
            id,
            election_tick: 10,
            heartbeat_tick: 1,
            seed: id,
            applied: 0,
            async_storage_writes: true,
            lazy_commit: true,
            max_size_per_msg: NO_LIMIT,
            max_committed_size_per_ready: 0,
            max_uncommitted_size: 0,
            max_inflight_msgs: 512,
            max_inflight_bytes: 0,
            check_quorum: false,
            pre_vote: false,
            read_only: ReadOnly::Safe,
            disable_proposal_forwarding: false,
            disable_conf_change_validation: false,
            step_down_on_removal: false,
            tell_probed_of_changes: false,
        }
    }

    /// Checks it and replaces the zeroes that mean "default".
    pub(crate) fn checked(mut self) -> Result<Self, ConfigError> {
        if self.id == 0 {
            return Err(ConfigError::NoId);
        }
        if self.heartbeat_tick == 0 {
            return Err(ConfigError::HeartbeatTick);
        }
        if self.election_tick <= self.heartbeat_tick {
            return Err(ConfigError::ElectionTick);
        }
        if self.max_inflight_msgs == 0 {
            return Err(ConfigError::InflightMsgs);
        }
        if self.max_uncommitted_size == 0 {
            self.max_uncommitted_size = NO_LIMIT;
        }
        if self.max_committed_size_per_ready == 0 {
            self.max_committed_size_per_ready = self.max_size_per_msg;
        }
        if self.max_inflight_bytes == 0 {
            self.max_inflight_bytes = NO_LIMIT;
        } else if self.max_inflight_bytes < self.max_size_per_msg {
            return Err(ConfigError::InflightBytes);
        }
        if self.read_only == ReadOnly::LeaseBased && !self.check_quorum {
            return Err(ConfigError::LeaseWithoutCheckQuorum);
        }
        Ok(self)
    }
}

/// Why a [`Config`] is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// Id zero is nobody.
    NoId,
    /// Heartbeats need at least one tick.
    HeartbeatTick,
    /// Elections must be slower than heartbeats.
    ElectionTick,
    /// At least one message must be allowed in flight.
    InflightMsgs,
    /// The byte window must hold one full message.
    InflightBytes,
    /// Lease-based reads need `check_quorum`.
    LeaseWithoutCheckQuorum,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConfigError::NoId => "cannot use none as id",
            ConfigError::HeartbeatTick => "heartbeat tick must be greater than 0",
            ConfigError::ElectionTick => "election tick must be greater than heartbeat tick",
            ConfigError::InflightMsgs => "max inflight messages must be greater than 0",
            ConfigError::InflightBytes => "max inflight bytes must be >= max message size",
            ConfigError::LeaseWithoutCheckQuorum => {
                "CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased"
            }
        })
    }
}

impl std::error::Error for ConfigError {}
