//! Lengths of time in Go's form, because etcd's flags take it and scripts read it: `300ms`, `1m30s`.

use std::time::Duration;

/// Why a text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not at all, or too long: 292 years are the most.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without its unit.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A number with a unit nobody knows: the unit, the whole text.
    #[error("time: unknown unit {0:?} in duration {1:?}")]
    UnknownUnit(String, String),
}

/// Nanoseconds of each.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Go's `time.ParseDuration` for lengths that cannot be negative.
///
/// # Errors
/// In Go's words; anything with a minus is invalid.
pub fn duration(text: &str) -> Result<Duration, DurationError> {
    match signed_duration(text)? {
        (false, length) => Ok(length),
        (true, _) => Err(DurationError::Invalid(text.into())),
    }
}

/// Go's `time.ParseDuration`: whether there is a minus, and the length without it.
///
/// # Errors
/// In Go's words.
pub fn signed_duration(text: &str) -> Result<(bool, Duration), DurationError> {
    let invalid = || DurationError::Invalid(text.into());
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok((negative, Duration::ZERO));
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let in_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (amount, tail) = rest.split_at(rest.find(|c| !in_number(c)).unwrap_or(rest.len()));
        let (unit, tail) = tail.split_at(tail.find(in_number).unwrap_or(tail.len()));
        if amount.bytes().filter(u8::is_ascii_digit).count() == 0 {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.into()));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit(unit.into(), text.into()));
        };
        nanos = scaled(amount, *scale).and_then(|part| nanos.checked_add(part)).ok_or_else(invalid)?;
        rest = tail;
    }
    let nanos = u64::try_from(nanos).ok().filter(|nanos| *nanos <= i64::MAX as u64).ok_or_else(invalid)?;
    Ok((negative, Duration::from_nanos(nanos)))
}

fn scaled(amount: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    if fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    // more digits than nanoseconds can show change nothing
    let fraction = &fraction[..fraction.len().min(15)];
    let part = digits(fraction)? * scale / 10u128.pow(fraction.len() as u32);
    digits(whole)?.checked_mul(scale)?.checked_add(part)
}

/// Go's `time.Duration.String`: `2.323984ms`, `1m30s`, `0s`.
pub fn show_duration(length: Duration) -> String {
    let nanos = length.as_nanos();
    let decimal = |nanos: u128, scale: u128, unit: &str| {
        let fraction = format!("{:0width$}", nanos % scale, width = scale.ilog10() as usize);
        let fraction = fraction.trim_end_matches('0');
        let dot = if fraction.is_empty() { "" } else { "." };
        format!("{}{dot}{fraction}{unit}", nanos / scale)
    };
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => decimal(nanos, 1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(nanos, 1_000_000, "ms"),
        _ => {
            let minutes = nanos / 60_000_000_000;
            let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_as_go_reads_them() {
        let cases = [
            ("100ms", 100_000_000),
            ("1m30s", 90_000_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("1.5h", 5_400_000_000_000),
            ("+.5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("0.1s", 100_000_000),
            ("0", 0),
            ("7ns", 7),
            ("1us", 1_000),
            ("1µs", 1_000),
            ("2h", 7_200_000_000_000),
            ("9223372036854775807ns", i64::MAX as u64),
        ];
        for (text, nanos) in cases {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        assert_eq!(signed_duration("-1m"), Ok((true, Duration::from_secs(60))));
        assert_eq!(signed_duration("-0"), Ok((true, Duration::ZERO)));
    }

    #[test]
    fn words_of_refusal_are_gos() {
        let said = |text: &str| duration(text).unwrap_err().to_string();
        let invalid = ["", "-", "s", ".s", "m", "abc", "1..5s", "1.2.3s", "-1s", "+-1s", "99999999999h"];
        for bad in invalid.into_iter().chain(["9223372036854775808ns"]) {
            assert_eq!(said(bad), format!("time: invalid duration {bad:?}"));
        }
        for bad in ["5", "1s5", "1."] {
            assert_eq!(said(bad), format!("time: missing unit in duration {bad:?}"));
        }
        assert_eq!(said("5x"), "time: unknown unit \"x\" in duration \"5x\"");
        assert_eq!(said("1sx"), "time: unknown unit \"sx\" in duration \"1sx\"");
    }

    #[test]
    fn lengths_as_go_prints_them() {
        let cases = [
            (0, "0s"),
            (7, "7ns"),
            (12_000, "12µs"),
            (1_500, "1.5µs"),
            (2_323_984, "2.323984ms"),
            (5_000_000_000, "5s"),
            (5_001_238_564, "5.001238564s"),
            (60_000_000_000, "1m0s"),
            (90_500_000_000, "1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (7_265_000_000_000, "2h1m5s"),
        ];
        for (nanos, words) in cases {
            assert_eq!(show_duration(Duration::from_nanos(nanos)), words);
        }
    }
}
