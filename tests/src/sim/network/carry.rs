//! What members say, on its way: encoded, delayed, cut into pieces, lost, doubled, and read by the checked reader at the other end.
//!
//! Must never double a proposal, and never let two frames of one lane overtake each other.

use super::super::violation::{Checked, violated};
use super::super::wires::Said;
use super::super::world::{Event, World};
use super::LANES;
use messages::peer::{Held, Inbound, Vitals};
use model::mutant::{self, Mutant};
use net::peer::codec::frame::{self, Frame};
use net::peer::codec::lane::Lane;
use raft::{Body, Message};

/// A piece that is cut off is on its way for up to so much longer.
const APART: u64 = 50_000;

impl World {
    /// Takes what a member's owners have said, in order.
    pub(in super::super) fn carry(&mut self, from: usize) -> Checked {
        let Some(run) = &self.machines[from].run else { return Ok(()) };
        for said in run.wires.take() {
            match said {
                Said::Messages(messages) => {
                    for message in messages {
                        self.send_message(from, message)?;
                    }
                }
                Said::Vitals(vitals) => self.send_vitals(from, &vitals)?,
                Said::Peers(peers) => self.set_peers(from, peers),
                Said::Introduced(peer) => {
                    let known = &mut self.net.known.entry(from).or_default().members;
                    if known.iter().all(|other| other.member != peer.member) {
                        known.push(peer);
                    }
                }
                Said::Call(to, question, done) => self.send_call(from, to, question, done)?,
                Said::Answer(session, answer) => self.send_answer(session, answer)?,
                Said::Parcel(to, parcel) => self.begin_transfer(from, to, parcel),
            }
        }
        Ok(())
    }

    /// The machine on which a member runs, as far as this one can reach it.
    pub(in super::super) fn session_to(&self, from: usize, member: u64) -> Option<u64> {
        let sessions = self.net.current.range((from, 0)..(from + 1, 0));
        sessions.map(|(_, id)| *id).find(|id| self.net.sessions[id].to_id == member)
    }

    fn send_message(&mut self, from: usize, message: Message) -> Checked {
        self.story.message(self.now, from, &message);
        let lane = Lane::of(&message.body);
        let Some(session) = self.session_to(from, message.to) else {
            if let Some(run) = &self.machines[from].run {
                run.peers.unreachable(message.to, vec![message]);
            }
            return Ok(());
        };
        let to = self.net.sessions[&session].to;
        self.net.last_sent.insert((from, to), self.now);
        let is_proposal = matches!(message.body, Body::Propose(_));
        let lost = self.rng.below(1_000) < self.params.loss;
        let twice = self.rng.below(1_000) < self.params.loss && !is_proposal;
        let again = is_proposal && self.params.loss > 0 && mutant::on(Mutant::ProposeAgain);
        if lost {
            return Ok(());
        }
        for _ in 0..1 + u8::from(twice || again) {
            self.send_frame(session, lane, &Frame::Raft(message.clone()))?;
        }
        Ok(())
    }

    fn send_vitals(&mut self, from: usize, vitals: &Vitals) -> Checked {
        let sessions: Vec<u64> = self.net.current.range((from, 0)..(from + 1, 0)).map(|(_, id)| *id).collect();
        for session in sessions {
            let vitals = Vitals { stamp: self.now, ..vitals.clone() };
            self.send_frame(session, Lane::Control, &Frame::Vitals(vitals))?;
        }
        Ok(())
    }

    /// Puts a frame on its way.
    pub(super) fn send_frame(&mut self, id: u64, lane: Lane, frame: &Frame) -> Checked {
        let mut bytes = Vec::new();
        if let Err(why) = frame::encode(frame, lane, &mut bytes) {
            return violated("SIM-FRAMES", format!("a frame cannot be encoded: {why}: {frame:?}"));
        }
        let split = self.rng.chance(8).then(|| self.rng.below(bytes.len() as u64) as usize);
        let rest = split.map(|at| bytes.split_off(at)).filter(|rest| !rest.is_empty());
        let mut arrival = self.now + 1 + self.rng.below(self.params.way);
        for piece in [Some(bytes), rest].into_iter().flatten() {
            self.send_piece(id, lane, arrival, piece);
            arrival += self.rng.below(APART);
        }
        Ok(())
    }

    fn send_piece(&mut self, id: u64, lane: Lane, arrival: u64, piece: Vec<u8>) {
        let Some(session) = self.net.sessions.get_mut(&id) else { return };
        let nth = LANES.iter().position(|known| *known == lane).expect("a session has this lane");
        let flight = &mut session.pipes[nth].flight;
        let arrival = flight.back().map_or(arrival, |(last, _)| arrival.max(*last));
        flight.push_back((arrival, piece));
        self.at(arrival, Event::Wire(id, nth));
    }

    /// Something arrives.
    pub(in super::super) fn arrive(&mut self, id: u64, lane: usize) -> Checked {
        let now = self.now;
        let Some(session) = self.net.sessions.get(&id) else { return Ok(()) };
        let (mut from, mut to) = (session.from, session.to);
        let (mut sender, mut receiver) = session.lives;
        let mut peer = session.from_id;
        if LANES[lane] == Lane::Answers {
            (from, to, sender, receiver, peer) = (to, from, receiver, sender, session.to_id);
        }
        // what was sent arrives also when its sender is gone, as long as nobody has hung up
        let _ = sender;
        if self.machines[to].life != receiver {
            return Ok(());
        }
        let thaw = self.machines[to].frozen_until;
        if thaw > now {
            let time = thaw + self.rng.below(2_000);
            self.at(time, Event::Wire(id, lane));
            return Ok(());
        }
        if self.net.is_cut(from, to) {
            // sent again until it gets through
            self.later(300_000, Event::Wire(id, lane));
            return Ok(());
        }
        let mut frames = Vec::new();
        let pipe = &mut self.net.sessions.get_mut(&id).expect("just seen").pipes[lane];
        while pipe.flight.front().is_some_and(|(arrival, _)| *arrival <= now) {
            let (_, piece) = pipe.flight.pop_front().expect("just seen");
            pipe.reader.push(&piece);
            loop {
                match pipe.reader.next_frame() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(why) => return violated("SIM-FRAMES", format!("m{to} refuses what m{from} has sent: {why}")),
                }
            }
        }
        for frame in frames {
            self.net.carried.frames += 1;
            self.hand_in(id, to, peer, frame);
        }
        Ok(())
    }

    fn hand_in(&mut self, session: u64, to: usize, peer: u64, frame: Frame) {
        let Some(run) = &self.machines[to].run else { return };
        match frame {
            Frame::Raft(message) => {
                self.story.arrived(self.now, to, &message);
                let control = Lane::of(&message.body) == Lane::Control;
                // a full queue drops them, as the network would
                let _ = match control {
                    true => run.peers.control(vec![message]),
                    false => run.peers.data(vec![message], Held::default()),
                };
            }
            Frame::Vitals(vitals) => run.peers.vitals(peer, vitals),
            Frame::Call(call) => self.ask(session, to, peer, call),
            Frame::Answer(answer) => self.answered(session, answer),
        }
    }
}
