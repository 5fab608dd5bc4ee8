//! Bytes as Go's `%q` shows them, and the quoted texts that people type.

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

/// Reads a Go literal (`"…"` or `` `…` ``) at the start of a text: its bytes, and the rest.
pub fn unquote_prefix(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    match text.first()? {
        b'`' => {
            let end = text[1..].iter().position(|b| *b == b'`')? + 1;
            Some((text[1..end].to_vec(), &text[end + 1..]))
        }
        b'"' => {
            let mut out = Vec::new();
            let mut rest = &text[1..];
            loop {
                match rest {
                    [b'"', tail @ ..] => return Some((out, tail)),
                    [b'\\', tail @ ..] => rest = escape(&mut out, tail)?,
                    [b'\n', ..] | [] => return None,
                    [byte, tail @ ..] => {
                        out.push(*byte);
                        rest = tail;
                    }
                }
            }
        }
        _ => None,
    }
}

fn escape<'a>(out: &mut Vec<u8>, text: &'a [u8]) -> Option<&'a [u8]> {
    let (kind, rest) = text.split_first()?;
    let simple = match kind {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' => b'\\',
        b'"' => b'"',
        b'x' => return number(out, rest, 2, 16, false),
        b'u' => return number(out, rest, 4, 16, true),
        b'U' => return number(out, rest, 8, 16, true),
        b'0'..=b'7' => return number(out, text, 3, 8, false),
        _ => return None,
    };
    out.push(simple);
    Some(rest)
}

fn number<'a>(out: &mut Vec<u8>, text: &'a [u8], len: usize, radix: u32, letter: bool) -> Option<&'a [u8]> {
    let (digits, rest) = text.split_at_checked(len)?;
    let value = u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?;
    if letter {
        let mut buffer = [0; 4];
        out.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut buffer).as_bytes());
    } else {
        out.push(u8::try_from(value).ok()?);
    }
    Some(rest)
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

    #[test]
    fn literals() {
        assert_eq!(unquote_prefix(br#""a\x41\u00e9\n\101") >"#), Some((b"aA\xc3\xa9\nA".to_vec(), &b") >"[..])));
        assert_eq!(unquote_prefix(b"`a\\b` x"), Some((b"a\\b".to_vec(), &b" x"[..])));
        assert_eq!(unquote_prefix(br#""a\q""#), None);
        assert_eq!(unquote_prefix(br#""open"#), None);
        assert_eq!(unquote_prefix(b"bare"), None);
    }
}
