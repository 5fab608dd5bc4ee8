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
    pub(super) end: Option<Status>,
    pub(super) reader: Option<Waker>,
    /// Messages for the service.
    pub(super) inward: VecDeque<Bytes>,
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
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
