//! Handing leadership over.
//!
//! The leader stops taking proposals, waits until the other has its log, and tells it to campaign. Must never hand
//! over to somebody who lacks entries.

use crate::message::Body;
use crate::node::Node;
use crate::storage::Storage;
use crate::trace::{Trace, TraceEvent, trace};
use crate::types::NodeId;

impl<S: Storage, T: Trace> Node<S, T> {
    pub(crate) fn on_transfer_leader(&mut self, transferee: NodeId) {
        let Some((is_learner, matched)) = self.tracker.progress.get(transferee).map(|p| (p.is_learner, p.matched))
        else {
            trace!(self, TraceEvent::NoProgress { from: transferee });
            return;
        };
        if is_learner {
            trace!(self, TraceEvent::TransferToLearner);
            return;
        }
        let (term, previous) = (self.term, self.lead_transferee);
        if previous == transferee {
            trace!(self, TraceEvent::TransferRepeated { term, transferee });
            return;
        }
        if previous != 0 {
            self.lead_transferee = 0;
            trace!(self, TraceEvent::TransferReplaced { term, previous });
        }
        if transferee == self.config.id {
            trace!(self, TraceEvent::TransferToSelf);
            return;
        }
        trace!(self, TraceEvent::TransferStarted { term, transferee });
        // It should be over within one election timeout.
        self.election_elapsed = 0;
        self.lead_transferee = transferee;
        if matched == self.log.last_index() {
            self.send(transferee, Body::TimeoutNow);
            trace!(self, TraceEvent::TransferImmediate { transferee });
        } else {
            self.maybe_send_append(transferee, true);
        }
    }
}
