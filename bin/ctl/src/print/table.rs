//! `--write-out=table`, and the rows that the simple format prints as well.

use super::Printer;
use super::answer::{Answer, Health};
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
    out.extend_from_slice(fitted(&table, printer.width, printer.colour).as_bytes());
    Ok(())
}

/// As etcdctl draws it, or turned where that would be torn by a narrower terminal: names down the side, a column for each row;
/// if that is too wide as well, a frame for each row.
fn fitted(table: &Table, width: Option<usize>, colour: bool) -> String {
    let Some(width) = width.filter(|width| frame_width(&widths(table)) > *width) else { return draw(table, colour) };
    if frame_width(&turned_widths(table, &table.rows)) <= width {
        return turned(table, &table.rows, colour);
    }
    table.rows.iter().map(|row| turned(table, std::slice::from_ref(row), colour)).collect()
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
    let human = |size: i64| units::size(size.try_into().unwrap_or(0));
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

fn named(name: &str) -> String {
    name.replace('_', " ").to_uppercase()
}

fn wide(text: &str) -> usize {
    text.chars().count()
}

/// Of the cells of each column, its name among them.
fn widths(table: &Table) -> Vec<usize> {
    let width = |(at, name): (usize, &&str)| {
        let cells = table.rows.iter().filter_map(|row| row.get(at)).map(|cell| wide(cell));
        cells.chain([wide(name)]).max().unwrap_or(0)
    };
    table.head.iter().enumerate().map(width).collect()
}

/// Of a frame with such columns: a line before each and one at the end, blanks around each.
fn frame_width(widths: &[usize]) -> usize {
    widths.iter().map(|width| width + 3).sum::<usize>() + 1
}

fn rule(widths: &[usize], [left, middle, right]: [char; 3]) -> String {
    let parts: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
    format!("{left}{}{right}\n", parts.join(&middle.to_string()))
}

fn bold(shown: String, colour: bool) -> String {
    if colour { term::bold(&shown) } else { shown }
}

fn value(cell: &str, shown: String, colour: bool) -> String {
    if colour { term::cell(cell, &shown) } else { shown }
}

/// A frame of lines: names in the middle and upper case, cells to the right.
fn draw(table: &Table, colour: bool) -> String {
    let widths = widths(table);
    let mut out = rule(&widths, ['┌', '┬', '┐']);
    for (name, width) in table.head.iter().zip(&widths) {
        out.push_str(&format!("│ {} ", bold(format!("{:^width$}", named(name)), colour)));
    }
    out.push_str("│\n");
    if !table.rows.is_empty() {
        out.push_str(&rule(&widths, ['├', '┼', '┤']));
    }
    for row in &table.rows {
        for (cell, width) in row.iter().zip(&widths) {
            out.push_str(&format!("│ {} ", value(cell, format!("{cell:>width$}"), colour)));
        }
        out.push_str("│\n");
    }
    out.push_str(&rule(&widths, ['└', '┴', '┘']));
    out
}

/// Of the names, and of the cells of each row.
fn turned_widths(table: &Table, rows: &[Vec<String>]) -> Vec<usize> {
    let names = table.head.iter().map(|name| wide(name)).max().unwrap_or(0);
    let cells = rows.iter().map(|row| row.iter().map(|cell| wide(cell)).max().unwrap_or(0));
    [names].into_iter().chain(cells).collect()
}

/// A frame in which columns are lines.
fn turned(table: &Table, rows: &[Vec<String>], colour: bool) -> String {
    let widths = turned_widths(table, rows);
    let mut out = rule(&widths, ['┌', '┬', '┐']);
    for (at, name) in table.head.iter().enumerate() {
        let width = widths[0];
        out.push_str(&format!("│ {} ", bold(format!("{:<width$}", named(name)), colour)));
        for (row, width) in rows.iter().zip(&widths[1..]) {
            let cell = row.get(at).map_or("", String::as_str);
            out.push_str(&format!("│ {} ", value(cell, format!("{cell:>width$}"), colour)));
        }
        out.push_str("│\n");
    }
    out.push_str(&rule(&widths, ['└', '┴', '┘']));
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

    #[test]
    fn a_table_that_a_terminal_would_tear_is_turned() {
        let row = |endpoint: &str| vec![endpoint.to_owned(), "18".into(), "7".into()];
        let table = Table { head: vec!["endpoint", "hash", "hash_revision"], rows: vec![row("127.0.0.1"), row("b")] };
        let fitted = |width| super::fitted(&table, width, false);
        assert_eq!(fitted(None), draw(&table, false));
        assert_eq!(fitted(Some(36)), draw(&table, false));
        let turned = "\
┌───────────────┬───────────┬────┐
│ ENDPOINT      │ 127.0.0.1 │  b │
│ HASH          │        18 │ 18 │
│ HASH REVISION │         7 │  7 │
└───────────────┴───────────┴────┘
";
        assert_eq!(fitted(Some(35)), turned);
        assert_eq!(fitted(Some(34)), turned);
        // 33 columns do not hold both rows beside each other
        let one_each = fitted(Some(33));
        assert_eq!(one_each.matches('┌').count(), 2);
        assert!(one_each.lines().all(|line| wide(line) <= 33), "{one_each}");
    }
}
