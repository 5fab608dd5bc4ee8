//! Whether a store is what the applier would have made: every row read, every row compared with those that speak of it.
//!
//! | question | where |
//! |---|---|
//! | do format, identity, numbers and membership read back, and fit together | [`meta`] |
//! | has each version in `log` its place in `cur` or `hist`, with the same contents | [`versions`] |
//! | has each row of `cur` and `hist` its version in `log`; do sizes and counts add up | [`heads`] |
//! | does `cnt` count what `cur` and `log` hold | `count::verify` |
//! | do leases and the keys attached to them know each other | [`leases`] |
//!
//! Reading all rows also checks RocksDB's checksums. Must never write, and never stop at the first problem: whoever asks wants
//! to know how much is broken.

mod heads;
mod leases;
mod meta;
mod report;
mod versions;

pub use report::{Problem, Report};

use crate::apply::OpenError;
use crate::count;
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};

/// Checks the whole store. `progress` is told how many rows were read so far, every few thousand.
///
/// # Errors
/// [`OpenError::Empty`] and [`OpenError::Format`]: there is nothing that could be checked.
pub fn check<S: Snapshot>(snapshot: &S, progress: &mut dyn FnMut(u64)) -> Result<Report, OpenError> {
    let mut report = Report::default();
    meta::check(snapshot, &mut report)?;
    let walked = versions::check(snapshot, &mut report, progress);
    report.readable(Family::Log, walked);
    let walked = heads::present(snapshot, &mut report, progress);
    report.readable(Family::Cur, walked);
    let walked = heads::history(snapshot, &mut report, progress);
    report.readable(Family::Hist, walked);
    let walked = counts(snapshot, &mut report);
    report.readable(Family::Cnt, walked);
    let walked = leases::check(snapshot, &mut report);
    report.readable(Family::Meta, walked);
    heads::numbers(&mut report);
    Ok(report)
}

fn counts<S: Snapshot>(snapshot: &S, report: &mut Report) -> Result<(), EngineError> {
    let mut scan = snapshot.scan_once(Family::Cnt, &[], None, Direction::Forward);
    while let Some((key, value)) = scan.next()? {
        report.row(Family::Cnt, key.len() + value.len());
    }
    let compact = report.state.map_or(i64::MAX, |state| state.compact);
    count::verify(snapshot, compact, |what| report.problem(Family::Cnt, what))
}
