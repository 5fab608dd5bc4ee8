//! What must hold between any two calls, by name.
//!
//! | id | rule |
//! |---|---|
//! | RI-1 | applied <= applying <= committed <= last |
//! | RI-2 | what is committed is never overwritten, and not compacted before it is applied |
//! | RI-3 | the log has no gaps; the unstable part lies at its end |
//! | RI-4 | a leader is its own leader, a candidate has none; only voters lead |
//! | RI-5 | the membership is well formed |
//! | RI-6 | matched < next for every member |
//! | RI-7 | a member that waits for a snapshot gets no appends |
//! | RI-8 | messages in flight ascend and fit the window |
//! | RI-9 | appends complete in the order in which they were handed out |
//! | RI-10 | synchronous and asynchronous storage writes are not mixed |
//! | RI-11 | what cannot be refused is not; only promises are sent to oneself |
//! | RI-12 | term and commit never move back; one vote per term |
//! | RI-13 | a leader never overwrites its log, and its first entry is never refused |
//! | RI-14 | reads are granted only after the first commit of the leader's term |
//!
//! Predicates only look; those about single steps (RI-7 to RI-14) are asserted where the step is taken.

use crate::changer;
use crate::node::Node;
use crate::storage::Storage;
use crate::trace::Trace;
use crate::types::Role;

impl<S: Storage, T: Trace> Node<S, T> {
    /// Id and text of the first invariant that does not hold, for simulators. Runs after every call in debug builds.
    pub fn violated_invariant(&self) -> Option<&'static str> {
        [
            self.position_order(),
            self.nothing_lost(),
            self.tail_order(),
            self.role_order(),
            self.members(),
            self.sending(),
        ]
        .into_iter()
        .flatten()
        .next()
    }

    #[inline]
    pub(crate) fn check_invariants(&self) {
        if cfg!(debug_assertions)
            && let Some(broken) = self.violated_invariant()
        {
            panic!("member {} in term {}: {broken}", self.config.id, self.term);
        }
    }

    fn position_order(&self) -> Option<&'static str> {
        let log = &self.log;
        let ordered =
            log.applied() <= log.applying() && log.applying() <= log.committed() && log.committed() <= log.last_index();
        (!ordered).then_some("RI-1 applied <= applying <= committed <= last")
    }

    fn nothing_lost(&self) -> Option<&'static str> {
        let installing = self.log.unstable().snapshot().is_some();
        let lost = !installing && self.log.first_index() > self.log.applied() + 1;
        lost.then_some("RI-2 nothing is compacted before it is applied")
    }

    fn tail_order(&self) -> Option<&'static str> {
        let unstable = self.log.unstable();
        let ordered = unstable.offset() <= unstable.offset_in_progress()
            && unstable.offset_in_progress() <= unstable.end()
            && unstable.end() == self.log.last_index() + 1
            && unstable.snapshot().is_none_or(|s| s.meta.index < unstable.offset());
        // While entries before the offset are cut on disk, storage may still show the old end.
        let shown_by_storage = unstable.len() == 0 && unstable.snapshot().is_none();
        (!ordered && !shown_by_storage).then_some("RI-3 the unstable part lies at the end of the log")
    }

    fn role_order(&self) -> Option<&'static str> {
        let id = self.config.id;
        let fits = match self.role {
            Role::Leader => self.leader == id && self.term > 0,
            Role::Candidate => self.leader == 0 && self.vote == id,
            Role::PreCandidate => self.leader == 0,
            Role::Follower => self.leader != id,
        };
        (!fits).then_some("RI-4 a leader is its own leader, a candidate has none")
    }

    fn members(&self) -> Option<&'static str> {
        changer::check(&self.tracker.membership, &self.tracker.progress)
            .is_err()
            .then_some("RI-5 the membership is well formed")
    }

    fn sending(&self) -> Option<&'static str> {
        let broken = self.tracker.progress.iter().any(|(_, progress)| progress.matched >= progress.next);
        broken.then_some("RI-6 matched < next for every member")
    }
}
