//! Which run of each peer counts, and which connections it has to this member.
//!
//! The boot epoch in the hello decides, not what a socket looks like: a newer run replaces everything of an older one, an older run is
//! refused while the newer one is connected. Within a run the newest connection of a kind replaces the one before.

use crate::peer::codec::hello::{Purpose, Refusal};
use crate::peer::codec::lane::Lane;
use raft::NodeId;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore, watch};

/// What a connection carries: everything of a purpose over QUIC, one lane of it over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carries {
    /// Raft or bulk.
    pub purpose: Purpose,
    /// `None` for all lanes.
    pub lane: Option<Lane>,
}

impl Carries {
    fn replaces(self, older: Self) -> bool {
        self.purpose == older.purpose && (self.lane.is_none() || older.lane.is_none() || self.lane == older.lane)
    }
}

/// Who may connect.
#[derive(Debug, Default)]
struct Membership {
    members: HashSet<NodeId>,
    removed: HashSet<NodeId>,
}

#[derive(Debug)]
struct Peer {
    epoch: u64,
    next_link: u64,
    links: Vec<Link>,
    /// Rung when the peer connects: the dialler need not wait any longer.
    kick: Rc<Notify>,
    receive: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
}

#[derive(Debug)]
struct Link {
    id: u64,
    carries: Carries,
    cancel: watch::Sender<bool>,
}

/// All peers that have shown themselves.
#[derive(Debug)]
pub struct Registry {
    membership: RefCell<Membership>,
    peers: RefCell<HashMap<NodeId, Peer>>,
    receive_bytes: usize,
    strangers: usize,
}

/// An accepted connection. It counts until this is dropped.
#[derive(Debug)]
pub struct Admitted {
    registry: Rc<Registry>,
    peer: NodeId,
    id: u64,
    /// Becomes true when the connection must end.
    pub cancelled: watch::Receiver<bool>,
    /// What the peer may have in flight towards the core.
    pub receive: Arc<Semaphore>,
    /// One transfer of a peer at a time: whoever has its permit.
    pub bulk: Arc<Semaphore>,
}

impl Admitted {
    /// Resolves when the connection must end.
    pub async fn ended(&self) {
        let mut cancelled = self.cancelled.clone();
        // an error means that its entry is gone, which is an end as well
        let _ = cancelled.wait_for(|ended| *ended).await;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(peer) = self.registry.peers.borrow_mut().get_mut(&self.peer) {
            peer.links.retain(|link| link.id != self.id);
        }
    }
}

/// Why a connection gets no answer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// Answered with the reason.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Closed without a word.
    #[error("too many members that are not in the membership are connected")]
    TooManyStrangers,
}

impl Registry {
    /// Empty. Each peer may have `receive_bytes` in flight; so many that are not members may connect.
    pub fn new(receive_bytes: usize, strangers: usize) -> Self {
        Self {
            membership: RefCell::default(),
            peers: RefCell::default(),
            receive_bytes: receive_bytes.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize),
            strangers,
        }
    }

    /// Bytes that one peer may have in flight.
    pub fn receive_bytes(&self) -> usize {
        self.receive_bytes
    }

    /// Who the members are from now on. Connections of those that left end.
    pub fn set_members(&self, members: impl IntoIterator<Item = NodeId>, removed: impl IntoIterator<Item = NodeId>) {
        let mut membership = self.membership.borrow_mut();
        let before = std::mem::take(&mut membership.members);
        membership.members.extend(members);
        membership.removed.extend(removed);
        let mut peers = self.peers.borrow_mut();
        let left: Vec<NodeId> = peers
            .keys()
            .filter(|id| membership.removed.contains(*id))
            .chain(before.difference(&membership.members))
            .copied()
            .collect();
        for id in left {
            peers.remove(&id);
        }
    }

    /// Whether this member was told that `peer` left.
    pub fn is_removed(&self, peer: NodeId) -> bool {
        self.membership.borrow().removed.contains(&peer)
    }

    /// The newest run of `peer` that has shown itself, zero when none has.
    pub fn epoch(&self, peer: NodeId) -> u64 {
        self.peers.borrow().get(&peer).map_or(0, |peer| peer.epoch)
    }

    /// Rung when `peer` connects for messages: it can be reached again, or a newer run of it shows itself.
    pub fn kick(&self, peer: NodeId) -> Rc<Notify> {
        self.with(peer, |entry| entry.kick.clone())
    }

    /// A dialled peer has said which run it is.
    pub fn saw(&self, peer: NodeId, epoch: u64) {
        self.with(peer, |entry| entry.advance(epoch));
    }

    /// Ends all connections that were accepted.
    pub fn close_all(&self) {
        self.peers.borrow_mut().clear();
    }

    /// Decides on a connection whose hello was judged good.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn admit(self: &Rc<Self>, peer: NodeId, epoch: u64, carries: Carries) -> Result<Admitted, NotAdmitted> {
        if self.is_removed(peer) {
            return Err(Refusal::Removed.into());
        }
        if self.is_one_stranger_too_many(peer) {
            return Err(NotAdmitted::TooManyStrangers);
        }
        self.with(peer, |entry| {
            if epoch < entry.epoch && !entry.links.is_empty() {
                return Err(Refusal::OldRun.into());
            }
            entry.advance(epoch);
            if carries.purpose == Purpose::Raft && matches!(carries.lane, None | Some(Lane::Control)) {
                entry.kick.notify_one();
            }
            // no connection of the newer run is left: a member restored from an older folder may come with a smaller epoch
            entry.epoch = epoch;
            entry.links.retain(|older| {
                let replaced = carries.replaces(older.carries);
                if replaced {
                    older.cancel.send_replace(true);
                }
                !replaced
            });
            entry.next_link += 1;
            let (cancel, cancelled) = watch::channel(false);
            entry.links.push(Link { id: entry.next_link, carries, cancel });
            let receive = entry.receive.clone();
            let bulk = entry.bulk.clone();
            Ok(Admitted { registry: self.clone(), peer, id: entry.next_link, cancelled, receive, bulk })
        })
    }

    fn is_one_stranger_too_many(&self, peer: NodeId) -> bool {
        let membership = self.membership.borrow();
        let mut peers = self.peers.borrow_mut();
        if membership.members.contains(&peer) || peers.contains_key(&peer) {
            return false;
        }
        peers.retain(|id, entry| membership.members.contains(id) || !entry.links.is_empty());
        peers.keys().filter(|id| !membership.members.contains(id)).count() >= self.strangers
    }

    fn with<T>(&self, peer: NodeId, act: impl FnOnce(&mut Peer) -> T) -> T {
        let mut peers = self.peers.borrow_mut();
        let entry = peers.entry(peer).or_insert_with(|| Peer {
            epoch: 0,
            next_link: 0,
            links: Vec::new(),
            kick: Rc::default(),
            receive: Arc::new(Semaphore::new(self.receive_bytes)),
            bulk: Arc::new(Semaphore::new(1)),
        });
        act(entry)
    }
}

impl Peer {
    /// Ends what an older run had.
    fn advance(&mut self, epoch: u64) {
        if epoch <= self.epoch {
            return;
        }
        self.epoch = epoch;
        for link in self.links.drain(..) {
            link.cancel.send_replace(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const RAFT: Carries = Carries { purpose: Purpose::Raft, lane: None };

    fn registry() -> Rc<Registry> {
        let registry = Rc::new(Registry::new(1 << 20, 2));
        registry.set_members([2, 3], []);
        registry
    }

    fn is_cancelled(admitted: &Admitted) -> bool {
        // a sender that is gone is an end too
        *admitted.cancelled.borrow() || admitted.cancelled.has_changed().is_err()
    }

    #[test]
    fn a_newer_run_replaces_all_of_the_older_and_an_older_is_refused_while_it_is_there() {
        let registry = registry();
        let bulk = Carries { purpose: Purpose::Bulk, lane: None };
        let old = registry.admit(2, 5, RAFT).expect("first");
        let old_bulk = registry.admit(2, 5, bulk).expect("beside it");
        assert!(!is_cancelled(&old) && !is_cancelled(&old_bulk));
        let new = registry.admit(2, 6, RAFT).expect("newer");
        assert!(is_cancelled(&old) && is_cancelled(&old_bulk) && !is_cancelled(&new));
        assert_eq!(registry.admit(2, 5, RAFT).err(), Some(Refusal::OldRun.into()));
        assert!(!is_cancelled(&new));
        drop(new);
        assert!(registry.admit(2, 5, RAFT).is_ok(), "nobody newer is connected");
    }

    #[test]
    fn within_a_run_the_newest_connection_of_a_kind_counts() {
        let registry = registry();
        let lane = |lane| Carries { purpose: Purpose::Raft, lane: Some(lane) };
        let control = registry.admit(2, 5, lane(Lane::Control)).expect("control");
        let append = registry.admit(2, 5, lane(Lane::Append)).expect("append");
        let again = registry.admit(2, 5, lane(Lane::Control)).expect("again");
        assert!(is_cancelled(&control) && !is_cancelled(&append) && !is_cancelled(&again));
        let all = registry.admit(2, 5, RAFT).expect("all lanes");
        assert!(is_cancelled(&append) && is_cancelled(&again) && !is_cancelled(&all));
    }

    #[test]
    fn a_peer_that_connects_is_dialled_at_once() {
        let registry = registry();
        let kick = registry.kick(2);
        let is_rung = || kick.notified().now_or_never().is_some();
        registry.saw(2, 4);
        assert!(!is_rung(), "who dialled knows already");
        let link = registry.admit(2, 4, RAFT).expect("a member");
        assert!(is_rung());
        registry.admit(2, 4, Carries { purpose: Purpose::Bulk, lane: None }).expect("a snapshot");
        assert!(!is_rung(), "a snapshot says nothing about messages");
        drop(link);
    }

    #[test]
    fn removed_members_and_too_many_strangers_are_not_admitted() {
        let registry = registry();
        let three = registry.admit(3, 1, RAFT).expect("a member");
        registry.set_members([2], [3]);
        assert!(is_cancelled(&three));
        assert_eq!(registry.admit(3, 2, RAFT).err(), Some(Refusal::Removed.into()));
        let strangers = [8, 9].map(|id| registry.admit(id, 1, RAFT).expect("two may come"));
        assert_eq!(registry.admit(10, 1, RAFT).err(), Some(NotAdmitted::TooManyStrangers));
        assert!(registry.admit(2, 1, RAFT).is_ok(), "members always may");
        drop(strangers);
        assert!(registry.admit(10, 1, RAFT).is_ok());
    }
}
