//! The command line: commands, flags and their help, and errors in the words etcdutl has for them.
//!
//! Must never do anything: what is read here is carried out elsewhere.

use crate::failure::Failure;
use crate::print;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Heading of lists of commands, as etcd's tools have it.
const COMMANDS: &str = "Available Commands";

/// Inspects and restores snapshots, and works on the data folders of members that are not running.
#[derive(Parser, Debug)]
#[command(
    name = "conclaveutl",
    infer_subcommands = true,
    disable_version_flag = true,
    subcommand_help_heading = COMMANDS
)]
pub struct Cli {
    /// How long to wait for a process that has the data folder open; 0 waits forever.
    #[arg(long, global = true, value_name = "duration", default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
    /// Output format: simple, json, fields or table (dump and check: simple or json).
    #[arg(short, long, global = true, value_name = "format", default_value = "simple")]
    pub write_out: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Inspects a snapshot file, or restores a member from it.
    #[command(disable_help_subcommand = true, infer_subcommands = true, subcommand_help_heading = COMMANDS)]
    Snapshot {
        /// What to do with it.
        #[command(subcommand)]
        command: Option<Snapshot>,
    },
    /// Prints the hash of the key-value history of a snapshot file or a stopped member.
    ///
    /// The hash is that of the HashKV call, so that it can be compared with running members. A snapshot is unpacked into the
    /// folder for temporary files first (TMPDIR).
    Hashkv {
        /// Snapshot file, data folder, or folder of a store.
        #[arg(value_name = "file or folder")]
        paths: Vec<PathBuf>,
        /// Revision up to which the history is hashed; 0 for the newest.
        #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_name = "revision", value_parser = integer)]
        rev: i64,
    },
    /// Rewrites the files of a stopped member to free the space of deleted data.
    ///
    /// Conclave does this by itself while it runs; the command gives the space back at once.
    Defrag {
        /// Data folder.
        #[arg(long, value_name = "folder")]
        data_dir: PathBuf,
        /// Folder of the log, when it is not in the data folder.
        #[arg(long, value_name = "folder")]
        wal_dir: Option<PathBuf>,
    },
    /// Checks a stopped member or a snapshot file from the first byte to the last.
    ///
    /// Reads every row and every log entry, their checksums, and whether they fit together. Changes nothing. Ends with exit code 1
    /// when something is wrong.
    Check {
        /// Data folder or snapshot file.
        #[arg(value_name = "folder or file")]
        path: PathBuf,
        /// Folder of the log, when it is not in the data folder.
        #[arg(long, value_name = "folder")]
        wal_dir: Option<PathBuf>,
    },
    /// Prints rows or log entries, one per line; with -w json, one JSON object per line.
    #[command(disable_help_subcommand = true, infer_subcommands = true, subcommand_help_heading = COMMANDS)]
    Dump {
        /// What to print.
        #[command(subcommand)]
        command: Option<Dump>,
    },
    /// Prints buckets of etcd's database as etcd-dump-db does: of a data folder, a snapshot, or a store of Conclave's written as one.
    #[command(disable_help_subcommand = true, subcommand_help_heading = COMMANDS)]
    DumpDb {
        /// What to print.
        #[command(subcommand)]
        command: Option<DumpDb>,
    },
    /// Prints entries of etcd's write-ahead log as etcd-dump-logs does; `dump wal` prints those of Conclave's.
    DumpLogs(DumpLogs),
    /// Prints the names, kinds and labels of a member's metrics as etcd-dump-metrics does.
    DumpMetrics {
        /// Where they are served, as http://host:port/metrics.
        #[arg(long, value_name = "url", required_unless_present = "file")]
        addr: Option<String>,
        /// A file that they were saved to, - for standard input.
        #[arg(conflicts_with = "addr")]
        file: Option<PathBuf>,
    },
    /// Migrates a data folder to another version.
    ///
    /// All versions of Conclave so far have the same format, for every version of the API from 3.5 on: there is nothing to change.
    Migrate {
        /// Data folder.
        #[arg(long, value_name = "folder")]
        data_dir: PathBuf,
        /// Version of the API to be served, as X.Y, from 3.5 on.
        #[arg(long, value_name = "version")]
        target_version: String,
        /// Accepted for compatibility; there is nothing to force.
        #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
        force: bool,
    },
    /// Prints a script that completes commands and flags in a shell.
    ///
    /// For this session: source <(conclaveutl completion bash). For all: write it where the shell looks, for bash
    /// /etc/bash_completion.d/conclaveutl, for zsh a file _conclaveutl in a folder of $fpath, for fish
    /// ~/.config/fish/completions/conclaveutl.fish.
    Completion {
        /// bash, zsh, fish, elvish or powershell.
        shell: Shell,
    },
    /// Prints the versions of this tool and of the API.
    Version {
        /// Ignored.
        #[arg(hide = true)]
        rest: Vec<OsString>,
    },
}

/// Commands about snapshot files.
#[derive(Subcommand, Debug)]
pub enum Snapshot {
    /// Hash, revision, number of keys, size and version of a snapshot file, Conclave's or etcd's, after checking all of it.
    Status {
        /// Snapshot file.
        #[arg(value_name = "file")]
        files: Vec<PathBuf>,
    },
    /// Makes the data folder of a new member out of a snapshot file, Conclave's or etcd's, or out of a data folder of etcd's.
    ///
    /// Etcd's files are taken as releases 3.4 to 3.7 write them, with revisions, history, leases, users and roles. A data folder must
    /// not be in use; of a cluster, take that of the member with the newest log, or a snapshot.
    ///
    /// The member belongs to a new cluster with new ids. For a cluster of several members, restore the same file once for
    /// each, with the same --initial-cluster and --initial-cluster-token.
    Restore(Restore),
    /// Writes a snapshot, or the data folder of a stopped member, Conclave's or etcd's, as a snapshot file of the wanted format.
    ///
    /// etcdutl and etcd take the file in the format etcd, conclaveutl takes both. Of a member of Conclave's that was killed, the file
    /// has what its store has: start it and stop it in order first.
    Convert {
        /// Snapshot file or data folder of etcd's, and the name of the new file.
        #[arg(value_name = "source and new file")]
        paths: Vec<PathBuf>,
        /// Format of the new file.
        #[arg(long, value_enum, default_value = "etcd", value_name = "etcd|conclave")]
        format: SnapshotFormat,
        /// Folder of etcd's log, when it is not in its data folder.
        #[arg(long, value_name = "folder")]
        from_wal_dir: Option<PathBuf>,
        /// Use the file even if the hash at its end is missing or wrong. Checksums inside are always checked.
        #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
        skip_hash_check: bool,
    },
}

/// Formats of snapshot files.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFormat {
    /// A bbolt database: what etcd and its tools take.
    Etcd,
    /// Conclave's own: restored faster.
    Conclave,
}

/// Flags of a restore.
#[derive(Args, Debug)]
pub struct Restore {
    /// Snapshot file, or data folder of etcd's.
    #[arg(value_name = "file or folder")]
    pub files: Vec<PathBuf>,
    /// Data folder to make; <name>.etcd if none is given.
    #[arg(long, value_name = "folder")]
    pub data_dir: Option<PathBuf>,
    /// Folder of the log, when it shall not lie in the data folder.
    #[arg(long, value_name = "folder")]
    pub wal_dir: Option<PathBuf>,
    /// Folder of etcd's log, when a data folder of etcd's is read and its log is not in it.
    #[arg(long, value_name = "folder")]
    pub from_wal_dir: Option<PathBuf>,
    /// Name of the member.
    #[arg(long, default_value = "default", value_name = "name")]
    pub name: String,
    /// All members of the new cluster, as name=url pairs.
    #[arg(long, default_value = "default=http://localhost:2380", value_name = "pairs")]
    pub initial_cluster: String,
    /// Makes the ids of clusters that have the same members different.
    #[arg(long, default_value = "etcd-cluster", value_name = "token")]
    pub initial_cluster_token: String,
    /// Peer URLs of this member, as they are in --initial-cluster.
    #[arg(long, default_value = "http://localhost:2380", value_name = "urls")]
    pub initial_advertise_peer_urls: String,
    /// Use the file even if the hash at its end is missing or wrong. Checksums inside are always checked.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    pub skip_hash_check: bool,
    /// Let the revision jump by so much, so that clients never see one that they have seen before with other contents.
    #[arg(long, default_value_t = 0, value_name = "number", value_parser = unsigned)]
    pub bump_revision: u64,
    /// Count everything before the jump as compacted, so that watches from before are told (needed with --bump-revision, and only there).
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "bool")]
    pub mark_compacted: bool,
    /// Ignored: the store maps no file into memory.
    #[arg(long, value_name = "bytes", value_parser = unsigned)]
    pub initial_memory_map_size: Option<u64>,
}

/// What can be dumped.
#[derive(Subcommand, Debug)]
pub enum Dump {
    /// Rows of a stopped member's store.
    Store {
        /// Data folder, or folder of a store.
        #[arg(value_name = "folder")]
        path: PathBuf,
        /// Which rows.
        #[command(flatten)]
        filter: RowFilter,
    },
    /// Rows of a snapshot file.
    Snapshot {
        /// Snapshot file.
        file: PathBuf,
        /// Print the rows even if the hash at the end is missing or wrong.
        #[arg(long)]
        skip_hash_check: bool,
        /// Which rows.
        #[command(flatten)]
        filter: RowFilter,
    },
    /// Entries of a stopped member's write-ahead log.
    Wal(Wal),
}

/// Commands of etcd-dump-db.
#[derive(Subcommand, Debug)]
pub enum DumpDb {
    /// Names of all buckets.
    ListBucket {
        /// Data folder or file.
        path: PathBuf,
    },
    /// Rows of a bucket, the last one first.
    IterateBucket {
        /// Data folder or file.
        path: PathBuf,
        /// Name of the bucket.
        bucket: String,
        /// Stop after so many rows; 0 prints all.
        #[arg(long, default_value_t = 0, value_name = "rows")]
        limit: u64,
        /// Print what rows mean.
        #[arg(long)]
        decode: bool,
    },
    /// Versions of keys on all pages, those that nothing refers to included.
    ScanKeys {
        /// Data folder or file.
        path: PathBuf,
        /// Leave out versions before this revision.
        start_revision: i64,
    },
    /// A hash over all buckets, without what differs between members.
    Hash {
        /// Data folder or file.
        path: PathBuf,
    },
}

/// Flags of etcd-dump-logs.
#[derive(Args, Debug)]
pub struct DumpLogs {
    /// Data folder of etcd's.
    #[arg(value_name = "folder")]
    pub path: PathBuf,
    /// Name of the snapshot file to begin behind; the newest if none is given.
    #[arg(long, value_name = "file", conflicts_with = "start_index")]
    pub start_snap: Option<PathBuf>,
    /// Folder of the log, when it is not in the data folder.
    #[arg(long, value_name = "folder")]
    pub wal_dir: Option<PathBuf>,
    /// Only entries from this index on.
    #[arg(long, value_name = "index")]
    pub start_index: Option<u64>,
    /// Only entries before this index.
    #[arg(long, value_name = "index")]
    pub end_index: Option<u64>,
    /// Only entries of these kinds: ConfigChange, Normal, Request, InternalRaftRequest, IRRRange, IRRPut, IRRDeleteRange, IRRTxn,
    /// IRRCompaction, IRRLeaseGrant, IRRLeaseRevoke, IRRLeaseCheckpoint.
    #[arg(long, value_delimiter = ',', default_value = "Normal,ConfigChange", value_name = "kinds")]
    pub entry_type: Vec<String>,
    /// Program that reads a line of hexadecimal data for each entry, and writes a line with what it means.
    #[arg(long, value_name = "command", conflicts_with = "raw")]
    pub stream_decoder: Option<String>,
    /// Print every record of the log as it is.
    #[arg(long)]
    pub raw: bool,
}

/// Which rows of a store, and how much of them.
#[derive(Args, Debug)]
pub struct RowFilter {
    /// Families: log (all versions), cur (the present), hist (the past by key), cnt (counts), meta. All if none is given.
    #[arg(long, value_delimiter = ',', value_name = "families")]
    pub family: Vec<String>,
    /// Only rows about keys that begin so.
    #[arg(long, value_name = "text")]
    pub prefix: Option<OsString>,
    /// Only versions from this revision on.
    #[arg(long, value_name = "revision")]
    pub from_rev: Option<i64>,
    /// Only versions up to this revision.
    #[arg(long, value_name = "revision")]
    pub to_rev: Option<i64>,
    /// How much of them.
    #[command(flatten)]
    pub show: Show,
}

/// How much is printed.
#[derive(Args, Debug)]
pub struct Show {
    /// Stop after so many lines.
    #[arg(long, value_name = "lines")]
    pub limit: Option<u64>,
    /// Leave values out.
    #[arg(long)]
    pub keys_only: bool,
    /// Print values whole in the simple format; long ones are cut otherwise.
    #[arg(long)]
    pub full: bool,
}

/// Which entries of a log, and how much of them.
#[derive(Args, Debug)]
pub struct Wal {
    /// Data folder, or the folder of a log.
    #[arg(value_name = "folder")]
    pub path: PathBuf,
    /// Folder of the log, when it is not in the data folder.
    #[arg(long, value_name = "folder")]
    pub wal_dir: Option<PathBuf>,
    /// Only entries from this index on.
    #[arg(long, value_name = "index", default_value_t = 0)]
    pub start_index: u64,
    /// Only entries before this index.
    #[arg(long, value_name = "index")]
    pub end_index: Option<u64>,
    /// Only entries of these kinds: ConfigChange, Normal, InternalRaftRequest, IRRPut, IRRDeleteRange, IRRTxn, IRRCompaction,
    /// IRRLeaseGrant, IRRLeaseRevoke, IRRLeaseCheckpoint, IRRAlarm, IRRClusterVersionSet, IRRMemberAttrSet,
    /// IRRDowngradeInfoSet.
    #[arg(long, value_delimiter = ',', value_name = "kinds")]
    pub entry_type: Vec<String>,
    /// Only entries about keys that begin so, inside transactions too.
    #[arg(long, value_name = "text")]
    pub prefix: Option<OsString>,
    /// Print the log's other records too: heads of segments, hard states, truncations.
    #[arg(long)]
    pub records: bool,
    /// How much of them.
    #[command(flatten)]
    pub show: Show,
}

/// How the argument of `completion` is called in errors.
const SHELL: &str = "<SHELL>";

/// Reads the command line. `None` when all it asked for was help, which is printed.
///
/// # Errors
/// [`Failure`] with etcdutl's words and exit code 1.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Cli>, Failure> {
    match Cli::try_parse_from(args) {
        Ok(cli) => Ok(Some(cli)),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => print::out(&error.to_string()).map(|()| None),
        Err(error) => Err(Failure::new(words(&error))),
    }
}

/// Help of a command that only has commands below it.
pub fn help_of(command: &str) -> String {
    let mut cli = Cli::command();
    cli.build();
    let found = cli.find_subcommand_mut(command).expect("asked for a command that exists");
    found.render_help().to_string()
}

/// What etcdutl says in the same case, and where to look.
fn words(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let arg = context(ContextKind::InvalidArg);
    let flag = arg.split([' ', '=']).next().unwrap_or_default().to_owned();
    let value = context(ContextKind::InvalidValue);
    let said = match error.kind() {
        ErrorKind::UnknownArgument if flag.starts_with("--") => format!("unknown flag: {flag}"),
        ErrorKind::UnknownArgument if flag.starts_with('-') => {
            format!("unknown shorthand flag: {:?} in {flag}", flag.chars().nth(1).unwrap_or('-'))
        }
        ErrorKind::UnknownArgument => format!("unknown argument {flag:?}"),
        ErrorKind::InvalidSubcommand => {
            format!("unknown command {:?} for \"conclaveutl\"", context(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingRequiredArgument if flag == SHELL => "accepts 1 arg(s), received 0".into(),
        ErrorKind::InvalidValue if flag == SHELL => {
            format!("invalid argument {value:?} for \"conclaveutl completion\"")
        }
        ErrorKind::MissingRequiredArgument => missing(&arg),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if value.is_empty() => {
            format!("flag needs an argument: {flag}")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if flag.starts_with('-') => {
            let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
            format!("invalid argument {value:?} for \"{flag}\" flag{why}")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => format!("invalid argument {value:?}"),
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    };
    format!("{said}\nRun 'conclaveutl --help', or a command with --help, for usage.")
}

/// Flags by name as cobra lists them; a positional argument in its own words.
fn missing(args: &str) -> String {
    let names: Vec<_> = args.split(", ").collect();
    let flags: Vec<_> = names.iter().filter_map(|name| name.strip_prefix("--")).collect();
    match flags.is_empty() {
        true => format!("{} is missing", names.join(" ")),
        false => {
            let flags: Vec<_> =
                flags.iter().map(|flag| format!("{:?}", flag.split(' ').next().unwrap_or_default())).collect();
            format!("required flag(s) {} not set", flags.join(", "))
        }
    }
}

fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
}

fn unsigned(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {text:?}: invalid syntax"))
}

/// A span of time as Go writes it: `10s`, `1m30s`, `0`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("time: invalid duration {text:?}");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let amount: f64 = rest[..end].parse().map_err(|_| wrong())?;
        rest = &rest[end..];
        let units = [("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let (unit, scale) = units.into_iter().find(|(unit, _)| rest.starts_with(unit)).ok_or_else(wrong)?;
        seconds += amount * scale;
        rest = &rest[unit.len()..];
    }
    if text.is_empty() { Err(wrong()) } else { Duration::try_from_secs_f64(seconds).map_err(|_| wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(args: &[&str]) -> String {
        let args = std::iter::once("conclaveutl").chain(args.iter().copied()).map(OsString::from);
        let failure = parse(args).unwrap_err();
        assert_eq!(failure.code, 1);
        failure.text().lines().next().unwrap().to_owned()
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_lines_in_etcdutls_words() {
        assert_eq!(refused(&["nosuch"]), "unknown command \"nosuch\" for \"conclaveutl\"");
        assert_eq!(refused(&["--nosuch"]), "unknown flag: --nosuch");
        assert_eq!(refused(&["version", "-x"]), "unknown shorthand flag: 'x' in -x");
        assert_eq!(refused(&["defrag"]), "required flag(s) \"data-dir\" not set");
        assert_eq!(refused(&["migrate"]), "required flag(s) \"data-dir\", \"target-version\" not set");
        assert_eq!(
            refused(&["hashkv", "--rev", "x", "f"]),
            "invalid argument \"x\" for \"--rev\" flag: strconv.ParseInt: parsing \"x\": invalid syntax"
        );
        assert_eq!(
            refused(&["--timeout", "x", "version"]),
            "invalid argument \"x\" for \"--timeout\" flag: time: invalid duration \"x\""
        );
        assert_eq!(refused(&["completion", "zz"]), "invalid argument \"zz\" for \"conclaveutl completion\"");
        assert_eq!(refused(&["completion"]), "accepts 1 arg(s), received 0");
        assert_eq!(refused(&["hashkv", "f", "--rev"]), "flag needs an argument: --rev");
    }

    #[test]
    fn spans_of_time_as_go_writes_them() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1m30.5s"), Ok(Duration::from_millis(90_500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert!(duration("10").is_err() && duration("").is_err() && duration("s").is_err());
    }
}
