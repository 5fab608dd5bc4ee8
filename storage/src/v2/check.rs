//! Whether the rows of the v2 tree fit together: every node has its directory, TTLs and nodes know each other, events follow each
//! other, and the numbers add up.
//!
//! Must never write, and never stop at the first problem.

use super::path;
use super::rows::{Head, NodeRow, decode_event, event_key, node_key, path_of, split_ttl_key, ttl_key};
use super::tree::is_read_only;
use crate::auth::rows::ReadRowsError;
use crate::engine::{Direction, Family, Scan, Snapshot};
use crate::schema::meta;
use bytes::Bytes;
use model::v2::HISTORY;

/// Tells `problem` of everything that is wrong.
///
/// # Errors
/// [`ReadRowsError`] when rows cannot be read.
pub fn check<S: Snapshot>(snapshot: &S, problem: &mut dyn FnMut(String)) -> Result<(), ReadRowsError> {
    let row = snapshot.get(Family::Meta, meta::V2)?;
    let head = row.map(|row| Head::decode_row(&row)).transpose()?.unwrap_or_default();
    let mut found = Head { index: head.index, first_event: head.first_event, ..Head::default() };
    nodes(snapshot, &mut found, problem)?;
    ttls(snapshot, problem)?;
    events(snapshot, &mut found, problem)?;
    if found != head {
        problem(format!("the numbers of the v2 tree are {head:?}, its rows say {found:?}"));
    }
    Ok(())
}

fn node<S: Snapshot>(snapshot: &S, path: &[u8]) -> Result<Option<NodeRow>, ReadRowsError> {
    let row = snapshot.get(Family::Meta, &node_key(path))?;
    Ok(row.map(NodeRow::decode_row).transpose()?)
}

fn nodes<S: Snapshot>(snapshot: &S, found: &mut Head, problem: &mut dyn FnMut(String)) -> Result<(), ReadRowsError> {
    let mut scan = snapshot.scan_once(Family::Meta, &[meta::V2_NODE], Some(&[meta::V2_NODE + 1]), Direction::Forward);
    while let Some((key, value)) = scan.next()? {
        let path = path_of(key)?;
        let shown = path.escape_ascii();
        let node = NodeRow::decode_row(Bytes::copy_from_slice(value))?;
        found.nodes += 1;
        found.bytes += (key.len() + value.len()) as i64;
        if key != node_key(path) || path != path::clean(path) {
            problem(format!("v2 node {shown} does not stand where its path belongs"));
        }
        let above = path::parent(path).filter(|above| !is_read_only(above));
        if let Some(above) = above
            && !self::node(snapshot, above)?.is_some_and(|above| above.dir)
        {
            problem(format!("v2 node {shown} lies in no directory"));
        }
        if node.modified > found.index || node.created > found.index {
            problem(format!("v2 node {shown} is of index {}, beyond {}", node.modified, found.index));
        }
        if let Some(expiration) = node.expiration {
            found.expiring += 1;
            if snapshot.get(Family::Meta, &ttl_key(expiration, path))?.is_none() {
                problem(format!("v2 node {shown} ends at {expiration}, and no row says so"));
            }
        }
    }
    Ok(())
}

fn ttls<S: Snapshot>(snapshot: &S, problem: &mut dyn FnMut(String)) -> Result<(), ReadRowsError> {
    let mut scan = snapshot.scan_once(Family::Meta, &[meta::V2_TTL], Some(&[meta::V2_TTL + 1]), Direction::Forward);
    while let Some((key, _)) = scan.next()? {
        let (ends, path) = split_ttl_key(key)?;
        if node(snapshot, path)?.and_then(|node| node.expiration) != Some(ends) {
            problem(format!("a row says that v2 node {} ends at {ends}, and it does not", path.escape_ascii()));
        }
    }
    Ok(())
}

fn events<S: Snapshot>(snapshot: &S, found: &mut Head, problem: &mut dyn FnMut(String)) -> Result<(), ReadRowsError> {
    let mut next = found.first_event;
    let mut scan = snapshot.scan_once(Family::Meta, &[meta::V2_EVENT], Some(&[meta::V2_EVENT + 1]), Direction::Forward);
    while let Some((key, value)) = scan.next()? {
        let event = decode_event(Bytes::copy_from_slice(value))?;
        found.bytes += value.len() as i64;
        if event.index() != next || key != event_key(next) {
            problem(format!("the events of the v2 tree do not follow each other at {next}"));
        }
        next = event.index() + 1;
    }
    let is_complete = if found.index == 0 { next == 0 } else { next == found.index + 1 };
    if !is_complete || next - found.first_event > HISTORY {
        problem(format!("the v2 tree keeps events {} to {next}, its index is {}", found.first_event, found.index));
    }
    Ok(())
}
