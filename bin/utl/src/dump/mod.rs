//! `dump`: rows of a store or a snapshot, and entries of a log, one line each; readable, or as JSON objects.
//!
//! Must never stop at a row that does not read back: it is printed as it is, with what is wrong.

mod entries;
mod line;
mod rows;
mod v2;

use crate::cli::{RowFilter, Wal};
use crate::failure::Failure;
use crate::file::open_file;
use crate::print::{Format, finish};
use crate::target::{Target, open};
use entries::Entries;
use line::{Line, Style};
use rows::Rows;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;
use storage::disk::ReadOnlyDisk;
use storage::engine::{Direction, Scan, Snapshot};
use storage::member::{Folders, hold};
use storage::snapshot::{Hash, read};
use storage::wal::inspect;

/// Where lines go, and how many more may.
struct Printer {
    out: BufWriter<io::StdoutLock<'static>>,
    style: Style,
    left: u64,
}

impl Printer {
    fn new(style: Style, limit: Option<u64>) -> Self {
        Self { out: BufWriter::with_capacity(64 << 10, io::stdout().lock()), style, left: limit.unwrap_or(u64::MAX) }
    }

    /// Prints a line. False when there is room for no more.
    fn line(&mut self, line: &Line) -> Result<bool, Failure> {
        if self.left > 0 {
            self.left -= 1;
            finish(writeln!(self.out, "{}", line.print(self.style)))?;
        }
        Ok(self.left > 0)
    }

    fn end(mut self) -> Result<(), Failure> {
        finish(self.out.flush())
    }
}

fn style(write_out: &str, full: bool) -> Result<Style, Failure> {
    Ok(match Format::lines_or_json(write_out)? {
        Format::Json => Style::Json,
        _ if full => Style::Full,
        _ => Style::Cut,
    })
}

/// Rows of a stopped member's store.
///
/// # Errors
/// [`Failure`].
pub fn store(path: &Path, filter: &RowFilter, timeout: Duration, write_out: &str) -> Result<(), Failure> {
    let style = style(write_out, filter.show.full)?;
    let rows = Rows::new(filter)?;
    let target = Target::Member(Target::member(path, None)?);
    let opened = open(&target, timeout)?;
    let mut printer = Printer::new(style, filter.show.limit);
    'families: for family in rows.families() {
        let (lower, upper) = rows.bounds(family);
        let mut scan = opened.rows.scan_once(family, &lower, upper.as_deref(), Direction::Forward);
        while let Some((key, value)) = scan.next()? {
            if let Some(line) = rows.line(family, key, value)
                && !printer.line(&line)?
            {
                break 'families;
            }
        }
    }
    printer.end()
}

/// Rows of a snapshot file.
///
/// # Errors
/// [`Failure`]; rows before the damage are printed.
pub fn snapshot(file: &Path, skip_hash: bool, filter: &RowFilter, write_out: &str) -> Result<(), Failure> {
    let style = style(write_out, filter.show.full)?;
    let rows = Rows::new(filter)?;
    let (reader, _) = open_file(file)?;
    let mut printer = Printer::new(style, filter.show.limit);
    let mut printed = Ok(true);
    let hash = if skip_hash { Hash::Skip } else { Hash::Check };
    let checked = read(reader, hash, |family, key, value| {
        if matches!(printed, Ok(true))
            && let Some(line) = rows.line(family, key, value)
        {
            printed = printer.line(&line);
        }
    });
    printed?;
    printer.end()?;
    checked.map(|_| ()).map_err(|why| Failure::from(why).within(file.display()))
}

/// Entries of a stopped member's log.
///
/// # Errors
/// [`Failure`]; entries before the damage are printed.
pub fn wal(options: &Wal, timeout: Duration, write_out: &str) -> Result<(), Failure> {
    let style = style(write_out, options.show.full)?;
    let entries = Entries::new(options)?;
    let folders = log_folders(options)?;
    let _held = hold(&folders, timeout)?;
    let mut printer = Printer::new(style, options.show.limit);
    let mut printed = Ok(true);
    let inspected = inspect(&ReadOnlyDisk, &folders.wal, |logged| {
        if matches!(printed, Ok(true))
            && let Some(line) = entries.line(&logged)
        {
            printed = printer.line(&line);
        }
    });
    printed?;
    printer.end()?;
    let inspection = inspected?;
    if let Some(torn) = inspection.torn {
        eprintln!(
            "note: the log ends in a write that was cut off ({} at offset {}): never acknowledged, removed at the next start",
            torn.file.display(),
            torn.offset
        );
    }
    Ok(())
}

/// The folder given may be that of the log itself.
fn log_folders(options: &Wal) -> Result<Folders, Failure> {
    let is_log =
        |entry: io::Result<std::fs::DirEntry>| entry.is_ok_and(|e| e.path().extension().is_some_and(|e| e == "wal"));
    let mut entries = std::fs::read_dir(&options.path).map_err(|error| Failure::io("open", &options.path, &error))?;
    if options.wal_dir.is_none() && entries.any(is_log) {
        let member = options.path.parent().unwrap_or(&options.path);
        return Ok(Folders::below(member, Some(&options.path)));
    }
    Target::member(&options.path, options.wal_dir.as_deref())
}
