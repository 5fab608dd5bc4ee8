//! Reading a whole log without touching it: for tools that look at a member that is not running.
//!
//! The same heads, batches, replay and judgement as at a start, with one difference: a torn tail is told, not cut. Must never
//! write, lock or sync, and never say that something is durable.

use super::error::WalError;
use super::format::Header;
use super::open::{Contents, Found, Listing, TornTail, open_segments, read};
use super::record::{Install, Record, SegmentHead, records};
use super::{WalConfig, WalMeta};
use crate::disk::Disk;
use bytes::Bytes;
use raft::{Entry, HardState, LogId};
use std::path::{Path, PathBuf};

/// One segment of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its file.
    pub file: PathBuf,
    /// Length of the file.
    pub bytes: u64,
    /// Batches, the head included.
    pub batches: u64,
    /// Bytes those take.
    pub used: u64,
    /// The file had an earlier use.
    pub recycled: bool,
}

/// What a log contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Whose log it is.
    pub meta: WalMeta,
    /// Last hard state.
    pub hard_state: HardState,
    /// Entries up to here are not needed any more.
    pub truncated: LogId,
    /// Last entry, or `truncated`.
    pub last: LogId,
    /// First index of each term among the entries after `truncated`, ascending.
    pub terms: Vec<LogId>,
    /// An install that was begun and not finished.
    pub install: Option<Install>,
    /// A write that was never acknowledged and that the next start cuts off.
    pub torn: Option<TornTail>,
    /// Segments, oldest first.
    pub segments: Vec<SegmentInfo>,
    /// Segments from before a gap, which the next start removes.
    pub leftover: Vec<PathBuf>,
    /// Files kept for reuse.
    pub spares: usize,
}

/// A record, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Number of the segment.
    pub segment: u64,
    /// Where its batch begins.
    pub offset: u64,
    /// Number of its batch.
    pub batch: u64,
    /// The record.
    pub record: LoggedRecord,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoggedRecord {
    /// Head of a segment: what older ones said and is still in force.
    Head {
        /// The log was begun anew here.
        reset: bool,
        /// The file had an earlier use.
        recycled: bool,
        /// Hard state in force.
        hard_state: HardState,
        /// Truncation in force.
        truncated: LogId,
        /// Last entry before this segment.
        last: LogId,
    },
    /// An entry. A later one with the same index replaces it and all that follow it.
    Entry(Entry),
    /// A hard state.
    HardState(HardState),
    /// Entries up to here are not needed any more.
    Truncated(LogId),
    /// A snapshot about to replace the store.
    Install(Install),
}

/// Reads the log in `dir` from its oldest segment to its end, showing every record to `each` in order.
///
/// # Errors
/// `Missing`, `NewerFormat`, `Io`, and `Corrupt` where a start would refuse the log; `each` has then seen what precedes.
pub fn inspect(disk: &dyn Disk, dir: &Path, mut each: impl FnMut(Logged)) -> Result<Inspection, WalError> {
    let Listing { leftover, segments: ids, spares, .. } = Listing::read(disk, dir)?;
    let mut segments = open_segments(disk, dir, &ids)?;
    let mut infos: Vec<SegmentInfo> = segments.iter().map(info).collect();
    let heads: Vec<Logged> = segments.iter().map(head).collect();
    let first = ids[0];
    let contents = read(&mut segments, WalConfig::default().mark_every, |header, offset, payload| {
        let at = (header.segment - first) as usize;
        infos[at].batches += 1;
        infos[at].used = offset + header.extent();
        match offset {
            0 => each(heads[at].clone()),
            _ => show(header, offset, payload, &mut each),
        }
    })?;
    let Contents { replay, terms, torn, .. } = contents;
    Ok(Inspection {
        meta: replay.meta,
        hard_state: replay.state.hard_state,
        truncated: replay.state.truncated,
        last: replay.state.last,
        terms,
        install: replay.state.install,
        torn,
        segments: infos,
        leftover,
        spares: spares.len(),
    })
}

fn info(found: &Found) -> SegmentInfo {
    SegmentInfo {
        file: found.window.path.clone(),
        bytes: found.window.size,
        batches: 0,
        used: 0,
        recycled: found.head.recycled,
    }
}

fn head(found: &Found) -> Logged {
    let SegmentHead { reset, recycled, state, .. } = &found.head;
    let record = LoggedRecord::Head {
        reset: *reset,
        recycled: *recycled,
        hard_state: state.hard_state,
        truncated: state.truncated,
        last: state.last,
    };
    Logged { segment: found.id, offset: 0, batch: found.header.number, record }
}

/// Hands out the records of a batch that replayed, so every one of them reads back.
fn show(header: &Header, offset: u64, payload: &[u8], each: &mut impl FnMut(Logged)) {
    for record in records(payload).filter_map(Result::ok) {
        let record = match record {
            Record::Head(_) => continue,
            Record::Entry(entry) => LoggedRecord::Entry(Entry {
                term: entry.id.term,
                index: entry.id.index,
                kind: entry.kind,
                data: Bytes::copy_from_slice(entry.data),
            }),
            Record::HardState(hard_state) => LoggedRecord::HardState(hard_state),
            Record::Truncated(id) => LoggedRecord::Truncated(id),
            Record::Install(install) => LoggedRecord::Install(install),
        };
        each(Logged { segment: header.segment, offset, batch: header.number, record });
    }
}
