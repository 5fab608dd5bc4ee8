//! What goes wrong between members, and with several at once. Must never take more disks away than a quorum can do without.

use super::coverage::Trouble;
use super::violation::Checked;
use super::world::{Event, World};

/// What may go wrong between members; the operator does the rest.
const ALL: [Trouble; 9] = [
    Trouble::Cut,
    Trouble::CutOneWay,
    Trouble::Partition,
    Trouble::ConnectionLost,
    Trouble::Suspend,
    Trouble::ApplyStalls,
    Trouble::AllSyncsHang,
    Trouble::Wipe,
    Trouble::TransferBreaks,
];

impl World {
    pub(super) fn trouble_between(&mut self) -> Checked {
        let (at, trouble) = (self.victim(), self.rng.pick(&ALL));
        if self.machines[at].run.is_none() {
            return Ok(());
        }
        match trouble {
            Trouble::Cut => {
                for other in 0..self.machines.len() {
                    self.net.cut.extend([(at, other), (other, at)]);
                }
            }
            Trouble::CutOneWay => {
                let other = self.rng.below(self.machines.len() as u64) as usize;
                self.net.cut.insert(if self.rng.chance(50) { (at, other) } else { (other, at) });
            }
            Trouble::Partition => self.part(),
            Trouble::ConnectionLost => {
                let sessions = self.net.sessions_of(at);
                if sessions.is_empty() {
                    return Ok(());
                }
                let session = self.rng.pick(&sessions);
                self.end_session(session);
            }
            Trouble::Suspend => self.suspend(at),
            Trouble::ApplyStalls => {
                self.machines[at].stalled_until = self.now + self.rng.pick(&[500_000, 2_500_000, 8_000_000]);
            }
            Trouble::AllSyncsHang => {
                let by = self.rng.pick(&[800_000, 2_000_000, 5_000_000]);
                self.machines.iter_mut().for_each(|machine| machine.hang = by);
            }
            Trouble::Wipe => {
                if !self.may_wipe(at) {
                    return Ok(());
                }
                self.count(at, trouble);
                self.crash(at, true);
                self.machines[at].wipe(&self.params, self.begins);
                self.trace.line(self.now, || format!("m{at}: its disk is lost"));
                return Ok(());
            }
            _ => {
                if !self.net.receives(at) && !self.net.sends(at) {
                    return Ok(());
                }
                self.net.bulk_breaks = 300;
            }
        }
        self.trace.line(self.now, || format!("m{at}: trouble: {trouble:?}"));
        if trouble != Trouble::TransferBreaks {
            self.count(at, trouble);
        }
        if matches!(trouble, Trouble::Cut | Trouble::CutOneWay | Trouble::Partition | Trouble::TransferBreaks) {
            let most = self.rng.pick(&[500_000, 3_000_000, 15_000_000]);
            self.later(most, Event::Mend);
        }
        Ok(())
    }

    /// Two parts that do not hear each other.
    fn part(&mut self) {
        let side: Vec<bool> = self.machines.iter().map(|_| self.rng.chance(50)).collect();
        for one in 0..side.len() {
            for other in 0..side.len() {
                if side[one] != side[other] {
                    self.net.cut.insert((one, other));
                }
            }
        }
    }

    /// The machine sleeps: one of its clocks goes on, the other does not.
    fn suspend(&mut self, at: usize) {
        let by = self.rng.pick(&[300_000, 1_500_000, 6_000_000, 20_000_000]);
        let machine = &mut self.machines[at];
        if machine.frozen_until <= self.now {
            machine.frozen_until = self.now + by;
            machine.clock.suspended += by;
        }
    }

    /// Everything gets through again.
    pub(super) fn mend(&mut self) {
        self.net.cut.clear();
        self.net.bulk_breaks = self.net.bulk_breaks.min(30);
        self.trace.line(self.now, || String::from("everything gets through"));
    }

    /// Its disk may be lost: the cluster knows that it has run, has enough others, and no other disk was lost since it was whole. All
    /// the others know the membership: whoever has missed a removal still needs the member that is gone (`docs/bugs.md`).
    fn may_wipe(&self, at: usize) -> bool {
        let members = &self.replay.now().members;
        let id = self.machines[at].id;
        let published = members.rows.get(&id).is_some_and(|row| !row.client_urls.is_empty());
        let whole = self.machines.iter().all(|machine| !machine.is_wiped);
        let conf_state = members.conf_state();
        let knows = |other: usize| {
            let run = self.machines[other].run.as_ref();
            run.is_some_and(|run| *run.core.node().membership() == conf_state)
        };
        let all_know = self.wanted().into_iter().all(knows);
        published && whole && all_know && self.can_elect(&members.conf_state(), Some(at))
    }
}
