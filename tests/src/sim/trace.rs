//! The event log of a run: kept only when a run is repeated to be read. Must never influence the run.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Lines kept.
const KEPT: usize = 400_000;

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

    /// The last lines of each member, oldest first.
    pub fn by_member(&self, count: usize) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, VecDeque<String>> = BTreeMap::new();
        for line in self.0.iter().flat_map(|lines| lines.borrow().iter().cloned().collect::<Vec<_>>()) {
            let text = line.split_once("ms  ").map_or("", |(_, text)| text);
            let Some((name, _)) = text.split_once(": ").filter(|(name, _)| is_member(name)) else { continue };
            let lines = all.entry(name.to_owned()).or_default();
            if lines.len() == count {
                lines.pop_front();
            }
            lines.push_back(line);
        }
        all.into_iter().map(|(name, lines)| (name, lines.into())).collect()
    }
}

fn is_member(name: &str) -> bool {
    name.strip_prefix('m').is_some_and(|nth| !nth.is_empty() && nth.bytes().all(|byte| byte.is_ascii_digit()))
}
