//! `check …`: is the cluster fast enough, how much memory does data take.

mod datascale;
mod load;
mod memory;
mod perf;

use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::client::method::{COMPACT, DEFRAGMENT, DELETE_RANGE, RANGE};
use crate::client::{Client, Config, Until, connect, range};
use crate::exit::{BAD_FEATURE, Exit, INVALID_INPUT};
use crate::print::quote::quote;
use crate::print::say_line;
use api::etcdserverpb as pb;
use std::time::Duration;

const AUTO_COMPACT: Flag = Flag::switch("auto-compact", "compact the history after the check");
const AUTO_DEFRAG: Flag = Flag::switch("auto-defrag", "defragment the members after the check");
const LOAD: Flag =
    Flag::new("load", Kind::Text, "s", "size of the workload: s(mall), m(edium), l(arge) or xl (xLarge)");
/// Longest a clean-up step takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// `check`.
pub const COMMAND: Command = Command {
    name: "check",
    short: "Check properties of the cluster. See `{} check --help`",
    long: "Check properties of the cluster",
    below: &[
        Command {
            name: "perf",
            usage: "[options]",
            short: "Check whether the cluster sustains a workload for a minute",
            flags: &[
                LOAD,
                Flag::new("prefix", Kind::Text, "/etcdctl-check-perf/", "prefix of the keys that are written"),
                AUTO_COMPACT,
                AUTO_DEFRAG,
            ],
            run: crate::run!(perf::run),
            ..Command::EMPTY
        },
        Command {
            name: "datascale",
            usage: "[options]",
            short: "Measure the memory that the first endpoint in `--endpoints` uses for a workload",
            flags: &[
                LOAD,
                Flag::new("prefix", Kind::Text, "/etcdctl-check-datascale/", "prefix of the keys that are written"),
                AUTO_COMPACT,
                AUTO_DEFRAG,
            ],
            run: crate::run!(datascale::run),
            ..Command::EMPTY
        },
    ],
    group: Group::Utility,
    ..Command::EMPTY
};

/// Which of four sizes a word means.
fn size(word: &str) -> Result<usize, Exit> {
    const WORDS: [[&str; 2]; 4] = [["s", "small"], ["m", "medium"], ["l", "large"], ["xl", "xLarge"]];
    let found = WORDS.iter().position(|words| words.contains(&word));
    found.ok_or_else(|| Exit::new(BAD_FEATURE, format!("unknown load option {word}")))
}

/// Nobody's keys may be deleted: the prefix must be free.
async fn must_be_free(client: &Client, prefix: &[u8], words: &str) -> Result<(), Exit> {
    let (key, range_end) = range::prefix(prefix);
    let request = pb::RangeRequest { key, range_end, limit: 1, ..Default::default() };
    let found: pb::RangeResponse = client.unary(RANGE, request, Until::NEVER).await?;
    if found.kvs.is_empty() {
        return Ok(());
    }
    let shown = crate::cli::text(prefix);
    let said = words.replace("{q}", &quote(prefix)).replace("{}", &shown).replace("{name}", crate::cli::program());
    Err(Exit::new(INVALID_INPUT, said))
}

/// Deletes the keys; the revision afterwards.
async fn delete(client: &Client, prefix: &[u8]) -> Result<i64, crate::client::Failure> {
    let (key, range_end) = range::prefix(prefix);
    let request = pb::DeleteRangeRequest { key, range_end, prev_kv: false };
    let deleted: pb::DeleteRangeResponse = client.unary(DELETE_RANGE, request, Until::after(PATIENCE)).await?;
    Ok(deleted.header.unwrap_or_default().revision)
}

async fn compact(client: &Client, revision: i64) -> Result<(), Exit> {
    say_line(&format!("Compacting with revision {revision}"));
    let request = pb::CompactionRequest { revision, physical: true };
    let _: pb::CompactionResponse = client.unary(COMPACT, request, Until::after(PATIENCE)).await?;
    say_line(&format!("Compacted with revision {revision}"));
    Ok(())
}

async fn defrag(config: &Config) -> Result<(), Exit> {
    for endpoint in &config.endpoints {
        say_line(&format!("Defragmenting {endpoint:?}"));
        let client = connect(&config.only(endpoint)).await?;
        let request = pb::DefragmentRequest {};
        let _: pb::DefragmentResponse = client.unary(DEFRAGMENT, request, Until::after(PATIENCE)).await?;
        say_line(&format!("Defragmented {endpoint:?}"));
    }
    Ok(())
}
