//! The event log of a run: kept only when a run is repeated to be read. Must never influence the run.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Lines kept.
const KEPT: usize = 20_000;

/// See the file header. Clones share the lines, so that they survive a panic of the run.
#[derive(Clone, Debug, Default)]
pub struct Trace(Option<Rc<RefCell<VecDeque<String>>>>);

impl Trace {
    /// One that keeps lines.
    pub fn kept() -> Self {
        Self(Some(Rc::default()))
    }

    /// Adds a line, made only when it is kept.
    pub fn line(&self, now: u64, text: impl FnOnce() -> String) {
        let Some(lines) = &self.0 else { return };
        let mut lines = lines.borrow_mut();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(format!("{:>12.3} ms  {}", now as f64 / 1_000.0, text()));
    }

    /// The last lines, oldest first.
    pub fn last(&self, count: usize) -> Vec<String> {
        let Some(lines) = &self.0 else { return Vec::new() };
        let lines = lines.borrow();
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }
}
