//! What is noted of calls for those who want to see them in detail, and what is asked for pages.
//!
//! Must never change how a call is answered, and cost next to nothing while nobody looks.

use super::client_services::ClientServices;
use super::deferred::DeferredCall;
use crate::door::{CallToken, Status};
use crate::spans::CallTrace;
use messages::Token;
use messages::admin::{Control, RaftView};
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::oneshot;

impl ClientServices {
    /// Notes something about the spans of a call, if they are collected.
    pub(super) fn note(&self, token: Token, note: impl FnOnce(&mut CallTrace)) {
        // an atomic that nobody writes while nothing is traced
        if self.ports().gauges.traced_calls.load(Relaxed) > 0 {
            self.handle().note(CallToken::from_u64(token), |record| {
                if let Some(trace) = &mut record.trace {
                    note(trace);
                }
            });
        }
    }

    /// Asks the core to describe the state of consensus, on behalf of a page.
    pub(crate) fn describe_raft(&self, told: oneshot::Sender<Box<RaftView>>) {
        let token = self.internal_token();
        if self.ports().core.control(Control::Describe { sink: self.sink(), token }) {
            self.defer(token, Description(told));
        }
    }
}

/// A page that shows the state of consensus.
struct Description(oneshot::Sender<Box<RaftView>>);

impl DeferredCall<ClientServices> for Description {
    fn raft_described(self: Box<Self>, _: &ClientServices, _: Token, view: Box<RaftView>) {
        // a client that gave up has dropped the other end
        let _ = self.0.send(view);
    }

    fn failed(self: Box<Self>, _: &ClientServices, _: Token, _: Status) {}
}
