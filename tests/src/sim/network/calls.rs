//! Questions between members: each ends once, with an answer, or without one when its session or its patience has ended.
//!
//! Must never answer a member that has been started anew meanwhile.

use super::super::violation::Checked;
use super::super::wires::Said;
use super::super::world::World;
use messages::peer::{Answer, Call, CallDone, CallError, Inbound, Question, Responder};
use net::peer::codec::frame::Frame;
use net::peer::codec::lane::Lane;
use net::peer::codec::talk;
use std::collections::BTreeMap;

/// A question that waits for its answer.
struct Waiting {
    machine: usize,
    session: u64,
    until: u64,
    done: CallDone,
}

/// See the file header.
#[derive(Default)]
pub(super) struct Calls {
    last: u64,
    waiting: BTreeMap<u64, Waiting>,
}

impl World {
    /// A member asks another one.
    pub(super) fn send_call(&mut self, from: usize, to: u64, question: Question, done: CallDone) -> Checked {
        let Some(session) = self.session_to(from, to) else {
            done(Err(CallError::Unreachable));
            return Ok(());
        };
        self.net.calls.last += 1;
        let id = self.net.calls.last;
        let Question { kind, body, deadline } = question;
        let until = self.now + deadline.as_micros() as u64;
        self.net.calls.waiting.insert(id, Waiting { machine: from, session, until, done });
        let call = talk::Call { id, kind, deadline_millis: deadline.as_millis() as u32, body };
        self.send_frame(session, Lane::Calls, &Frame::Call(call))
    }

    /// A question arrives.
    pub(super) fn ask(&mut self, session: u64, to: usize, peer: u64, call: Call) {
        let Some(run) = &self.machines[to].run else { return };
        let wires = run.wires.clone();
        let respond = Responder::new(call.id, move |answer| wires.say(Said::Answer(session, answer)));
        run.peers.call(peer, call, respond);
    }

    /// A member answers.
    pub(super) fn send_answer(&mut self, session: u64, answer: Answer) -> Checked {
        if !self.net.sessions.contains_key(&session) {
            return Ok(());
        }
        self.send_frame(session, Lane::Answers, &Frame::Answer(answer))
    }

    /// An answer arrives.
    pub(super) fn answered(&mut self, session: u64, answer: Answer) {
        let fits = |waiting: &Waiting| waiting.session == session;
        if self.net.calls.waiting.get(&answer.id).is_some_and(fits)
            && let Some(waiting) = self.net.calls.waiting.remove(&answer.id)
        {
            (waiting.done)(answer.result.map_err(CallError::from));
        }
    }

    /// Ends the patience of those who wait for too long, unless they stand still themselves.
    pub(super) fn end_calls(&mut self) {
        let now = self.now;
        let machines = &self.machines;
        let late = |waiting: &Waiting| waiting.until <= now && machines[waiting.machine].frozen_until <= now;
        let late: Vec<u64> =
            self.net.calls.waiting.iter().filter(|(_, waiting)| late(waiting)).map(|(id, _)| *id).collect();
        self.fail_calls(late);
    }

    /// A session has ended: nobody knows what became of what was asked on it.
    pub(super) fn fail_calls_of(&mut self, session: u64) {
        let lost = self.net.calls.waiting.iter().filter(|(_, waiting)| waiting.session == session);
        let lost: Vec<u64> = lost.map(|(id, _)| *id).collect();
        self.fail_calls(lost);
    }

    fn fail_calls(&mut self, ids: Vec<u64>) {
        for id in ids {
            if let Some(waiting) = self.net.calls.waiting.remove(&id) {
                (waiting.done)(Err(CallError::Unknown));
            }
        }
    }

    /// Nobody waits on a machine that is down.
    pub(super) fn forget_calls_of(&mut self, machine: usize) {
        self.net.calls.waiting.retain(|_, waiting| waiting.machine != machine);
    }
}
