//! Numbers as Go prints them, because scripts parse etcd's reports.
//!
//! Must not round differently.

/// `%4.4f`, or `%g` when precise.
pub(super) fn number(value: f64, precise: bool) -> String {
    if precise { shortest(value) } else { format!("{value:.4}") }
}

/// Go's `%g`: the fewest digits that give the value back, with an exponent when it is below -4 or above 20.
fn shortest(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "NaN".into() } else { if value > 0.0 { "+Inf" } else { "-Inf" }.into() };
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..21).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_go_has_them() {
        assert_eq!(number(0.00012345, false), "0.0001");
        assert_eq!(number(1234567.0, false), "1234567.0000");
        for (value, words) in [
            (0.1, "0.1"),
            (0.000123, "0.000123"),
            (0.0000123, "1.23e-05"),
            (12345.678, "12345.678"),
            (1e20, "100000000000000000000"),
            (1.5e21, "1.5e+21"),
            (0.0, "0"),
        ] {
            assert_eq!(number(value, true), words);
        }
    }
}
