//! Which run of each peer counts, and which connections it has to this member.
//!
//! The boot epoch in the hello decides, not what a socket looks like: a newer run replaces everything of an older one, an older run is
//! refused while the newer one is connected. Within a run the newest connection of a kind replaces the one before, but for dials that
//! crossed each other ([`super::dials`]).

use super::dials::Dials;
use super::offer::{Announced, Offers, Standing};
use crate::peer::codec::hello::{DialNumbers, Purpose, Refusal};
use crate::peer::codec::lane::Lane;
use raft::NodeId;
use std::cell::{Cell, RefCell};
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

/// What a hello says about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The dialler's run.
    pub epoch: u64,
    /// What it carries.
    pub carries: Carries,
    /// The dialler takes messages on it, too.
    pub both_ways: Option<DialNumbers>,
    /// The dialler has shown a certificate that was checked.
    pub proved: bool,
}

impl Claim {
    /// Of a connection of the run `epoch` that only its dialler sends on.
    pub fn one_way(epoch: u64, carries: Carries) -> Self {
        Self { epoch, carries, both_ways: None, proved: false }
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
    /// Connections of the peer that may be sent on.
    offers: Rc<Offers>,
    dials: Dials,
    receive: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
}

#[derive(Debug)]
struct Link {
    id: u64,
    carries: Carries,
    standing: watch::Sender<Standing>,
}

/// All peers that have shown themselves.
#[derive(Debug)]
pub struct Registry {
    own: NodeId,
    /// Dials from here, to whomever.
    dials: Cell<u32>,
    membership: RefCell<Membership>,
    peers: RefCell<HashMap<NodeId, Peer>>,
    receive_bytes: usize,
    strangers: usize,
}

/// A connection that is received on. It counts until this is dropped.
#[derive(Debug)]
pub struct Admitted {
    registry: Rc<Registry>,
    peer: NodeId,
    id: u64,
    /// Changes when nothing is to be received on it any more.
    pub standing: watch::Receiver<Standing>,
    /// It may be sent on as well, once it stands.
    pub announced: Option<Announced>,
    /// What the peer may have in flight towards the core.
    pub receive: Arc<Semaphore>,
    /// One transfer of a peer at a time: whoever has its permit.
    pub bulk: Arc<Semaphore>,
}

impl Admitted {
    /// Resolves when nothing is to be received on it any more.
    pub async fn ended(&self) {
        let mut standing = self.standing.clone();
        // an error means that its entry is gone, which is an end as well
        let _ = standing.wait_for(|standing| *standing != Standing::Counts).await;
    }
}

/// A dial from here whose hello was said. It stands until this is dropped.
#[derive(Debug)]
pub struct StandingDial {
    registry: Rc<Registry>,
    peer: NodeId,
    /// What its hello says.
    pub numbers: DialNumbers,
}

impl Drop for StandingDial {
    fn drop(&mut self) {
        if let Some(peer) = self.registry.peers.borrow_mut().get_mut(&self.peer) {
            peer.dials.over(self.numbers.own);
        }
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
    /// Of the member `own`, empty. Each peer may have `receive_bytes` in flight; so many that are not members may connect.
    pub fn new(own: NodeId, receive_bytes: usize, strangers: usize) -> Self {
        Self {
            own,
            dials: Cell::new(0),
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
        let gone: Vec<Peer> = left.iter().filter_map(|id| peers.remove(id)).collect();
        drop(peers);
        gone.into_iter().for_each(Peer::leave);
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

    /// Connections of `peer` that may be sent on.
    pub fn offers(&self, peer: NodeId) -> Rc<Offers> {
        self.with(peer, |entry| entry.offers.clone())
    }

    /// Numbers a dial whose hello to `peer` is about to be said; `None` when a connection of the peer has come before it.
    pub fn say_dial(self: &Rc<Self>, peer: NodeId) -> Option<StandingDial> {
        let number = self.dials.get().checked_add(1).expect("a run makes fewer dials than that");
        let numbers = self.with(peer, |entry| (!entry.offers.is_coming()).then(|| entry.dials.say(number)))?;
        self.dials.set(number);
        Some(StandingDial { registry: self.clone(), peer, numbers })
    }

    /// A dialled peer has said which run it is.
    pub fn saw(&self, peer: NodeId, epoch: u64) {
        self.with(peer, |entry| entry.advance(epoch));
    }

    /// Ends all connections that are received on.
    pub fn close_all(&self) {
        let gone = std::mem::take(&mut *self.peers.borrow_mut());
        gone.into_values().for_each(Peer::leave);
    }

    /// Decides on a connection whose hello was judged good.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn admit(self: &Rc<Self>, peer: NodeId, claim: Claim) -> Result<Admitted, NotAdmitted> {
        if self.is_removed(peer) {
            return Err(Refusal::Removed.into());
        }
        if self.is_one_stranger_too_many(peer) {
            return Err(NotAdmitted::TooManyStrangers);
        }
        let Claim { epoch, carries, both_ways, proved } = claim;
        self.with(peer, |entry| {
            if epoch < entry.epoch && !entry.links.is_empty() {
                return Err(Refusal::OldRun.into());
            }
            // what is said to an earlier run says nothing about a dial to this one
            let is_same_run = entry.epoch == 0 || entry.epoch == epoch;
            if is_same_run && self.own < peer && both_ways.is_some_and(|numbers| entry.dials.crosses(numbers)) {
                return Err(Refusal::Crossed.into());
            }
            entry.advance(epoch);
            // no connection of the newer run is left: a member restored from an older folder may come with a smaller epoch
            entry.epoch = epoch;
            if let Some(numbers) = both_ways {
                entry.dials.take(numbers);
            }
            let announced = both_ways.and_then(|_| entry.offers.announce(proved));
            let is_for_messages =
                carries.purpose == Purpose::Raft && matches!(carries.lane, None | Some(Lane::Control));
            if is_for_messages && announced.is_none() {
                entry.kick.notify_one();
            }
            Ok(self.link(peer, entry, carries, announced))
        })
    }

    /// Counts the way back of a connection that was dialled from here and that the run `epoch` of `peer` sends on; `None` when that run, or
    /// the peer, counts no more.
    pub fn admit_back(self: &Rc<Self>, peer: NodeId, epoch: u64) -> Option<Admitted> {
        if self.is_removed(peer) {
            return None;
        }
        let carries = Carries { purpose: Purpose::Raft, lane: None };
        self.with(peer, |entry| (entry.epoch == epoch).then(|| self.link(peer, entry, carries, None)))
    }

    fn link(
        self: &Rc<Self>,
        peer: NodeId,
        entry: &mut Peer,
        carries: Carries,
        announced: Option<Announced>,
    ) -> Admitted {
        entry.links.retain(|older| {
            let replaced = carries.replaces(older.carries);
            if replaced {
                older.standing.send_replace(Standing::Replaced);
            }
            !replaced
        });
        entry.next_link += 1;
        let (sender, standing) = watch::channel(Standing::Counts);
        entry.links.push(Link { id: entry.next_link, carries, standing: sender });
        let (receive, bulk) = (entry.receive.clone(), entry.bulk.clone());
        Admitted { registry: self.clone(), peer, id: entry.next_link, standing, announced, receive, bulk }
    }

    fn is_one_stranger_too_many(&self, peer: NodeId) -> bool {
        let membership = self.membership.borrow();
        let mut peers = self.peers.borrow_mut();
        if membership.members.contains(&peer) || peers.contains_key(&peer) {
            return false;
        }
        // whoever is introduced is kept reachable by somebody who listens here
        let is_known = |id: &NodeId, entry: &Peer| membership.members.contains(id) || Rc::strong_count(&entry.kick) > 1;
        peers.retain(|id, entry| is_known(id, entry) || !entry.links.is_empty());
        peers.iter().filter(|(id, entry)| !is_known(id, entry)).count() >= self.strangers
    }

    fn with<T>(&self, peer: NodeId, act: impl FnOnce(&mut Peer) -> T) -> T {
        let mut peers = self.peers.borrow_mut();
        let entry = peers.entry(peer).or_insert_with(|| Peer {
            epoch: 0,
            next_link: 0,
            links: Vec::new(),
            kick: Rc::default(),
            offers: Rc::default(),
            dials: Dials::default(),
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
        self.dials.other_run();
        for link in self.links.drain(..) {
            link.standing.send_replace(Standing::Replaced);
        }
    }

    /// The peer was removed, or this member stops.
    fn leave(self) {
        drop(self.offers.take());
        for link in self.links {
            link.standing.send_replace(Standing::Left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const RAFT: Carries = Carries { purpose: Purpose::Raft, lane: None };

    fn registry() -> Rc<Registry> {
        let registry = Rc::new(Registry::new(1, 1 << 20, 2));
        registry.set_members([2, 3], []);
        registry
    }

    fn is_cancelled(admitted: &Admitted) -> bool {
        *admitted.standing.borrow() != Standing::Counts
    }

    #[test]
    fn a_newer_run_replaces_all_of_the_older_and_an_older_is_refused_while_it_is_there() {
        let registry = registry();
        let bulk = Carries { purpose: Purpose::Bulk, lane: None };
        let old = registry.admit(2, Claim::one_way(5, RAFT)).expect("first");
        let old_bulk = registry.admit(2, Claim::one_way(5, bulk)).expect("beside it");
        assert!(!is_cancelled(&old) && !is_cancelled(&old_bulk));
        let new = registry.admit(2, Claim::one_way(6, RAFT)).expect("newer");
        assert!(is_cancelled(&old) && is_cancelled(&old_bulk) && !is_cancelled(&new));
        assert_eq!(registry.admit(2, Claim::one_way(5, RAFT)).err(), Some(Refusal::OldRun.into()));
        assert!(!is_cancelled(&new));
        drop(new);
        assert!(registry.admit(2, Claim::one_way(5, RAFT)).is_ok(), "nobody newer is connected");
    }

    #[test]
    fn within_a_run_the_newest_connection_of_a_kind_counts() {
        let registry = registry();
        let lane = |lane| Carries { purpose: Purpose::Raft, lane: Some(lane) };
        let control = registry.admit(2, Claim::one_way(5, lane(Lane::Control))).expect("control");
        let append = registry.admit(2, Claim::one_way(5, lane(Lane::Append))).expect("append");
        let again = registry.admit(2, Claim::one_way(5, lane(Lane::Control))).expect("again");
        assert!(is_cancelled(&control) && !is_cancelled(&append) && !is_cancelled(&again));
        let all = registry.admit(2, Claim::one_way(5, RAFT)).expect("all lanes");
        assert!(is_cancelled(&append) && is_cancelled(&again) && !is_cancelled(&all));
    }

    #[test]
    fn a_peer_that_connects_is_dialled_at_once() {
        let registry = registry();
        let kick = registry.kick(2);
        let is_rung = || kick.notified().now_or_never().is_some();
        registry.saw(2, 4);
        assert!(!is_rung(), "who dialled knows already");
        let link = registry.admit(2, Claim::one_way(4, RAFT)).expect("a member");
        assert!(is_rung());
        registry.admit(2, Claim::one_way(4, Carries { purpose: Purpose::Bulk, lane: None })).expect("a snapshot");
        assert!(!is_rung(), "a snapshot says nothing about messages");
        drop(link);
    }

    #[test]
    fn removed_members_and_too_many_strangers_are_not_admitted() {
        let registry = registry();
        let three = registry.admit(3, Claim::one_way(1, RAFT)).expect("a member");
        registry.set_members([2], [3]);
        assert!(is_cancelled(&three));
        assert_eq!(registry.admit(3, Claim::one_way(2, RAFT)).err(), Some(Refusal::Removed.into()));
        let strangers = [8, 9].map(|id| registry.admit(id, Claim::one_way(1, RAFT)).expect("two may come"));
        assert_eq!(registry.admit(10, Claim::one_way(1, RAFT)).err(), Some(NotAdmitted::TooManyStrangers));
        assert!(registry.admit(2, Claim::one_way(1, RAFT)).is_ok(), "members always may");
        drop(strangers);
        assert!(registry.admit(10, Claim::one_way(1, RAFT)).is_ok());
    }

    fn both_ways(epoch: u64, own: u32, seen: u32) -> Claim {
        Claim { both_ways: Some(DialNumbers { own, seen }), ..Claim::one_way(epoch, RAFT) }
    }

    #[test]
    fn of_two_dials_that_crossed_the_lower_members_is_kept() {
        let registry = registry();
        let dial = registry.say_dial(2).expect("nothing has come yet");
        assert_eq!(dial.numbers, DialNumbers { own: 1, seen: 0 });
        assert_eq!(registry.admit(2, both_ways(5, 1, 0)).err(), Some(Refusal::Crossed.into()));
        registry.saw(2, 5);
        let knew_it = registry.admit(2, both_ways(5, 2, 1)).expect("it knew the connection, and dials nevertheless");
        assert!(registry.say_dial(2).is_none(), "a connection is about to come");
        drop(knew_it);
        drop(dial);
        let again = registry.say_dial(2).expect("it did not come");
        assert_eq!(again.numbers, DialNumbers { own: 2, seen: 2 });
        assert!(registry.admit(2, both_ways(6, 1, 0)).is_ok(), "a newer run knows nothing of a dial to the older");

        let higher = Rc::new(Registry::new(9, 1 << 20, 2));
        higher.set_members([2], []);
        let _dial = higher.say_dial(2).expect("nothing has come yet");
        assert!(higher.admit(2, both_ways(5, 1, 0)).is_ok(), "its own gives way");
    }

    #[test]
    fn nobody_is_sent_anything_on_a_connection_whose_dialler_proved_too_little() {
        let registry = registry();
        let offers = registry.offers(2);
        assert!(registry.admit(2, both_ways(5, 1, 0)).expect("a member").announced.is_some(), "no proof is asked");
        offers.demand_proof(true);
        assert!(registry.admit(2, both_ways(5, 2, 0)).expect("a member").announced.is_none());
        let proved = Claim { proved: true, ..both_ways(5, 3, 0) };
        assert!(registry.admit(2, proved).expect("a member").announced.is_some());
        assert!(registry.admit(2, Claim::one_way(5, RAFT)).expect("a member").announced.is_none(), "nobody takes it");
    }

    #[test]
    fn the_way_back_of_a_dialled_connection_counts_like_an_accepted_one() {
        let registry = registry();
        registry.saw(2, 5);
        let back = registry.admit_back(2, 5).expect("the run that answered");
        assert!(registry.admit_back(2, 4).is_none(), "not of a run before");
        assert_eq!(registry.admit(2, Claim::one_way(4, RAFT)).err(), Some(Refusal::OldRun.into()));
        let newer = registry.admit(2, Claim::one_way(5, RAFT)).expect("a connection after it");
        assert!(is_cancelled(&back) && !is_cancelled(&newer));
        registry.set_members([3], [2]);
        assert_eq!(*newer.standing.borrow(), Standing::Left);
        assert!(registry.admit_back(2, 5).is_none());
    }
}
