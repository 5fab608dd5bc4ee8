//! What `--help` and `--version` print.

use super::spec::{Flag, Here, Kind};
use super::table;
use std::fmt::Write;

/// Commit this binary was built from, when the build said so.
const COMMIT: &str = match option_env!("CONCLAVE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Four lines as etcd prints them, because scripts read them, and one of our own.
pub fn version() -> String {
    let os = std::env::consts::OS;
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!(
        "etcd Version: {}\nGit SHA: {COMMIT}\nGo Version: none (written in Rust)\nGo OS/Arch: {os}/{arch}\nConclave Version: {}\n",
        embed::version::SERVER_VERSION,
        env!("CARGO_PKG_VERSION"),
    )
}

const HEAD: &str = "Conclave: a distributed key-value store that speaks the API of etcd.

Usage:
  conclave [flags]
    Start a member.
  conclave --config-file <file>
    Start a member with the settings of a YAML or JSON file alone.
  conclave gateway start [flags]
    Pass TCP connections on to a cluster; see conclave gateway --help.
  conclave grpc-proxy start [flags]
    Answer gRPC calls in place of a cluster; see conclave grpc-proxy --help.
  conclave --version
    Print the version.

A flag is written --flag=value or --flag value; of one that is given twice, the last value counts. Booleans may stand alone.
Every flag can be set by a variable instead: --data-dir is ETCD_DATA_DIR. Setting both is an error.
A configuration file has the flags' names as keys; all other flags and variables are ignored then.

Each line below shows a flag, its default and what it does.
  [no effect]    accepted, because configurations carry it; it changes nothing here.
  [not offered]  the member does not start when this is set to anything but its default.
";

/// Column at which a description starts.
const COLUMN: usize = 46;
/// Where descriptions are wrapped.
const WIDTH: usize = 118;

/// The whole help text: flags by area, each with its default and what it does.
pub fn help() -> String {
    let mut out = HEAD.to_owned();
    let mut area = None;
    for flag in table::flags() {
        if area != Some(flag.area) {
            area = Some(flag.area);
            let _ = write!(out, "\n{}:\n", flag.area.title());
        }
        entry(&mut out, &flag);
    }
    out
}

fn entry(out: &mut String, flag: &Flag) {
    let usage = format!("  {}", usage(flag));
    out.push_str(&usage);
    // completions and manual pages are made of these lines: the description begins on the flag's own, behind two blanks at least
    let mut column = COLUMN.max(usage.len() + 2);
    let _ = write!(out, "{:1$}", "", column - usage.len());
    let mut is_first = true;
    for word in format!("{}{}", note(flag), flag.help).split(' ') {
        if !is_first && column + 1 + word.len() > WIDTH {
            let _ = write!(out, "\n{:COLUMN$}", "");
            column = COLUMN;
        } else if !is_first {
            out.push(' ');
            column += 1;
        }
        is_first = false;
        out.push_str(word);
        column += word.len();
    }
    out.push('\n');
}

fn usage(flag: &Flag) -> String {
    match flag.kind {
        Kind::Ignored => format!("--{}", flag.name),
        // the long JSON default would push every line to the right
        _ if flag.default.len() > 40 => format!("--{} '{{...}}'", flag.name),
        _ => format!("--{} '{}'", flag.name, flag.default),
    }
}

fn note(flag: &Flag) -> &'static str {
    match flag.here {
        Here::Used => "",
        Here::Harmless(_) => "[no effect] ",
        Here::Refused(_) => "[not offered] ",
    }
}

/// What is printed after a mistake on the command line.
pub fn short() -> &'static str {
    "Usage:\n  conclave [flags]     Start a member.\n  conclave --help      Print every flag.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_fits_on_a_terminal_and_names_every_flag() {
        let text = help();
        for line in text.lines() {
            assert!(line.len() <= WIDTH + 6, "{line}");
            assert!(!line.ends_with(' '), "{line:?}");
        }
        for flag in table::flags() {
            assert!(text.contains(&format!("\n  {}", usage(&flag))), "{}", flag.name);
        }
    }
}
