//! Compaction: the entry forgets history at once, steps between entries delete it.
//!
//! What may go is planned by `read`. Must never delete what the compact revision does not cover.

use super::failure::Run;
use super::meta_rows::Compacting;
use super::report::ScheduledCompaction;
use super::{ApplyFatal, CompactionProgress, StateMachine};
use crate::count::forget_changes;
use crate::engine::Engine;
use crate::read::Compaction;
use model::mutant::{self, Mutant};
use model::request::CompactionRequest;
use model::{ApplyError, Outcome};

/// Bytes of rows that one step deletes at most.
const STEP_BYTES: usize = 1 << 20;

impl<E: Engine> StateMachine<E> {
    pub(super) fn compact(&mut self, request: CompactionRequest) -> Run<Outcome> {
        if request.revision <= self.now.compact {
            return Err(ApplyError::Compacted.into());
        }
        if request.revision > self.now.revision {
            return Err(ApplyError::FutureRevision.into());
        }
        let less = mutant::on(Mutant::CompactionDiffers) && self.identity.member_id % 2 == 1;
        let target = request.revision - i64::from(less);
        let before = std::mem::replace(&mut self.now.compact, target);
        self.effects.compactions.push(ScheduledCompaction { before, target });
        Ok(Outcome::Compaction)
    }

    /// Deletes some of the history that compactions have forgotten: at most `budget_rows` rows are walked. Called between
    /// applies, as often as the actor likes; a compaction that a restart interrupted goes on by itself.
    ///
    /// # Errors
    /// [`ApplyFatal`]: the node must stop.
    pub fn compaction_step(&mut self, budget_rows: usize) -> Result<CompactionProgress, ApplyFatal> {
        let (done, target) = (self.now.compact_done, self.now.compact);
        if self.compaction.is_none() && done == target {
            return Ok(CompactionProgress::Idle);
        }
        let cursor = self.now.compacting;
        let plan = self.compaction.get_or_insert_with(|| match cursor.target {
            0 => Compaction::new(done, target),
            target => Compaction::resume(done, target, cursor.next),
        });
        let target = plan.target();
        let step = plan.step(&self.snapshot, budget_rows, STEP_BYTES).map_err(ApplyFatal::Read)?;
        self.now.compacting = Compacting { target, next: plan.next() };
        self.now.log_bytes -= step.freed_bytes;
        if let Some(history) = &mut self.now.history {
            // Each version that goes has a row in both.
            history.log -= step.versions;
            history.hist -= step.versions;
            history.hist_bytes -= step.freed_hist_bytes;
        }
        self.batch.extend(step.ops);
        // Rows of changes go last: nobody asks for revisions that were compacted, and until `log` is done there is no look for them.
        let done = step.done && forget_changes(&self.snapshot, done, target, self.batch.ops_mut())?;
        if done {
            self.now.compact_done = target;
            self.now.compacting = Compacting::default();
            self.compaction = None;
        }
        self.commit()?;
        Ok(if done { CompactionProgress::Finished(target) } else { CompactionProgress::More })
    }
}
