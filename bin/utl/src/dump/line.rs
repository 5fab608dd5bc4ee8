//! One line of a dump: names and values, printed for people or as a JSON object.
//!
//! Must never lose a byte in JSON: what is no UTF-8 is printed in hexadecimal under another name.

use crate::print::quoted;
use std::fmt::Write;

/// Bytes of a value that are shown unless all of them are asked for.
const SHOWN: usize = 64;

/// How lines are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people, long values cut.
    Cut,
    /// For people, everything.
    Full,
    /// One JSON object.
    Json,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Int(i128),
    /// An id, which people read in hexadecimal.
    Id(u64),
    /// Yes or no.
    Bool(bool),
    /// A text of our own.
    Text(String),
    /// A key.
    Key(Vec<u8>),
    /// Bytes that may be long.
    Bytes(Vec<u8>),
    /// Texts.
    Texts(Vec<String>),
    /// Ids.
    Ids(Vec<u64>),
    /// Lines inside the line.
    Lines(Vec<Line>),
}

/// Names and values, in order. The first word says what the line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    about: (&'static str, &'static str),
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    /// A line about something: its name in JSON, and what it is.
    pub fn new(name: &'static str, what: &'static str) -> Self {
        Self { about: (name, what), fields: Vec::new() }
    }

    /// Adds a value.
    pub fn with(mut self, name: &'static str, value: Value) -> Self {
        self.fields.push((name, value));
        self
    }

    /// Adds a number.
    pub fn int(self, name: &'static str, value: impl Into<i128>) -> Self {
        self.with(name, Value::Int(value.into()))
    }

    /// Adds a number that is mostly zero, when it is not.
    pub fn int_if(self, name: &'static str, value: i64) -> Self {
        if value == 0 { self } else { self.int(name, value) }
    }

    /// Adds a lease, when there is one: etcd prints their ids as hexadecimal numbers.
    pub fn lease(self, lease: i64) -> Self {
        if lease == 0 { self } else { self.with("lease", Value::Id(lease as u64)) }
    }

    /// Adds all values of another line.
    pub fn and(mut self, other: Self) -> Self {
        self.fields.extend(other.fields);
        self
    }

    /// The line as text.
    pub fn print(&self, style: Style) -> String {
        let mut out = String::new();
        match style {
            Style::Json => self.json(&mut out),
            Style::Cut | Style::Full => self.readable(&mut out, style == Style::Full),
        }
        out
    }

    fn json(&self, out: &mut String) {
        let (name, what) = self.about;
        let _ = write!(out, "{{\"{name}\":\"{what}\"");
        for (name, value) in &self.fields {
            out.push(',');
            match value {
                Value::Int(n) => {
                    let _ = write!(out, "\"{name}\":{n}");
                }
                Value::Id(n) => {
                    let _ = write!(out, "\"{name}\":{n}");
                }
                Value::Bool(b) => {
                    let _ = write!(out, "\"{name}\":{b}");
                }
                Value::Text(text) => {
                    let _ = write!(out, "\"{name}\":{}", quoted(text));
                }
                Value::Key(bytes) | Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => {
                        let _ = write!(out, "\"{name}\":{}", quoted(text));
                    }
                    Err(_) => {
                        let _ = write!(out, "\"{name}_hex\":\"{}\"", hex(bytes));
                    }
                },
                Value::Texts(texts) => {
                    let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
                    let _ = write!(out, "\"{name}\":[{}]", texts.join(","));
                }
                Value::Ids(ids) => {
                    let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
                    let _ = write!(out, "\"{name}\":[{}]", ids.join(","));
                }
                Value::Lines(lines) => {
                    let lines: Vec<_> = lines.iter().map(|line| line.print(Style::Json)).collect();
                    let _ = write!(out, "\"{name}\":[{}]", lines.join(","));
                }
            }
        }
        out.push('}');
    }

    fn readable(&self, out: &mut String, full: bool) {
        out.push_str(self.about.1);
        for (name, value) in &self.fields {
            let _ = write!(out, " {name}=");
            let _ = match value {
                Value::Int(n) => write!(out, "{n}"),
                Value::Id(n) => write!(out, "{n:x}"),
                Value::Bool(b) => write!(out, "{b}"),
                Value::Text(text) => write!(out, "{text}"),
                Value::Key(bytes) => write!(out, "\"{}\"", escaped(bytes)),
                Value::Bytes(bytes) if full || bytes.len() <= SHOWN => write!(out, "\"{}\"", escaped(bytes)),
                Value::Bytes(bytes) => write!(out, "\"{}\"…({} bytes)", escaped(&bytes[..SHOWN]), bytes.len()),
                Value::Texts(texts) => write!(out, "[{}]", texts.join(" ")),
                Value::Ids(ids) => {
                    let ids: Vec<_> = ids.iter().map(|id| format!("{id:x}")).collect();
                    write!(out, "[{}]", ids.join(" "))
                }
                Value::Lines(lines) => {
                    let style = if full { Style::Full } else { Style::Cut };
                    let lines: Vec<_> = lines.iter().map(|line| line.print(style)).collect();
                    write!(out, "[{}]", lines.join("; "))
                }
            };
        }
    }
}

fn escaped(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.replace('\\', "\\\\").replace('"', "\\\""),
        _ => bytes.escape_ascii().to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_people_and_for_programs() {
        let inner = Line::new("op", "put").with("key", Value::Key(b"a\"b".to_vec()));
        let line = Line::new("family", "log")
            .int("revision", 5)
            .lease(0x2a)
            .with("key", Value::Key(vec![0xff, 0]))
            .with("value", Value::Bytes(vec![b'x'; 100]))
            .with("ops", Value::Lines(vec![inner]));
        let x = "x".repeat(64);
        let cut =
            format!("log revision=5 lease=2a key=\"\\xff\\x00\" value=\"{x}\"…(100 bytes) ops=[put key=\"a\\\"b\"]");
        assert_eq!(line.print(Style::Cut), cut);
        let json: serde_json::Value = serde_json::from_str(&line.print(Style::Json)).unwrap();
        assert_eq!((&json["key_hex"], &json["lease"]), (&"ff00".into(), &42.into()));
        assert_eq!((json["value"].as_str().unwrap().len(), &json["ops"][0]["key"]), (100, &"a\"b".into()));
    }
}
