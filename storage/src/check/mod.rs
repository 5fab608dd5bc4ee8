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
mod versions;

use crate::apply::{Identity, MemberRow, OpenError, State};
use crate::count;
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use raft::ConfState;

/// Problems kept in words; more are only counted.
const KEPT: usize = 100;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Family the problem was found in.
    pub family: Family,
    /// What is wrong.
    pub what: String,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rows read, by family.
    pub rows: [u64; Family::ALL.len()],
    /// Key and value bytes of those.
    pub bytes: [u64; Family::ALL.len()],
    /// Versions in `log` that keys show now.
    pub living: u64,
    /// Key and value bytes of those.
    pub living_bytes: u64,
    /// Leases.
    pub leases: u64,
    /// The numbers of the store.
    pub state: Option<State>,
    /// Whose it is.
    pub identity: Option<Identity>,
    /// Membership.
    pub conf_state: ConfState,
    /// Members.
    pub members: Vec<(u64, MemberRow)>,
    /// Index of an entry that was written in part: the next start finishes it.
    pub unfinished: Option<u64>,
    /// The first hundred problems.
    pub problems: Vec<Problem>,
    /// All problems.
    pub found: u64,
}

impl Report {
    fn problem(&mut self, family: Family, what: impl Into<String>) {
        self.found += 1;
        if self.problems.len() < KEPT {
            self.problems.push(Problem { family, what: what.into() });
        }
    }

    fn row(&mut self, family: Family, bytes: usize) {
        self.rows[family as usize] += 1;
        self.bytes[family as usize] += bytes as u64;
    }

    /// An engine that cannot read ends the walk at hand, not the check.
    fn readable(&mut self, family: Family, walked: Result<(), EngineError>) {
        if let Err(why) = walked {
            let what = match why {
                EngineError::Corrupt(why) => why,
                why => why.to_string(),
            };
            self.problem(family, format!("cannot be read: {what}"));
        }
    }
}

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
