//! Leases, their keys, and the keys' leases: each knows the other.

use super::report::Report;
use crate::apply::LeaseRow;
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use crate::schema::{Head, meta};

pub(super) fn check<S: Snapshot>(snapshot: &S, report: &mut Report) -> Result<(), EngineError> {
    let mut scan = snapshot.scan_once(Family::Meta, &[meta::LEASE], Some(&[meta::LEASE + 1]), Direction::Forward);
    while let Some((key, value)) = scan.next()? {
        report.leases += 1;
        let id = meta::lease_id(key).unwrap_or_default();
        if let Err(why) = LeaseRow::decode(value) {
            report.problem(Family::Meta, format!("lease {id:016x}: {why}"));
        }
    }
    attached(snapshot, report)?;
    holders(snapshot, report)
}

/// Attachments: their lease exists, their key is there and says the same.
fn attached<S: Snapshot>(snapshot: &S, report: &mut Report) -> Result<(), EngineError> {
    let mut scan = snapshot.scan_once(Family::Meta, &[meta::ATTACHED], Some(&[meta::ATTACHED + 1]), Direction::Forward);
    let mut lease: Option<(i64, bool)> = None;
    while let Some((row_key, _)) = scan.next()? {
        let (Some(id), Some(key)) = (meta::lease_id(row_key), row_key.get(9..)) else { continue };
        let known = match lease {
            Some((last, known)) if last == id => known,
            _ => snapshot.get(Family::Meta, &meta::lease(id))?.is_some(),
        };
        lease = Some((id, known));
        if !known {
            let what = format!("key {} is attached to lease {id:016x}, which is not there", key.escape_ascii());
            report.problem(Family::Meta, what);
        }
        let head = snapshot.get(Family::Cur, key)?.and_then(|row| Head::decode(&row).ok());
        if head.is_none_or(|head| head.lease != id) {
            let what = format!("lease {id:016x} holds key {}, which does not belong to it", key.escape_ascii());
            report.problem(Family::Meta, what);
        }
    }
    Ok(())
}

/// Keys with a lease: they are attached to it.
fn holders<S: Snapshot>(snapshot: &S, report: &mut Report) -> Result<(), EngineError> {
    let mut scan = snapshot.scan_once(Family::Cur, &[], None, Direction::Forward);
    while let Some((key, row)) = scan.next()? {
        let Ok(head) = Head::decode(row) else { continue };
        if head.lease != 0 && snapshot.get(Family::Meta, &meta::attached(head.lease, key))?.is_none() {
            let what = format!("key {} has lease {:016x} and is not attached to it", key.escape_ascii(), head.lease);
            report.problem(Family::Cur, what);
        }
    }
    Ok(())
}
