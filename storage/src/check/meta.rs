//! Rows of `meta` that describe the store: each reads back, and membership knows its members.

use super::report::Report;
use crate::apply::meta_rows::decode_conf_state;
use crate::apply::{MemberIds, MemberRow, OpenError, State, check_format, unfinished_entry};
use crate::auth::AuthState;
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use crate::schema::meta;
use prost::Message;

/// First bytes of rows that belong to a table, and what it is called.
const TABLES: [(u8, &str); 10] = [
    (meta::LEASE, "lease"),
    (meta::ATTACHED, "attachment"),
    (meta::MEMBER, "member"),
    (meta::ALARM, "alarm"),
    (meta::REMOVED, "removed member"),
    (meta::AUTH_USER, "user"),
    (meta::AUTH_ROLE, "role"),
    (meta::V2_NODE, "v2 node"),
    (meta::V2_TTL, "v2 TTL"),
    (meta::V2_EVENT, "v2 event"),
];

/// Rows that stand alone.
const SINGLE: [&[u8]; 12] = [
    meta::APPLIED,
    meta::CONF_STATE,
    meta::REVISIONS,
    meta::SIZES,
    meta::CHUNK,
    meta::RUNNING_HASH,
    meta::FORMAT,
    meta::IDENTITY,
    meta::CLUSTER_VERSION,
    meta::DOWNGRADE,
    meta::AUTH,
    meta::V2,
];

pub(super) fn check<S: Snapshot>(snapshot: &S, report: &mut Report) -> Result<(), OpenError> {
    check_format(snapshot)?;
    match State::read(snapshot) {
        Ok(state) => {
            if state.compact > state.revision || state.compact_done > state.compact {
                report.problem(
                    Family::Meta,
                    format!(
                        "the revisions do not follow each other: current {}, compacted {}, deleted up to {}",
                        state.revision, state.compact, state.compact_done
                    ),
                );
            }
            report.state = Some(state);
        }
        Err(why) => report.problem(Family::Meta, why.to_string()),
    }
    let walked = rows(snapshot, report);
    report.readable(Family::Meta, walked);
    let walked = describe(snapshot, report);
    report.readable(Family::Meta, walked);
    membership(report);
    Ok(())
}

/// Counts all rows, and names those that nobody knows.
fn rows<S: Snapshot>(snapshot: &S, report: &mut Report) -> Result<(), EngineError> {
    let mut scan = snapshot.scan_once(Family::Meta, &[], None, Direction::Forward);
    while let Some((key, value)) = scan.next()? {
        report.row(Family::Meta, key.len() + value.len());
        if SINGLE.contains(&key) {
            continue;
        }
        let Some((_, table)) = TABLES.iter().find(|(first, _)| key.first() == Some(first)) else {
            report.problem(Family::Meta, format!("unknown row {}", key.escape_ascii()));
            continue;
        };
        if matches!(key[0], meta::AUTH_USER | meta::AUTH_ROLE | meta::V2_NODE | meta::V2_TTL | meta::V2_EVENT) {
            continue;
        }
        if key.len() < 9 {
            report.problem(Family::Meta, format!("the key of a {table} row is too short: {}", key.escape_ascii()));
        }
        if key[0] == meta::MEMBER && key.len() >= 9 {
            let id = u64::from_be_bytes(key[1..9].try_into().expect("eight bytes"));
            match MemberRow::decode(value) {
                Ok(row) => report.members.push((id, row)),
                Err(why) => report.problem(Family::Meta, format!("member {id:x} does not read back: {why}")),
            }
        }
    }
    Ok(())
}

fn describe<S: Snapshot>(snapshot: &S, report: &mut Report) -> Result<(), EngineError> {
    match snapshot.get(Family::Meta, meta::IDENTITY)?.map(|row| MemberIds::decode(&row)) {
        Some(Ok(identity)) => report.identity = Some(identity),
        Some(Err(why)) => report.problem(Family::Meta, why.to_string()),
        None => report.problem(Family::Meta, "the row identity is missing"),
    }
    match snapshot.get(Family::Meta, meta::CONF_STATE)?.map(|row| decode_conf_state(&row)) {
        Some(Ok(conf_state)) => report.conf_state = conf_state,
        Some(Err(why)) => report.problem(Family::Meta, why.to_string()),
        None => report.problem(Family::Meta, "the row conf_state is missing"),
    }
    if let Err(why) = AuthState::read(snapshot) {
        report.problem(Family::Meta, why.to_string());
    }
    let mut problems = Vec::new();
    if let Err(why) = crate::v2::check::check(snapshot, &mut |problem| problems.push(problem)) {
        problems.push(why.to_string());
    }
    problems.into_iter().for_each(|problem| report.problem(Family::Meta, problem));
    match unfinished_entry(snapshot) {
        Ok(index) => report.unfinished = index,
        Err(why) => report.problem(Family::Meta, why.to_string()),
    }
    Ok(())
}

fn membership(report: &mut Report) {
    let cs = &report.conf_state;
    let in_role: Vec<u64> = cs.voters.iter().chain(&cs.learners).chain(&cs.voters_outgoing).copied().collect();
    for id in &in_role {
        if !report.members.iter().any(|(member, _)| member == id) {
            report.problem(Family::Meta, format!("member {id:x} votes or learns, and nothing is known of it"));
        }
    }
}
