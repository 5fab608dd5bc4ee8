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

const HEAD: &str = "Usage:

  conclave [flags]
    Start a member.

  conclave --version
    Show versions.

  conclave --config-file <file>
    Read settings from a YAML or JSON file; other flags and the environment are then ignored.

Flags are etcd's: --flag value, --flag=value or -flag value; the last one wins. Each has a variable: --data-dir is ETCD_DATA_DIR.
";

/// The whole help text: one line per flag, by area.
pub fn help() -> String {
    let mut out = HEAD.to_owned();
    let mut area = None;
    for flag in table::flags() {
        if area != Some(flag.area) {
            area = Some(flag.area);
            let _ = write!(out, "\n{}:\n", flag.area.title());
        }
        let _ = writeln!(out, "  {:<46} {}{}", usage(&flag), flag.help, note(&flag));
    }
    out
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
        Here::Harmless(_) => " (accepted, no effect)",
        Here::Refused(_) => " (not offered yet)",
    }
}

/// What is printed after a mistake on the command line.
pub fn short() -> &'static str {
    "Usage:\n\n  conclave [flags]\n    Start a member.\n\n  conclave --help\n    Show every flag.\n"
}
