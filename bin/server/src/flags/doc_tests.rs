//! docs/configuration.md must say what the table says.

use super::spec::{Flag, Here};
use super::table;
use super::table_legacy::{EXPERIMENTAL, Now};
use crate::memory::memory_budget;
use embed::budgets::Budgets;
use std::fmt::Write;

const HEAD: &str = "# Configuration

The flags of `conclave` are those of etcd 3.7, and `--memory-budget`, `--snapshot-format`, `--scrub-interval` and
`--rebuild-from-leader`. Every flag has a variable: `--data-dir` is `ETCD_DATA_DIR`. Giving both is an error. With
`--config-file` (YAML or JSON, keys as the flags) all other flags and variables are ignored, and a warning names them.

- **used**: does what it does in etcd.
- **accepted**: taken without effect; the table says why that is right.
- **refused**: the member does not start when it is set to anything but its default; the table says what to do.

Variables and files outlive releases. As in etcd 3.7, a variable or a key of a flag that is gone, or that never was one,
is warned about and ignored, whatever its value; only the command line refuses it. Files are read as etcd reads them:
keys in any case, `yes` and `no` for booleans, `8.0e9` for a whole number, durations in nanoseconds or as `10m`.

This page is written from the flag table by a test: `CONCLAVE_WRITE_DOCS=1 cargo test -p conclave flags::doc_tests`.
";

const MEMORY: &str = "
## Memory

Every part of the process that could grow has a budget in bytes ([Memory](architecture.md#memory)), and all of them are
derived from one number: what `--memory-budget` says, or else 704 MiB, or three quarters of the memory there is when
that is less. That memory is the machine's, or the least limit among the cgroups that the process is in (version 1 and
2, limits of the groups above included). The last quarter is for what the number of clients costs, for sockets, and for
files that are being written. 88 MiB is the least. Beyond 704 MiB everything more is block cache.

Small budgets cost this. In MiB:

";

/// What cgroups of some sizes make of the budgets that a client may notice.
fn memory() -> String {
    const LIMITS: [usize; 5] = [128, 256, 512, 1024, 2048];
    type Pick = fn(&Budgets) -> usize;
    let rows: [(&str, Pick); 8] = [
        ("all budgets together", Budgets::total),
        ("block cache: what is read often without the disk", |b| b.block_cache),
        ("memtables: more and smaller flushes", |b| b.memtables),
        ("requests that wait, each door loop its share: then calls wait in their windows", |b| b.door.request_bytes),
        ("chunks of large answers: then answers take turns", |b| b.door.answer_bytes),
        ("answers that are sorted, or keys of a lease: beyond it \"too many requests\"", |b| b.owners.collected),
        ("events kept for watchers that lag: then they read the store", |b| b.owners.hub_ring),
        ("events sent and not taken, all watch streams together", |b| b.owners.hub_sent),
    ];
    let mut out = String::from("| memory of the cgroup |");
    LIMITS.iter().for_each(|limit| out += &format!(" {limit} |"));
    out += "\n|---|---|---|---|---|---|\n";
    for (what, pick) in rows {
        let _ = write!(out, "| {what} |");
        for limit in LIMITS {
            let budget = memory_budget(None, Some((limit << 20) as u64)).expect("without a flag there is no error");
            let mib = pick(&Budgets::of(budget.bytes)) as f64 / f64::from(1 << 20);
            let _ = match mib < 10.0 {
                true => write!(out, " {mib:.1} |"),
                false => write!(out, " {mib:.0} |"),
            };
        }
        out += "\n";
    }
    out
}

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
    out + MEMORY + &memory()
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
