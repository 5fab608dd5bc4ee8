//! Transcripts of membership changes alone: the changer, step by step.

use raft::NO_LIMIT;
use raft::changer;
use raft::tracker::Tracker;

use crate::datadriven::Directive;
use crate::describe;
use crate::setup::{boolean, steps};

/// A membership that starts empty and changes with each directive.
pub(crate) struct ConfChangeEnv {
    tracker: Tracker,
    last_index: u64,
}

impl Default for ConfChangeEnv {
    fn default() -> Self {
        ConfChangeEnv { tracker: Tracker::new(10, NO_LIMIT), last_index: 0 }
    }
}

impl ConfChangeEnv {
    pub(crate) fn handle(&mut self, d: &Directive) -> String {
        let text = self.change(d).unwrap_or_else(|why| why);
        self.last_index += 1;
        text
    }

    fn change(&mut self, d: &Directive) -> Result<String, String> {
        let steps = steps(&d.input)?;
        let (tracker, last_index) = (&self.tracker, self.last_index);
        let outcome = match d.command.as_str() {
            "simple" => changer::simple(tracker, last_index, &steps),
            "enter-joint" => {
                let auto_leave = d.values("autoleave").first().map_or(Ok(false), |value| boolean(value))?;
                changer::enter_joint(tracker, last_index, auto_leave, &steps)
            }
            "leave-joint" if !steps.is_empty() => return Err("this command takes no input\n".to_owned()),
            "leave-joint" => changer::leave_joint(tracker, last_index),
            _ => return Err("unknown command".to_owned()),
        };
        let (membership, progress) = outcome.map_err(|why| format!("{why}\n"))?;
        let text = format!("{}\n{}", describe::membership(&membership), describe::progress_map(&progress));
        (self.tracker.membership, self.tracker.progress) = (membership, progress);
        Ok(text)
    }
}
