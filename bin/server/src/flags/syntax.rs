//! Values in Go's syntax: lists, booleans and numbers; lengths of time are those of `units`.

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
}
