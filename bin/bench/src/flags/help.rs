//! `--help`: made from the tables, so that it cannot be out of date.
//!
//! Must fit 120 columns.

use super::spec::{COMMANDS, Command, GLOBAL, Kind, Spec};
use std::fmt::Write;

const WIDTH: usize = 118;

/// What the program is and which commands it has.
pub fn overview() -> String {
    let mut out = String::from(
        "conclave-bench loads a server that speaks etcd's API and reports what it did.\n\n\
         Commands and flags of etcd's benchmark tool work as they do there, and print the same report.\n\n\
         Usage:\n  conclave-bench COMMAND [flags]\n\nCommands:\n",
    );
    for command in COMMANDS {
        let _ = writeln!(out, "  {:<17}{}", command.name, command.short);
    }
    let _ = writeln!(out, "  {:<17}Print the version", "version");
    out.push_str("\nFlags of every command:\n");
    flags(&mut out, GLOBAL);
    out.push_str("\nconclave-bench COMMAND --help shows the flags of a command.\n");
    out
}

/// One command.
pub fn command_help(command: &Command) -> String {
    let mut out = format!("{}\n", command.short);
    if !command.long.is_empty() {
        out.push('\n');
        wrapped(&mut out, command.long, 0);
    }
    let args = if command.args.is_empty() { String::new() } else { format!(" {}", command.args) };
    let _ = writeln!(out, "\nUsage:\n  conclave-bench {}{args} [flags]\n\nFlags:", command.name);
    flags(&mut out, command.flags);
    out.push_str("\nFlags of every command:\n");
    flags(&mut out, GLOBAL);
    out
}

fn flags(out: &mut String, specs: &[Spec]) {
    for spec in specs {
        let head = match spec.kind {
            Kind::Bool => format!("--{}", spec.name),
            kind => format!("--{} {}", spec.name, kind.word()),
        };
        let default = match (spec.kind, spec.default) {
            (_, "") | (Kind::Bool, "false") => String::new(),
            (_, default) => format!(" (default {default})"),
        };
        let _ = write!(out, "  {head:<30}");
        if head.len() >= 30 {
            let _ = write!(out, "\n{:32}", "");
        }
        wrapped(out, &format!("{}{default}", spec.help), 32);
    }
}

/// Writes words up to the width; further lines begin at `indent`. The first line's start is already there.
fn wrapped(out: &mut String, text: &str, indent: usize) {
    let mut at = indent;
    for word in text.split_whitespace() {
        let len = word.chars().count();
        if at > indent && at + 1 + len > WIDTH {
            let _ = write!(out, "\n{:indent$}", "");
            at = indent;
        }
        if at > indent {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += len;
    }
    out.push('\n');
}
