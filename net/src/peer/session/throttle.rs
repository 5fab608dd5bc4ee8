//! A line of the log once in a while: a peer that cannot be reached must not fill a disk with the same sentence.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Pause between two equal lines.
const PAUSE: Duration = Duration::from_secs(10);
/// Subjects that are remembered. Strangers can make up any number of them.
const SUBJECTS: usize = 1024;

/// Remembers what was said when.
#[derive(Debug, Default)]
pub struct Throttle {
    said: RefCell<HashMap<(u64, &'static str), Said>>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    since: u64,
}

impl Throttle {
    /// Whether to say `what` about `whom` now: `Some` with how often it was kept back since the last time.
    pub fn pass(&self, whom: u64, what: &'static str) -> Option<u64> {
        let now = Instant::now();
        let mut said = self.said.borrow_mut();
        if let Some(last) = said.get_mut(&(whom, what)) {
            if now.duration_since(last.at) < PAUSE {
                last.since += 1;
                return None;
            }
            last.at = now;
            return Some(std::mem::take(&mut last.since));
        }
        if said.len() >= SUBJECTS {
            said.retain(|_, last| now.duration_since(last.at) < PAUSE);
        }
        if said.len() >= SUBJECTS {
            return None;
        }
        said.insert((whom, what), Said { at: now, since: 0 });
        Some(0)
    }

    /// Forgets it, so that it is said at once the next time: the state has changed in between.
    pub fn reset(&self, whom: u64, what: &'static str) {
        self.said.borrow_mut().remove(&(whom, what));
    }
}
