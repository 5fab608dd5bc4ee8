//! Rows of `cur` and `hist`: each reads back and has its version in `log`; and the store's own numbers.
//!
//! `versions` has found the rows of `cur` and `hist` for all versions, so here the numbers of rows tell whether there are any
//! more. Only then is each looked up.

use super::report::Report;
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use crate::schema::{Head, HistRow, LogRow, split_hist_key};
use model::{KeyValue, Revision};
use prost::Message;

/// Rows between two reports of progress, and rows looked up together.
const STEP: u64 = 4096;

pub(super) fn present<S: Snapshot>(
    snapshot: &S,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) -> Result<(), EngineError> {
    let mut scan = snapshot.scan_once(Family::Cur, &[], None, Direction::Forward);
    while let Some((key, row)) = scan.next()? {
        report.row(Family::Cur, key.len() + row.len());
        if let Err(why) = Head::decode(row) {
            report.problem(Family::Cur, format!("key {}: {why}", key.escape_ascii()));
        }
        if report.rows[Family::Cur as usize].is_multiple_of(STEP) {
            progress(report.rows.iter().sum());
        }
    }
    if report.rows[Family::Cur as usize] == report.living {
        return Ok(());
    }
    let mut scan = snapshot.scan_once(Family::Cur, &[], None, Direction::Forward);
    while let Some((key, row)) = scan.next()? {
        let Ok(head) = Head::decode(row) else { continue };
        if !is_in_log(snapshot, key, head.modified)? {
            let (main, sub) = (head.modified.main, head.modified.sub);
            report.problem(Family::Cur, format!("key {}: its revision {main}.{sub} is not in log", key.escape_ascii()));
        }
    }
    Ok(())
}

pub(super) fn history<S: Snapshot>(
    snapshot: &S,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) -> Result<(), EngineError> {
    let mut scan = snapshot.scan_once(Family::Hist, &[], None, Direction::Forward);
    while let Some((key, row)) = scan.next()? {
        report.row(Family::Hist, key.len() + row.len());
        if let Err(why) = split_hist_key(key).and(HistRow::decode(row).map(|_| ())) {
            report.problem(Family::Hist, format!("{}: {why}", key.escape_ascii()));
        }
        if report.rows[Family::Hist as usize].is_multiple_of(STEP) {
            progress(report.rows.iter().sum());
        }
    }
    let [log, _, hist, ..] = report.rows;
    if hist + report.living == log {
        return Ok(());
    }
    let mut scan = snapshot.scan_once(Family::Hist, &[], None, Direction::Forward);
    while let Some((key, _)) = scan.next()? {
        let Ok((key, revision)) = split_hist_key(key) else { continue };
        if !is_in_log(snapshot, &key, revision)? {
            let what =
                format!("key {} at revision {}.{} is not in log", key.escape_ascii(), revision.main, revision.sub);
            report.problem(Family::Hist, what);
        }
    }
    Ok(())
}

/// Whether `log` has this version of this key.
fn is_in_log<S: Snapshot>(snapshot: &S, key: &[u8], revision: Revision) -> Result<bool, EngineError> {
    let Some(row) = snapshot.get(Family::Log, &revision.to_bytes())? else { return Ok(false) };
    let kv = row.get(LogRow::HEAD..).and_then(|kv| KeyValue::decode(kv).ok());
    Ok(kv.is_some_and(|kv| kv.key == key))
}

/// What the store says of itself, and what there is.
pub(super) fn numbers(report: &mut Report) {
    // an entry written in part has moved some of the numbers and not the others
    let (Some(state), None) = (report.state, report.unfinished) else { return };
    let said = [
        (Family::Log, "bytes of log", state.log_bytes, report.bytes[Family::Log as usize]),
        (Family::Cur, "bytes of cur", state.cur_bytes, report.bytes[Family::Cur as usize]),
        (Family::Cur, "living keys", state.keys, report.rows[Family::Cur as usize]),
        (Family::Log, "bytes of log that are alive", state.live_log_bytes, report.living_bytes),
        (Family::Meta, "leases", state.leases, report.leases),
    ];
    let history = state.history.map(|history| {
        [
            (Family::Log, "versions in log", history.log, report.rows[Family::Log as usize]),
            (Family::Hist, "versions in hist", history.hist, report.rows[Family::Hist as usize]),
            (Family::Hist, "bytes of hist", history.hist_bytes, report.bytes[Family::Hist as usize]),
        ]
    });
    for (family, what, said, found) in said.into_iter().chain(history.into_iter().flatten()) {
        if said != found as i64 {
            report.problem(family, format!("the store counts {said} {what}, there are {found}"));
        }
    }
}
