//! Values of flags: how they are read, checked and asked for.

use super::spec::{Flag, Kind};
use super::text;
use std::collections::BTreeMap;
use std::time::Duration;

/// Why a text is no number, in the words of Go's `strconv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// Not a number.
    Syntax,
    /// Too large or too small.
    Range,
}

impl std::fmt::Display for NumberError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Syntax => "invalid syntax",
            Self::Range => "value out of range",
        })
    }
}

#[derive(Clone, Debug)]
struct Given {
    flag: &'static Flag,
    parts: Vec<Vec<u8>>,
    changed: bool,
}

/// The flags of a command with what they are set to.
#[derive(Clone, Debug, Default)]
pub struct Values(BTreeMap<&'static str, Given>);

impl Values {
    /// Everything at its default.
    pub fn defaults(flags: &[&'static Flag]) -> Self {
        let given = |flag: &&'static Flag| {
            (flag.name, Given { flag, parts: vec![flag.default.as_bytes().to_vec()], changed: false })
        };
        Self(flags.iter().map(given).collect())
    }

    /// Sets a flag.
    ///
    /// # Errors
    /// Why the value does not fit, in the words of etcdctl's parser.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        let Some(given) = self.0.get_mut(name) else { return Ok(()) };
        check(given.flag.kind, &text(value))?;
        if given.flag.kind == Kind::List {
            let parts = value.split(|b| *b == b',').map(<[u8]>::to_vec).filter(|_| !value.is_empty());
            if !given.changed {
                given.parts.clear();
            }
            given.parts.extend(parts);
        } else {
            given.parts = vec![value.to_vec()];
        }
        given.changed = true;
        Ok(())
    }

    /// Whether it was set.
    pub fn changed(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|given| given.changed)
    }

    /// As it was given.
    pub fn bytes(&self, name: &str) -> &[u8] {
        self.0.get(name).and_then(|given| given.parts.first()).map_or(&[], Vec::as_slice)
    }

    /// The parts of a list.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.0.get(name).map(|given| given.parts.iter().map(|part| text(part)).collect()).unwrap_or_default()
    }

    /// A switch.
    pub fn on(&self, name: &str) -> bool {
        boolean(&text(self.bytes(name))).unwrap_or(false)
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> i64 {
        integer(&text(self.bytes(name)), 0).unwrap_or(0)
    }

    /// A length of time; a negative one has passed already.
    pub fn duration(&self, name: &str) -> Duration {
        duration(&text(self.bytes(name))).unwrap_or_default()
    }

    /// Every flag with its value, as `--debug` shows them.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        self.0.values().map(|given| (given.flag.name, shown(given))).collect()
    }
}

fn shown(given: &Given) -> String {
    let parts: Vec<String> = given.parts.iter().map(|part| text(part)).collect();
    if given.flag.kind == Kind::List { format!("[{}]", parts.join(",")) } else { parts.concat() }
}

/// Whether a text fits a flag.
///
/// # Errors
/// Why not, as Go's parsers say it.
fn check(kind: Kind, given: &str) -> Result<(), String> {
    match kind {
        Kind::Text | Kind::List => Ok(()),
        Kind::Bool => match boolean(given) {
            Some(_) => Ok(()),
            None => Err(super::bad_number("ParseBool", given, NumberError::Syntax)),
        },
        Kind::Int => integer(given, 0).map(|_| ()).map_err(|why| super::bad_number("ParseInt", given, why)),
        Kind::Uint => unsigned(given, 0).map(|_| ()).map_err(|why| super::bad_number("ParseUint", given, why)),
        Kind::Duration => duration(given).map(|_| ()),
    }
}

/// Go's `strconv.ParseBool`.
pub fn boolean(given: &str) -> Option<bool> {
    match given {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `strconv.ParseInt` into 64 bits. Base 0 takes prefixes and underscores.
///
/// # Errors
/// Like Go's.
pub fn integer(given: &str, base: u32) -> Result<i64, NumberError> {
    let (negative, rest) = match given.as_bytes().first() {
        Some(b'-') => (true, &given[1..]),
        Some(b'+') => (false, &given[1..]),
        _ => (false, given),
    };
    let value = i128::from(unsigned(rest, base)?);
    i64::try_from(if negative { -value } else { value }).map_err(|_| NumberError::Range)
}

/// Go's `strconv.ParseUint` into 64 bits.
///
/// # Errors
/// Like Go's.
pub fn unsigned(given: &str, base: u32) -> Result<u64, NumberError> {
    let lower = given.to_ascii_lowercase();
    let (digits, radix) = match (base, lower.get(..2), lower.as_bytes()) {
        (0, Some("0x"), _) => (&lower[2..], 16),
        (0, Some("0o"), _) => (&lower[2..], 8),
        (0, Some("0b"), _) => (&lower[2..], 2),
        (0, _, [b'0', _, ..]) => (&lower[1..], 8),
        (0, ..) => (lower.as_str(), 10),
        _ => (lower.as_str(), base),
    };
    let plain = if base == 0 { digits.replace('_', "") } else { digits.to_owned() };
    if plain.is_empty() || !plain.chars().all(|c| c.is_digit(radix)) {
        return Err(NumberError::Syntax);
    }
    u64::from_str_radix(&plain, radix).map_err(|_| NumberError::Range)
}

/// Go's `time.ParseDuration`; what is negative becomes zero, which has passed as well.
///
/// # Errors
/// Like Go's.
pub fn duration(given: &str) -> Result<Duration, String> {
    let (negative, length) = units::signed_duration(given).map_err(|why| why.to_string())?;
    Ok(if negative { Duration::ZERO } else { length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_go_reads_them() {
        assert_eq!(integer("zz", 16), Err(NumberError::Syntax));
        assert_eq!(integer("-7fffffffffffffff", 16), Ok(-i64::MAX));
        assert_eq!(integer("8000000000000000", 16), Err(NumberError::Range));
        assert_eq!(integer("0x10", 0), Ok(16));
        assert_eq!(integer("0x10", 10), Err(NumberError::Syntax));
        assert_eq!(integer("", 10), Err(NumberError::Syntax));
        assert_eq!(integer("--1", 10), Err(NumberError::Syntax));
        assert_eq!(integer("010", 0), Ok(8));
        assert_eq!(integer("0", 0), Ok(0));
    }

    #[test]
    fn lengths_of_time_that_have_passed_are_none() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("-1s"), Ok(Duration::ZERO));
        assert_eq!(duration("5").unwrap_err(), "time: missing unit in duration \"5\"");
    }
}
