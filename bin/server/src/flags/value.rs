//! Values in Go's syntax: booleans, numbers, lengths of time.
//!
//! Error texts are what Go's flag package prints after `invalid value "x" for flag -y: `.

use super::gates;
use super::spec::Kind;
use embed::listen::parse_url;
use std::time::Duration;

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
        Kind::Uint32 => match text.parse::<u32>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("strconv.ParseUint: parsing {text:?}: invalid syntax")),
        },
        Kind::Duration => duration(text).map(|_| ()).ok_or_else(parse_error),
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

/// A whole number: decimal, `0x`, `0o`, `0b`, underscores between digits.
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
        _ => (rest.as_str(), 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    T::try_from(if negative { -value } else { value }).ok()
}

/// Go's `time.ParseDuration`, without negative lengths.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, tail) = rest.split_at(end);
        let units: [(&str, u128); 8] = [
            ("ns", 1),
            ("us", 1_000),
            ("µs", 1_000),
            ("μs", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ];
        let (unit, scale) = units.iter().find(|(unit, _)| tail.starts_with(unit))?;
        nanos = nanos.checked_add(scaled(amount, *scale)?)?;
        rest = &tail[unit.len()..];
    }
    let nanos = u64::try_from(nanos).ok().filter(|n| *n <= i64::MAX as u64)?;
    Some(Duration::from_nanos(nanos))
}

fn scaled(amount: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // more digits than nanoseconds can show change nothing
    let fraction = &fraction[..fraction.len().min(15)];
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
    Some(whole.checked_mul(scale)? + part * scale / 10u128.pow(fraction.len() as u32))
}

/// A length of time as Go prints it: `1m30s`, `100ms`, `0s`.
pub fn show(length: Duration) -> String {
    let nanos = length.as_nanos();
    let decimal = |scale: u128, unit: &str| {
        let fraction = format!("{:0width$}", nanos % scale, width = scale.ilog10() as usize);
        let fraction = fraction.trim_end_matches('0');
        let dot = if fraction.is_empty() { "" } else { "." };
        format!("{}{dot}{fraction}{unit}", nanos / scale)
    };
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => decimal(1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(1_000_000, "ms"),
        _ => {
            let minutes = length.as_secs() / 60;
            let seconds = length - Duration::from_secs(minutes * 60);
            let mut out = String::new();
            if minutes >= 60 {
                out = format!("{}h", minutes / 60);
            }
            if minutes > 0 {
                out += &format!("{}m", minutes % 60);
            }
            let fraction = format!("{:09}", seconds.subsec_nanos());
            let fraction = fraction.trim_end_matches('0');
            let dot = if fraction.is_empty() { "" } else { "." };
            out + &format!("{}{dot}{fraction}s", seconds.as_secs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        let cases = [
            ("100ms", 100_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("0", 0),
            ("7ns", 7),
            ("1us", 1_000),
            ("2h", 7_200_000_000_000),
        ];
        for (text, nanos) in cases {
            assert_eq!(duration(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for bad in ["", "5", "s", ".s", "1x", "1..5s", "-1s", "1s5", "99999999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        let shown = [(0, "0s"), (7, "7ns"), (1_500_000, "1.5ms"), (5_000_000_000, "5s"), (60_000_000_000, "1m0s")];
        for (nanos, text) in shown {
            assert_eq!(show(Duration::from_nanos(nanos)), text);
        }
        assert_eq!(show(Duration::from_secs(7200)), "2h0m0s");
    }

    #[test]
    fn numbers_and_booleans() {
        assert_eq!(number::<i64>("-0x10"), Some(-16));
        assert_eq!(number::<u64>("1_000"), Some(1000));
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
