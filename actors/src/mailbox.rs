//! The one-way end that an owner holds of another owner: a message goes in, nothing comes back, nobody waits.
//!
//! Hides whether an actor's mailbox or a plain queue is behind it: the simulator drives the same owners without any actor.
//! Must never block.

use actix::Recipient;
use crossbeam_channel::Sender;

/// Takes messages of one kind.
pub trait Mailbox<M>: Send {
    /// Hands over a message. One that nobody takes any more is dropped: its owner's death watch stops the node.
    fn send(&self, message: M);
}

impl<M> Mailbox<M> for Recipient<M>
where
    M: actix::Message + Send + 'static,
    M::Result: Send,
{
    fn send(&self, message: M) {
        self.do_send(message);
    }
}

/// For queues without a bound. (The queue's own `send` would wait for room in a bounded one.)
impl<M: Send> Mailbox<M> for Sender<M> {
    fn send(&self, message: M) {
        // a closed queue means that the owner has ended
        let _ = self.try_send(message);
    }
}
