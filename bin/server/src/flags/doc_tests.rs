//! docs/configuration.md must say what the table says.

use super::spec::{Flag, Here};
use super::table;
use super::table_legacy::{EXPERIMENTAL, Now};
use std::fmt::Write;

const HEAD: &str = "# Configuration

The flags of `conclave` are those of etcd 3.7. Every flag has a variable: `--data-dir` is `ETCD_DATA_DIR`. Giving both is an error.
With `--config-file` (YAML or JSON, keys as the flags) all other flags and variables are ignored.

- **used**: does what it does in etcd.
- **accepted**: taken without effect; the table says why that is right.
- **refused**: the member does not start when it is set to anything but its default; the table says what to do.

This page is written from the flag table by a test: `CONCLAVE_WRITE_DOCS=1 cargo test -p conclave flags::doc_tests`.
";

fn page() -> String {
    let mut out = HEAD.to_owned();
    let mut area = None;
    for flag in table::flags() {
        if area != Some(flag.area) {
            area = Some(flag.area);
            let _ = write!(out, "\n## {}\n\n| flag | default | here | |\n|---|---|---|---|\n", flag.area.title());
        }
        let (here, why) = match flag.here {
            Here::Used => ("used", String::new()),
            Here::Harmless(why) => ("accepted", format!(" *Here: {why}.*")),
            Here::Refused(why) => ("refused", format!(" *Here: {why}.*")),
        };
        let Flag { name, default, help, .. } = flag;
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        let line = format!("| `--{name}` | {default} | {here} | {help}{why} |");
        let _ = writeln!(out, "{}", line.replace("|  |", "| |"));
    }
    let _ = write!(
        out,
        "\n## Names of etcd 3.6\n\nAccepted with a warning, and the same as:\n\n| old | now |\n|---|---|\n"
    );
    for (old, now) in EXPERIMENTAL {
        let now = match now {
            Now::Flag(name) => format!("--{name}"),
            Now::Gate(name) => format!("--feature-gates={name}=true"),
        };
        let _ = writeln!(out, "| `--experimental-{old}` | `{now}` |");
    }
    out
}

#[test]
fn the_page_is_up_to_date() {
    // Asked when it runs: a build folder shared by two clones keeps the binary of the other one.
    let here: std::path::PathBuf =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), Into::into);
    let path = here.join("../../docs/configuration.md");
    if std::env::var_os("CONCLAVE_WRITE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == page(), "docs/configuration.md is not what the flag table says; see its first lines");
}

#[test]
fn every_default_and_refusal_is_a_sentence() {
    for flag in table::flags() {
        if let Here::Refused(why) | Here::Harmless(why) = flag.here {
            assert!(!why.is_empty() && !why.ends_with('.'), "{}", flag.name);
        }
    }
}
