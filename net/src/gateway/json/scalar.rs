//! Values of fields: numbers (also as strings, also with an exponent), enums by name or number, bytes in base64.
//!
//! What is taken and what is not is Go's `protojson`. Pure.

use super::token::{Token, Word};
use api::schema::Enum;
use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Digits of the largest 64-bit number: a longer one is none.
const MOST_DIGITS: usize = 20;

/// A whole number: its sign and its digits.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    negative: bool,
    digits: String,
}

/// The whole number that `text` begins with; `None` when it begins with none, or with a broken one.
fn whole(text: &[u8]) -> Option<Whole> {
    let (negative, rest) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let integer = match rest.first()? {
        b'0' => 1,
        b'1'..=b'9' => digits(rest),
        _ => return None,
    };
    let (integer, mut rest) = rest.split_at(integer);
    let mut fraction = &b""[..];
    if let Some(behind) = rest.strip_prefix(b".")
        && digits(behind) > 0
    {
        (fraction, rest) = behind.split_at(digits(behind));
    }
    let mut exponent = 0;
    if let [b'e' | b'E', behind @ ..] = rest
        && !behind.is_empty()
    {
        let sign = usize::from(matches!(behind[0], b'+' | b'-'));
        let length = sign + digits(&behind[sign..]);
        (exponent, rest) = (exponent_of(&behind[..length]), &behind[length..]);
    }
    let ends = rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b"-+._".contains(byte));
    if !ends {
        return None;
    }
    let zeros = fraction.iter().rev().take_while(|byte| **byte == b'0').count();
    let fraction = &fraction[..fraction.len() - zeros];
    let integer = if integer == b"0" { &b""[..] } else { integer };
    Some(Whole { negative, digits: shifted(integer, fraction, exponent)? })
}

/// An exponent; one that no number of 64 bits has becomes one that refuses any number but zero.
fn exponent_of(text: &[u8]) -> i32 {
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.parse().unwrap_or(if text.is_empty() { 0 } else { i32::MAX })
}

/// The digits of `integer.fraction` times ten to the power of `exponent`, if that is whole.
fn shifted(integer: &[u8], fraction: &[u8], exponent: i32) -> Option<String> {
    if integer.is_empty() && fraction.is_empty() {
        return Some("0".into());
    }
    let mut digits = integer.to_vec();
    if exponent >= 0 {
        let exponent = exponent as usize;
        if fraction.len() > exponent || integer.len() + exponent > MOST_DIGITS {
            return None;
        }
        digits.extend_from_slice(fraction);
        digits.resize(digits.len() + exponent - fraction.len(), b'0');
    } else {
        let keep = integer.len().checked_sub(exponent.unsigned_abs() as usize)?;
        if !fraction.is_empty() || digits[keep..].iter().any(|digit| *digit != b'0') {
            return None;
        }
        digits.truncate(keep);
    }
    String::from_utf8(digits).ok()
}

/// The number of a word: one itself, or a string that begins with one.
fn number(token: &Token<'_>) -> Option<Whole> {
    match &token.word {
        Word::Number => whole(token.raw),
        Word::String(text) if text.trim().len() == text.len() => whole(text.as_bytes()),
        _ => None,
    }
}

fn in_range<N: TryFrom<i128>>(whole: &Whole) -> Option<N> {
    let value: i128 = whole.digits.parse().ok()?;
    N::try_from(if whole.negative { -value } else { value }).ok()
}

/// A number of the kind that is asked for.
pub(super) fn integer<N: TryFrom<i128>>(token: &Token<'_>) -> Option<N> {
    in_range(&number(token)?)
}

/// The value of an enum. `Some(None)` for a name that it does not have, which is passed over.
pub(super) fn enumeration(token: &Token<'_>, of: &Enum) -> Option<Option<i32>> {
    match &token.word {
        Word::String(name) => Some(of.values.iter().find(|(known, _)| known == name).map(|(_, number)| *number)),
        Word::Number => in_range(&whole(token.raw)?).map(Some),
        _ => None,
    }
}

/// Base64 as Go reads it: bits behind the last byte do not matter.
const fn engine(alphabet: &Alphabet, padding: DecodePaddingMode) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new();
    GeneralPurpose::new(alphabet, config.with_decode_allow_trailing_bits(true).with_decode_padding_mode(padding))
}

static PADDED: GeneralPurpose = engine(&STANDARD, DecodePaddingMode::RequireCanonical);
static BARE: GeneralPurpose = engine(&STANDARD, DecodePaddingMode::RequireNone);
static URL_PADDED: GeneralPurpose = engine(&URL_SAFE, DecodePaddingMode::RequireCanonical);
static URL_BARE: GeneralPurpose = engine(&URL_SAFE, DecodePaddingMode::RequireNone);

/// Bytes of a string in base64, of either alphabet, with padding or without. Line ends in it do not matter.
pub(super) fn bytes(token: &Token<'_>) -> Option<Vec<u8>> {
    let Word::String(text) = &token.word else { return None };
    let engine = match (text.contains(['-', '_']), text.len().is_multiple_of(4)) {
        (false, true) => &PADDED,
        (false, false) => &BARE,
        (true, true) => &URL_PADDED,
        (true, false) => &URL_BARE,
    };
    if text.contains(['\r', '\n']) {
        return engine.decode(text.replace(['\r', '\n'], "")).ok();
    }
    engine.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(text: &str) -> Option<i64> {
        in_range(&whole(text.as_bytes())?)
    }

    #[test]
    fn whole_numbers_may_be_written_in_many_ways() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("0.0", 0),
            ("0e99999999999", 0),
            ("1.0", 1),
            ("1e1", 10),
            ("1.5e1", 15),
            ("-12.50e+1", -125),
            ("100e-2", 1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            // a string is read as far as its first word
            ("5,6", 5),
            ("5 6", 5),
        ] {
            assert_eq!(int(text), Some(value), "{text}");
        }
        for text in [
            "",
            "-",
            "1.5",
            "1e-1",
            "0.5",
            "9223372036854775808",
            "1e20",
            "1e99999999999",
            "5x",
            "5.",
            "x",
            "+5",
            "1ee",
        ] {
            assert_eq!(int(text), None, "{text}");
        }
    }

    #[test]
    fn base64_is_taken_as_go_takes_it() {
        let decode = |text: &str| bytes(&Token { word: Word::String(text.into()), raw: b"", at: 0 });
        for (text, value) in [
            ("", &b""[..]),
            ("Zm9v", b"foo"),
            ("Zg==", b"f"),
            ("Zg", b"f"),
            ("Zh==", b"f"),
            ("_-8=", b"\xff\xef"),
            ("_-8", b"\xff\xef"),
            ("Zm9v\nZg\n=\n", b"foof"),
        ] {
            let got = decode(text);
            if text.len().is_multiple_of(4) || !text.contains('=') {
                assert_eq!(got.as_deref(), Some(value), "{text:?}");
            } else {
                assert_eq!(got, None, "{text:?}: the length counts line ends");
            }
        }
        for text in ["!!", "Z", "Zg=", "Zg===", "Z===", "+-8=", "Zm9v Zg=="] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
