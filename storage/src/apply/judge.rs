//! The one judge of changes of the membership: accepted, with the membership that follows, or refused, with the reason.
//!
//! Asked when a change is proposed and again when it is applied, where its answer decides. Must never look at anything but the
//! replicated membership and the change: all members must come to the same answer. Whether a change is wise (who is connected,
//! who has been started) is `member::reconfig`'s, and asked once, before it is proposed.

use super::member_context::MemberContext;
use super::meta_rows::MemberRow;
use model::{MemberInfo, MemberRefusal};
use raft::{ConfChangeKind, ConfChangeSingle, ConfChangeV2, ConfState};

/// Who the members are, who votes, and who may never come back, at one log entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Membership {
    /// What the members have published of themselves, ascending by id.
    pub members: Vec<(u64, MemberRow)>,
    /// Who votes and who only learns.
    pub conf_state: ConfState,
    /// Ids of removed members, ascending.
    pub removed: Vec<u64>,
}

impl Membership {
    /// The row of a member.
    pub fn member(&self, id: u64) -> Option<&MemberRow> {
        self.members.iter().find(|(member, _)| *member == id).map(|(_, row)| row)
    }

    /// The member only learns.
    pub fn is_learner(&self, id: u64) -> bool {
        self.conf_state.learners.contains(&id) || self.conf_state.learners_next.contains(&id)
    }

    /// The member was removed.
    pub fn was_removed(&self, id: u64) -> bool {
        self.removed.binary_search(&id).is_ok()
    }

    /// Members that vote, ascending by id.
    pub fn voters(&self) -> impl Iterator<Item = &(u64, MemberRow)> {
        self.members.iter().filter(|(id, _)| !self.is_learner(*id))
    }

    /// The members as clients see them, ascending by id.
    pub fn infos(&self) -> Vec<MemberInfo> {
        let info = |(id, row): &(u64, MemberRow)| MemberInfo {
            id: *id,
            name: row.name.clone(),
            peer_urls: row.peer_urls.clone(),
            client_urls: row.client_urls.clone(),
            is_learner: self.is_learner(*id),
        };
        self.members.iter().map(info).collect()
    }

    /// The membership that a change leads to. `context` is absent only when a leader leaves a joint configuration.
    ///
    /// # Errors
    /// Why the change has no effect.
    pub fn judge(&self, change: &ConfChangeV2, context: Option<&MemberContext>) -> Result<ConfState, MemberRefusal> {
        match (&change.changes[..], context) {
            ([], None) => {}
            ([step], Some(context)) => self.judge_step(*step, context)?,
            // one context can describe one member
            _ => return Err(MemberRefusal::Impossible),
        }
        raft::next_membership(&self.conf_state, change).map_err(|_| MemberRefusal::Impossible)
    }

    /// The membership after a change that was accepted, with the conf state that the judge gave.
    pub fn after(mut self, change: &ConfChangeV2, context: Option<&MemberContext>, conf_state: ConfState) -> Self {
        for step in &change.changes {
            let id = step.node_id;
            let at = self.members.binary_search_by_key(&id, |(id, _)| *id);
            match (step.kind, at) {
                (ConfChangeKind::RemoveNode, Ok(at)) => {
                    self.members.remove(at);
                    let place = self.removed.binary_search(&id).unwrap_or_else(|place| place);
                    self.removed.insert(place, id);
                }
                (ConfChangeKind::RemoveNode, Err(_)) => {}
                (_, at) => {
                    let at = at.unwrap_or_else(|place| {
                        self.members.insert(place, (id, MemberRow::default()));
                        place
                    });
                    let urls = context.map_or(&[][..], |context| &context.peer_urls);
                    if !urls.is_empty() {
                        self.members[at].1.peer_urls = urls.to_vec();
                    }
                }
            }
        }
        self.conf_state = conf_state;
        self
    }

    fn judge_step(&self, step: ConfChangeSingle, context: &MemberContext) -> Result<(), MemberRefusal> {
        let id = step.node_id;
        if id == 0 {
            return Err(MemberRefusal::Impossible);
        }
        if self.was_removed(id) {
            return Err(MemberRefusal::Removed);
        }
        let known = self.member(id).is_some();
        let found = || if known { Ok(()) } else { Err(MemberRefusal::NotFound) };
        match step.kind {
            ConfChangeKind::AddNode if context.is_promotion() => {
                found()?;
                if self.is_learner(id) { Ok(()) } else { Err(MemberRefusal::NotLearner) }
            }
            ConfChangeKind::AddNode | ConfChangeKind::AddLearnerNode => {
                if known {
                    return Err(MemberRefusal::Exists);
                }
                self.check_urls(id, &context.peer_urls)?;
                if context.peer_urls.is_empty() {
                    return Err(MemberRefusal::Impossible);
                }
                let learners = self.members.iter().filter(|(id, _)| self.is_learner(*id)).count();
                let learns = step.kind == ConfChangeKind::AddLearnerNode;
                let fits = !learns || learners < context.max_learners as usize;
                if fits { Ok(()) } else { Err(MemberRefusal::TooManyLearners) }
            }
            ConfChangeKind::RemoveNode => found(),
            ConfChangeKind::UpdateNode => found().and_then(|()| self.check_urls(id, &context.peer_urls)),
        }
    }

    /// No other member has one of the URLs.
    fn check_urls(&self, id: u64, urls: &[String]) -> Result<(), MemberRefusal> {
        let mut others = self.members.iter().filter(|(other, _)| *other != id).flat_map(|(_, row)| &row.peer_urls);
        if others.any(|url| urls.contains(url)) { Err(MemberRefusal::PeerUrlTaken) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::Transition;

    fn row(url: &str) -> MemberRow {
        MemberRow { name: "n".into(), peer_urls: vec![url.into()], client_urls: Vec::new() }
    }

    /// Voters 1 and 2, learner 3, and 9 that was removed.
    fn three() -> Membership {
        Membership {
            members: vec![(1, row("http://a:1")), (2, row("http://b:1")), (3, row("http://c:1"))],
            conf_state: ConfState { voters: vec![1, 2], learners: vec![3], ..ConfState::default() },
            removed: vec![9],
        }
    }

    fn change(kind: ConfChangeKind, node_id: u64) -> ConfChangeV2 {
        ConfChangeV2 { changes: vec![ConfChangeSingle { kind, node_id }], ..ConfChangeV2::default() }
    }

    fn judge(kind: ConfChangeKind, id: u64, urls: &[&str], max_learners: u32) -> Result<ConfState, MemberRefusal> {
        let peer_urls = urls.iter().map(|url| url.to_string()).collect();
        let context = MemberContext { peer_urls, max_learners, ..MemberContext::default() };
        three().judge(&change(kind, id), Some(&context))
    }

    #[test]
    fn what_is_refused_and_why() {
        use ConfChangeKind::{AddLearnerNode, AddNode, RemoveNode, UpdateNode};
        use MemberRefusal::{Exists, Impossible, NotFound, NotLearner, PeerUrlTaken, Removed, TooManyLearners};
        let cases: [(ConfChangeKind, u64, &[&str], u32, MemberRefusal); 18] = [
            (AddNode, 9, &["http://d:1"], 1, Removed),
            (AddLearnerNode, 9, &["http://d:1"], 9, Removed),
            (AddNode, 9, &[], 1, Removed),
            (RemoveNode, 9, &[], 1, Removed),
            (UpdateNode, 9, &["http://d:1"], 1, Removed),
            (AddNode, 2, &["http://d:1"], 1, Exists),
            (AddLearnerNode, 2, &["http://d:1"], 9, Exists),
            (AddNode, 3, &["http://d:1"], 1, Exists),
            (AddNode, 4, &["http://d:1", "http://b:1"], 1, PeerUrlTaken),
            (AddLearnerNode, 4, &["http://c:1"], 1, PeerUrlTaken),
            (AddLearnerNode, 4, &["http://d:1"], 1, TooManyLearners),
            (AddLearnerNode, 4, &[], 9, Impossible),
            (AddNode, 4, &[], 1, NotFound),
            (AddNode, 2, &[], 1, NotLearner),
            (RemoveNode, 4, &[], 1, NotFound),
            (UpdateNode, 4, &["http://d:1"], 1, NotFound),
            (UpdateNode, 2, &["http://a:1"], 1, PeerUrlTaken),
            (AddNode, 0, &["http://d:1"], 1, Impossible),
        ];
        for (kind, id, urls, max_learners, why) in cases {
            assert_eq!(judge(kind, id, urls, max_learners), Err(why), "{kind:?} {id} {urls:?}");
        }
    }

    /// A change, and the voters and learners that it leads to.
    type Accepted = (ConfChangeKind, u64, &'static [&'static str], u32, &'static [u64], &'static [u64]);

    #[test]
    fn what_is_accepted_and_where_it_leads() {
        use ConfChangeKind::{AddLearnerNode, AddNode, RemoveNode, UpdateNode};
        let cases: [Accepted; 6] = [
            (AddNode, 4, &["http://d:1"], 1, &[1, 2, 4], &[3]),
            (AddLearnerNode, 4, &["http://d:1"], 2, &[1, 2], &[3, 4]),
            (AddNode, 3, &[], 1, &[1, 2, 3], &[]),
            (RemoveNode, 2, &[], 1, &[1], &[3]),
            (RemoveNode, 3, &[], 1, &[1, 2], &[]),
            (UpdateNode, 3, &["http://c:1", "http://c:2"], 1, &[1, 2], &[3]),
        ];
        for (kind, id, urls, max_learners, voters, learners) in cases {
            let next = ConfState { voters: voters.into(), learners: learners.into(), ..ConfState::default() };
            assert_eq!(judge(kind, id, urls, max_learners), Ok(next), "{kind:?} {id} {urls:?}");
        }
    }

    #[test]
    fn the_last_voter_stays() {
        let mut lone = three();
        lone.conf_state.voters = vec![1];
        lone.members.remove(1);
        let context = MemberContext::default();
        let refused = Err(MemberRefusal::Impossible);
        assert_eq!(lone.judge(&change(ConfChangeKind::RemoveNode, 1), Some(&context)), refused);
    }

    #[test]
    fn a_change_of_several_members_or_without_a_member_is_refused() {
        let mut two = change(ConfChangeKind::RemoveNode, 2);
        two.changes.push(ConfChangeSingle { kind: ConfChangeKind::RemoveNode, node_id: 3 });
        let context = MemberContext::default();
        assert_eq!(three().judge(&two, Some(&context)), Err(MemberRefusal::Impossible));
        assert_eq!(three().judge(&ConfChangeV2::default(), None), Err(MemberRefusal::Impossible), "it is not joint");
        let bare = change(ConfChangeKind::RemoveNode, 2);
        assert_eq!(three().judge(&bare, None), Err(MemberRefusal::Impossible));
    }

    #[test]
    fn a_joint_configuration_is_left_and_nothing_else_happens_meanwhile() {
        let mut joint = three();
        joint.conf_state.voters_outgoing = vec![1];
        let context = MemberContext { peer_urls: vec!["http://d:1".into()], ..MemberContext::default() };
        let add = change(ConfChangeKind::AddNode, 4);
        assert_eq!(joint.judge(&add, Some(&context)), Err(MemberRefusal::Impossible));
        assert_eq!(joint.judge(&ConfChangeV2::default(), None), Ok(three().conf_state));
        let enter = ConfChangeV2 { transition: Transition::JointExplicit, ..change(ConfChangeKind::RemoveNode, 2) };
        assert_eq!(joint.judge(&enter, Some(&MemberContext::default())), Err(MemberRefusal::Impossible));
    }
}
