//! The transport of a simulated member: what its owners say to others is written down, in order, for the network to carry.
//!
//! Must never deliver anything by itself: when and whether something arrives is the network's choice.

use actors::calls::PeerCalls;
use actors::lease_manager::{LeaderAnswer, LeaderAnswered, LeaderCall, LeaderCalls, LeaderQuestion};
use actors::mailbox::Mailbox;
use actors::peers::Connections;
use messages::peer::{Answer, CallDone, Parcel, PeerAddress, PeerSender, Peers, Question, Transport, Vitals};
use raft::{Message, NodeId};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::params::NEWER;
use super::ports::{LeaseMail, ToLeases};

/// Something a member has said.
pub enum Said {
    /// Messages of raft.
    Messages(Vec<Message>),
    /// How it is.
    Vitals(Vitals),
    /// Who its peers are.
    Peers(Peers),
    /// How a member is reached that is not known yet.
    Introduced(PeerAddress),
    /// A question.
    Call(NodeId, Question, CallDone),
    /// The answer to a question that came on this session.
    Answer(u64, Answer),
    /// A snapshot.
    Parcel(NodeId, Parcel),
}

/// See the file header.
#[derive(Default)]
pub struct Wires {
    version: [u16; 3],
    said: Mutex<Vec<Said>>,
    now: AtomicU64,
    /// Since when messages can be sent to each peer, in microseconds.
    since: Mutex<BTreeMap<NodeId, u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wires {
    /// Of a member of this version.
    pub fn of(version: [u16; 3]) -> Self {
        Self { version, ..Self::default() }
    }

    /// Writes something down.
    pub fn say(&self, said: Said) {
        lock(&self.said).push(said);
    }

    /// What was said since the last call.
    pub fn take(&self) -> Vec<Said> {
        std::mem::take(&mut *lock(&self.said))
    }

    /// What time it is.
    pub fn set_now(&self, now: u64) {
        self.now.store(now, Relaxed);
    }

    /// A connection stands since now, or has ended.
    pub fn connected(&self, peer: NodeId, since: Option<u64>) {
        let mut all = lock(&self.since);
        match since {
            Some(since) => {
                all.insert(peer, since);
            }
            None => {
                all.remove(&peer);
            }
        }
    }
}

impl PeerSender for Wires {
    fn send(&self, messages: Vec<Message>) {
        self.say(Said::Messages(messages));
    }
}

impl Transport for Wires {
    fn set_vitals(&self, vitals: Vitals) {
        self.say(Said::Vitals(vitals));
    }

    fn set_peers(&self, peers: Peers) {
        self.say(Said::Peers(peers));
    }

    fn introduce(&self, peer: PeerAddress) {
        self.say(Said::Introduced(peer));
    }

    fn call(&self, to: NodeId, question: Question, done: CallDone) {
        self.say(Said::Call(to, question, done));
    }

    fn bulk(&self, to: NodeId, parcel: Parcel) {
        self.say(Said::Parcel(to, parcel));
    }

    /// Real moments mean nothing here: the core asks [`Standing`].
    fn active_since(&self, _: NodeId) -> Option<Instant> {
        None
    }

    fn stop(&self) {}
}

/// How long connections have stood, by simulated time.
pub struct Standing(pub Arc<Wires>);

impl Connections for Standing {
    fn connected_for(&self, peer: NodeId) -> Option<Duration> {
        let since = lock(&self.0.since).get(&peer).copied()?;
        Some(Duration::from_micros(self.0.now.load(Relaxed).saturating_sub(since)))
    }

    fn introduce(&self, peer: PeerAddress) {
        Transport::introduce(self.0.as_ref(), peer);
    }
}

/// The way of owners to the transport.
pub struct ToWires(pub Arc<Wires>);

impl Mailbox<Vitals> for ToWires {
    fn send(&self, vitals: Vitals) {
        let version = self.0.version;
        let hashes = if version < NEWER { Vec::new() } else { vitals.hashes };
        self.0.set_vitals(Vitals { version, hashes, ..vitals });
    }
}

impl Mailbox<Peers> for ToWires {
    fn send(&self, peers: Peers) {
        self.0.set_peers(peers);
    }
}

/// The way to the leader's lease manager; answers come back as mail.
pub struct AskLeader {
    /// Calls.
    pub calls: PeerCalls,
    /// The asking manager.
    pub mail: ToLeases,
}

impl LeaderCalls for AskLeader {
    fn call(&self, call: LeaderCall) {
        let LeaderCall { number, leader, question, ids, patience } = call;
        let mail = self.mail.clone();
        // the receiving end lives as long as the member
        let tell = move |result| drop(mail.0.send(LeaseMail::LeaderAnswered(LeaderAnswered { number, result })));
        use actors::calls::kinds::{LeaseTimes, RenewLeases};
        match question {
            LeaderQuestion::Renew => self
                .calls
                .ask::<RenewLeases>(leader, ids, patience, move |result| tell(result.map(LeaderAnswer::Renewals))),
            LeaderQuestion::Times => {
                self.calls
                    .ask::<LeaseTimes>(leader, ids, patience, move |result| tell(result.map(LeaderAnswer::Times)));
            }
        }
    }
}
