//! Work that was handed to another owner and is not acknowledged: in order, numbered, and since when.
//!
//! Must never know what the work is.

use std::collections::VecDeque;

/// What raft gets back for each piece of work is a `T`.
#[derive(Debug)]
pub(super) struct InFlight<T> {
    out: VecDeque<Piece<T>>,
    next: u64,
}

#[derive(Debug)]
struct Piece<T> {
    sequence: u64,
    /// Tick at which it was handed out.
    since: u64,
    token: T,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self { out: VecDeque::new(), next: 1 }
    }
}

impl<T> InFlight<T> {
    /// Pieces that are out.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Hands a piece out, and numbers it.
    pub(super) fn push(&mut self, beats: u64, token: T) -> u64 {
        let sequence = self.next;
        self.next += 1;
        self.out.push_back(Piece { sequence, since: beats, token });
        sequence
    }

    /// Number of the oldest piece that is out.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.out.front().map(|piece| piece.sequence)
    }

    /// Number of the piece that was handed out last.
    pub(super) fn newest(&self) -> u64 {
        self.next - 1
    }

    /// The oldest piece, if it is covered by an acknowledgement up to `sequence`.
    pub(super) fn pop_up_to(&mut self, sequence: u64) -> Option<T> {
        let covered = self.out.front().is_some_and(|piece| piece.sequence <= sequence);
        if covered { self.out.pop_front().map(|piece| piece.token) } else { None }
    }

    /// For how many ticks the oldest piece has been out; zero without one.
    pub(super) fn age(&self, beats: u64) -> u64 {
        self.out.front().map_or(0, |piece| beats.saturating_sub(piece.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_that_of_the_oldest_piece() {
        let mut pieces = InFlight::default();
        assert_eq!(pieces.age(100), 0);
        assert_eq!((pieces.push(10, 'a'), pieces.push(12, 'b')), (1, 2));
        assert_eq!((pieces.age(15), pieces.len()), (5, 2));
        assert_eq!((pieces.pop_up_to(1), pieces.pop_up_to(1), pieces.age(15)), (Some('a'), None, 3));
    }
}
