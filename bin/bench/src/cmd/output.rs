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
    let path = dir.join(format!("EtcdAPI_benchmark_{}_{}.json", summary.name, units::utc_seconds(unix)));
    write(&path, &format!("{:#}", perfdash(summary)))?;
    print(&format!("Successfully created a JSON perf report at {}\n", path.display()))
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
