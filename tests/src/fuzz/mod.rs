//! Bodies of the fuzz targets as plain functions, so that `make test` runs them without a fuzzer: any bytes in, and a panic is the
//! only way to fail.
//!
//! Driven by `tests/fuzz` (libFuzzer, coverage-guided, by hand) and by `tests/tests/hostile/fuzz.rs` (the kept corpus and seeded
//! mutations of it). Must never keep state from one input to the next where that could decide the outcome: a crash must be replayable
//! from its input alone.

mod door;
mod entry;
mod etcd;
mod flags;
mod json;
mod jwt;
pub mod mutate;
mod peer;
mod registry;
mod request;
mod snapshot;
mod srv;
mod users;
mod wal;

use std::path::PathBuf;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name of the target and of its folder in the corpus.
    pub name: &'static str,
    /// Takes one input. Panics when something is wrong.
    pub run: fn(&[u8]),
    /// Inputs that reach far: written to the corpus by `CORPUS=write`.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 13] = [
    Target { name: "wal", run: wal::run, seeds: wal::seeds },
    Target { name: "entry", run: entry::run, seeds: entry::seeds },
    Target { name: "peer", run: peer::run, seeds: peer::seeds },
    Target { name: "request", run: request::run, seeds: request::seeds },
    Target { name: "door", run: door::run, seeds: door::seeds },
    Target { name: "flags", run: flags::run, seeds: flags::seeds },
    Target { name: "json", run: json::run, seeds: json::seeds },
    Target { name: "snapshot", run: snapshot::run, seeds: snapshot::seeds },
    Target { name: "etcd", run: etcd::run, seeds: etcd::seeds },
    Target { name: "jwt", run: jwt::run, seeds: jwt::seeds },
    Target { name: "users", run: users::run, seeds: users::seeds },
    Target { name: "registry", run: registry::run, seeds: registry::seeds },
    Target { name: "srv", run: srv::run, seeds: srv::seeds },
];

/// The target of this name.
///
/// # Panics
/// When there is none.
pub fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|t| t.name == name).unwrap_or_else(|| panic!("no fuzz target {name:?}"))
}

/// Ends what targets keep running between inputs.
pub fn close() {
    door::close();
}

/// Where the kept inputs of a target lie.
pub fn corpus_dir(name: &str) -> PathBuf {
    // Asked when it runs: a build folder shared by two clones keeps the binary of the other one.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("fuzz/corpus").join(name)
}

/// Kept inputs of a target, by file name.
///
/// # Panics
/// When the folder cannot be read.
pub fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let dir = corpus_dir(name);
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|why| panic!("{}: {why}", dir.display()))
        .map(|file| file.expect("a file of the corpus"))
        .map(|file| {
            let bytes = std::fs::read(file.path()).expect("read a file of the corpus");
            (file.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    files.sort();
    files
}
