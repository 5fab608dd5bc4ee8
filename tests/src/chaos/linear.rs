//! The independent judge of histories: is there an order of the operations, each at some moment between its call and its answer, in which
//! every answer is right? The search of Wing and Gong, with Lowe's memory of configurations seen.
//!
//! It knows three registers and nothing else: no revision, no log, no code of the store. An operation without an answer may have had its
//! effect at any later moment, or never. Must never call a history right that it has not found an order for.

use std::collections::HashSet;
use std::time::Instant;

/// Registers of an object.
pub const REGISTERS: usize = 3;

/// Values of an object: every value is written once in a history; `None` is absent.
pub type State = [Option<u32>; REGISTERS];

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a register.
    Put(usize, u32),
    /// Empties a register. The answer is whether it held something.
    Delete(usize),
    /// Reads a register.
    Get(usize),
    /// Reads all registers in one answer.
    GetAll,
    /// Writes all registers in one transaction.
    PutAll(u32),
    /// If the register holds the first value, writes the second one, else reads it.
    Swap(usize, Option<u32>, u32),
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Done,
    /// Whether there was something.
    Was(bool),
    /// What a register holds.
    Value(Option<u32>),
    /// What all hold.
    All(State),
    /// The condition held, or what the register holds instead.
    Swapped(Result<(), Option<u32>>),
}

/// An operation and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// When it was called.
    pub called: Instant,
    /// When it was answered, and what. Without it the outcome is unknown.
    pub answered: Option<(Instant, Answer)>,
    /// What it does.
    pub op: Op,
}

/// What the search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none.
    Violated,
    /// The search was given up.
    Unknown,
}

/// The state behind an operation, and its answer.
fn step(mut state: State, op: Op) -> (State, Answer) {
    let answer = match op {
        Op::Put(at, value) => {
            state[at] = Some(value);
            Answer::Done
        }
        Op::Delete(at) => Answer::Was(state[at].take().is_some()),
        Op::Get(at) => Answer::Value(state[at]),
        Op::GetAll => Answer::All(state),
        Op::PutAll(value) => {
            state = [Some(value); REGISTERS];
            Answer::Done
        }
        Op::Swap(at, wanted, value) if state[at] == wanted => {
            state[at] = Some(value);
            Answer::Swapped(Ok(()))
        }
        Op::Swap(at, ..) => Answer::Swapped(Err(state[at])),
    };
    (state, answer)
}

/// Operations that took effect, a bit for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Taken(Vec<u64>);

impl Taken {
    fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn flip(&mut self, at: usize) {
        self.0[at / 64] ^= 1 << (at % 64);
    }
}

/// The search: what took effect so far, in which order, and what was seen before.
struct Search<'a> {
    records: &'a [Record],
    taken: Taken,
    state: State,
    /// Operations in the order that is tried, and the state before each.
    path: Vec<(usize, State)>,
    /// Answered operations that have not taken effect.
    left: usize,
    seen: HashSet<(Taken, State)>,
    /// First operation, by call, that may not have taken effect.
    first: usize,
}

impl Search<'_> {
    /// The next operation from `from` on that may take effect now and answers as it did.
    fn next(&self, from: usize) -> Option<(usize, State)> {
        // whoever was called after an answer that is still to come cannot be before it
        let mut horizon: Option<Instant> = None;
        for at in self.first..self.records.len() {
            if self.taken.has(at) {
                continue;
            }
            let record = &self.records[at];
            if horizon.is_some_and(|horizon| record.called > horizon) {
                return None;
            }
            if let Some((answered, _)) = record.answered {
                horizon = Some(horizon.map_or(answered, |horizon| horizon.min(answered)));
            }
            if at < from {
                continue;
            }
            let (after, answer) = step(self.state, record.op);
            let fits = record.answered.is_none_or(|(_, said)| said == answer);
            // an effect that changes nothing need not be tried without an answer
            let is_idle = record.answered.is_none() && after == self.state;
            if fits && !is_idle {
                return Some((at, after));
            }
        }
        None
    }

    fn take(&mut self, at: usize, after: State) -> bool {
        self.taken.flip(at);
        if !self.seen.insert((self.taken.clone(), after)) {
            self.taken.flip(at);
            return false;
        }
        self.path.push((at, self.state));
        self.state = after;
        self.left -= usize::from(self.records[at].answered.is_some());
        while self.first < self.records.len() && self.taken.has(self.first) {
            self.first += 1;
        }
        true
    }

    /// Takes the last one back; the one after it is tried next.
    fn back(&mut self) -> Option<usize> {
        let (at, before) = self.path.pop()?;
        self.taken.flip(at);
        self.state = before;
        self.left += usize::from(self.records[at].answered.is_some());
        self.first = self.first.min(at);
        Some(at + 1)
    }
}

/// Judges the history of one object, which was empty at its beginning. Gives up behind `most` steps.
pub fn judge(records: &[Record], most: usize) -> Verdict {
    let mut records = records.to_vec();
    // what has no answer and no effect says nothing
    records.retain(|record| record.answered.is_some() || !matches!(record.op, Op::Get(_) | Op::GetAll));
    records.sort_by_key(|record| record.called);
    let mut search = Search {
        taken: Taken(vec![0; records.len().div_ceil(64)]),
        state: State::default(),
        path: Vec::new(),
        left: records.iter().filter(|record| record.answered.is_some()).count(),
        seen: HashSet::new(),
        first: 0,
        records: &records,
    };
    let mut from = 0;
    for _ in 0..most {
        if search.left == 0 {
            return Verdict::Linearizable;
        }
        match search.next(from) {
            Some((at, after)) => from = if search.take(at, after) { 0 } else { at + 1 },
            None => match search.back() {
                Some(next) => from = next,
                None => return Verdict::Violated,
            },
        }
    }
    Verdict::Unknown
}
