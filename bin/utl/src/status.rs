//! `snapshot status`: what a snapshot file, ours or etcd's, holds, after all of it was checked.

use crate::failure::Failure;
use crate::file::open_file;
use crate::print::{Column, Exact, Format, report};
use crate::progress::{Meter, Metered, Unit};
use crate::unpack::is_etcds;
use std::path::{Path, PathBuf};
use storage::engine::Family;
use storage::etcd::{Database, EtcdStatus, status};
use storage::snapshot::{Hash, read};
use units::size;

/// Carries out the command.
///
/// # Errors
/// [`Failure`] when the file is no sound snapshot.
pub fn run(files: &[PathBuf], write_out: &str) -> Result<(), Failure> {
    let [path] = files else {
        return Err(Failure::bad_args("snapshot status requires exactly one argument"));
    };
    std::fs::metadata(path).map_err(|error| Failure::io("stat", path, &error))?;
    let format = Format::of(write_out)?;
    let held = if is_etcds(path)? { of_etcd(path)? } else { of_ours(path)? };
    print(format, held)
}

/// What a file of etcd's holds, as etcdutl says it.
fn of_etcd(path: &Path) -> Result<EtcdStatus, Failure> {
    let (file, length) = open_file(path)?;
    let within = |why: String| Failure::new(why).within(path.display());
    let database = Database::open(file).map_err(|why| within(why.to_string()))?;
    // its pages, and then its rows
    let mut meter = Meter::new("checking", Unit::Bytes, Some(2 * length));
    let held = status(&database, &mut |bytes| meter.at(bytes));
    drop(meter);
    held.map_err(|why| within(why.to_string()))
}

/// The same of a file of ours.
fn of_ours(path: &Path) -> Result<EtcdStatus, Failure> {
    let (file, bytes) = open_file(path)?;
    let mut meter = Meter::new("checking", Unit::Bytes, Some(bytes));
    let mut hash = Rows::default();
    let summary = read(Metered::new(file, &mut meter), Hash::Check, |family, key, value| hash.row(family, key, value));
    drop(meter);
    let summary = summary.map_err(|why| Failure::from(why).within(path.display()))?;
    let (revision, keys, bytes) = (summary.header.revision, summary.keys(), summary.bytes);
    Ok(EtcdStatus { hash: hash.crc, revision, keys, bytes, version: summary.header.server_version })
}

fn print(format: Format, held: EtcdStatus) -> Result<(), Failure> {
    let number =
        |title, field, json, n: i128, shown: String| Column { title, field, json, shown, exact: Exact::Number(n) };
    let EtcdStatus { hash, revision, keys, bytes, version } = held;
    report(
        format,
        &[
            number("hash", "Hash", "hash", hash.into(), format!("{hash:x}")),
            number("revision", "Revision", "revision", revision.into(), revision.to_string()),
            number("total keys", "Keys", "totalKey", keys.into(), keys.to_string()),
            number("total size", "Size", "totalSize", bytes.into(), size(bytes)),
            Column {
                title: "version",
                field: "Version",
                json: "version",
                shown: version.clone(),
                exact: Exact::Text(version),
            },
        ],
    )
}

/// CRC32C over the names of the families, each before its rows, and over keys and values: what etcd's hash is over buckets.
#[derive(Default)]
struct Rows {
    crc: u32,
    family: Option<Family>,
}

impl Rows {
    fn row(&mut self, family: Family, key: &[u8], value: &[u8]) {
        if self.family != Some(family) {
            self.family = Some(family);
            self.add(family.name().as_bytes());
        }
        self.add(key);
        self.add(value);
    }

    fn add(&mut self, bytes: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
    }
}
