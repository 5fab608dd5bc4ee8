//! A network between the members of one test: what is cut is lost, and said to be. Bulk transfers can be made to break half way.
//!
//! Must never deliver anything twice.

use messages::peer::{
    BulkError, BulkHeader, CallDone, CallError, Held, Inbound, Parcel, PeerAddress, PeerSender, Peers, Question,
    Transport, Vitals,
};
use raft::{Body, Message, NodeId};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// See the file header. Clones share it.
#[derive(Clone, Default)]
pub struct Network {
    members: Arc<Mutex<HashMap<NodeId, Arc<dyn Inbound>>>>,
    cut: Arc<Mutex<HashSet<NodeId>>>,
    /// The next transfer breaks half way, once.
    pub break_next: Arc<AtomicBool>,
    /// Bytes that a receiver had already when a transfer was begun again.
    pub resumed_at: Arc<AtomicU64>,
    /// Transfers that were delivered.
    pub delivered: Arc<AtomicU64>,
}

impl Network {
    /// A member's end.
    pub fn join(&self, own: NodeId, inbound: Arc<dyn Inbound>) -> Arc<dyn Transport> {
        self.members.lock().unwrap().insert(own, inbound);
        Arc::new(End { own, network: self.clone() })
    }

    /// Nothing goes to this member or comes from it.
    pub fn cut(&self, member: NodeId, cut: bool) {
        let mut members = self.cut.lock().unwrap();
        if cut {
            members.insert(member)
        } else {
            members.remove(&member)
        };
    }

    fn other(&self, own: NodeId, to: NodeId) -> Option<Arc<dyn Inbound>> {
        let cut = self.cut.lock().unwrap();
        if cut.contains(&own) || cut.contains(&to) {
            return None;
        }
        self.members.lock().unwrap().get(&to).cloned()
    }
}

struct End {
    own: NodeId,
    network: Network,
}

impl PeerSender for End {
    fn send(&self, messages: Vec<Message>) {
        for message in messages {
            let Some(other) = self.network.other(self.own, message.to) else {
                let own = self.network.members.lock().unwrap().get(&self.own).cloned();
                if let Some(own) = own {
                    own.unreachable(message.to, vec![message]);
                }
                continue;
            };
            match message.body {
                Body::Append(_) | Body::Propose(_) | Body::Snapshot(_) => other.data(vec![message], Held::default()),
                _ => other.control(vec![message]),
            };
        }
    }
}

impl Transport for End {
    fn set_vitals(&self, _: Vitals) {}

    fn set_peers(&self, _: Peers) {}

    fn introduce(&self, _: PeerAddress) {}

    fn call(&self, _: NodeId, _: Question, done: CallDone) {
        done(Err(CallError::Unreachable));
    }

    fn bulk(&self, to: NodeId, parcel: Parcel) {
        let (own, network) = (self.own, self.network.clone());
        std::thread::spawn(move || {
            let Parcel { transfer, about, mut source, done } = parcel;
            let header = BulkHeader { from: own, transfer, length: source.length(), about };
            let outcome = deliver(&network, to, &header, |offset, most| source.read_at(offset, most));
            network.delivered.fetch_add(u64::from(outcome.is_ok()), Ordering::Relaxed);
            drop(source);
            done(outcome);
        });
    }

    fn active_since(&self, _: NodeId) -> Option<Instant> {
        None
    }

    fn stop(&self) {
        self.network.members.lock().unwrap().remove(&self.own);
    }
}

fn deliver(
    network: &Network,
    to: NodeId,
    header: &BulkHeader,
    mut read: impl FnMut(u64, usize) -> std::io::Result<bytes::Bytes>,
) -> Result<(), BulkError> {
    let refused = |why: std::io::Error| BulkError::Refused(why.to_string());
    loop {
        let inbound = network.other(header.from, to).ok_or(BulkError::Unreachable)?;
        let mut sink = inbound.bulk(header).map_err(BulkError::Refused)?;
        let (mut at, checksum) = sink.progress().map_err(refused)?;
        if at > 0 {
            network.resumed_at.store(at, Ordering::Relaxed);
            let mut held = Vec::new();
            while (held.len() as u64) < at {
                let most = (at - held.len() as u64) as usize;
                held.extend_from_slice(&read(held.len() as u64, most).expect("a checkpoint is read again"));
            }
            assert_eq!(crc32c::crc32c(&held), checksum, "what is there is what was sent");
        }
        let breaks = network.break_next.swap(false, Ordering::Relaxed);
        let end = if breaks { header.length / 2 } else { header.length };
        while at < end {
            if network.other(header.from, to).is_none() {
                return Err(BulkError::Unreachable);
            }
            let bytes = read(at, 10_000.min((end - at) as usize)).map_err(|why| BulkError::Source(why.to_string()))?;
            sink.write(&bytes).map_err(refused)?;
            at += bytes.len() as u64;
        }
        if !breaks {
            return sink.finish().map_err(refused);
        }
    }
}
