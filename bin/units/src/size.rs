//! Sizes for people.

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

#[cfg(test)]
mod tests {
    use super::*;

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
