//! The network between simulated members: sessions with lanes, through the encoder and the checked reader that ship.
//!
//! | file | idea |
//! |---|---|
//! | `sessions` | who is connected with whom, and when that ends |
//! | `carry` | what members say, on its way |
//! | `calls` | questions and their answers |
//! | `transfers` | snapshots |
//!
//! A session is one member's connection to another, as the transport dials it: what it carries arrives in order per lane, or not at
//! all. Must never bring a proposal twice.

mod calls;
mod carry;
mod sessions;
mod transfers;

use calls::Calls;
use messages::peer::Peers;
use net::peer::codec::lane::Lane;
use net::peer::codec::reader::{Ends, Reader};
use raft::NodeId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use transfers::Transfer;

/// Lanes of a session. The last one runs back.
pub const LANES: [Lane; 4] = [Lane::Control, Lane::Append, Lane::Calls, Lane::Answers];

/// One lane of a session.
pub struct Pipe {
    /// What is under way, with the moment of its arrival.
    flight: VecDeque<(u64, Vec<u8>)>,
    /// The receiving end.
    reader: Reader,
}

/// A connection of one member to another.
pub struct Session {
    /// Machine that dialled.
    pub from: usize,
    /// Machine that was dialled.
    pub to: usize,
    /// Member that dialled.
    pub from_id: NodeId,
    /// Member that was dialled.
    pub to_id: NodeId,
    /// Run of the member that dialled.
    pub from_epoch: u64,
    /// Lives of both machines.
    lives: (u64, u64),
    /// By [`LANES`].
    pipes: [Pipe; 4],
    /// Its sender has given it up; what is under way may still arrive until then.
    ended: Option<u64>,
    /// Since when nothing gets through.
    blocked_since: Option<u64>,
    /// When it began.
    begun: u64,
}

impl Session {
    fn new(from: usize, to: usize, ids: (NodeId, NodeId), lives: (u64, u64), from_epoch: u64, begun: u64) -> Self {
        let (from_id, to_id) = ids;
        let pipe = |lane: Lane| {
            let ends = match lane {
                Lane::Answers | Lane::Echoes => Ends { own: from_id, peer: to_id },
                _ => Ends { own: to_id, peer: from_id },
            };
            Pipe { flight: VecDeque::new(), reader: Reader::new(ends, lane) }
        };
        let pipes = LANES.map(pipe);
        Self { from, to, from_id, to_id, from_epoch, lives, pipes, ended: None, blocked_since: None, begun }
    }
}

/// What the network has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Frames that arrived.
    pub frames: u64,
    /// Sessions that began.
    pub sessions: u64,
    /// Snapshots delivered.
    pub snapshots: u64,
    /// Transfers that went on in the middle.
    pub resumed: u64,
}

impl Carried {
    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.sessions += other.sessions;
        self.snapshots += other.snapshots;
        self.resumed += other.resumed;
    }
}

/// See the file header.
#[derive(Default)]
pub struct Network {
    sessions: BTreeMap<u64, Session>,
    /// The session that a machine sends to another one on.
    current: BTreeMap<(usize, usize), u64>,
    last_session: u64,
    /// Directions in which nothing gets through.
    pub cut: BTreeSet<(usize, usize)>,
    /// Whom each machine's member knows.
    pub known: BTreeMap<usize, Peers>,
    calls: Calls,
    transfers: BTreeMap<u64, Transfer>,
    last_transfer: u64,
    /// Chance that a transfer breaks at a step, in permille.
    pub bulk_breaks: u64,
    /// When a leader last sent something to another member.
    pub last_sent: BTreeMap<(usize, usize), u64>,
    /// Counts.
    pub carried: Carried,
}

impl Network {
    /// Nothing gets through from one machine to another.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to))
    }

    /// The session that a machine sends on, while there is one.
    pub fn session(&self, from: usize, to: usize) -> Option<&Session> {
        self.sessions.get(self.current.get(&(from, to))?)
    }

    /// Sessions that a machine sends on or is sent on.
    pub fn sessions_of(&self, machine: usize) -> Vec<u64> {
        let own = self.current.iter().filter(|((from, to), _)| *from == machine || *to == machine);
        own.map(|(_, session)| *session).collect()
    }

    /// Whom a session leads to, and since when.
    pub fn session_begun(&self, session: u64) -> (usize, u64) {
        self.sessions.get(&session).map_or((0, 0), |session| (session.to, session.begun))
    }

    /// A snapshot is on its way to this machine.
    pub fn receives(&self, machine: usize) -> bool {
        self.transfers.values().any(|transfer| transfer.to == machine)
    }

    /// A snapshot is on its way from this machine.
    pub fn sends(&self, machine: usize) -> bool {
        self.transfers.values().any(|transfer| transfer.from == machine)
    }

    /// Machines that this life of a machine sends a snapshot to, as the leader of this term.
    pub fn sent_snapshots(&self, machine: usize, life: u64, term: u64) -> impl Iterator<Item = usize> {
        let sent = self.transfers.values();
        sent.filter(move |transfer| transfer.is_of(machine, life, term)).map(|transfer| transfer.to)
    }

    /// Transfers that have not ended.
    pub fn transfers(&self) -> usize {
        self.transfers.len()
    }
}
