//! `hashkv`: the hash that the HashKV call gives, of files.

use crate::failure::Failure;
use crate::print::{Column, Exact, Format, report};
use crate::target::{Target, open, view};
use model::ReadError;
use std::path::PathBuf;
use std::time::Duration;
use storage::read::hash::hash_kv;

/// Carries out the command.
///
/// # Errors
/// [`Failure`] when the path holds no sound store, or not that revision.
pub fn run(paths: &[PathBuf], rev: i64, timeout: Duration, write_out: &str) -> Result<(), Failure> {
    let [path] = paths else {
        return Err(Failure::new(format!("accepts 1 arg(s), received {}", paths.len())));
    };
    let format = Format::of(write_out)?;
    let opened = open(&Target::of(path, None)?, timeout)?;
    let found = hash_kv(&view(opened.rows.clone())?, rev).map_err(|why| {
        Failure::new(match why {
            ReadError::Compacted => "mvcc: required revision has been compacted".into(),
            ReadError::FutureRevision => "mvcc: required revision is a future revision".into(),
            why => why.to_string(),
        })
    })?;
    let column =
        |title, field, json, n: i128| Column { title, field, json, shown: n.to_string(), exact: Exact::Number(n) };
    report(
        format,
        &[
            column("hash", "Hash", "hash", found.hash.into()),
            column("hash revision", "Hash revision", "hashRevision", found.hash_revision.into()),
            column("compact revision", "Compact revision", "compactRevision", found.compact_revision.into()),
        ],
    )
}
