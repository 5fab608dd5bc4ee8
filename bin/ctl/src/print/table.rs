//! `--write-out=table`, and the rows that the simple format prints as well.

use super::answer::{Answer, Health};
use super::{Printer, size};
use crate::exit::{BAD_FEATURE, Exit};
use crate::term;
use api::etcdserverpb as pb;

/// A table before it is drawn.
pub struct Table {
    /// Names of the columns.
    pub head: Vec<&'static str>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
}

/// Draws an answer.
///
/// # Errors
/// For answers that are no table.
pub fn print(printer: &Printer, answer: &Answer<'_>, out: &mut Vec<u8>) -> Result<(), Exit> {
    let table = match answer {
        Answer::MemberList(r) => members(r),
        Answer::Health(all) => healths(all),
        Answer::Status(all) => statuses(all),
        Answer::HashKv(all) => hashes(all),
        _ => return Err(unsupported("table")),
    };
    out.extend_from_slice(draw(&table, printer.colour).as_bytes());
    Ok(())
}

/// The words for a format that does not offer an answer.
pub fn unsupported(format: &str) -> Exit {
    Exit::new(BAD_FEATURE, format!("{format} not supported as output format"))
}

/// `member list`.
pub fn members(r: &pb::MemberListResponse) -> Table {
    let row = |member: &pb::Member| {
        vec![
            format!("{:x}", member.id),
            if member.name.is_empty() { "unstarted" } else { "started" }.to_owned(),
            member.name.clone(),
            member.peer_urls.join(","),
            member.client_urls.join(","),
            member.is_learner.to_string(),
        ]
    };
    Table {
        head: vec!["ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"],
        rows: r.members.iter().map(row).collect(),
    }
}

fn healths(all: &[Health]) -> Table {
    let row = |h: &Health| vec![h.endpoint.clone(), h.healthy.to_string(), h.took.clone(), h.error.clone()];
    Table { head: vec!["endpoint", "health", "took", "error"], rows: all.iter().map(row).collect() }
}

/// `endpoint status`.
pub fn statuses(all: &[(String, pb::StatusResponse)]) -> Table {
    let head = vec![
        "endpoint",
        "ID",
        "version",
        "storage version",
        "db size",
        "in use",
        "percentage not in use",
        "quota",
        "is leader",
        "is learner",
        "raft term",
        "raft index",
        "raft applied index",
        "errors",
        "downgrade target version",
        "downgrade enabled",
    ];
    Table { head, rows: all.iter().map(|(endpoint, status)| status_row(endpoint, status)).collect() }
}

fn status_row(endpoint: &str, s: &pb::StatusResponse) -> Vec<String> {
    let member = s.header.unwrap_or_default().member_id;
    let info = s.downgrade_info.clone().unwrap_or_default();
    let human = |size: i64| size::bytes(size.try_into().unwrap_or(0));
    // an empty store uses nothing of nothing
    let unused = s.db_size_in_use.saturating_mul(100).checked_div(s.db_size).map_or(0, |used| 100 - used);
    vec![
        endpoint.to_owned(),
        format!("{member:x}"),
        s.version.clone(),
        s.storage_version.clone(),
        human(s.db_size),
        human(s.db_size_in_use),
        format!("{unused}%"),
        human(s.db_size_quota),
        (s.leader == member).to_string(),
        s.is_learner.to_string(),
        s.raft_term.to_string(),
        s.raft_index.to_string(),
        s.raft_applied_index.to_string(),
        s.errors.join(", "),
        info.target_version,
        info.enabled.to_string(),
    ]
}

/// `endpoint hashkv`.
pub fn hashes(all: &[(String, pb::HashKvResponse)]) -> Table {
    let row = |(endpoint, hash): &(String, pb::HashKvResponse)| {
        vec![endpoint.clone(), hash.hash.to_string(), hash.hash_revision.to_string()]
    };
    Table { head: vec!["endpoint", "hash", "hash_revision"], rows: all.iter().map(row).collect() }
}

/// A frame of lines: names in the middle and upper case, cells to the right.
fn draw(table: &Table, colour: bool) -> String {
    let head: Vec<String> = table.head.iter().map(|name| name.replace('_', " ").to_uppercase()).collect();
    let width = |at: usize| {
        let cells = table.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain([head[at].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let rule = |left: char, middle: char, right: char| {
        let parts: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", parts.join(&middle.to_string()))
    };
    let mut out = rule('┌', '┬', '┐');
    for (name, width) in head.iter().zip(&widths) {
        let shown = format!("{name:^width$}");
        let shown = if colour { term::bold(&shown) } else { shown };
        out.push_str(&format!("│ {shown} "));
    }
    out.push_str("│\n");
    if !table.rows.is_empty() {
        out.push_str(&rule('├', '┼', '┤'));
    }
    for row in &table.rows {
        for (cell, width) in row.iter().zip(&widths) {
            let shown = format!("{cell:>width$}");
            let shown = if colour { term::cell(cell, &shown) } else { shown };
            out.push_str(&format!("│ {shown} "));
        }
        out.push_str("│\n");
    }
    out.push_str(&rule('└', '┴', '┘'));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        let table =
            Table { head: vec!["endpoint", "hash_revision"], rows: vec![vec!["127.0.0.1:2379".into(), "18".into()]] };
        let drawn = "\
┌────────────────┬───────────────┐
│    ENDPOINT    │ HASH REVISION │
├────────────────┼───────────────┤
│ 127.0.0.1:2379 │            18 │
└────────────────┴───────────────┘
";
        assert_eq!(draw(&table, false), drawn);
    }
}
