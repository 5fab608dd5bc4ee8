//! The memory of answers that have to be collected before their first byte can be sent: one budget for all of them.
//!
//! An answer reserves bytes while it collects, and gives them back when it has been sent or is dropped. Must never wait: an answer
//! that finds too few bytes left is refused.

use model::ReadError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes are reserved in steps of this size.
const STEP: usize = 4 << 10;

/// A budget that several answers share.
#[derive(Debug)]
pub struct MemoryBudget {
    whole: usize,
    left: AtomicUsize,
}

impl MemoryBudget {
    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { whole: bytes, left: AtomicUsize::new(bytes) })
    }

    /// Bytes that no answer has reserved.
    pub fn left(&self) -> usize {
        self.left.load(Relaxed)
    }
}

/// The bytes that one answer has reserved; without a budget nothing limits them. Dropping it gives them all back.
#[derive(Debug, Default)]
pub struct Reservation {
    budget: Option<Arc<MemoryBudget>>,
    /// Bytes taken from the budget.
    taken: usize,
    /// Bytes in use, never more than `taken` where there is a budget.
    used: usize,
}

impl Reservation {
    /// A reservation in this budget, of no bytes yet.
    pub fn of(budget: Arc<MemoryBudget>) -> Self {
        Self { budget: Some(budget), ..Self::default() }
    }

    /// Reserves this many bytes more.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`] when the answer alone exceeds the whole budget, [`ReadError::Busy`] when others hold too much.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), ReadError> {
        self.used += bytes;
        let Some(budget) = self.budget.as_ref().filter(|_| self.used > self.taken) else { return Ok(()) };
        if self.used > budget.whole {
            return Err(ReadError::TooLarge);
        }
        let step = (self.used - self.taken).next_multiple_of(STEP).min(budget.whole - self.taken);
        let taken = budget.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(step));
        taken.map_err(|_| ReadError::Busy)?;
        self.taken += step;
        Ok(())
    }

    /// Gives up this many bytes; they stay reserved for what this answer collects next.
    pub fn release(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.left.fetch_add(self.taken, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_too_large_and_one_too_many_are_told_apart_and_everything_comes_back() {
        let budget = MemoryBudget::new(3 * STEP);
        let (mut first, mut second) = (Reservation::of(budget.clone()), Reservation::of(budget.clone()));
        first.reserve(STEP + 1).unwrap();
        assert_eq!(budget.left(), STEP);
        second.reserve(STEP).unwrap();
        assert_eq!(second.reserve(1), Err(ReadError::Busy));
        first.release(STEP);
        first.reserve(STEP).unwrap();
        drop(second);
        first.reserve(STEP).unwrap();
        assert_eq!(first.reserve(STEP), Err(ReadError::TooLarge));
        drop(first);
        assert_eq!(budget.left(), 3 * STEP);
        Reservation::default().reserve(usize::MAX).unwrap();
    }
}
