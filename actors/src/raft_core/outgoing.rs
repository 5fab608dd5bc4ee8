//! Snapshots for followers that the log does not reach any more: which checkpoint there is, who is being sent it, who catches up
//! behind one, and from where on the log must be kept for all of them. Pure: time is counted in ticks, and log in bytes.
//!
//! Must never let the log go that a follower needs behind its snapshot, nor keep it without bound.

use raft::{ConfState, Index, NodeId, Snapshot, SnapshotMeta, StorageError};
use std::collections::BTreeMap;

/// Election timeouts that a checkpoint is kept after its last transfer: one that failed is resumed from the same one.
const IDLE: u64 = 5;
/// Election timeouts without progress after which nothing is kept any more for a follower that catches up.
const STUCK: u64 = 10;

/// Highest index known to be on each follower.
pub(super) type Matched = BTreeMap<NodeId, Index>;

/// What is ordered of the snapshotter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Make a checkpoint.
    Build(u64),
    /// End the transfer to a member.
    Cancel(NodeId),
    /// Nobody else will be sent this checkpoint.
    Forget(u64),
}

/// A checkpoint in the making: it will be at this index or behind it.
#[derive(Debug)]
struct Building {
    checkpoint: u64,
    floor: Index,
    since: u64,
}

/// A checkpoint that can be sent.
#[derive(Debug)]
struct Offer {
    checkpoint: u64,
    snapshot: Snapshot,
    since: u64,
    /// Tick at which it was last made, begun to be sent, or ended to be sent.
    used: u64,
}

/// A transfer that has begun.
#[derive(Debug)]
struct Transfer {
    checkpoint: u64,
    index: Index,
    since: u64,
    cancelled: bool,
}

/// A follower that has its snapshot and needs the log behind it.
#[derive(Debug)]
struct CatchingUp {
    matched: Index,
    /// Tick at which that was seen to have grown.
    moved: u64,
    since: u64,
}

/// See the file header.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    election: u64,
    now: u64,
    made: u64,
    building: Option<Building>,
    offer: Option<Offer>,
    transfers: BTreeMap<NodeId, Transfer>,
    catching_up: BTreeMap<NodeId, CatchingUp>,
    /// Members that are not sent another one before this tick.
    resting: BTreeMap<NodeId, u64>,
    /// Somebody needs one that there is not.
    wanted: bool,
    /// No checkpoint is made before this tick.
    build_after: u64,
}

impl Outgoing {
    /// `election` is an election timeout in ticks.
    pub(super) fn set_time(&mut self, now: u64, election: u64) {
        self.now = now;
        self.election = election;
    }

    /// What raft may send to `peer`, whose log must go on at `first` or before.
    pub(super) fn snapshot(&mut self, peer: NodeId, first: Index) -> Result<Snapshot, StorageError> {
        let rests = self.resting.get(&peer).is_some_and(|until| self.now < *until);
        if rests || self.transfers.contains_key(&peer) {
            return Err(StorageError::TemporarilyUnavailable);
        }
        match &self.offer {
            Some(offer) if fits(&offer.snapshot.meta, peer, first) => Ok(offer.snapshot.clone()),
            _ => {
                self.wanted = true;
                Err(StorageError::TemporarilyUnavailable)
            }
        }
    }

    /// The checkpoint to be made now. `applied` is in the store, `appended` counts the bytes that the log has grown by.
    pub(super) fn build(&mut self, applied: Index, appended: u64) -> Option<Order> {
        let wanted = std::mem::take(&mut self.wanted);
        if !wanted || self.building.is_some() || self.now < self.build_after {
            return None;
        }
        self.made += 1;
        // a checkpoint that lacks what was asked for is not made again and again
        self.build_after = self.now + self.election;
        self.building = Some(Building { checkpoint: self.made, floor: applied, since: appended });
        Some(Order::Build(self.made))
    }

    /// A checkpoint was made, or could not be. The log goes on behind `compacted`.
    pub(super) fn built(&mut self, checkpoint: u64, meta: Option<SnapshotMeta>, compacted: Index) -> Option<Order> {
        let building = self.building.take_if(|building| building.checkpoint == checkpoint)?;
        let meta = meta?;
        if meta.index < compacted {
            return Some(Order::Forget(checkpoint));
        }
        let data = bytes::Bytes::copy_from_slice(&checkpoint.to_be_bytes());
        let snapshot = Snapshot { meta, data };
        let before = self.offer.replace(Offer { checkpoint, snapshot, since: building.since, used: self.now });
        before.map(|offer| Order::Forget(offer.checkpoint))
    }

    /// Raft sends `snapshot` to `to`: the checkpoint it means, unless that is gone.
    pub(super) fn begin(&mut self, to: NodeId, snapshot: &Snapshot) -> Option<u64> {
        let checkpoint = u64::from_be_bytes(snapshot.data[..].try_into().ok()?);
        let offer = self.offer.as_mut().filter(|offer| offer.checkpoint == checkpoint)?;
        offer.used = self.now;
        let (index, since) = (snapshot.meta.index, offer.since);
        self.catching_up.remove(&to);
        self.transfers.insert(to, Transfer { checkpoint, index, since, cancelled: false });
        Some(checkpoint)
    }

    /// Transfers that have begun and not ended.
    pub(super) fn transfers(&self) -> usize {
        self.transfers.len()
    }

    /// A transfer has ended. Neither is the next one begun at once: raft hears from the follower first.
    pub(super) fn ended(&mut self, to: NodeId, delivered: bool) {
        self.resting.insert(to, self.now + self.election);
        let Some(transfer) = self.transfers.remove(&to) else { return };
        if let Some(offer) = self.offer.as_mut().filter(|offer| offer.checkpoint == transfer.checkpoint) {
            offer.used = self.now;
        }
        if delivered && !transfer.cancelled {
            let catching_up = CatchingUp { matched: transfer.index, moved: self.now, since: transfer.since };
            self.catching_up.insert(to, catching_up);
        }
    }

    /// Entries behind this index must stay in the log.
    pub(super) fn held(&self) -> Index {
        let transfers = self.transfers.values().filter(|transfer| !transfer.cancelled).map(|transfer| transfer.index);
        let building = self.building.as_ref().map(|building| building.floor);
        let offer = self.offer.as_ref().map(|offer| offer.snapshot.meta.index);
        let catching_up = self.catching_up.values().map(|follower| follower.matched);
        transfers.chain(building).chain(offer).chain(catching_up).min().unwrap_or(Index::MAX)
    }

    /// Lets go of what takes too long, what nobody needs any more, and who has caught up as far as `enough`. `matched` says how far
    /// each follower is, `appended` is as in [`Self::build`]; for nobody the log is kept while it grows by more than `most` bytes.
    pub(super) fn expire(&mut self, matched: &Matched, enough: Index, appended: u64, most: u64) -> Vec<Order> {
        let (now, election) = (self.now, self.election);
        let is_over = |since: u64| appended.saturating_sub(since) > most;
        let mut orders = Vec::new();
        if let Some(building) = self.building.as_mut().filter(|building| is_over(building.since)) {
            building.floor = Index::MAX;
        }
        for (to, transfer) in &mut self.transfers {
            if !transfer.cancelled && is_over(transfer.since) {
                transfer.cancelled = true;
                orders.push(Order::Cancel(*to));
            }
        }
        let transfers = &self.transfers;
        let is_useless = |offer: &mut Offer| {
            let sent = transfers.values().any(|t| t.checkpoint == offer.checkpoint && !t.cancelled);
            is_over(offer.since) || (!sent && now.saturating_sub(offer.used) > IDLE * election)
        };
        if let Some(offer) = self.offer.take_if(is_useless) {
            orders.push(Order::Forget(offer.checkpoint));
        }
        self.catching_up.retain(|peer, follower| {
            let Some(matched) = matched.get(peer).copied() else { return false };
            if matched > follower.matched {
                (follower.matched, follower.moved) = (matched, now);
            }
            matched < enough && !is_over(follower.since) && now.saturating_sub(follower.moved) <= STUCK * election
        });
        self.resting.retain(|_, until| now < *until);
        orders
    }

    /// This member does not lead: nobody is sent anything by it.
    pub(super) fn stop(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        for (to, transfer) in &mut self.transfers {
            if !std::mem::replace(&mut transfer.cancelled, true) {
                orders.push(Order::Cancel(*to));
            }
        }
        orders.extend(self.offer.take().map(|offer| Order::Forget(offer.checkpoint)));
        if let Some(building) = &mut self.building {
            building.floor = Index::MAX;
        }
        self.catching_up.clear();
        self.resting.clear();
        self.wanted = false;
        orders
    }
}

/// A member can go on from there: it is named, and the log has what follows.
fn fits(meta: &SnapshotMeta, peer: NodeId, first: Index) -> bool {
    let ConfState { voters, learners, voters_outgoing, .. } = &meta.conf_state;
    meta.index + 1 >= first && [voters, learners, voters_outgoing].iter().any(|set| set.contains(&peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELECTION: u64 = 10;
    const MOST: u64 = 1_000;

    fn meta(index: Index, voters: &[NodeId]) -> SnapshotMeta {
        SnapshotMeta { conf_state: ConfState { voters: voters.to_vec(), ..ConfState::default() }, index, term: 2 }
    }

    fn outgoing() -> Outgoing {
        let mut outgoing = Outgoing::default();
        outgoing.set_time(100, ELECTION);
        outgoing
    }

    /// With a checkpoint at index 50 for members 1 to 3.
    fn with_offer() -> Outgoing {
        let mut outgoing = outgoing();
        assert!(outgoing.snapshot(2, 41).is_err());
        assert_eq!(outgoing.build(45, 0), Some(Order::Build(1)));
        assert_eq!(outgoing.held(), 45, "from the order on");
        assert_eq!(outgoing.built(1, Some(meta(50, &[1, 2, 3])), 40), None);
        outgoing
    }

    fn progress(of: &[(NodeId, Index)]) -> Matched {
        of.iter().copied().collect()
    }

    #[test]
    fn one_checkpoint_serves_several_followers_and_each_has_one_transfer() {
        let mut outgoing = with_offer();
        let snapshot = outgoing.snapshot(2, 41).unwrap();
        assert_eq!(outgoing.begin(2, &snapshot), Some(1));
        assert_eq!(outgoing.begin(3, &outgoing.offer.as_ref().unwrap().snapshot.clone()), Some(1));
        assert!(outgoing.snapshot(2, 41).is_err(), "it is being sent one");
        assert_eq!(outgoing.build(60, 0), None, "nobody waits for another checkpoint");
        assert_eq!((outgoing.held(), outgoing.transfers()), (50, 2));
    }

    #[test]
    fn a_follower_that_the_checkpoint_does_not_name_gets_a_newer_one_and_not_at_once() {
        let mut outgoing = with_offer();
        assert!(outgoing.snapshot(4, 41).is_err());
        assert_eq!(outgoing.build(60, 0), None, "one was just made");
        outgoing.set_time(110, ELECTION);
        assert!(outgoing.snapshot(4, 41).is_err());
        assert_eq!(outgoing.build(60, 0), Some(Order::Build(2)));
        assert_eq!(outgoing.built(2, Some(meta(61, &[1, 2, 3, 4])), 40), Some(Order::Forget(1)));
        assert!(outgoing.snapshot(4, 41).is_ok());
    }

    #[test]
    fn the_log_is_kept_until_the_follower_has_caught_up() {
        let mut outgoing = with_offer();
        let snapshot = outgoing.snapshot(2, 41).unwrap();
        outgoing.begin(2, &snapshot);
        outgoing.ended(2, true);
        outgoing.set_time(151, ELECTION);
        assert_eq!(outgoing.expire(&progress(&[(2, 70)]), 90, 0, MOST), [Order::Forget(1)], "nobody used it lately");
        assert_eq!(outgoing.held(), 70);
        outgoing.expire(&progress(&[(2, 90)]), 90, 0, MOST);
        assert_eq!(outgoing.held(), Index::MAX);
    }

    #[test]
    fn who_does_not_get_on_is_not_waited_for() {
        let mut outgoing = with_offer();
        let snapshot = outgoing.snapshot(2, 41).unwrap();
        outgoing.begin(2, &snapshot);
        outgoing.ended(2, true);
        outgoing.set_time(201, ELECTION);
        outgoing.expire(&progress(&[(2, 50)]), 90, 0, MOST);
        assert_eq!(outgoing.held(), Index::MAX);
    }

    #[test]
    fn a_transfer_that_keeps_too_much_log_is_given_up() {
        let mut outgoing = with_offer();
        let snapshot = outgoing.snapshot(2, 41).unwrap();
        outgoing.begin(2, &snapshot);
        assert!(outgoing.expire(&progress(&[]), 90, MOST, MOST).is_empty());
        let orders = outgoing.expire(&progress(&[]), 90, MOST + 1, MOST);
        assert_eq!(orders, [Order::Cancel(2), Order::Forget(1)]);
        assert_eq!(outgoing.held(), Index::MAX);
        outgoing.ended(2, true);
        assert_eq!(outgoing.held(), Index::MAX, "what it would need is gone");
    }

    #[test]
    fn a_failure_is_not_repeated_before_an_election_timeout_and_then_from_the_same_checkpoint() {
        let mut outgoing = with_offer();
        let snapshot = outgoing.snapshot(2, 41).unwrap();
        outgoing.begin(2, &snapshot);
        outgoing.ended(2, false);
        assert!(outgoing.snapshot(2, 41).is_err());
        outgoing.set_time(110, ELECTION);
        assert_eq!(outgoing.snapshot(2, 41).unwrap(), snapshot);
        assert_eq!(outgoing.held(), 50);
    }

    #[test]
    fn a_checkpoint_that_could_not_be_made_keeps_nothing() {
        let mut outgoing = outgoing();
        assert!(outgoing.snapshot(2, 41).is_err());
        outgoing.build(45, 0);
        assert_eq!(outgoing.built(1, None, 40), None);
        assert_eq!(outgoing.held(), Index::MAX);
    }

    #[test]
    fn a_checkpoint_before_what_the_log_has_is_of_no_use() {
        let mut outgoing = outgoing();
        assert!(outgoing.snapshot(2, 41).is_err());
        outgoing.build(45, 0);
        assert_eq!(outgoing.built(1, Some(meta(50, &[2])), 51), Some(Order::Forget(1)));
        assert!(outgoing.snapshot(2, 52).is_err());
    }

    #[test]
    fn who_does_not_lead_sends_nothing() {
        let mut outgoing = with_offer();
        let snapshot = outgoing.snapshot(2, 41).unwrap();
        outgoing.begin(2, &snapshot);
        assert_eq!(outgoing.stop(), [Order::Cancel(2), Order::Forget(1)]);
        assert!(outgoing.stop().is_empty());
        assert_eq!(outgoing.held(), Index::MAX);
    }
}
