//! The window of append messages sent to one peer and not yet answered.
//!
//! Bounds messages and bytes. Must never be added to while full.

use std::collections::VecDeque;

use crate::types::Index;

/// Ring of (last index, payload bytes) of messages in flight, in ascending order of index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inflights {
    ring: VecDeque<(Index, u64)>,
    bytes: u64,
    max_messages: usize,
    max_bytes: u64,
}

impl Inflights {
    /// A window of `max_messages` messages and about `max_bytes` payload bytes: the message that passes the limit is
    /// still taken.
    pub fn new(max_messages: usize, max_bytes: u64) -> Self {
        Inflights { ring: VecDeque::new(), bytes: 0, max_messages, max_bytes }
    }

    /// Notes a message that ends at `index`.
    pub fn add(&mut self, index: Index, bytes: u64) {
        assert!(!self.is_full(), "RI-8 nothing is sent into a full window");
        assert!(self.ring.back().is_none_or(|&(last, _)| last < index), "RI-8 messages in flight ascend");
        self.ring.push_back((index, bytes));
        self.bytes += bytes;
    }

    /// Forgets messages that end at or before `index`.
    pub fn free_to(&mut self, index: Index) {
        while let Some(&(last, bytes)) = self.ring.front() {
            if last > index {
                break;
            }
            self.ring.pop_front();
            self.bytes -= bytes;
        }
    }

    /// Whether nothing more may be sent.
    pub fn is_full(&self) -> bool {
        self.ring.len() >= self.max_messages || self.bytes >= self.max_bytes
    }

    /// Messages in flight.
    pub fn count(&self) -> usize {
        self.ring.len()
    }

    /// Payload bytes in flight.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets all.
    pub fn reset(&mut self) {
        self.ring.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_by_messages_and_bytes() {
        let mut window = Inflights::new(3, 100);
        window.add(1, 10);
        window.add(5, 10);
        assert!(!window.is_full());
        window.add(6, 10);
        assert!(window.is_full());
        window.free_to(4);
        assert_eq!((window.count(), window.bytes()), (2, 20));
        // A single message may pass the byte limit, then the window is full.
        window.add(9, 500);
        assert!(window.is_full());
        window.free_to(9);
        assert_eq!((window.count(), window.bytes()), (0, 0));
        window.add(10, 100);
        assert!(window.is_full());
        window.reset();
        assert!(!window.is_full());
    }

    #[test]
    #[should_panic(expected = "RI-8")]
    fn full_window_takes_nothing() {
        let mut window = Inflights::new(1, 100);
        window.add(1, 1);
        window.add(2, 1);
    }
}
