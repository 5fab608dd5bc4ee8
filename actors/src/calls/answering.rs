//! The side that answers: a question is checked before an owner sees it, holds a place while it is answered, and is answered once.
//!
//! Must never let a member keep more questions waiting here than its share.

use super::kinds::CallKind;
use crate::limits::CALLS_PER_PEER;
use messages::peer::{Call, NoAnswer, Responder};
use prost::Message;
use raft::NodeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A question of another member. One that is dropped is answered with "could not".
pub struct Asked<K: CallKind> {
    /// Who asks.
    pub from: NodeId,
    /// What is asked.
    pub ask: K::Ask,
    /// How long the other member waits for the answer.
    pub patience: Duration,
    respond: Responder,
    /// Given back when the question is answered.
    _place: Place,
}

impl<K: CallKind> Asked<K> {
    /// Reads a question. One that no correct member asks is answered here.
    pub fn read(from: NodeId, call: Call, respond: Responder, place: Place) -> Option<Self> {
        match K::Ask::decode(call.body) {
            Ok(ask) if K::is_sound(&ask) => {
                let patience = Duration::from_millis(call.deadline_millis.into());
                Some(Self { from, ask, patience, respond, _place: place })
            }
            _ => {
                tracing::warn!(from = format!("{from:x}"), kind = K::KIND, "a member asked what cannot be read");
                respond.answer(Err(NoAnswer::Failed));
                None
            }
        }
    }

    /// Answers.
    pub fn answer(self, answer: &K::Answer) {
        self.respond.answer(Ok(answer.encode_to_vec().into()));
    }

    /// Answers that there is no answer.
    pub fn refuse(self, why: NoAnswer) {
        self.respond.answer(Err(why));
    }
}

impl<K: CallKind> std::fmt::Debug for Asked<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("kind", &K::KIND).field("from", &self.from).field("ask", &self.ask).finish()
    }
}

/// How many questions of each member wait for their answer.
#[derive(Clone, Debug, Default)]
pub struct CallsInHand(Arc<Mutex<HashMap<NodeId, usize>>>);

impl CallsInHand {
    fn counts(&self) -> MutexGuard<'_, HashMap<NodeId, usize>> {
        // counts are whole after every statement
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more question of `from`; `None` when it has its share.
    pub fn place(&self, from: NodeId) -> Option<Place> {
        let mut counts = self.counts();
        let count = counts.entry(from).or_default();
        if *count >= CALLS_PER_PEER {
            return None;
        }
        *count += 1;
        Some(Place { from, counts: self.clone() })
    }
}

/// A question that waits for its answer, counted while this lives.
#[derive(Debug)]
pub struct Place {
    from: NodeId,
    counts: CallsInHand,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.counts();
        if let Some(count) = counts.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{LeaseIds, RenewLeases, Renewals};
    use super::*;
    use crate::limits::LEASES_PER_CALL;
    use bytes::Bytes;
    use crossbeam_channel::{Receiver, bounded};

    fn asked(body: Bytes, place: Place) -> (Option<Asked<RenewLeases>>, Receiver<Result<Bytes, NoAnswer>>) {
        let (told, heard) = bounded(1);
        let respond = Responder::new(9, move |answer| told.send(answer.result).expect("answered once"));
        let call = Call { id: 9, kind: RenewLeases::KIND, deadline_millis: 500, body };
        (Asked::read(2, call, respond, place), heard)
    }

    #[test]
    fn a_question_holds_its_place_until_it_is_answered() {
        let in_hand = CallsInHand::default();
        let body = Bytes::from(LeaseIds { ids: vec![7] }.encode_to_vec());
        let (first, answer) = asked(body, in_hand.place(2).expect("room"));
        let first = first.expect("a sound question");
        assert_eq!((first.ask.ids.as_slice(), first.patience), (&[7_i64][..], Duration::from_millis(500)));
        let others: Vec<Place> = std::iter::from_fn(|| in_hand.place(2)).collect();
        assert_eq!(others.len(), CALLS_PER_PEER - 1);
        assert!(in_hand.place(3).is_some(), "each member has its own share");
        first.answer(&Renewals { ttls: vec![60] });
        assert!(in_hand.place(2).is_some());
        let told = answer.try_recv().expect("answered").expect("with content");
        assert_eq!(Renewals::decode(told), Ok(Renewals { ttls: vec![60] }));
    }

    #[test]
    fn what_no_correct_member_asks_is_refused_and_holds_no_place() {
        let in_hand = CallsInHand::default();
        let too_many = LeaseIds { ids: vec![1; LEASES_PER_CALL + 1] };
        for body in [Bytes::from(too_many.encode_to_vec()), Bytes::from_static(b"\xff")] {
            let (question, answer) = asked(body, in_hand.place(2).expect("room"));
            assert!(question.is_none());
            assert_eq!(answer.try_recv(), Ok(Err(NoAnswer::Failed)));
        }
        assert!(in_hand.counts().is_empty());
    }
}
