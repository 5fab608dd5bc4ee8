//! Where reports go, and the question for a password.
//!
//! Must leave standard output to the report.

use super::Failed;
use crate::flags::Given;
use crate::report::{Style, Summary, csv, html, json, painted, perfdash, text};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How reports of this run are written.
pub(super) fn style(given: &Given) -> Style {
    Style { precise: given.flag("precise"), sample: given.flag("sample"), fine: given.flag("percentiles") }
}

/// Prints to standard output; a closed pipe ends the program's output quietly.
pub(super) fn print(words: &str) -> Result<(), Failed> {
    match io::stdout().write_all(words.as_bytes()) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => Err(Failed::System(why)),
        _ => Ok(()),
    }
}

/// Prints a report under a heading, unless standard output is taken by JSON.
pub(super) fn report(given: &Given, heading: &str, summary: &Summary, end: &str) -> Result<(), Failed> {
    if given.text("json") == "-" {
        return Ok(());
    }
    let words = format!("{heading}{}{end}", text(summary, style(given)));
    print(&if colours() { painted(&words) } else { words })
}

/// Whether a person reads standard output and wants colours.
fn colours() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    io::stdout().is_terminal() && set("TERM").is_some_and(|term| term != "dumb") && set("NO_COLOR").is_none()
}

/// Writes the files that were asked for.
pub(super) fn files(given: &Given, summaries: &[Summary]) -> Result<(), Failed> {
    if given.flag("report-perfdash") {
        for summary in summaries {
            artifact(summary)?;
        }
    }
    let flags = given.spoken();
    if let Some(path) = given.path("json") {
        let map: Map<String, Value> =
            flags.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        let value = json(given.command.name, &Value::Object(map), cpu, summaries);
        write(&path, &format!("{value:#}\n"))?;
    }
    if let Some(path) = given.path("csv") {
        write(&path, &csv(summaries))?;
    }
    if let Some(path) = given.path("html") {
        write(&path, &html(given.command.name, &flags, summaries))?;
    }
    Ok(())
}

fn write(path: &Path, contents: &str) -> Result<(), Failed> {
    if path == Path::new("-") {
        return print(contents);
    }
    std::fs::write(path, contents).map_err(|why| Failed::File(format!("cannot write {}", path.display()), why))
}

fn artifact(summary: &Summary) -> Result<(), Failed> {
    let dir = std::env::var_os("ARTIFACTS").filter(|dir| !dir.is_empty()).map_or("./_artifacts".into(), PathBuf::from);
    std::fs::create_dir_all(&dir).map_err(|why| Failed::File(format!("cannot make {}", dir.display()), why))?;
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    let path = dir.join(format!("EtcdAPI_benchmark_{}_{}.json", summary.name, rfc3339(unix)));
    write(&path, &format!("{:#}", perfdash(summary)))?;
    print(&format!("Successfully created a JSON perf report at {}\n", path.display()))
}

/// A moment in UTC, to the second.
fn rfc3339(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // days to a date, counted from the first of March of year 0 (Howard Hinnant's civil_from_days)
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Asks for a password; on a terminal it is not shown.
pub(super) fn password() -> Result<String, Failed> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin).ok();
    if let Some(mut quiet) = before.clone() {
        eprint!("Password: ");
        quiet.local_modes -= LocalModes::ECHO;
        tcsetattr(&stdin, OptionalActions::Now, &quiet).map_err(io::Error::from)?;
    }
    let mut line = String::new();
    let read = stdin.read_line(&mut line);
    if let Some(before) = before {
        tcsetattr(&stdin, OptionalActions::Now, &before).map_err(io::Error::from)?;
        eprintln!();
    }
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn moments() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(1_709_164_800), "2024-02-29T00:00:00Z");
    }
}
