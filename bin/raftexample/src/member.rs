//! The loop around the raft core: takes inputs, calls the core, and carries out what it wants done.
//!
//! The order in [`Member::work`] is what makes it safe: entries and votes are durable before anybody hears of them, and
//! applied before they are answered. Must never call the core from anywhere else.

use crate::args::Args;
use crate::disk::{Disk, DiskError, Recovered};
use crate::input::{Done, Input, Receipt, Refused};
use crate::peers::Peers;
use crate::state::{ChangeContext, Put, State};
use crate::waiting::Waiting;
use raft::{
    Append, AppliedToken, Apply, Body, ConfChange, ConfChangeKind, ConfChangeV2, Config, Entry, LogId, MemoryStorage,
    Message, NoTrace, Node, NodeId, PersistedToken, ProposalDropped, Ready, Snapshot, SnapshotMeta, StepError, Storage,
};
use tokio::sync::mpsc;

/// Inputs taken before the work they make is done: their entries share one write and one sync.
const BATCH: usize = 256;
/// Payload bytes between two snapshots, for large values: what the log holds in memory is bounded by it.
const SNAPSHOT_BYTES: u64 = 64 << 20;
/// One of so many entries between two snapshots is kept behind the newest, for members that lag a little.
const KEPT_PART: u64 = 10;

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// This member was removed.
    Removed,
}

/// Why this member cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The command line.
    #[error("{0}")]
    Usage(String),
    /// The configuration of the core.
    #[error(transparent)]
    Config(#[from] raft::ConfigError),
    /// Disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A snapshot or entry of another version of this program.
    #[error("cannot read what another version of this program wrote: {0}")]
    Unreadable(String),
    /// The log lost entries that it had acknowledged.
    #[error("{0}")]
    LogLost(StepError),
}

/// One member.
pub struct Member {
    node: Node<MemoryStorage>,
    disk: Disk,
    peers: Peers,
    waiting: Waiting,
    state: State,
    applied: LogId,
    /// Index of the newest snapshot, and payload bytes applied since.
    snapshot: u64,
    bytes: u64,
    /// Entries between two snapshots.
    snapshot_count: u64,
    /// A member was added since the last snapshot. It gets a snapshot first, and takes none that does not name it.
    added: bool,
    removed: bool,
}

impl Member {
    /// From what the disk held. The command line says where the others are until the state does: a member that joins has
    /// none.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn new(args: &Args, disk: Disk, recovered: Recovered, mut peers: Peers) -> Result<Self, Failed> {
        let Recovered { snapshot, hard_state, entries } = recovered;
        let applied = LogId { term: snapshot.meta.term, index: snapshot.meta.index };
        let mut memory = MemoryStorage::new();
        let mut state = State::default();
        if !snapshot.is_empty() {
            state = read(&snapshot)?;
            memory.apply_snapshot(snapshot);
        }
        memory.set_hard_state(hard_state);
        memory.append(&entries);
        let known =
            if state.members.is_empty() { args.cluster().map_err(Failed::Usage)? } else { state.members.clone() };
        peers.set(&known);
        let config = Config {
            applied: applied.index,
            // the loop carries out one thing after the other
            async_storage_writes: false,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 64,
            max_uncommitted_size: 64 << 20,
            // a member that was cut off, or removed, does not disturb the others
            check_quorum: true,
            pre_vote: true,
            step_down_on_removal: true,
            tell_probed_of_changes: true,
            ..Config::new(args.id)
        };
        let node = Node::new(config, memory, NoTrace)?;
        let waiting = Waiting::new();
        let (snapshot, snapshot_count) = (applied.index, args.snapshot_count);
        Ok(Self {
            node,
            disk,
            peers,
            waiting,
            state,
            applied,
            snapshot,
            bytes: 0,
            snapshot_count,
            added: false,
            removed: false,
        })
    }

    /// Runs until this member is removed or cannot go on.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn run(mut self, mut inputs: mpsc::Receiver<Input>) -> Result<Ended, Failed> {
        let mut batch = Vec::with_capacity(BATCH);
        // the loop's own ends keep the queue open
        while inputs.blocking_recv_many(&mut batch, BATCH) > 0 {
            // ticks that came while this member was busy are one: its own silence is not the leader's
            if batch.iter().any(|input| matches!(input, Input::Tick)) {
                self.node.tick();
                self.waiting.forget_the_gone();
            }
            for input in batch.drain(..) {
                self.take(input)?;
            }
            self.work()?;
            if self.removed {
                break;
            }
        }
        Ok(Ended::Removed)
    }

    fn take(&mut self, input: Input) -> Result<(), Failed> {
        match input {
            Input::Tick => {}
            Input::Messages(messages, receipt) => {
                let receipt_is = self.step(messages)?;
                // the sender may have given up
                let _ = receipt.send(receipt_is);
            }
            Input::Unreachable(peer) => self.node.report_unreachable(peer),
            Input::SnapshotSent(peer, delivered) => self.node.report_snapshot(peer, delivered),
            Input::Removed => self.removed = true,
            Input::Put(key, value, done) => self.put(key, value, done),
            Input::Get(key, done) => self.get(key, done),
            Input::Change(id, url, done) => self.change(id, url, done),
        }
        Ok(())
    }

    fn step(&mut self, messages: Vec<Message>) -> Result<Receipt, Failed> {
        for message in messages {
            if self.state.removed.contains(&message.from) {
                return Ok(Receipt::Gone);
            }
            if message.to != self.node.id() {
                continue;
            }
            match self.node.step(message) {
                Err(lost @ StepError::LogLost { .. }) => return Err(Failed::LogLost(lost)),
                // raft asks again for what matters
                Err(StepError::PeerNotFound | StepError::Malformed | StepError::Dropped(_)) | Ok(()) => {}
            }
        }
        Ok(Receipt::Taken)
    }

    fn get(&mut self, key: String, done: Done<Option<Vec<u8>>>) {
        if self.node.leader() == 0 {
            return refuse(done, ProposalDropped::NoLeader);
        }
        let tag = self.waiting.number();
        self.waiting.read(tag, key, done);
        self.node.read_index(tag);
    }

    fn put(&mut self, key: String, value: Vec<u8>, done: Done<()>) {
        let request = self.waiting.number();
        let payload = encode(&Put { request, key, value });
        match self.node.propose(vec![payload.into()]) {
            Ok(_) => self.waiting.write(request, done),
            Err(why) => refuse(done, why),
        }
    }

    fn change(&mut self, id: NodeId, url: Option<String>, done: Done<()>) {
        if self.node.is_leader() && !self.node.may_change_membership() {
            let _ = done.send(Err(Refused::OneChangeAtATime));
            return;
        }
        let request = self.waiting.number();
        let kind = if url.is_some() { ConfChangeKind::AddNode } else { ConfChangeKind::RemoveNode };
        let context = encode(&ChangeContext { request, url }).into();
        match self.node.propose_conf_change(ConfChange { id: request, kind, node_id: id, context }) {
            Ok(_) => self.waiting.write(request, done),
            Err(why) => refuse(done, why),
        }
    }

    /// Does everything that the core wants done, until it wants nothing more.
    fn work(&mut self) -> Result<(), Failed> {
        while self.node.has_ready() {
            let Ready { messages, read_states, append, apply, .. } = self.node.ready();
            self.send(messages);
            self.waiting.granted(&read_states);
            let appended = append.map(|append| self.append(append)).transpose()?;
            let applied = apply.map(|apply| self.apply(apply)).transpose()?;
            self.node.advance(appended, applied);
            self.waiting.answer_reads(self.applied.index, |key| self.state.keys.get(key).cloned());
            self.snapshot_if_due()?;
        }
        Ok(())
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let Err(lost) = self.peers.send(message) else { continue };
            self.node.report_unreachable(lost.to);
            if matches!(lost.body, Body::Snapshot(_)) {
                self.node.report_snapshot(lost.to, false);
            }
        }
    }

    /// Makes entries, term and vote durable; only then those hear of them who were promised to.
    fn append(&mut self, append: Append) -> Result<PersistedToken, Failed> {
        if let Some(snapshot) = &append.snapshot {
            self.install(snapshot, &append)?;
        }
        self.disk.append(&append)?;
        let memory = self.node.storage_mut();
        memory.append(&append.entries);
        if let Some(hard_state) = append.hard_state {
            memory.set_hard_state(hard_state);
        }
        self.send(append.responses);
        Ok(append.token)
    }

    fn install(&mut self, snapshot: &Snapshot, append: &Append) -> Result<(), Failed> {
        self.state = read(snapshot)?;
        self.disk.install(snapshot, append.hard_state)?;
        self.applied = LogId { term: snapshot.meta.term, index: snapshot.meta.index };
        (self.snapshot, self.bytes) = (snapshot.meta.index, 0);
        self.node.storage_mut().apply_snapshot(snapshot.clone());
        self.peers.set(&self.state.members);
        Ok(())
    }

    fn apply(&mut self, apply: Apply) -> Result<AppliedToken, Failed> {
        for entry in apply.entries {
            let change = ConfChangeV2::from_entry(&entry).map_err(|why| Failed::Unreadable(format!("{why:?}")))?;
            match change {
                Some(change) => self.apply_change(&change)?,
                // the entry of a new leader, or of a change that came at the wrong time
                None if entry.data.is_empty() => {}
                None => self.apply_put(&entry)?,
            }
            self.applied = LogId { term: entry.term, index: entry.index };
            self.bytes += entry.data.len() as u64;
        }
        Ok(apply.token)
    }

    fn apply_put(&mut self, entry: &Entry) -> Result<(), Failed> {
        let Put { request, key, value } = decode(&entry.data)?;
        self.state.keys.insert(key, value);
        self.waiting.written(request, Ok(()));
        Ok(())
    }

    /// Every member refuses or accepts alike: the answer follows from state and membership, which are equal at this entry.
    fn apply_change(&mut self, change: &ConfChangeV2) -> Result<(), Failed> {
        let ChangeContext { request, url } = decode(&change.context)?;
        let Some(id) = change.changes.first().map(|single| single.node_id) else { return Ok(()) };
        let allowed = self.node.preview_conf_change(change).map_err(|why| Refused::Membership(why.to_string()));
        let allowed = if self.state.removed.contains(&id) { Err(Refused::IdUsed(id)) } else { allowed };
        if let Err(why) = allowed {
            self.waiting.written(request, Err(why));
            return Ok(());
        }
        match url {
            Some(url) => {
                self.state.members.insert(id, url);
                self.added = true;
            }
            None => {
                self.state.members.remove(&id);
                self.state.removed.insert(id);
                self.removed |= id == self.node.id();
            }
        }
        self.node.apply_conf_change(change);
        self.peers.set(&self.state.members);
        self.waiting.written(request, Ok(()));
        Ok(())
    }

    /// Snapshot first, log second: what is let go of is in the snapshot, durably.
    fn snapshot_if_due(&mut self) -> Result<(), Failed> {
        let LogId { term, index } = self.applied;
        if index < self.snapshot + self.snapshot_count && self.bytes < SNAPSHOT_BYTES && !self.added {
            return Ok(());
        }
        let meta = SnapshotMeta { conf_state: self.node.membership().clone(), index, term };
        let snapshot = self.state.snapshot(meta);
        let first = self.node.storage().first_index();
        let keep =
            if self.bytes < SNAPSHOT_BYTES { index.saturating_sub(self.snapshot_count / KEPT_PART) } else { index };
        let keep = keep.max(first - 1);
        let keep_term = self.node.term_of(keep).expect("it is in the log, or the one before its first");
        self.disk.snapshot(&snapshot, LogId { term: keep_term, index: keep })?;
        let memory = self.node.storage_mut();
        memory.set_snapshot(snapshot);
        memory.compact(keep);
        (self.snapshot, self.bytes, self.added) = (index, 0, false);
        Ok(())
    }
}

fn refuse<T>(done: Done<T>, why: ProposalDropped) {
    let why = match why {
        ProposalDropped::BadConfChange => Refused::Membership(why.to_string()),
        ProposalDropped::NoLeader
        | ProposalDropped::NotForwarding
        | ProposalDropped::Transferring
        | ProposalDropped::NotMember
        | ProposalDropped::TooMuchUncommitted => Refused::NotNow,
    };
    // the client may have gone
    let _ = done.send(Err(why));
}

fn read(snapshot: &Snapshot) -> Result<State, Failed> {
    State::from_snapshot(snapshot).map_err(|why| Failed::Unreadable(why.to_string()))
}

fn encode(what: &impl serde::Serialize) -> Vec<u8> {
    postcard::to_stdvec(what).expect("it is always written: it goes to memory")
}

fn decode<'a, T: serde::Deserialize<'a>>(data: &'a [u8]) -> Result<T, Failed> {
    postcard::from_bytes(data).map_err(|why| Failed::Unreadable(why.to_string()))
}
