//! Who is connected with whom. Each member dials its own sending connections, a newer run replaces all of an older one, and who was
//! removed is refused. Must never let a member be told of a loss before its session has ended.

use super::super::violation::{Checked, violated};
use super::super::world::{Event, World};
use super::Session;
use messages::peer::{Inbound, Peers};
use net::peer::codec::error::FRAME_VERSION;
use net::peer::codec::hello::{Hello, Purpose, Refusal};

/// Pause between two looks at the sessions.
pub const PULSE: u64 = 150_000;
/// Microseconds without a sign of life after which a session is given up.
const SILENCE: u64 = 2_500_000;
/// For so long what is under way may arrive after its sender has given the session up.
const LATE: u64 = 400_000;

impl World {
    /// Sessions begin and end.
    pub(in super::super) fn pulse(&mut self) -> Checked {
        let time = self.now + PULSE;
        self.at(time, Event::Pulse);
        self.end_sessions()?;
        for from in 0..self.machines.len() {
            for to in 0..self.machines.len() {
                if from != to && self.net.session(from, to).is_none() && self.rng.chance(60) {
                    self.dial(from, to)?;
                }
            }
        }
        self.end_calls();
        self.look_at_signs_of_life()
    }

    fn end_sessions(&mut self) -> Checked {
        let now = self.now;
        for id in self.net.sessions.keys().copied().collect::<Vec<_>>() {
            let session = &self.net.sessions[&id];
            let (from, to, lives) = (session.from, session.to, session.lives);
            if session.ended.is_some_and(|at| now > at) {
                self.net.sessions.remove(&id);
                continue;
            }
            let gone = self.machines[to].life != lives.1 || self.machines[to].run.is_none();
            let blocked =
                gone || self.net.is_cut(from, to) || self.net.is_cut(to, from) || self.machines[to].frozen_until > now;
            let patience = SILENCE + self.rng.below(1_500_000);
            let session = self.net.sessions.get_mut(&id).expect("just seen");
            if !blocked {
                session.blocked_since = None;
                continue;
            }
            let since = *session.blocked_since.get_or_insert(now);
            // a machine that is up again answers what it does not know: that is heard soon
            let heard = gone && self.machines[to].run.is_some() && self.rng.chance(50);
            if now - since > patience || heard {
                self.end_session(id);
            }
        }
        Ok(())
    }

    /// The sender gives a session up.
    pub(in super::super) fn end_session(&mut self, id: u64) {
        let Some(session) = self.net.sessions.get_mut(&id) else { return };
        if session.ended.is_some() {
            return;
        }
        let (from, to, peer) = (session.from, session.to, session.to_id);
        let late = self.rng.chance(30);
        session.ended = Some(if late { self.now + self.rng.below(LATE) } else { self.now });
        if !late {
            session.pipes.iter_mut().for_each(|pipe| pipe.flight.clear());
        }
        self.net.current.remove(&(from, to));
        self.trace.line(self.now, || format!("m{from}: connection {id} to m{to} ends"));
        self.fail_calls_of(id);
        if let Some(run) = &self.machines[from].run {
            run.wires.connected(peer, None);
            run.peers.unreachable(peer, Vec::new());
        }
    }

    fn dial(&mut self, from: usize, to: usize) -> Checked {
        let (caller, called) = (&self.machines[from], &self.machines[to]);
        let (Some(run), true) = (&caller.run, called.run.is_some()) else { return Ok(()) };
        let frozen = caller.frozen_until > self.now || called.frozen_until > self.now;
        if frozen || self.net.is_cut(from, to) || self.net.is_cut(to, from) {
            return Ok(());
        }
        let Some(known) = self.net.known.get(&from) else { return Ok(()) };
        let Some(peer) = known.members.iter().find(|peer| peer.urls.contains(&called.url)) else { return Ok(()) };
        if peer.member == caller.id {
            return Ok(());
        }
        let hello = Hello {
            cluster: self.cluster_id,
            member: caller.id,
            to: peer.member,
            boot_epoch: caller.boot_epoch,
            oldest: FRAME_VERSION,
            newest: FRAME_VERSION,
            purpose: Purpose::Raft,
            both_ways: None,
        };
        let Ok(heard) = Hello::decode(&hello.encode()) else {
            return violated("SIM-FRAMES", format!("a hello does not read: {hello:?}"));
        };
        let removed = self.net.known.get(&to).is_some_and(|known| known.removed.contains(&heard.member));
        let judged = if removed { Err(Refusal::Removed) } else { heard.judge(self.cluster_id, called.id) };
        match judged {
            Err(Refusal::Removed) => {
                run.peers.told_removed(called.id, true);
                Ok(())
            }
            // somebody else lives there now
            Err(Refusal::WrongReceiver) => Ok(()),
            Err(why) => violated("SIM-FRAMES", format!("m{from} is refused by m{to}: {why}")),
            Ok(_) => {
                run.wires.connected(peer.member, Some(self.now));
                let ids = (caller.id, called.id);
                self.begin_session(from, to, ids);
                Ok(())
            }
        }
    }

    fn begin_session(&mut self, from: usize, to: usize, ids: (u64, u64)) {
        let (caller, called) = (&self.machines[from], &self.machines[to]);
        let session = Session::new(from, to, ids, (caller.life, called.life), caller.boot_epoch, self.now);
        // a newer run of a member replaces all of an older one
        let (epoch, member) = (session.from_epoch, session.from_id);
        self.net.sessions.retain(|_, old| old.to != to || old.from_id != member || old.from_epoch >= epoch);
        self.net.last_session += 1;
        let id = self.net.last_session;
        self.net.sessions.insert(id, session);
        self.net.current.insert((from, to), id);
        self.net.carried.sessions += 1;
        self.trace.line(self.now, || format!("m{from}: connection {id} to m{to}"));
    }

    /// A member has learnt who its peers are.
    pub(in super::super) fn set_peers(&mut self, machine: usize, peers: Peers) {
        let named = |id: u64| peers.members.iter().any(|peer| peer.member == id);
        let mut ending = Vec::new();
        for (id, session) in &self.net.sessions {
            let out = session.from == machine && !named(session.to_id);
            let back = session.to == machine && peers.removed.contains(&session.from_id);
            if out || back {
                ending.push(*id);
            }
        }
        self.net.known.insert(machine, peers);
        ending.into_iter().for_each(|id| self.end_session(id));
    }

    /// A machine is down: what it had dialled is gone at once; the others find out.
    pub(in super::super) fn hang_up(&mut self, machine: usize) {
        self.net.sessions.retain(|_, session| session.from != machine);
        self.net.current.retain(|(from, _), _| *from != machine);
        self.net.known.remove(&machine);
        self.net.last_sent.retain(|(from, _), _| *from != machine);
        self.forget_calls_of(machine);
        self.break_transfers_of(machine);
    }
}
