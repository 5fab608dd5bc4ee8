//! Quoting as Go's libraries do it in messages and in JSON.

use std::fmt::Write as _;

/// A byte as Go's `encoding/json` shows it in an error: in single quotes, escaped.
pub(super) fn quote_char(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".into(),
        b'"' => "'\"'".into(),
        _ => {
            let quoted = quote(char::from(byte).encode_utf8(&mut [0; 4]).as_bytes());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

/// Bytes as Go's `%q` prints them.
pub(super) fn quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_quoted(&mut out, c));
        for byte in chunk.invalid() {
            // writing into memory does not fail
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

fn push_quoted(out: &mut String, c: char) {
    let named = match c {
        '"' | '\\' => Some(c),
        '\x07' => Some('a'),
        '\x08' => Some('b'),
        '\x0c' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\x0b' => Some('v'),
        _ => None,
    };
    let number = u32::from(c);
    let is_hidden =
        c.is_control() || (c.is_whitespace() && c != ' ') || matches!(number, 0xad | 0xfeff | 0xe000..=0xf8ff);
    let _ = match named {
        Some(letter) => write!(out, "\\{letter}"),
        None if !is_hidden => write!(out, "{c}"),
        None if number < 0x20 || number == 0x7f => write!(out, "\\x{number:02x}"),
        None if number < 0x1_0000 => write!(out, "\\u{number:04x}"),
        None => write!(out, "\\U{number:08x}"),
    };
}

/// Writes a string of JSON, with its quotes, as Go's `protojson` does; with `html` the characters that would be markup in a page are
/// escaped too, as `encoding/json` does with what it encloses.
pub fn push_string(out: &mut Vec<u8>, text: &str, html: bool) {
    out.push(b'"');
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        let escaped = c < ' ' || c == '"' || c == '\\';
        let is_markup = html && matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        if !escaped && !is_markup {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + c.len_utf8();
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\x08' => out.extend_from_slice(b"\\b"),
            '\x0c' => out.extend_from_slice(b"\\f"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}
