//! Moments in UTC.

use std::time::Duration;

/// `2006-01-02T15:04:05Z`, of seconds since 1970.
pub fn utc_seconds(since: u64) -> String {
    format!("{}Z", second(since))
}

/// `2006-01-02T15:04:05.000000Z`, of a time since 1970.
pub fn utc_micros(since: Duration) -> String {
    format!("{}.{:06}Z", second(since.as_secs()), since.subsec_micros())
}

fn second(since: u64) -> String {
    let (year, month, day) = date(since / 86_400);
    let (hour, minute, second) = (since / 3600 % 24, since / 60 % 60, since % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// The day of the Gregorian calendar, `days` after 1970-01-01. Years begin in March here, so that leap days come last.
fn date(days: u64) -> (u64, u64, u64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (1_787_227_200, "2026-08-20T12:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (since, words) in cases {
            assert_eq!(utc_seconds(since), words);
        }
        assert_eq!(utc_micros(Duration::from_micros(1_136_214_245_000_120)), "2006-01-02T15:04:05.000120Z");
    }
}
