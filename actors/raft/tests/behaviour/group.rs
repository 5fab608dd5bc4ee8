//! A group of cores on a perfect network, in asynchronous mode, for tests that look at single decisions.

use bytes::Bytes;
use raft::{
    ConfChangeV2, ConfState, Config, Entry, HardState, Index, MemoryStorage, Message, Node, NodeId, ReadState,
    Snapshot, SnapshotMeta, Storage, StorageError, Term,
};

/// A log in memory of which parts can be "not in memory".
#[derive(Default)]
pub(crate) struct TestStorage {
    pub(crate) log: MemoryStorage,
    /// Entries below this index cannot be read now.
    pub(crate) cold_below: Index,
    pub(crate) snapshot_ready: bool,
}

impl Storage for TestStorage {
    fn initial_state(&self) -> (HardState, ConfState) {
        self.log.initial_state()
    }

    fn entries(&mut self, lo: Index, hi: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        if lo < self.cold_below {
            Err(StorageError::TemporarilyUnavailable)
        } else {
            self.log.entries(lo, hi, max_bytes)
        }
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        self.log.term(index)
    }

    fn first_index(&self) -> Index {
        self.log.first_index()
    }

    fn last_index(&self) -> Index {
        self.log.last_index()
    }

    fn snapshot(&mut self, peer: NodeId) -> Result<Snapshot, StorageError> {
        if self.snapshot_ready { self.log.snapshot(peer) } else { Err(StorageError::TemporarilyUnavailable) }
    }
}

pub(crate) type TestNode = Node<TestStorage>;

/// Nodes with ids from 1, all voters, starting from a snapshot at index 1.
pub(crate) struct Group {
    pub(crate) nodes: Vec<TestNode>,
    pub(crate) applied: Vec<Vec<Entry>>,
    pub(crate) reads: Vec<Vec<ReadState>>,
    /// Messages to these are lost.
    pub(crate) deaf: Vec<NodeId>,
    /// Messages from these are lost.
    pub(crate) mute: Vec<NodeId>,
}

pub(crate) fn storage(voters: &[NodeId]) -> TestStorage {
    let conf_state = ConfState { voters: voters.to_vec(), ..ConfState::default() };
    let mut log = MemoryStorage::new();
    log.apply_snapshot(Snapshot { meta: SnapshotMeta { conf_state, index: 1, term: 1 }, data: Bytes::new() });
    log.set_hard_state(HardState { term: 1, vote: 0, commit: 1 });
    TestStorage { log, cold_below: 0, snapshot_ready: true }
}

impl Group {
    pub(crate) fn new(size: u64, adjust: impl Fn(&mut Config)) -> Self {
        let voters: Vec<NodeId> = (1..=size).collect();
        let nodes = voters.iter().map(|&id| {
            let mut config = Config { applied: 1, ..Config::new(id) };
            adjust(&mut config);
            Node::new(config, storage(&voters), raft::NoTrace).expect("a valid configuration")
        });
        let nodes: Vec<TestNode> = nodes.collect();
        let size = size as usize;
        Group {
            nodes,
            applied: vec![Vec::new(); size],
            reads: vec![Vec::new(); size],
            deaf: Vec::new(),
            mute: Vec::new(),
        }
    }

    /// A group whose member 1 leads.
    pub(crate) fn led(size: u64, adjust: impl Fn(&mut Config)) -> Self {
        let mut group = Group::new(size, adjust);
        group.node(1).campaign();
        group.settle();
        assert!(group.node(1).is_leader());
        group
    }

    pub(crate) fn node(&mut self, id: NodeId) -> &mut TestNode {
        &mut self.nodes[id as usize - 1]
    }

    /// Carries out all that nodes hand out, until nothing is left.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut messages = Vec::new();
            for at in 0..self.nodes.len() {
                while self.nodes[at].has_ready() {
                    messages.extend(self.carry_out(at));
                }
            }
            if messages.is_empty() {
                return;
            }
            messages.retain(|message: &Message| !self.deaf.contains(&message.to) && !self.mute.contains(&message.from));
            for message in messages {
                // Some are refused, as they should be.
                let _ = self.node(message.to).step(message);
            }
        }
    }

    fn carry_out(&mut self, at: usize) -> Vec<Message> {
        let node = &mut self.nodes[at];
        let ready = node.ready();
        let mut messages = ready.messages;
        self.reads[at].extend(ready.read_states);
        if let Some(append) = ready.append {
            let log = &mut node.storage_mut().log;
            append.snapshot.into_iter().for_each(|snapshot| assert!(log.apply_snapshot(snapshot)));
            append.hard_state.into_iter().for_each(|hard_state| log.set_hard_state(hard_state));
            log.append(&append.entries);
            node.on_persisted(append.token);
            messages.extend(append.responses);
        }
        if let Some(apply) = ready.apply {
            for entry in &apply.entries {
                if let Some(change) = ConfChangeV2::from_entry(entry).expect("a readable change") {
                    node.apply_conf_change(&change);
                }
            }
            node.on_applied(apply.token);
            self.applied[at].extend(apply.entries);
        }
        messages
    }

    /// Payloads applied by a member, without the empty ones of new leaders.
    pub(crate) fn payloads(&self, id: NodeId) -> Vec<Bytes> {
        let applied = &self.applied[id as usize - 1];
        applied.iter().map(|e| e.data.clone()).filter(|data| !data.is_empty()).collect()
    }
}

pub(crate) fn payload(text: &str) -> Vec<Bytes> {
    vec![Bytes::copy_from_slice(text.as_bytes())]
}
