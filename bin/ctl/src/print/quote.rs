//! Bytes as Go's `%q` shows them, and the quoted texts that people type.

pub use units::quote;

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
    fn literals() {
        assert_eq!(unquote_prefix(br#""a\x41\u00e9\n\101") >"#), Some((b"aA\xc3\xa9\nA".to_vec(), &b") >"[..])));
        assert_eq!(unquote_prefix(b"`a\\b` x"), Some((b"a\\b".to_vec(), &b" x"[..])));
        assert_eq!(unquote_prefix(br#""a\q""#), None);
        assert_eq!(unquote_prefix(br#""open"#), None);
        assert_eq!(unquote_prefix(b"bare"), None);
    }
}
