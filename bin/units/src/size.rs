//! Sizes as people read and write them.

const NAMES: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// `20 kB`, `2.1 GB`: powers of a thousand, a digit after the point below ten, as etcd's tools print sizes.
pub fn size(bytes: u64) -> String {
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let power = bytes.ilog10() / 3;
    let value = (bytes as f64 / 1000f64.powi(power as i32) * 10.0 + 0.5).floor() / 10.0;
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$} {}", NAMES[power as usize])
}

/// Why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeError;

impl std::fmt::Display for SizeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number of bytes is expected, such as 268435456, 256MiB, 256Mi or 1.5GB")
    }
}

impl std::error::Error for SizeError {}

/// Reads `268435456`, `256MiB`, `256 Mi` or `1.5GB`: `Ki`, `Mi`, `Gi`, `Ti` are powers of 1,024, `k`, `M`, `G`, `T` of 1,000.
///
/// # Errors
/// [`SizeError`] for anything else, and for what 64 bits do not hold.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim();
    let prefix = unit.strip_suffix('B').or_else(|| unit.strip_suffix('b')).unwrap_or(unit);
    let factor: u64 = match prefix.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "t" => 1_000_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        "ti" => 1 << 40,
        _ => return Err(SizeError),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or(SizeError);
    }
    let bytes = number.parse::<f64>().map_err(|_| SizeError)? * factor as f64;
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(SizeError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        let cases = [
            ("0", 0),
            ("268435456", 256 << 20),
            ("256MiB", 256 << 20),
            ("256 Mi", 256 << 20),
            ("256mib", 256 << 20),
            ("128M", 128_000_000),
            ("1.5GB", 1_500_000_000),
            ("0.5Gi", 512 << 20),
            ("16 KiB", 16 << 10),
            ("2T", 2_000_000_000_000),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.2.3", "12 apples", "99999999999Ti", "1e3"] {
            assert_eq!(parse_size(text), Err(SizeError), "{text}");
        }
    }

    #[test]
    fn sizes_as_etcds_tools_print_them() {
        let cases = [
            (0, "0 B"),
            (9, "9 B"),
            (10, "10 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (16_384, "16 kB"),
            (20_480, "20 kB"),
            (999_999, "1000 kB"),
            (1_250_000, "1.3 MB"),
            (9_960_000, "10 MB"),
            (82_854_982, "83 MB"),
            (1_000_000_000, "1.0 GB"),
            (2_147_483_648, "2.1 GB"),
            (u64::MAX, "18 EB"),
        ];
        for (bytes, words) in cases {
            assert_eq!(size(bytes), words);
        }
    }
}
