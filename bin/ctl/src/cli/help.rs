//! Help, in the shape that etcdctl's users know: usage, commands by group, flags in columns.

use super::find::path_text;
use super::program;
use super::spec::{Command, Flag, Group, HELP, Kind};
use std::fmt::Write;

/// The line that ends every help text.
pub fn closing() -> String {
    format!("Use \"{} options\" for a list of global command-line options (applies to all commands).\n", program())
}

/// What `--help` prints.
pub fn full(path: &[&'static Command]) -> String {
    let here = *path.last().expect("the root at least");
    let head = if here.long.is_empty() { here.short } else { here.long };
    format!("{}\n\n{}{}", named(head.trim_end()), usage(path), closing())
}

/// How a command is used.
pub fn usage(path: &[&'static Command]) -> String {
    let here = *path.last().expect("the root at least");
    let name = path_text(path);
    let mut out = "Usage:\n".to_owned();
    if here.run.is_some() {
        let flags = if here.words.is_some() { "" } else { " [flags]" };
        let usage = if here.usage.is_empty() { String::new() } else { format!(" {}", here.usage) };
        let _ = writeln!(out, "  {name}{usage}{flags}");
    }
    if !here.below.is_empty() {
        let _ = writeln!(out, "  {name} [command]");
    }
    if !here.example.is_empty() {
        let _ = write!(out, "\nExamples:\n{}\n", named(here.example.trim_end()));
    }
    commands(&mut out, here);
    let mut own: Vec<&Flag> = here.flags.iter().collect();
    if path.len() > 1 {
        own.extend(here.shared);
        own.push(&HELP);
    }
    if !own.is_empty() {
        let _ = write!(out, "\nFlags:\n{}", flags(&own, here.name));
    }
    let above: Vec<&Flag> = path.iter().skip(1).rev().skip(1).flat_map(|command| command.shared).collect();
    if !above.is_empty() {
        let _ = write!(out, "\nGlobal Flags:\n{}", flags(&above, here.name));
    }
    if !here.below.is_empty() {
        let _ = write!(out, "\nUse \"{name} [command] --help\" for more information about a command.\n");
    }
    out
}

fn named(text: &str) -> String {
    text.replace("{}", program())
}

fn commands(out: &mut String, here: &'static Command) {
    let mut sorted: Vec<&Command> = here.below.iter().collect();
    sorted.sort_by_key(|command| command.name);
    let mut list = |title: &str, group: Group| {
        let _ = write!(out, "\n{title}\n");
        for command in sorted.iter().filter(|command| command.group == group) {
            let _ = writeln!(out, "  {:<11} {}", command.name, named(command.short));
        }
    };
    if sorted.iter().any(|command| command.group != Group::None) {
        for (group, title) in Group::TITLES {
            list(title, group);
        }
    } else if !sorted.is_empty() {
        list("Available Commands:", Group::None);
    }
}

/// Flags in columns, by name.
pub fn flags(all: &[&Flag], command: &str) -> String {
    let mut sorted = all.to_vec();
    sorted.sort_by_key(|flag| flag.name);
    let left: Vec<String> = sorted.iter().map(|flag| left(flag)).collect();
    let width = left.iter().map(String::len).max().unwrap_or(0);
    let mut out = String::new();
    for (flag, left) in sorted.iter().zip(left) {
        let help = if flag.name == "help" { format!("help for {command}") } else { flag.help.to_owned() };
        let _ = writeln!(out, "{left:<width$}   {help}{}", default(flag));
    }
    out
}

fn left(flag: &Flag) -> String {
    let short = flag.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    let kind = match flag.kind {
        Kind::Bool => "",
        Kind::Int => " int",
        Kind::Uint => " uint",
        Kind::Duration => " duration",
        Kind::Text => " string",
        Kind::List => " strings",
    };
    format!("  {short}--{}{kind}", flag.name)
}

fn default(flag: &Flag) -> String {
    match (flag.kind, flag.default) {
        (_, "" | "false") | (Kind::Int | Kind::Uint, "0") => String::new(),
        (Kind::Text, text) => format!(" (default {text:?})"),
        (Kind::List, text) => format!(" (default [{text}])"),
        (_, text) => format!(" (default {text})"),
    }
}
