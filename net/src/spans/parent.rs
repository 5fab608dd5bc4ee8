//! The header `traceparent` of W3C's Trace Context. Pure; what does not follow the rules counts as not there, as the rules say.

use http::HeaderMap;

/// Who called, and whether he wants to see spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) sampled: bool,
}

/// Of the headers of a call.
pub(super) fn of(headers: &HeaderMap) -> Option<Parent> {
    parse(headers.get("traceparent")?.as_bytes())
}

/// `version-trace-span-flags`, in lower case hexadecimal.
fn parse(value: &[u8]) -> Option<Parent> {
    let mut parts = value.splitn(5, |byte| *byte == b'-');
    let version = hex::<1>(parts.next()?)?[0];
    let (trace, span) = (hex::<16>(parts.next()?)?, hex::<8>(parts.next()?)?);
    let flags = hex::<1>(parts.next()?)?[0];
    // later versions may say more behind the flags, the first one may not
    let has_more = parts.next().is_some();
    if version == 0xff || (version == 0 && has_more) || trace == [0; 16] || span == [0; 8] {
        return None;
    }
    Some(Parent { trace, span, sampled: flags & 1 == 1 })
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_is_read_by_the_rules() {
        let parent = parse(GOOD.as_bytes()).expect("W3C's own example");
        assert_eq!(parent.trace[..2], [0x4b, 0xf9]);
        assert_eq!(parent.span, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert!(parent.sampled);
        assert!(!parse(GOOD.replace("-01", "-00").as_bytes()).expect("valid").sampled);
        assert!(parse(format!("cc{}-more", &GOOD[2..]).as_bytes()).is_some(), "a later version");
    }

    #[test]
    fn what_is_none_counts_as_not_there() {
        let bad = [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ];
        for text in bad {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
