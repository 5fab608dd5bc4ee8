//! What only a person sees: colours, passwords without an echo, progress, tables that fit.
//!
//! In a pipe nothing of it may appear. `NO_COLOR` turns colours off.

pub mod password;
pub mod progress;

use rustix::termios::tcgetwinsize;
use std::io::IsTerminal;

/// Whether a person reads standard output.
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal() && named()
}

/// Whether a person reads standard error.
pub fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal() && named()
}

/// A terminal without a name belongs to a program that drives us, not to a person.
fn named() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Columns of the terminal on standard output, if it is one that knows them.
pub fn width() -> Option<usize> {
    let size = stdout_is_terminal().then(|| tcgetwinsize(std::io::stdout()))?.ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Whether answers may be coloured.
pub fn colours() -> bool {
    stdout_is_terminal() && wanted()
}

fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && named()
}

fn paint(code: &str, text: &str) -> String {
    if wanted() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// What is said beside the point.
pub fn dim(text: &str) -> String {
    paint("2", text)
}

/// Names of columns.
pub fn bold(text: &str) -> String {
    paint("1", text)
}

/// What is well.
pub fn good(text: &str) -> String {
    paint("32", text)
}

/// What is not.
pub fn bad(text: &str) -> String {
    paint("31", text)
}

/// What to do next.
pub fn hint(text: &str) -> String {
    paint("36", text)
}

/// A key before its value. Keys are bytes.
pub fn key(bytes: &[u8]) -> Vec<u8> {
    if wanted() { [b"\x1b[36m", bytes, b"\x1b[0m"].concat() } else { bytes.to_vec() }
}

/// `PUT` and `DELETE`.
pub fn event(kind: &str) -> String {
    if kind == "PUT" { good(kind) } else { bad(kind) }
}

/// A cell of a table, padded already: yes and no stand out.
pub fn cell(value: &str, padded: &str) -> String {
    match value {
        "true" | "started" => good(padded),
        "unstarted" => paint("33", padded),
        _ => padded.to_owned(),
    }
}
