//! How a line looks.

use serde_json::Value;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// etcd's levels, least grave first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For developers.
    Debug,
    /// What happens.
    Info,
    /// What should be looked at.
    Warn,
    /// What failed.
    Error,
    /// A panic.
    Panic,
    /// The process ends.
    Fatal,
}

impl Level {
    /// By etcd's name, whatever its case; empty for etcd's default.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "debug" => Self::Debug,
            "info" | "" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "error" => Self::Error,
            // zap's panic of development builds
            "dpanic" | "panic" => Self::Panic,
            "fatal" => Self::Fatal,
            _ => return None,
        })
    }

    /// etcd's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Fatal => "fatal",
        }
    }
}

/// Shape of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON objects.
    Json,
    /// Columns for people.
    Console,
}

/// One line, its end included.
pub fn line(
    format: Format,
    level: Level,
    now: SystemTime,
    caller: &str,
    msg: &str,
    fields: &[(&str, Value)],
) -> String {
    match format {
        Format::Json => json(level, now, caller, msg, fields),
        Format::Console => console(level, now, caller, msg, fields),
    }
}

fn json(level: Level, now: SystemTime, caller: &str, msg: &str, fields: &[(&str, Value)]) -> String {
    let mut out = String::with_capacity(160 + msg.len());
    out.push_str("{\"level\":\"");
    out.push_str(level.name());
    out.push_str("\",\"ts\":\"");
    out.push_str(&timestamp(now));
    out.push_str("\",\"caller\":");
    quote(&mut out, caller);
    out.push_str(",\"msg\":");
    quote(&mut out, msg);
    pairs(&mut out, fields, true);
    out.push_str("}\n");
    out
}

fn console(level: Level, now: SystemTime, caller: &str, msg: &str, fields: &[(&str, Value)]) -> String {
    let mut out = format!("{}\t{}\t{caller}\t", timestamp(now), level.name());
    // a line stays a line
    out.push_str(&msg.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'"));
    if !fields.is_empty() {
        out.push_str("\t{");
        pairs(&mut out, fields, false);
        out.push('}');
    }
    out.push('\n');
    out
}

fn pairs(out: &mut String, fields: &[(&str, Value)], mut comma: bool) {
    for (key, value) in fields {
        if comma {
            out.push(',');
        }
        comma = true;
        quote(out, key);
        out.push(':');
        let _ = write!(out, "{value}");
    }
}

fn quote(out: &mut String, text: &str) {
    let _ = write!(out, "{}", Value::from(text));
}

/// `2006-01-02T15:04:05.000000Z`, always UTC.
pub fn timestamp(now: SystemTime) -> String {
    units::utc_micros(now.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The last two parts of a path, `src` left out, and the line: crate and file as a rule.
pub fn caller(file: Option<&str>, line: Option<u32>) -> String {
    let file = file.unwrap_or("unknown");
    let mut parts: Vec<&str> = file.split('/').filter(|part| *part != "src" && !part.is_empty()).collect();
    let tail = parts.split_off(parts.len().saturating_sub(2));
    format!("{}:{}", tail.join("/"), line.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn lines_are_etcds() {
        let now = UNIX_EPOCH + Duration::from_micros(1_136_214_245_000_120);
        let fields = [("name", json!("a\"b\u{1b}[31m")), ("urls", json!(["x"])), ("n", json!(7))];
        let line = line(Format::Json, Level::Warn, now, "embed/node.rs:7", "two\nlines", &fields);
        assert_eq!(
            line,
            "{\"level\":\"warn\",\"ts\":\"2006-01-02T15:04:05.000120Z\",\"caller\":\"embed/node.rs:7\",\"msg\":\"two\\nlines\",\"name\":\"a\\\"b\\u001b[31m\",\"urls\":[\"x\"],\"n\":7}\n"
        );
        serde_json::from_str::<Value>(&line).unwrap();
    }

    #[test]
    fn levels_are_read_as_zap_reads_them() {
        assert_eq!(Level::parse("WARN"), Some(Level::Warn));
        assert_eq!(Level::parse("Info"), Some(Level::Info));
        assert_eq!(Level::parse(""), Some(Level::Info));
        assert_eq!(Level::parse("dpanic"), Some(Level::Panic));
        assert_eq!(Level::parse("loud"), None);
    }

    #[test]
    fn console_lines_stay_lines() {
        let text = line(Format::Console, Level::Info, UNIX_EPOCH, "a.rs:1", "two\nlines \"x\"", &[("k", json!(true))]);
        assert_eq!(text, "1970-01-01T00:00:00.000000Z\tinfo\ta.rs:1\ttwo\\nlines \"x\"\t{\"k\":true}\n");
    }

    #[test]
    fn callers_are_short() {
        assert_eq!(caller(Some("bin/embed/src/node.rs"), Some(7)), "embed/node.rs:7");
        assert_eq!(caller(Some("/root/.cargo/h2-0.4/src/proto/x.rs"), None), "proto/x.rs:0");
        assert_eq!(caller(None, None), "unknown:0");
    }
}
