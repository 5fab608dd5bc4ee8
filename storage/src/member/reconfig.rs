//! Whether a change of the membership is wise: etcd's `--strict-reconfig-check`, and when a learner may vote.
//!
//! Asked once, by the member that proposes the change: the answer depends on who is connected to it and never enters the log. Whether
//! a change is possible at all is the judge's (`apply::Membership`). Must never read a clock: how long connections have stood comes in.

use super::ids::added_member_id;
use crate::apply::{MemberContext, Membership};
use model::{MemberChange, MemberRefusal, Origin};
use raft::{ConfChange, ConfChangeKind};
use std::time::Duration;

/// How long a connection must have stood for its member to count as healthy.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(5);

/// The conf change that carries out what a client asks for.
pub fn conf_change(change: &MemberChange, origin: Origin, max_learners: u32) -> ConfChange {
    let (kind, node_id, peer_urls) = match change {
        MemberChange::Add { peer_urls, learner, unix_seconds } => {
            let kind = if *learner { ConfChangeKind::AddLearnerNode } else { ConfChangeKind::AddNode };
            (kind, added_member_id(peer_urls, *unix_seconds), peer_urls.clone())
        }
        MemberChange::Remove { id } => (ConfChangeKind::RemoveNode, *id, Vec::new()),
        MemberChange::Update { id, peer_urls } => (ConfChangeKind::UpdateNode, *id, peer_urls.clone()),
        MemberChange::Promote { id } => (ConfChangeKind::AddNode, *id, Vec::new()),
    };
    let context = MemberContext { origin, peer_urls, max_learners };
    ConfChange { id: origin.sequence, kind, node_id, context: context.encode() }
}

/// Refuses changes that could cost the quorum. `connected_for` says how long a connection to another member has stood.
///
/// # Errors
/// [`MemberRefusal::NotEnoughStarted`], [`MemberRefusal::Unhealthy`].
pub fn strict_check(
    present: &Membership,
    own: u64,
    change: &MemberChange,
    connected_for: impl Fn(u64) -> Option<Duration>,
) -> Result<(), MemberRefusal> {
    let check = Check { present, own, connected_for };
    match change {
        MemberChange::Add { learner, .. } => check.addition(*learner),
        MemberChange::Remove { id } => check.removal(*id),
        MemberChange::Promote { .. } => check.promotion(),
        MemberChange::Update { .. } => Ok(()),
    }
}

/// Whether a learner that holds the log up to `learner` may vote, beside a leader that holds it up to `leader`: it must have nine
/// tenths of it.
pub fn is_in_sync(learner: u64, leader: u64) -> bool {
    u128::from(learner) * 10 >= u128::from(leader) * 9
}

struct Check<'a, F> {
    present: &'a Membership,
    own: u64,
    connected_for: F,
}

fn quorum(members: usize) -> usize {
    members / 2 + 1
}

fn enough_started(started: usize, members: usize) -> Result<(), MemberRefusal> {
    if started < quorum(members) { Err(MemberRefusal::NotEnoughStarted) } else { Ok(()) }
}

impl<F: Fn(u64) -> Option<Duration>> Check<'_, F> {
    fn voters(&self) -> usize {
        self.present.voters().count()
    }

    /// Voters that have published themselves, but for one.
    fn started_without(&self, left_out: u64) -> usize {
        self.present.voters().filter(|(id, row)| *id != left_out && !row.name.is_empty()).count()
    }

    /// Voters that this member is, or has long been connected to.
    fn healthy(&self) -> usize {
        let healthy = |id: u64| id == self.own || (self.connected_for)(id).is_some_and(|age| age > HEALTHY_AFTER);
        self.present.voters().filter(|(id, _)| healthy(*id)).count()
    }

    fn addition(&self, learner: bool) -> Result<(), MemberRefusal> {
        let voters = self.voters();
        if !learner {
            let started = self.started_without(0);
            // a lone member takes a second one in: so a cluster is restored from its last member
            if (started, voters) != (1, 1) {
                enough_started(started, voters + 1)?;
            }
        }
        let alone = voters == 1;
        if alone || self.healthy() >= quorum(voters + 1) { Ok(()) } else { Err(MemberRefusal::Unhealthy) }
    }

    fn removal(&self, id: u64) -> Result<(), MemberRefusal> {
        if self.present.is_learner(id) {
            return Ok(());
        }
        let voters = self.voters();
        let without = voters - self.present.voters().filter(|(voter, _)| *voter == id).count();
        enough_started(self.started_without(id), without)?;
        if id != self.own && (self.connected_for)(id).is_none() {
            // it is down, so nobody counts on it
            return Ok(());
        }
        let left = self.healthy().saturating_sub(1);
        if left < quorum(voters.saturating_sub(1)) { Err(MemberRefusal::Unhealthy) } else { Ok(()) }
    }

    /// The learner counts as a voter, and as started.
    fn promotion(&self) -> Result<(), MemberRefusal> {
        enough_started(self.started_without(0) + 1, self.voters() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::MemberRow;
    use raft::ConfState;

    /// Voters `1..=voters` of which the first `started` have been started, and a learner 9 if so wanted.
    fn cluster(voters: u64, started: u64, learner: bool) -> Membership {
        let row = |id| {
            let name = if id <= started { format!("m{id}") } else { String::new() };
            (id, MemberRow { name, ..MemberRow::default() })
        };
        let mut members: Vec<_> = (1..=voters).map(row).collect();
        let learners = if learner { vec![9] } else { vec![] };
        members.extend(learners.iter().map(|id| (*id, MemberRow::default())));
        let conf_state = ConfState { voters: (1..=voters).collect(), learners, ..ConfState::default() };
        Membership { members, conf_state, removed: Vec::new() }
    }

    fn add(learner: bool) -> MemberChange {
        MemberChange::Add { peer_urls: vec!["http://n:1".into()], learner, unix_seconds: 0 }
    }

    /// Member 1 asks, which has been connected to `up` for a minute, and to `fresh` for five seconds.
    fn check(cluster: &Membership, up: &[u64], fresh: &[u64], change: &MemberChange) -> Result<(), MemberRefusal> {
        strict_check(cluster, 1, change, |id| match (up.contains(&id), fresh.contains(&id)) {
            (true, _) => Some(Duration::from_secs(60)),
            (_, true) => Some(HEALTHY_AFTER),
            _ => None,
        })
    }

    const STARTED: Result<(), MemberRefusal> = Err(MemberRefusal::NotEnoughStarted);
    const UNHEALTHY: Result<(), MemberRefusal> = Err(MemberRefusal::Unhealthy);

    #[test]
    fn a_lone_member_takes_in_one_and_then_waits_for_it_to_start() {
        assert_eq!(check(&cluster(1, 1, false), &[], &[], &add(false)), Ok(()));
        assert_eq!(check(&cluster(1, 0, false), &[], &[], &add(false)), STARTED, "not published itself");
        assert_eq!(check(&cluster(2, 1, false), &[], &[], &add(false)), STARTED);
        assert_eq!(check(&cluster(1, 1, false), &[], &[], &add(true)), Ok(()));
        assert_eq!(check(&cluster(1, 0, false), &[], &[], &add(true)), Ok(()), "a learner costs no quorum");
    }

    #[test]
    fn adding_needs_a_quorum_of_the_new_size() {
        for learner in [true, false] {
            assert_eq!(check(&cluster(3, 3, false), &[2, 3], &[], &add(learner)), Ok(()));
            assert_eq!(check(&cluster(3, 3, false), &[2], &[], &add(learner)), UNHEALTHY, "two of four");
            assert_eq!(check(&cluster(3, 3, false), &[2], &[3], &add(learner)), UNHEALTHY, "connected just now");
            assert_eq!(check(&cluster(4, 4, false), &[2, 3], &[], &add(learner)), Ok(()), "three of five");
        }
        assert_eq!(check(&cluster(3, 2, false), &[2, 3], &[], &add(false)), STARTED);
        assert_eq!(check(&cluster(3, 2, false), &[2, 3], &[], &add(true)), Ok(()));
    }

    #[test]
    fn removing_needs_a_quorum_of_those_who_stay() {
        let remove = |id| MemberChange::Remove { id };
        assert_eq!(check(&cluster(1, 1, false), &[], &[], &remove(1)), STARTED);
        assert_eq!(check(&cluster(3, 3, true), &[], &[], &remove(9)), Ok(()), "a learner");
        assert_eq!(check(&cluster(3, 3, false), &[2], &[], &remove(3)), Ok(()), "it is down");
        assert_eq!(check(&cluster(3, 3, false), &[2], &[], &remove(2)), UNHEALTHY, "1 would be left with 3");
        assert_eq!(check(&cluster(3, 3, false), &[2, 3], &[], &remove(2)), Ok(()));
        assert_eq!(check(&cluster(3, 3, false), &[2, 3], &[], &remove(1)), Ok(()), "itself");
        assert_eq!(check(&cluster(3, 3, false), &[2], &[], &remove(1)), UNHEALTHY);
        assert_eq!(check(&cluster(2, 2, false), &[2], &[], &remove(2)), Ok(()));
        assert_eq!(check(&cluster(2, 1, false), &[], &[], &remove(2)), Ok(()), "the one that never started");
        assert_eq!(check(&cluster(2, 1, false), &[], &[], &remove(1)), STARTED);
        assert_eq!(check(&cluster(3, 3, false), &[2, 3], &[], &remove(77)), Ok(()), "the judge knows it is nobody");
    }

    #[test]
    fn promoting_counts_the_learner_as_started() {
        let promote = MemberChange::Promote { id: 9 };
        assert_eq!(check(&cluster(1, 1, true), &[], &[], &promote), Ok(()));
        assert_eq!(check(&cluster(3, 1, true), &[], &[], &promote), STARTED);
        assert_eq!(check(&cluster(3, 2, true), &[], &[], &promote), Ok(()));
        assert_eq!(check(&cluster(3, 0, false), &[], &[], &MemberChange::Update { id: 2, peer_urls: vec![] }), Ok(()));
    }

    #[test]
    fn nine_tenths_of_the_log_are_enough() {
        assert!(is_in_sync(90, 100) && is_in_sync(100, 100) && is_in_sync(1_000, 100));
        assert!(!is_in_sync(89, 100) && !is_in_sync(0, 1));
        assert!(!is_in_sync(u64::MAX / 2, u64::MAX));
    }

    #[test]
    fn a_change_says_who_it_is_about() {
        let origin = Origin { member: 1, epoch: 2, sequence: 3 };
        let made = conf_change(&add(true), origin, 4);
        assert_eq!(
            (made.kind, made.node_id),
            (ConfChangeKind::AddLearnerNode, added_member_id(&["http://n:1".into()], 0))
        );
        let context = MemberContext::decode(&made.context).expect("whole");
        assert_eq!(context, MemberContext { origin, peer_urls: vec!["http://n:1".into()], max_learners: 4 });
        let promote = conf_change(&MemberChange::Promote { id: 5 }, origin, 1);
        assert_eq!((promote.kind, promote.node_id), (ConfChangeKind::AddNode, 5));
        assert!(MemberContext::decode(&promote.context).expect("whole").is_promotion());
        let update = conf_change(&MemberChange::Update { id: 5, peer_urls: vec!["u".into()] }, origin, 1);
        assert_eq!((update.kind, update.node_id), (ConfChangeKind::UpdateNode, 5));
        let remove = conf_change(&MemberChange::Remove { id: 5 }, origin, 1);
        assert_eq!((remove.kind, remove.node_id), (ConfChangeKind::RemoveNode, 5));
    }
}
