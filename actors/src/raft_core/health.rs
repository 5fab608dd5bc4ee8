//! How the members are, as they say with every heartbeat, and who of them may be handed leadership. Pure; times are ticks.
//!
//! Must never judge a member by what it said too long ago.

use messages::peer::Vitals;
use messages::ports::OtherVersions;
use raft::NodeId;
use std::collections::BTreeMap;

/// What is known of the other members.
#[derive(Debug, Default)]
pub(super) struct PeerHealth(BTreeMap<NodeId, LastVitals>);

#[derive(Debug)]
struct LastVitals {
    at: u64,
    vitals: Vitals,
}

/// What a healthy member is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Healthy {
    /// Its last word is no older than this, in ticks.
    pub(super) silence: u64,
    /// Its oldest unsynced write is younger than this, in microseconds.
    pub(super) unsynced_micros: u64,
}

/// Whether this member hangs, and what it has tried as a leader.
#[derive(Debug, Default)]
pub(super) struct Stall {
    /// Disk or applier have been hanging for longer than an election timeout.
    pub(super) hangs: bool,
    /// Voters that leadership was offered to in vain since it began.
    pub(super) tried: Vec<NodeId>,
}

impl PeerHealth {
    /// A member says how it is.
    pub(super) fn note(&mut self, from: NodeId, vitals: Vitals, now: u64) {
        self.0.insert(from, LastVitals { at: now, vitals });
    }

    /// Forgets everybody who is not a member any more.
    pub(super) fn keep(&mut self, is_member: impl Fn(NodeId) -> bool) {
        self.0.retain(|id, _| is_member(*id));
    }

    /// Whether a member has said lately that its disk is well.
    pub(super) fn is_healthy(&self, id: NodeId, now: u64, healthy: Healthy) -> bool {
        self.0.get(&id).is_some_and(|heard| {
            now.saturating_sub(heard.at) <= healthy.silence && heard.vitals.unsynced_micros < healthy.unsynced_micros
        })
    }

    /// The versions of these members.
    pub(super) fn versions(&self, members: impl IntoIterator<Item = NodeId>) -> OtherVersions {
        let mut seen = OtherVersions::Alone;
        for member in members {
            let Some(heard) = self.0.get(&member) else { return OtherVersions::Unknown };
            let version = heard.vitals.version;
            seen = match seen {
                OtherVersions::Between { lowest, highest } => {
                    OtherVersions::Between { lowest: lowest.min(version), highest: highest.max(version) }
                }
                _ => OtherVersions::Between { lowest: version, highest: version },
            };
        }
        seen
    }

    /// What a member said last.
    pub(super) fn of(&self, id: NodeId) -> Option<&Vitals> {
        self.0.get(&id).map(|heard| &heard.vitals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_known_when_all_have_said_theirs() {
        let mut peers = PeerHealth::default();
        assert_eq!(peers.versions([]), OtherVersions::Alone);
        peers.note(2, Vitals { version: [3, 8, 0], ..Vitals::default() }, 5);
        assert_eq!(peers.versions([2, 3]), OtherVersions::Unknown);
        peers.note(3, Vitals { version: [3, 7, 9], ..Vitals::default() }, 5);
        assert_eq!(peers.versions([2, 3]), OtherVersions::Between { lowest: [3, 7, 9], highest: [3, 8, 0] });
    }

    #[test]
    fn a_member_is_healthy_that_said_so_lately() {
        let healthy = Healthy { silence: 10, unsynced_micros: 500_000 };
        let mut peers = PeerHealth::default();
        assert!(!peers.is_healthy(2, 0, healthy), "nothing was heard of it");
        peers.note(2, Vitals { unsynced_micros: 499_999, ..Vitals::default() }, 5);
        assert!(peers.is_healthy(2, 15, healthy));
        assert!(!peers.is_healthy(2, 16, healthy), "that was long ago");
        peers.note(2, Vitals { unsynced_micros: 500_000, ..Vitals::default() }, 16);
        assert!(!peers.is_healthy(2, 16, healthy), "its disk hangs too");
        peers.keep(|id| id != 2);
        assert_eq!(peers.of(2), None);
    }
}
