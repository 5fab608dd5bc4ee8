//! Values in Go's syntax: booleans and numbers; lengths of time are those of `units`.
//!
//! Error texts are what Go's flag package prints after `invalid value "x" for flag -y: `.

use super::gates;
use super::spec::Kind;
use embed::listen::parse_url;

/// Checks a value against its kind.
///
/// # Errors
/// The reason in Go's words.
pub fn check(kind: Kind, text: &str) -> Result<(), String> {
    let parse_error = || "parse error".to_owned();
    match kind {
        Kind::Text | Kind::Ignored => Ok(()),
        Kind::Bool => boolean(text).map(|_| ()).ok_or_else(parse_error),
        Kind::Int => number::<i64>(text).map(|_| ()).ok_or_else(parse_error),
        Kind::Uint => number::<u64>(text).map(|_| ()).ok_or_else(parse_error),
        Kind::Uint32 => match number::<u32>(text) {
            Some(_) => Ok(()),
            None => Err(format!("strconv.ParseUint: parsing {text:?}: invalid syntax")),
        },
        Kind::Size if text.is_empty() => Ok(()),
        Kind::Size => units::parse_size(text).map(|_| ()).map_err(|why| why.to_string()),
        Kind::Duration => units::duration(text).map(|_| ()).map_err(|_| parse_error()),
        Kind::OptionalUrls if text.is_empty() => Ok(()),
        // etcd takes an empty list here and complains later about what is missing
        Kind::Urls if text.is_empty() => Ok(()),
        Kind::Urls | Kind::OptionalUrls => {
            list(text).try_for_each(|url| parse_url(url).map(|_| ()).map_err(|why| why.to_string()))
        }
        Kind::Word(words) if words.contains(&text) => Ok(()),
        Kind::Word(words) if words.contains(&"write-only") => Err(format!("invalid value {text:?}")),
        Kind::Word(_) => Err("invalid value".into()),
        Kind::Gates => gates::parse(text).map(|_| ()),
    }
}

/// Parts of a list, blanks and empty parts dropped.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// Go's `strconv.ParseBool`.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A whole number: decimal, `0x`, `0o`, `0b`, octal behind a plain zero, underscores between digits.
pub fn number<T: TryFrom<i128>>(text: &str) -> Option<T> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let rest = rest.to_ascii_lowercase();
    let (digits, radix) = match rest.get(..2) {
        Some("0x") => (&rest[2..], 16),
        Some("0o") => (&rest[2..], 8),
        Some("0b") => (&rest[2..], 2),
        Some(leading) if leading.starts_with('0') => (&rest[1..], 8),
        _ => (rest.as_str(), 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    T::try_from(if negative { -value } else { value }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_booleans() {
        assert_eq!(number::<i64>("-0x10"), Some(-16));
        assert_eq!(number::<u64>("1_000"), Some(1000));
        assert_eq!((number::<u64>("010"), number::<u64>("0"), number::<u64>("0_7")), (Some(8), Some(0), Some(7)));
        assert_eq!(number::<u64>("-1"), None);
        assert_eq!(number::<u64>("+-1"), None);
        assert_eq!(number::<u64>("abc"), None);
        assert_eq!(boolean("T"), Some(true));
        assert_eq!(boolean("yes"), None);
    }

    #[test]
    fn words_of_refusal() {
        let refused = |kind, text| check(kind, text).unwrap_err();
        assert_eq!(refused(Kind::Uint, "abc"), "parse error");
        assert_eq!(refused(Kind::Uint32, "-1"), "strconv.ParseUint: parsing \"-1\": invalid syntax");
        assert_eq!(refused(Kind::Word(&["new"]), "foo"), "invalid value");
        assert_eq!(refused(Kind::Gates, "Foo=true"), "unrecognized feature gate: Foo");
        assert!(refused(Kind::Urls, "http://127.0.0.1").contains("host:port"));
    }
}
