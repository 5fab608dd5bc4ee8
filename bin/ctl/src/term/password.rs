//! Asks for a password without showing it.

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io::{self, BufRead, Write};

/// Asks on standard output, reads a line of standard input. Where that is a terminal, nothing that is typed is shown.
///
/// # Errors
/// When the terminal or the input fails.
pub fn ask(prompt: &str) -> io::Result<String> {
    print!("{prompt}");
    io::stdout().flush()?;
    let stdin = io::stdin();
    let shown = tcgetattr(&stdin).ok();
    if let Some(shown) = &shown {
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    }
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if let Some(shown) = &shown {
        tcsetattr(&stdin, OptionalActions::Flush, shown)?;
    }
    println!();
    read?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// The first word of standard input, as `--interactive=false` reads passwords.
pub fn word() -> String {
    let mut line = String::new();
    // nothing to read is an empty password; the server says what it thinks of it
    let _ = io::stdin().lock().read_line(&mut line);
    line.split_whitespace().next().unwrap_or_default().to_owned()
}
