//! Lines of a transaction, and words of a line with quotes.

use super::{del, get, put};
use crate::cli::spec::Command;
use crate::cli::value::{Values, integer};
use crate::cli::{Input, Misuse, help, read, text};
use crate::exit::{Exit, INVALID_INPUT};
use crate::print::quote::{quote, unquote_prefix};
use api::etcdserverpb as pb;
use bytes::Bytes;

/// Commands of a transaction. They hang in a tree of their own, without global flags.
static REQUESTS: Command = Command { below: &[put::COMMAND, get::COMMAND, del::COMMAND], ..Command::EMPTY };

fn invalid(text: String) -> Exit {
    Exit::new(INVALID_INPUT, text)
}

/// The words of a line. `"…"` is read as Go reads it, `'…'` as it stands.
///
/// # Errors
/// For escapes nobody knows.
pub fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, Exit> {
    let mut out = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.iter().position(|b| !b.is_ascii_whitespace()) {
        rest = &rest[start..];
        match rest[0] {
            b'"' => match closing(rest) {
                Some(end) => {
                    let (word, _) = unquote_prefix(&rest[..=end]).ok_or_else(|| invalid("invalid syntax".into()))?;
                    out.push(word);
                    rest = &rest[end + 1..];
                }
                // a quote without its other half is passed over
                None => rest = &rest[1..],
            },
            b'\'' => match rest[1..].iter().position(|b| *b == b'\'') {
                Some(end) => {
                    out.push(rest[1..=end].to_vec());
                    rest = &rest[end + 2..];
                }
                None => rest = &rest[1..],
            },
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                out.push(rest[..end].to_vec());
                rest = &rest[end..];
            }
        }
    }
    Ok(out)
}

/// Place of the quote that closes the one at the start.
fn closing(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// A request: `put`, `get` or `del` with flags.
///
/// # Errors
/// What is wrong with it.
pub fn request(line: &[u8]) -> Result<pb::RequestOp, Exit> {
    let words = words(line)?;
    if words.len() < 2 {
        return Err(invalid(format!("invalid txn compare request: {}", text(line))));
    }
    let input = read(&REQUESTS, &words).map_err(|(path, why)| {
        if let (Misuse::Usage(_), true) = (&why, path.len() > 1) {
            eprintln!("{}", help::usage(&path));
        }
        invalid(format!("invalid txn request: {}", text(line)))
    })?;
    let union = operation(&input).unwrap_or_else(|| Err(invalid(format!("invalid txn request: {}", text(line)))))?;
    Ok(pb::RequestOp { request: Some(union) })
}

fn operation(input: &Input) -> Option<Result<pb::RequestUnion, Exit>> {
    match input.path.last()?.name {
        "put" => Some(put::request(input, || None).map(pb::RequestUnion::Put)),
        "get" => Some(get::request(input).map(pb::RequestUnion::Range)),
        "del" => Some(del::request(input).map(pb::RequestUnion::DeleteRange)),
        _ => None,
    }
}

/// A compare: `target("key") op "value"`.
///
/// # Errors
/// What is wrong with it.
pub fn compare(line: &[u8]) -> Result<pb::Compare, Exit> {
    let malformed = || invalid(format!("malformed comparison: {}", text(line)));
    let bracket = line.iter().position(|b| *b == b'(').ok_or_else(malformed)?;
    let target = text(&line[..bracket]);
    let scan = scan(&line[bracket + 1..]);
    let (key, op, value) = scan.map_err(|(key, op, value)| {
        let line = text(line);
        invalid(format!("malformed comparison: {line}; got {target}({}) {op} {}", quote(&key), quote(&value)))
    })?;
    let bad = || invalid(format!("invalid txn compare request: {}", text(line)));
    let number = |base: u32| integer(&text(&value), base).map_err(|_| bad());
    let (kind, union) = match target.as_str() {
        "ver" | "version" => (pb::CompareTarget::Version, pb::TargetUnion::Version(number(10)?)),
        "c" | "create" => (pb::CompareTarget::Create, pb::TargetUnion::CreateRevision(number(10)?)),
        "m" | "mod" => (pb::CompareTarget::Mod, pb::TargetUnion::ModRevision(number(10)?)),
        "val" | "value" => (pb::CompareTarget::Value, pb::TargetUnion::Value(Bytes::from(value.clone()))),
        // leases are hex wherever they are typed
        "lease" => (pb::CompareTarget::Lease, pb::TargetUnion::Lease(number(16)?)),
        _ => {
            let said = format!("malformed comparison: {} (unknown target {target})", text(line));
            return Err(invalid(said));
        }
    };
    let result = match op.as_str() {
        "=" => pb::CompareResult::Equal,
        "!=" => pb::CompareResult::NotEqual,
        ">" => pb::CompareResult::Greater,
        "<" => pb::CompareResult::Less,
        _ => return Err(bad()),
    };
    Ok(pb::Compare {
        result: result.into(),
        target: kind.into(),
        key: key.into(),
        target_union: Some(union),
        ..Default::default()
    })
}

type Scanned = (Vec<u8>, String, Vec<u8>);

/// `"key") op "value"`; on failure what was read until then.
fn scan(rest: &[u8]) -> Result<Scanned, Scanned> {
    let mut found: Scanned = Default::default();
    let Some((key, rest)) = unquote_prefix(rest.trim_ascii_start()) else { return Err(found) };
    found.0 = key;
    let Some(rest) = rest.strip_prefix(b")") else { return Err(found) };
    let Some(rest) = blank(rest) else { return Err(found) };
    let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
    found.1 = text(&rest[..end]);
    let Some(rest) = blank(&rest[end..]).filter(|_| end > 0) else { return Err(found) };
    match unquote_prefix(rest) {
        Some((value, _)) => {
            found.2 = value;
            Ok(found)
        }
        None => Err(found),
    }
}

/// The text behind blanks, of which there must be one.
fn blank(text: &[u8]) -> Option<&[u8]> {
    text.first().filter(|b| b.is_ascii_whitespace()).map(|_| text.trim_ascii_start())
}

/// Flags of another command read from words: for lines of `watch -i`.
///
/// # Errors
/// The words of the parser.
pub fn flags(known: &[&'static crate::cli::spec::Flag], line: &[Vec<u8>]) -> Result<(Values, Vec<Vec<u8>>), String> {
    match crate::cli::parse::parse(known, line) {
        Ok(parsed) => Ok((parsed.values, parsed.args)),
        Err(Misuse::Usage(why) | Misuse::Unknown(why)) => Err(why),
        Err(Misuse::Help) => Err("pflag: help requested".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_quotes() {
        let split = |line: &str| words(line.as_bytes()).unwrap();
        assert_eq!(split("put  key1 \"a b\\n\""), [b"put".to_vec(), b"key1".to_vec(), b"a b\n".to_vec()]);
        assert_eq!(split("get 'x y' --prefix"), [b"get".to_vec(), b"x y".to_vec(), b"--prefix".to_vec()]);
        assert_eq!(split("   "), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn compares() {
        let read = compare(br#"mod("key1") > "10""#).unwrap();
        assert_eq!(read.target_union, Some(pb::TargetUnion::ModRevision(10)));
        assert_eq!(read.result, pb::CompareResult::Greater as i32);
        assert_eq!(compare(br#"val("k") = "v w""#).unwrap().target_union, Some(pb::TargetUnion::Value("v w".into())));
        let said = |line: &str| compare(line.as_bytes()).unwrap_err().text.unwrap();
        assert_eq!(said("mod"), "malformed comparison: mod");
        assert_eq!(said(r#"mod("k") >"#), "malformed comparison: mod(\"k\") >; got mod(\"k\") > \"\"");
        assert_eq!(said(r#"x("k") = "1""#), "malformed comparison: x(\"k\") = \"1\" (unknown target x)");
        assert_eq!(said(r#"mod("k") = "x""#), "invalid txn compare request: mod(\"k\") = \"x\"");
    }

    #[test]
    fn requests() {
        let op = request(b"put k \"v w\" --lease=1f").unwrap();
        let Some(pb::RequestUnion::Put(put)) = op.request else { panic!("no put") };
        assert_eq!((&put.value[..], put.lease), (&b"v w"[..], 31));
        let said = |line: &str| request(line.as_bytes()).unwrap_err().text.unwrap();
        assert_eq!(said("get"), "invalid txn compare request: get");
        assert_eq!(said("nosuch k"), "invalid txn request: nosuch k");
    }
}
