//! Requests of the v2 API: the tree decides, this writes its rows into the batch.
//!
//! Must never look at anything but the entry and replicated state.

use super::StateMachine;
use super::failure::Run;
use super::report::{ApplyFatal, V2Applied};
use crate::engine::{Engine, Op};
use model::Outcome;
use model::v2::{Operation, Request};

impl<E: Engine> StateMachine<E> {
    /// Carries out a request. A refusal is an outcome: it has an index of its own.
    pub(super) fn v2_request(&mut self, request: &Request) -> Run<Outcome> {
        let before = self.v2.head().index;
        let mut ops = Vec::new();
        let outcome = self.v2.apply(&self.snapshot, request, &mut ops).map_err(ApplyFatal::from)?;
        for op in ops {
            match op {
                Op::Put { family, key, value } => self.batch.put(family, key, value),
                Op::Delete { family, key } => self.batch.delete(family, key),
            }
        }
        self.effects.v2.push(V2Applied {
            operation: request.operation().unwrap_or(Operation::Sync),
            refused: outcome.result.as_ref().err().cloned(),
            events: outcome.index - before,
        });
        Ok(Outcome::V2(Box::new(outcome)))
    }
}
