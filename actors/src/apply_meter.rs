//! What was applied, for the metrics page and the log: kinds of commands, operations, and lists that took too long.
//!
//! Entries of a list share the time of their batch evenly: nothing looks at a clock between two of them. Must never decide anything.

use messages::Gauges;
use messages::measured::AppliedWork;
use model::{Applied, CommandKind, Envelope, OpOutcome, Origin, Outcome};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use storage::apply::{Committed, StoreEvent};
use storage::schema::Kind;

/// Operations of a list.
#[derive(Default)]
struct Operations {
    puts: u64,
    deletes: u64,
    ranges: u64,
    txns: u64,
}

impl Operations {
    fn add(&mut self, outcome: &OpOutcome) {
        match outcome {
            OpOutcome::Range(_) => self.ranges += 1,
            OpOutcome::Put { .. } => self.puts += 1,
            OpOutcome::DeleteRange { .. } => self.deletes += 1,
            OpOutcome::Txn { responses, .. } => responses.iter().for_each(|response| self.add(response)),
        }
    }

    fn add_entry(&mut self, outcome: &Outcome) {
        let Outcome::Op(op) = outcome else { return };
        let before = self.puts + self.deletes + self.ranges;
        self.add(op);
        // etcd's rule, whatever the request was called
        self.txns += u64::from(self.puts + self.deletes + self.ranges - before > 1);
    }
}

/// Notes a list that was applied.
pub(crate) fn note(
    gauges: &Gauges,
    entries: &[Committed],
    replies: &[Option<(Origin, Applied)>],
    events: &[StoreEvent],
    took: Duration,
) {
    let measured = &gauges.measured;
    measured.store_commits.observe(took);
    let each = took / entries.len().max(1) as u32;
    let mut counts = [[0_u64; 2]; CommandKind::COUNT];
    let mut operations = Operations::default();
    for (committed, reply) in entries.iter().zip(replies) {
        let Some((_, applied)) = reply else { continue };
        let kind = kind_of(committed);
        counts[kind.index()][usize::from(applied.result.is_err())] += 1;
        if let Ok(outcome) = &applied.result {
            operations.add_entry(outcome);
        }
    }
    let work = &measured.applied;
    for kind in CommandKind::all() {
        let [done, failed] = counts[kind.index()];
        work.observe(kind, true, done, each);
        work.observe(kind, false, failed, each);
    }
    AppliedWork::add(&work.puts, operations.puts);
    AppliedWork::add(&work.deletes, operations.deletes);
    AppliedWork::add(&work.ranges, operations.ranges);
    AppliedWork::add(&work.txns, operations.txns);
    let puts = events.iter().filter(|event| event.kind != Kind::Delete);
    AppliedWork::add(&work.put_bytes, puts.map(|event| event.kv.len() as u64).sum());
}

fn kind_of(committed: &Committed) -> CommandKind {
    // an entry that is no envelope has ended the node before
    Envelope::decode(&committed.entry.data).map_or(CommandKind::of(&[]), |envelope| CommandKind::of(&envelope.command))
}

/// Says that a list took longer than `expected`: what operators search the log for when a disk is slow.
pub(crate) fn warn_of_slow(gauges: &Gauges, entries: &[Committed], took: Duration, expected: Duration) {
    if took <= expected {
        return;
    }
    gauges.measured.applied.slow.fetch_add(1, Relaxed);
    let (first, last) = (entries.first(), entries.last());
    let range = |committed: Option<&Committed>| committed.map_or(0, |committed| committed.entry.index);
    let bytes: usize = entries.iter().map(|committed| committed.entry.data.len()).sum();
    let prefix = first.map_or("unknown", |committed| kind_of(committed).name());
    let request = format!("entries:{} first_index:{} last_index:{}", entries.len(), range(first), range(last));
    tracing::warn!(
        took = ?took,
        "expected-duration" = ?expected,
        prefix,
        request,
        size = bytes,
        "apply request took too long"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_where_they_are_and_a_transaction_by_what_it_did() {
        let put = || OpOutcome::Put { prev_kv: None };
        let delete = || OpOutcome::DeleteRange { deleted: 3, prev_kvs: Vec::new() };
        let txn = |responses| OpOutcome::Txn { succeeded: true, responses };
        let mut seen = Operations::default();
        seen.add_entry(&Outcome::Op(put()));
        seen.add_entry(&Outcome::Op(delete()));
        seen.add_entry(&Outcome::Op(txn(vec![put()])));
        seen.add_entry(&Outcome::Compaction);
        assert_eq!((seen.puts, seen.deletes, seen.ranges, seen.txns), (2, 1, 0, 0));
        seen.add_entry(&Outcome::Op(txn(vec![put(), txn(vec![delete(), OpOutcome::Range(Default::default())])])));
        assert_eq!((seen.puts, seen.deletes, seen.ranges, seen.txns), (3, 2, 1, 1));
    }
}
