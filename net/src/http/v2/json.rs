//! Events, listings and errors of the v2 API as JSON, byte for byte as Go writes them.
//!
//! Values and keys are bytes: what is no UTF-8 becomes U+FFFD, as in Go. Must never follow a listing by recursion.

use model::v2::{Error, Event, KEYS, Listed, Node};
use std::fmt::Write;

/// Appends a string of JSON.
pub(super) fn string(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| character(out, c));
        // Go replaces every byte of what is no character
        chunk.invalid().iter().for_each(|_| out.push_str("\\ufffd"));
    }
    out.push('"');
}

fn character(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        c => out.push(c),
    }
}

/// An event, with a newline behind it.
pub(super) fn event(event: &Event) -> String {
    let mut out = String::with_capacity(256);
    let _ = write!(out, "{{\"action\":\"{}\",\"node\":", event.action().name());
    node(&mut out, &event.node);
    if let Some(prev) = &event.prev_node {
        out.push_str(",\"prevNode\":");
        node(&mut out, prev);
    }
    out.push_str("}\n");
    out
}

/// An event without its nodes, with a newline behind it.
pub(super) fn bare_event(event: &Event) -> String {
    format!("{{\"action\":\"{}\"}}\n", event.action().name())
}

/// A listing, with a newline behind it.
pub(super) fn listing(nodes: &[Listed]) -> String {
    let mut out = String::with_capacity(256);
    out.push_str("{\"action\":\"get\",\"node\":");
    let mut open: Vec<&Node> = Vec::new();
    for (at, Listed { depth, node }) in nodes.iter().enumerate() {
        while open.len() > *depth as usize {
            close(&mut out, open.pop());
        }
        let is_first = at == 0 || nodes[at - 1].depth < *depth;
        if !is_first {
            out.push(',');
        }
        let has_children = nodes.get(at + 1).is_some_and(|next| next.depth > *depth);
        let mut first = head(&mut out, node);
        if has_children {
            field(&mut out, &mut first, "nodes");
            out.push('[');
            open.push(node);
        } else {
            tail(&mut out, first, node);
        }
    }
    while let Some(node) = open.pop() {
        close(&mut out, Some(node));
    }
    out.push_str("}\n");
    out
}

/// Ends a directory whose nodes have been listed.
fn close(out: &mut String, node: Option<&Node>) {
    out.push(']');
    if let Some(node) = node {
        tail(out, false, node);
    }
}

fn node(out: &mut String, node: &Node) {
    let first = head(out, node);
    tail(out, first, node);
}

/// Begins a field.
fn field(out: &mut String, first: &mut bool, name: &str) {
    if !std::mem::take(first) {
        out.push(',');
    }
    let _ = write!(out, "\"{name}\":");
}

/// What stands before the nodes of a directory. True when nothing does.
fn head(out: &mut String, node: &Node) -> bool {
    let mut first = true;
    out.push('{');
    let key = node.key.strip_prefix(KEYS.as_bytes()).unwrap_or(&node.key);
    if !key.is_empty() {
        field(out, &mut first, "key");
        string(out, key);
    }
    if let Some(value) = &node.value {
        field(out, &mut first, "value");
        string(out, value);
    }
    if node.dir {
        field(out, &mut first, "dir");
        out.push_str("true");
    }
    if let Some(expiration) = node.expiration {
        field(out, &mut first, "expiration");
        let _ = write!(out, "\"{}\"", moment(expiration));
    }
    if node.ttl != 0 {
        field(out, &mut first, "ttl");
        let _ = write!(out, "{}", node.ttl);
    }
    first
}

/// What stands behind them.
fn tail(out: &mut String, mut first: bool, node: &Node) {
    for (name, index) in [("modifiedIndex", node.modified), ("createdIndex", node.created)] {
        if index != 0 {
            field(out, &mut first, name);
            let _ = write!(out, "{index}");
        }
    }
    out.push('}');
}

/// An error, with a newline behind it.
pub(super) fn error(error: &Error) -> String {
    let mut out = format!("{{\"errorCode\":{},\"message\":\"{}\"", error.code, error.message());
    let cause = error.cause.strip_prefix(KEYS.as_bytes()).unwrap_or(&error.cause);
    if !cause.is_empty() {
        out.push_str(",\"cause\":");
        string(&mut out, cause);
    }
    let _ = writeln!(out, ",\"index\":{}}}", error.index);
    out
}

/// A moment in UTC as Go's RFC 3339 with nanoseconds: zeros at the end of the fraction are left out.
pub(super) fn moment(unix_nanos: i64) -> String {
    const SECOND: i64 = 1_000_000_000;
    let (seconds, nanos) = (unix_nanos.div_euclid(SECOND), unix_nanos.rem_euclid(SECOND));
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let mut out = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if nanos != 0 {
        let fraction = format!(".{nanos:09}");
        out.push_str(fraction.trim_end_matches('0'));
    }
    out.push('Z');
    out
}

/// The day of the Gregorian calendar, `days` after 1970-01-01. Years begin in March here, so that leap days come last.
fn date(days: i64) -> (i64, i64, i64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::v2::{Action, code};

    fn file(key: &'static str, value: &'static str, index: u64) -> Node {
        Node { key: key.into(), value: Some(value.into()), modified: index, created: index, ..Node::default() }
    }

    fn dir(key: &'static str, index: u64) -> Node {
        Node { key: key.into(), dir: true, modified: index, created: index, ..Node::default() }
    }

    #[test]
    fn an_event_is_gos() {
        let node = Node { expiration: Some(1_394_832_873_000_000_100), ttl: 5, ..file("/1/a<b", "x\"\u{1}", 7) };
        let mut set = Event::of(Action::Set, node);
        set.prev_node = Some(file("/1/a<b", "", 3));
        let expected = concat!(
            r#"{"action":"set","node":{"key":"/a\u003cb","value":"x\"\u0001","expiration":"2014-03-14T21:34:33.0000001Z","#,
            r#""ttl":5,"modifiedIndex":7,"createdIndex":7},"#,
            r#""prevNode":{"key":"/a\u003cb","value":"","modifiedIndex":3,"createdIndex":3}}"#,
            "\n"
        );
        assert_eq!(event(&set), expected);
        assert_eq!(bare_event(&set), "{\"action\":\"set\"}\n");
    }

    #[test]
    fn a_listing_nests_its_nodes_before_the_indices_of_their_directory() {
        let at = |depth, node| Listed { depth, node };
        let nodes = [
            at(0, dir("/1", 0)),
            at(1, dir("/1/a", 1)),
            at(2, file("/1/a/x", "1", 2)),
            at(2, dir("/1/a/y", 3)),
            at(1, file("/1/b", "2", 4)),
        ];
        let expected = concat!(
            r#"{"action":"get","node":{"dir":true,"nodes":[{"key":"/a","dir":true,"nodes":["#,
            r#"{"key":"/a/x","value":"1","modifiedIndex":2,"createdIndex":2},"#,
            r#"{"key":"/a/y","dir":true,"modifiedIndex":3,"createdIndex":3}],"modifiedIndex":1,"createdIndex":1},"#,
            r#"{"key":"/b","value":"2","modifiedIndex":4,"createdIndex":4}]}}"#,
            "\n"
        );
        assert_eq!(listing(&nodes), expected);
        assert_eq!(listing(&nodes[..1]), "{\"action\":\"get\",\"node\":{\"dir\":true}}\n");
    }

    #[test]
    fn an_error_is_gos() {
        let missing = Error::new(code::KEY_NOT_FOUND, "/1/foo", 4);
        assert_eq!(
            error(&missing),
            "{\"errorCode\":100,\"message\":\"Key not found\",\"cause\":\"/foo\",\"index\":4}\n"
        );
    }

    #[test]
    fn what_is_no_text_is_replaced_byte_by_byte() {
        let mut out = String::new();
        string(&mut out, b"a\xff\xe2\x82z");
        assert_eq!(out, "\"a\\ufffd\\ufffd\\ufffdz\"");
    }

    #[test]
    fn moments_before_1970_and_far_away() {
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(moment(i64::MAX), "2262-04-11T23:47:16.854775807Z");
        assert_eq!(moment(951_782_400_500_000_000), "2000-02-29T00:00:00.5Z");
    }
}
