//! Room in memory for answers that have to be collected before their first byte can be sent: one budget for all of them.
//!
//! Who collects takes room as it goes and gives it back when the answer is sent or dropped. Must never wait: who finds no room is
//! refused.

use model::ReadError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Room is taken in steps of this many bytes.
const STEP: usize = 4 << 10;

/// A budget that several answers share.
#[derive(Debug)]
pub struct Room {
    whole: usize,
    left: AtomicUsize,
}

impl Room {
    /// Of so many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { whole: bytes, left: AtomicUsize::new(bytes) })
    }

    /// Bytes nobody holds.
    pub fn left(&self) -> usize {
        self.left.load(Relaxed)
    }
}

/// What one answer holds of a room; nothing limits it without one. Dropping it gives everything back.
#[derive(Debug, Default)]
pub struct Held {
    room: Option<Arc<Room>>,
    /// Taken from the room.
    taken: usize,
    /// In use, never more than `taken` where there is a room.
    used: usize,
}

impl Held {
    /// Nothing yet, of this room.
    pub fn of(room: Arc<Room>) -> Self {
        Self { room: Some(room), ..Self::default() }
    }

    /// Holds so many bytes more.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`] when the answer alone exceeds the whole room, [`ReadError::Busy`] when others hold too much.
    pub fn hold(&mut self, bytes: usize) -> Result<(), ReadError> {
        self.used += bytes;
        let Some(room) = self.room.as_ref().filter(|_| self.used > self.taken) else { return Ok(()) };
        if self.used > room.whole {
            return Err(ReadError::TooLarge);
        }
        let step = (self.used - self.taken).next_multiple_of(STEP).min(room.whole - self.taken);
        let taken = room.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(step));
        taken.map_err(|_| ReadError::Busy)?;
        self.taken += step;
        Ok(())
    }

    /// Lets go of so many bytes; they stay at hand for what this answer holds next.
    pub fn release(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(room) = &self.room {
            room.left.fetch_add(self.taken, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_too_large_and_one_too_many_are_told_apart_and_everything_comes_back() {
        let room = Room::new(3 * STEP);
        let (mut first, mut second) = (Held::of(room.clone()), Held::of(room.clone()));
        first.hold(STEP + 1).unwrap();
        assert_eq!(room.left(), STEP);
        second.hold(STEP).unwrap();
        assert_eq!(second.hold(1), Err(ReadError::Busy));
        first.release(STEP);
        first.hold(STEP).unwrap();
        drop(second);
        first.hold(STEP).unwrap();
        assert_eq!(first.hold(STEP), Err(ReadError::TooLarge));
        drop(first);
        assert_eq!(room.left(), 3 * STEP);
        Held::default().hold(usize::MAX).unwrap();
    }
}
