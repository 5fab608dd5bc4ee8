//! `snapshot status`: what a snapshot file holds, after all of it was checked.

use crate::failure::Failure;
use crate::print::{Column, Exact, Format, report};
use crate::progress::{Meter, Metered, Unit};
use crate::target::open_file;
use std::path::PathBuf;
use storage::engine::Family;
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
    let (file, bytes) = open_file(path)?;
    let mut meter = Meter::new("checking", Unit::Bytes, Some(bytes));
    let mut hash = Rows::default();
    let summary = read(Metered::new(file, &mut meter), Hash::Check, |family, key, value| hash.row(family, key, value));
    drop(meter);
    let summary = summary.map_err(|why| Failure::from(why).within(path.display()))?;
    let number =
        |title, field, json, n: i128, shown: String| Column { title, field, json, shown, exact: Exact::Number(n) };
    let revision = summary.header.revision;
    let version = summary.header.server_version.clone();
    report(
        format,
        &[
            number("hash", "Hash", "hash", hash.crc.into(), format!("{:x}", hash.crc)),
            number("revision", "Revision", "revision", revision.into(), revision.to_string()),
            number("total keys", "Keys", "totalKey", summary.keys().into(), summary.keys().to_string()),
            number("total size", "Size", "totalSize", summary.bytes.into(), size(summary.bytes)),
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
