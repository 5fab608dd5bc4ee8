//! Both directions of a stream whose peer is inside the process.

use super::answer::Message;
use super::status::Status;
use bytes::Bytes;
use std::collections::VecDeque;
use std::task::Waker;

/// Both directions of a stream inside the process.
#[derive(Default)]
pub(super) struct Pipe {
    /// Messages of the service that have not been taken yet.
    pub(super) out: VecDeque<Message>,
    /// The peer has not asked for the message behind the one it took last: it may still hold that one.
    pub(super) is_held: bool,
    pub(super) end: Option<Status>,
    pub(super) reader: Option<Waker>,
    /// Messages for the service.
    pub(super) inward: VecDeque<Bytes>,
    /// Waits until they are taken.
    pub(super) writer: Option<Waker>,
    pub(super) ended: bool,
}

impl Pipe {
    pub(super) fn push(&mut self, message: Message) {
        self.out.push_back(message);
        self.wake();
    }

    pub(super) fn finish(&mut self, status: Status) {
        self.end = Some(status);
        self.wake();
        // whoever waits to send finds out that nobody reads
        self.inward.clear();
        self.writer.take().inspect(Waker::wake_by_ref);
    }

    /// The next message for the service.
    pub(super) fn take_inward(&mut self) -> Option<Bytes> {
        let message = self.inward.pop_front();
        if self.inward.is_empty() {
            self.writer.take().inspect(Waker::wake_by_ref);
        }
        message
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
