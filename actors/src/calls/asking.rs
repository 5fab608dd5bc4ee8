//! The side that asks: typed questions to other members, typed answers back.
//!
//! Must never block: the answer is handed to a closure, on the transport's thread or at once on the caller's.

use super::kinds::CallKind;
use bytes::Bytes;
use messages::peer::{CallDone, CallError, Question, Transport};
use prost::Message;
use raft::NodeId;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Asks other members. There is nobody to ask until a transport is connected, nor ever in a cluster of one. Cheap to clone.
#[derive(Clone, Default)]
pub struct PeerCalls(Arc<OnceLock<Arc<dyn Transport>>>);

impl PeerCalls {
    /// From now on questions travel by this transport. Owners are made before the transport that reports to them, which is why
    /// this comes later; only the first call counts.
    pub fn connect(&self, transport: Arc<dyn Transport>) {
        // a node has one transport for its whole life
        let _ = self.0.set(transport);
    }

    /// Asks a member. `done` is called exactly once, within `patience`, and must not block.
    pub fn ask<K: CallKind>(
        &self,
        to: NodeId,
        ask: K::Ask,
        patience: Duration,
        done: impl FnOnce(Result<K::Answer, CallError>) + Send + 'static,
    ) {
        let Some(transport) = self.0.get() else { return done(Err(CallError::Unreachable)) };
        let body = Bytes::from(ask.encode_to_vec());
        let take: CallDone = Box::new(move |result| done(result.and_then(|body| read::<K>(&ask, body))));
        transport.call(to, Question { kind: K::KIND, body, deadline: patience }, take);
    }
}

/// An answer that is none leaves open what the other member did.
fn read<K: CallKind>(ask: &K::Ask, body: Bytes) -> Result<K::Answer, CallError> {
    let answer = K::Answer::decode(body).map_err(|_| CallError::Unknown)?;
    if K::fits(ask, &answer) { Ok(answer) } else { Err(CallError::Unknown) }
}

impl std::fmt::Debug for PeerCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerCalls").field("connected", &self.0.get().is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{LeaseIds, RenewLeases, Renewals};
    use super::*;

    #[test]
    fn an_answer_that_does_not_fit_its_question_is_no_answer() {
        let ask = LeaseIds { ids: vec![1, 2] };
        let body = |ttls: Vec<i64>| Bytes::from(Renewals { ttls }.encode_to_vec());
        let read = |body| read::<RenewLeases>(&ask, body);
        assert_eq!(read(body(vec![5, -1])), Ok(Renewals { ttls: vec![5, -1] }));
        for bad in [body(vec![5]), body(vec![5, -2]), Bytes::from_static(b"\xff")] {
            assert_eq!(read(bad), Err(CallError::Unknown));
        }
    }

    #[test]
    fn in_a_cluster_of_one_nobody_can_be_reached() {
        let (told, heard) = crossbeam_channel::bounded(1);
        let ask = LeaseIds { ids: vec![1] };
        PeerCalls::default().ask::<RenewLeases>(2, ask, Duration::from_secs(1), move |result| {
            told.send(result).expect("room for one");
        });
        assert_eq!(heard.try_recv(), Ok(Err(CallError::Unreachable)));
    }
}
