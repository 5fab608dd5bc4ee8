//! Sizes and times for people.

use std::time::Duration;

/// `20 kB`, `2.1 GB`: powers of a thousand, as etcdctl prints sizes.
pub fn bytes(size: u64) -> String {
    const NAMES: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if size < 10 {
        return format!("{size} B");
    }
    let size = size as f64;
    let step = (size.ln() / 1000f64.ln()).floor() as i32;
    let value = (size / 1000f64.powi(step) * 10.0 + 0.5).floor() / 10.0;
    let name = NAMES[step as usize];
    if value < 10.0 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
}

/// A length of time as Go prints it: `2.323984ms`, `1m30s`.
pub fn took(length: Duration) -> String {
    let nanos = length.as_nanos();
    let decimal = |scale: u128, unit: &str| {
        let digits = format!("{:0width$}", nanos % scale, width = scale.ilog10() as usize);
        let digits = digits.trim_end_matches('0');
        let dot = if digits.is_empty() { "" } else { "." };
        format!("{}{dot}{digits}{unit}", nanos / scale)
    };
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => decimal(1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(1_000_000, "ms"),
        _ => {
            let secs = length.as_secs();
            let rest = took_seconds(secs % 60, length.subsec_nanos());
            match (secs / 3600, secs / 60 % 60) {
                (0, 0) => rest,
                (0, minutes) => format!("{minutes}m{rest}"),
                (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
            }
        }
    }
}

fn took_seconds(secs: u64, nanos: u32) -> String {
    let digits = format!("{nanos:09}");
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() { format!("{secs}s") } else { format!("{secs}.{digits}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_etcdctl_prints_them() {
        let cases = [
            (0, "0 B"),
            (9, "9 B"),
            (10, "10 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (16_384, "16 kB"),
            (20_480, "20 kB"),
            (1_250_000, "1.3 MB"),
            (2_147_483_648, "2.1 GB"),
        ];
        for (size, shown) in cases {
            assert_eq!(bytes(size), shown);
        }
    }

    #[test]
    fn times_as_go_prints_them() {
        assert_eq!(took(Duration::from_nanos(2_323_984)), "2.323984ms");
        assert_eq!(took(Duration::from_nanos(5_001_238_564)), "5.001238564s");
        assert_eq!(took(Duration::from_millis(90_500)), "1m30.5s");
        assert_eq!(took(Duration::from_secs(3600)), "1h0m0s");
        assert_eq!(took(Duration::from_micros(12)), "12µs");
    }
}
