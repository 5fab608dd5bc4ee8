//! What a run looked like, for a diagram: who said what to whom and when, who led, who was down, how far each had come. Kept only when a
//! run is repeated to be drawn. Must never influence the run.

use raft::{Message, NodeId};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Messages that were sent and have not arrived, beyond which the oldest count as lost.
const MOST_OPEN: usize = 5_000;

/// A message of raft.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Machine, moment.
    pub from: (usize, u64),
    /// Machine, moment; none if it was lost.
    pub to: Option<(usize, u64)>,
    /// Its kind.
    pub kind: String,
    /// Its term.
    pub term: u64,
}

/// Something at one machine.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Moment.
    pub at: u64,
    /// Machine.
    pub machine: usize,
    /// What.
    pub what: What,
}

/// What happened there.
#[derive(Clone, Debug)]
pub enum What {
    /// It started.
    Up,
    /// It went down.
    Down,
    /// It is in this term now, and leads or not.
    Term(u64, bool),
    /// It knows this to be committed.
    Committed(u64),
    /// It has applied this.
    Applied(u64),
    /// A fault, or something an operator would note.
    Note(String),
}

/// See the file header.
#[derive(Debug, Default)]
pub struct Pages {
    /// Messages, in the order in which they were sent.
    pub sent: Vec<Sent>,
    /// Marks, in order.
    pub marks: Vec<Mark>,
    open: VecDeque<(usize, Message)>,
    last: BTreeMap<usize, (u64, bool, u64)>,
    members: BTreeMap<NodeId, usize>,
}

/// A story that is kept, or none. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Story(Option<Rc<RefCell<Pages>>>);

impl Story {
    /// One that is kept.
    pub fn kept() -> Self {
        Self(Some(Rc::default()))
    }

    /// What was kept.
    pub fn pages(&self) -> Option<std::cell::Ref<'_, Pages>> {
        self.0.as_ref().map(|pages| pages.borrow())
    }

    fn mark(&self, at: u64, machine: usize, what: What) {
        if let Some(pages) = &self.0 {
            pages.borrow_mut().marks.push(Mark { at, machine, what });
        }
    }

    /// A fault, or something an operator would note.
    pub fn note(&self, now: u64, machine: usize, text: impl FnOnce() -> String) {
        if self.0.is_some() {
            self.mark(now, machine, What::Note(text()));
        }
    }

    /// A member started.
    pub fn up(&self, now: u64, machine: usize, id: NodeId) {
        if let Some(pages) = &self.0 {
            let mut pages = pages.borrow_mut();
            pages.last.remove(&machine);
            pages.members.insert(id, machine);
        }
        self.mark(now, machine, What::Up);
    }

    /// A member went down.
    pub fn down(&self, now: u64, machine: usize) {
        self.mark(now, machine, What::Down);
    }

    /// A member has applied this.
    pub fn applied(&self, now: u64, machine: usize, index: u64) {
        self.mark(now, machine, What::Applied(index));
    }

    /// Term, leadership and commit of a member, after a round.
    pub fn term(&self, now: u64, machine: usize, term: u64, leads: bool, committed: u64) {
        let Some(pages) = &self.0 else { return };
        let before = pages.borrow_mut().last.insert(machine, (term, leads, committed));
        if before.is_none_or(|(was, led, _)| (was, led) != (term, leads)) {
            self.mark(now, machine, What::Term(term, leads));
        }
        if before.is_none_or(|(.., known)| known != committed) {
            self.mark(now, machine, What::Committed(committed));
        }
    }

    /// A message was sent.
    pub fn message(&self, now: u64, from: usize, message: &Message) {
        let Some(pages) = &self.0 else { return };
        let mut pages = pages.borrow_mut();
        let (kind, term) = (format!("{:?}", message.body.kind()), message.term);
        let nth = pages.sent.len();
        pages.sent.push(Sent { from: (from, now), to: None, kind, term });
        pages.open.push_back((nth, message.clone()));
        if pages.open.len() > MOST_OPEN {
            pages.open.pop_front();
        }
    }

    /// A message has arrived.
    pub fn arrived(&self, now: u64, machine: usize, message: &Message) {
        let Some(pages) = &self.0 else { return };
        let mut pages = pages.borrow_mut();
        let Some(at) = pages.open.iter().position(|(_, sent)| sent == message) else { return };
        if let Some((nth, _)) = pages.open.remove(at) {
            pages.sent[nth].to = Some((machine, now));
        }
    }
}
