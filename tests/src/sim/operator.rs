//! The operator of a simulated cluster: adds, promotes and removes members under load, moves leadership, replaces machines whose disk
//! was lost, and switches off what was removed. What a member publishes of itself is proposed here too.
//!
//! Must never switch off a member before it was told that it is removed, nor ask for what would leave too few disks.

use super::coverage::Trouble;
use super::machine::{FirstStart, Machine};
use super::orders::{FIRST_CHANGE, Order};
use super::recover::{name_of, url_of};
use super::running::CLIENT_SINK;
use super::violation::{Checked, hold};
use super::world::{Event, World};
use messages::ReplyBody;
use messages::admin::Control;
use messages::propose::{Proposal, Propose};
use model::request::{MemberAttrSetRequest, MemberAttributes};
use model::{Command, MemberChange, Outcome};
use raft::{LogId, NodeId};
use storage::disk::sim::Faults;

/// Most members that are wanted.
const MOST_MEMBERS: usize = 5;
/// Microseconds after which an order without an answer is forgotten.
const FORGET: u64 = 20_000_000;

impl World {
    /// Looks at the cluster, and orders something.
    pub(super) fn operate(&mut self) -> Checked {
        let pause = if self.is_quiet { 2_000_000 } else { self.params.operator };
        self.later(pause, Event::Operator);
        self.publish();
        self.keep_version();
        self.upgrade();
        self.make_room();
        self.start_added()?;
        if self.operator.order.as_ref().is_some_and(|order| self.now - order.since > FORGET) {
            self.operator.order = None;
        }
        if self.operator.order.is_some() {
            return Ok(());
        }
        let serving = self.serving();
        if serving.is_empty() {
            return Ok(());
        }
        let at = self.rng.pick(&serving);
        let change = if self.is_quiet { self.replacement() } else { self.wish(at) };
        if let Some(change) = change {
            self.ask_for(at, change);
        }
        Ok(())
    }

    /// Members tell the cluster who they are, as the daemon does, until it is known.
    fn publish(&mut self) {
        for at in self.serving() {
            let machine = &self.machines[at];
            let id = machine.id;
            let known = self.replay.now().members.rows.get(&id).is_none_or(|row| !row.name.is_empty());
            if known || machine.publishing_until > self.now {
                continue;
            }
            let urls = vec![machine.url.replace(":2", ":1")];
            let attributes = MemberAttributes { name: machine.name.clone(), client_urls: urls };
            let request = MemberAttrSetRequest { member_id: id, attributes: Some(attributes) };
            let command = Command::MemberAttrSet(request).encode(at as u64 + 1);
            let proposal = Proposal { token: at as u64 + 1, command, only_in_term: 0 };
            if let Some(run) = &machine.run {
                // a full queue is met by trying again later
                let _ = run.port.propose(Propose { sink: CLIENT_SINK, proposals: vec![proposal] });
            }
            self.machines[at].publishing_until = self.now + 3_000_000;
        }
    }

    /// A disk that is full gets room after a while, and a member that says again and again that its store fails is started anew: with
    /// nothing to apply, nobody else notices.
    fn make_room(&mut self) {
        for at in 0..self.machines.len() {
            let fails = matches!(self.machines[at].armed, Some(Trouble::StoreFlush | Trouble::StoreWrite));
            if fails && self.machines[at].run.is_some() && self.rng.chance(4) {
                self.crash(at, true);
                continue;
            }
            if self.machines[at].armed == Some(Trouble::DiskFull) && self.rng.chance(10) {
                self.machines[at].disk.set_faults(Faults::default(), 0);
                self.machines[at].armed = None;
            }
        }
    }

    /// Members that the newest membership names and that nobody has started: their machines are.
    fn start_added(&mut self) -> Checked {
        let members = self.replay.now().members.clone();
        for (id, row) in &members.rows {
            let url = &row.peer_urls[0];
            if self.machines.iter().any(|machine| machine.url == *url) {
                continue;
            }
            let knows = |at: usize| {
                self.running_cluster(at).filter(|cluster| cluster.members.iter().any(|(known, _)| known == id))
            };
            let Some(asked) = (0..self.machines.len()).find_map(knows) else { continue };
            let at = self.machines.len();
            let mut machine = Machine::new(url.clone(), name_of(at), FirstStart::Joiner(asked), LogId::default());
            machine.id = *id;
            machine.version = self.newest_version();
            let drift = self.rng.below(2 * self.params.drift + 1) as i64 - self.params.drift as i64;
            machine.clock.drift = drift;
            self.machines.push(machine);
            self.trace.line(self.now, || format!("m{at}: a machine for {id:x} at {url}"));
            self.story.note(self.now, at, || "joins".to_owned());
            self.later(3_000_000, Event::Start(at));
        }
        // whoever was removed and is down would find nobody: it is switched off
        for at in 0..self.machines.len() {
            let machine = &self.machines[at];
            let removed = members.removed.contains(&machine.id);
            let down = machine.run.is_none() && !machine.is_gone;
            if removed && down && self.is_known_to_be_removed(machine.id) && self.rng.chance(30) {
                self.give_up(at);
            }
        }
        Ok(())
    }

    /// What is needed: lost members are removed, and others come in their place.
    fn replacement(&mut self) -> Option<MemberChange> {
        let members = &self.replay.now().members;
        let lost = self.operator.lost.iter().map(|at| self.machines[*at].id);
        lost.into_iter().find(|id| members.rows.contains_key(id)).map(|id| MemberChange::Remove { id })
    }

    /// What may be wished for.
    fn wish(&mut self, at: usize) -> Option<MemberChange> {
        if let Some(change) = self.replacement() {
            return Some(change);
        }
        let members = self.replay.now().members.clone();
        let learner = members.learners.iter().next().copied();
        match self.rng.below(10) {
            0..3 if members.rows.len() < MOST_MEMBERS => Some(self.addition()),
            3..7 if learner.is_some() => learner.map(|id| MemberChange::Promote { id }),
            7 if members.rows.len() > 1 => self.removal(),
            8 => {
                self.move_leader(at);
                None
            }
            _ => None,
        }
    }

    fn addition(&mut self) -> MemberChange {
        let nth = self.machines.len();
        let learner = self.rng.chance(70);
        MemberChange::Add { peer_urls: vec![url_of(nth, 0)], learner, unix_seconds: (self.now / 1_000_000) as i64 }
    }

    /// A member whose disk the others can do without.
    fn removal(&mut self) -> Option<MemberChange> {
        let members = self.replay.now().members.clone();
        let all: Vec<NodeId> = members.rows.keys().copied().collect();
        let id = self.rng.pick(&all);
        let mut after = members.conf_state();
        after.voters.retain(|voter| *voter != id);
        let enough = !after.voters.is_empty() && self.can_elect(&after, None);
        enough.then_some(MemberChange::Remove { id })
    }

    fn move_leader(&mut self, at: usize) {
        let leads = |at: &usize| self.machines[*at].run.as_ref().is_some_and(|run| run.core.node().is_leader());
        let from = (0..self.machines.len()).find(leads).unwrap_or(at);
        let voters: Vec<NodeId> = self.replay.now().members.voters.iter().copied().collect();
        let target = self.rng.pick(&voters);
        let token = self.next_order(None);
        let Some(run) = &self.machines[from].run else { return };
        self.trace.line(self.now, || format!("operator: m{from} is to hand leadership to {target:x}"));
        if run.port.control(Control::MoveLeader { sink: CLIENT_SINK, token, target }) {
            self.count(from, Trouble::MoveLeader);
        }
    }

    fn next_order(&mut self, change: Option<MemberChange>) -> u64 {
        self.operator.last += 1;
        let token = FIRST_CHANGE + self.operator.last;
        self.operator.order = Some(Order { token, change, since: self.now });
        token
    }

    fn ask_for(&mut self, at: usize, change: MemberChange) {
        let token = self.next_order(Some(change.clone()));
        let trouble = match &change {
            MemberChange::Add { .. } | MemberChange::Update { .. } => Trouble::AddMember,
            MemberChange::Promote { .. } => Trouble::Promote,
            MemberChange::Remove { .. } => Trouble::RemoveMember,
        };
        self.trace.line(self.now, || format!("operator: m{at} is asked for {change:?}"));
        let Some(run) = &self.machines[at].run else { return };
        if run.port.control(Control::ChangeMembership { sink: CLIENT_SINK, token, change, forwarded: false }) {
            self.count(at, trouble);
        }
    }

    /// In the newest term that anybody knows, another member leads.
    fn somebody_else_leads(&self, at: usize) -> bool {
        let newest = self.leaders.last_key_value().map_or(0, |(_, leader)| *leader);
        newest != self.machines[at].id && self.machine_of(newest).is_some_and(|leader| !self.machines[leader].is_gone)
    }

    /// The operator, or who publishes a member, is answered.
    pub(super) fn operator_hears(&mut self, at: usize, token: u64, body: ReplyBody) -> Checked {
        let Some(order) = self.operator.order.take_if(|order| order.token == token) else { return Ok(()) };
        let ReplyBody::Applied(result) = body else { return Ok(()) };
        let said = match &result {
            Ok(applied) => format!("{:?}", applied.result.as_ref().map(drop)),
            Err(why) => why.to_string(),
        };
        self.trace.line(self.now, || format!("operator: m{at} answers {:?}: {said}", order.change));
        let Ok(applied) = result else { return Ok(()) };
        let Ok(Outcome::Members { changed, .. }) = applied.result else { return Ok(()) };
        self.tally.changes += 1;
        let members = self.replay.now().members.clone();
        if let Some(MemberChange::Remove { id }) = order.change {
            hold("SIM-CHANGE-TOLD", members.removed.contains(&id) && changed == id, || {
                format!("m{at}: the removal of {id:x} is answered, and is not in force")
            })?;
            // whoever was removed may be switched off now, for good, unless it still led and nobody else does
            if let Some(gone) = self.machine_of(id)
                && (self.rng.chance(60) || self.machines[gone].is_wiped)
                && self.somebody_else_leads(gone)
            {
                self.count(gone, Trouble::SwitchOff);
                self.give_up(gone);
                // and what is left must get along after a crash of everybody else
                if self.rng.chance(30) && self.machines[at].run.is_some() {
                    self.crash(at, true);
                }
            }
        }
        Ok(())
    }
}
