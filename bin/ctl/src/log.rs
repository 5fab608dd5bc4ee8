//! Lines beside the answer, on standard error: JSON where a program reads them, plain words where a person does.

use crate::print::json::Object;
use crate::term;

/// Says something that is not an error of the command. `fields` follow the message.
pub fn line(level: &str, message: &str, fields: &[(&str, &str)]) {
    if term::stderr_is_terminal() {
        let details: Vec<&str> = fields.iter().map(|(_, value)| *value).collect();
        let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
        eprintln!("{}", term::dim(&format!("{level}: {message}{details}")));
        return;
    }
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.text("level", level);
    object.text("ts", &timestamp());
    object.text("msg", message);
    for (name, value) in fields {
        match value.parse::<u64>() {
            Ok(number) => object.number(name, number),
            Err(_) => object.text(name, value),
        }
    }
    object.close();
    eprintln!("{}", String::from_utf8_lossy(&out));
}

/// For a person only.
pub fn note(text: &str) {
    if term::stderr_is_terminal() {
        eprintln!("{}", term::dim(text));
    }
}

/// `2026-08-20T12:00:00.123456Z`.
fn timestamp() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let second = time(now.as_secs());
    format!("{}.{:06}Z", second.trim_end_matches('Z'), now.subsec_micros())
}

/// `2026-08-20T12:00:00Z`, of seconds since 1970.
pub fn time(since: u64) -> String {
    let (days, secs) = (since / 86_400, since % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", secs / 3600, secs / 60 % 60, secs % 60)
}

/// Year, month and day of a day counted from 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let of_era = z % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #[test]
    fn days() {
        assert_eq!(super::civil(0), (1970, 1, 1));
        assert_eq!(super::civil(19_782), (2024, 2, 29));
        assert_eq!(super::civil(20_685), (2026, 8, 20));
    }
}
