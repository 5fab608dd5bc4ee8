//! What a check of a store has found so far.
//!
//! Must never grow with the number of problems: after the first hundred they are only counted.

use crate::apply::{MemberIds, MemberRow, State};
use crate::engine::{EngineError, Family};
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
    pub identity: Option<MemberIds>,
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
    pub(super) fn problem(&mut self, family: Family, what: impl Into<String>) {
        self.found += 1;
        if self.problems.len() < KEPT {
            self.problems.push(Problem { family, what: what.into() });
        }
    }

    pub(super) fn row(&mut self, family: Family, bytes: usize) {
        self.rows[family as usize] += 1;
        self.bytes[family as usize] += bytes as u64;
    }

    /// An engine that cannot read ends the walk at hand, not the check.
    pub(super) fn readable(&mut self, family: Family, walked: Result<(), EngineError>) {
        if let Err(why) = walked {
            let what = match why {
                EngineError::Corrupt(why) => why,
                why => why.to_string(),
            };
            self.problem(family, format!("cannot be read: {what}"));
        }
    }
}
