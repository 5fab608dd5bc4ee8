//! Whether a text is a value of a kind of flag.
//!
//! Error texts are what Go's flag package prints after `invalid value "x" for flag -y: `.

use super::gates;
use super::spec::Kind;
use super::syntax::{boolean, list, number};
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

#[cfg(test)]
mod tests {
    use super::*;

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
