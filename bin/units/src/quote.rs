//! Bytes as Go's `%q` shows them: what tools of etcd's print. Must never lose a byte.

/// Go's `strconv.Quote`.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push(&mut out, c);
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        '\'' | ' ' => out.push(c),
        c if is_printable(c) => out.push(c),
        c if (c as u32) < 0x80 => out.push_str(&format!("\\x{:02x}", c as u32)),
        c if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
        c => out.push_str(&format!("\\U{:08x}", c as u32)),
    }
}

/// Rust escapes what is not printable; an accent is printable though it is escaped as the first of a text.
fn is_printable(c: char) -> bool {
    let mut escaped = format!("a{c}").chars().flat_map(char::escape_debug).skip(1).collect::<String>();
    if escaped.starts_with("\\u{") {
        // combining marks are escaped alone, never behind a letter in `str`
        escaped = format!("a{c}").escape_debug().skip(1).collect();
    }
    escaped.chars().eq([c])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_as_go_does() {
        let cases: [(&[u8], &str); 8] = [
            (b"foo", r#""foo""#),
            (b"a\"b\\", r#""a\"b\\""#),
            (b"\x00\x07\n\x7f", r#""\x00\a\n\x7f""#),
            (b"\xff\xfe", r#""\xff\xfe""#),
            ("é'".as_bytes(), "\"é'\""),
            ("\u{a0}".as_bytes(), r#""\u00a0""#),
            ("\u{200b}".as_bytes(), r#""\u200b""#),
            ("e\u{301}".as_bytes(), "\"e\u{301}\""),
        ];
        for (bytes, quoted) in cases {
            assert_eq!(quote(bytes), quoted);
        }
    }
}
