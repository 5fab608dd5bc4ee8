//! A log file that is set aside when it is full; old ones are compressed and removed by count and age, as lumberjack does it for etcd.
//!
//! Compressing and removing have a thread of their own: a line never waits for them. Must never lose a line because a file cannot be
//! set aside.

use chrono::{DateTime, Duration as Span, Local, NaiveDateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// `--log-rotation-config-json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Rotation {
    /// MiB a file may reach; zero for 100.
    pub maxsize: u64,
    /// Days old files are kept; zero for ever.
    pub maxage: u32,
    /// Old files that are kept; zero for all.
    pub maxbackups: usize,
    /// Names of old files in local time, not UTC.
    pub localtime: bool,
    /// Old files are compressed.
    pub compress: bool,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { maxsize: 100, maxage: 0, maxbackups: 0, localtime: false, compress: false }
    }
}

/// How lumberjack writes the time in a name.
const STAMP: &str = "%Y-%m-%dT%H-%M-%S%.3f";
/// Length of such a time.
const STAMP_BYTES: usize = "2006-01-02T15-04-05.000".len();
/// Behind the name of a compressed file.
const ZIPPED: &str = ".gz";
/// Behind the name of one that is being compressed: never taken for a whole one.
const UNFINISHED: &str = ".gz.part";

/// The file and how full it is.
pub struct RotatingFile {
    names: Names,
    file: File,
    size: u64,
    limit: u64,
    /// The time in the newest old file's name: whatever is set aside later has a later one, though older files were
    /// removed in between and the clock may be set back. Names in order are files in order.
    last_aside: SystemTime,
    keeper: Option<Keeper>,
}

impl RotatingFile {
    /// Opens a file for appending.
    ///
    /// # Errors
    /// When it cannot be opened, or there is no further thread.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let limit = match rotation.maxsize {
            0 => 100 << 20,
            mib => mib.saturating_mul(1 << 20),
        };
        let file = append(path)?;
        let size = file.metadata()?.len();
        let names = Names { path: path.to_owned(), rotation };
        let keeper = Some(Keeper::start(names.clone())?);
        Ok(Self { names, file, size, limit, last_aside: SystemTime::UNIX_EPOCH, keeper })
    }

    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        let (aside, stamp) = self.names.aside(now.max(self.last_aside + Duration::from_millis(1)));
        std::fs::rename(&self.names.path, aside)?;
        self.last_aside = stamp;
        self.file = append(&self.names.path)?;
        self.size = 0;
        if let Some(keeper) = &self.keeper {
            keeper.look();
        }
        Ok(())
    }
}

impl Drop for RotatingFile {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.end();
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.size > 0 && self.size + line.len() as u64 > self.limit {
            // a file that cannot be set aside goes on growing: a line too many is better than one lost
            let _ = self.rotate(SystemTime::now());
        }
        let written = self.file.write(line)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Names of old files: `etcd-2006-01-02T15-04-05.000.log` for `etcd.log`.
#[derive(Clone)]
struct Names {
    path: PathBuf,
    rotation: Rotation,
}

impl Names {
    /// A name for the file that is full now, and the time in it. No two are the same.
    fn aside(&self, mut now: SystemTime) -> (PathBuf, SystemTime) {
        let (prefix, suffix) = self.parts();
        loop {
            let stamp = match self.rotation.localtime {
                true => DateTime::<Local>::from(now).format(STAMP).to_string(),
                false => DateTime::<Utc>::from(now).format(STAMP).to_string(),
            };
            let path = self.path.with_file_name(format!("{prefix}{stamp}{suffix}"));
            if !path.exists() && !with_end(&path, ZIPPED).exists() {
                return (path, now);
            }
            now += Duration::from_millis(1);
        }
    }

    fn parts(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        let suffix = self.path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        (format!("{}-", text(self.path.file_stem())), suffix)
    }

    /// Old files by the time in their names, plain and compressed ones. Only names that we gave.
    fn old(&self) -> io::Result<BTreeMap<NaiveDateTime, Vec<PathBuf>>> {
        let (prefix, suffix) = self.parts();
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut old = BTreeMap::<NaiveDateTime, Vec<PathBuf>>::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let plain = name.strip_suffix(ZIPPED).unwrap_or(&name);
            let stamp = plain.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(&suffix));
            let stamp = stamp.filter(|stamp| stamp.len() == STAMP_BYTES);
            let written = stamp.and_then(|stamp| NaiveDateTime::parse_from_str(stamp, STAMP).ok());
            if let Some(written) = written {
                old.entry(written).or_default().push(path);
            }
        }
        Ok(old)
    }

    /// Removes what is too old or too much, and compresses what is left.
    fn keep(&self) -> io::Result<()> {
        let mut old = self.old()?;
        let now = match self.rotation.localtime {
            true => Local::now().naive_local(),
            false => Utc::now().naive_utc(),
        };
        let most = if self.rotation.maxbackups == 0 { usize::MAX } else { self.rotation.maxbackups };
        let oldest = Some(self.rotation.maxage).filter(|days| *days > 0);
        let oldest = oldest.and_then(|days| now.checked_sub_signed(Span::days(days.into())));
        let surplus = old.len().saturating_sub(most);
        let gone: Vec<_> = old.keys().copied().take(surplus).collect();
        let expired: Vec<_> =
            old.keys().copied().filter(|written| oldest.is_some_and(|oldest| *written < oldest)).collect();
        for written in gone.into_iter().chain(expired) {
            for path in old.remove(&written).into_iter().flatten() {
                std::fs::remove_file(path)?;
            }
        }
        if self.rotation.compress {
            let plain = |path: &PathBuf| path.extension().is_none_or(|end| end != "gz");
            for path in old.into_values().flatten().filter(plain) {
                compress(&path)?;
            }
        }
        Ok(())
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Puts a compressed file in the place of a plain one. One that a crash left unfinished is written again.
fn compress(path: &Path) -> io::Result<()> {
    let unfinished = with_end(path, UNFINISHED);
    let mut out = GzEncoder::new(File::create(&unfinished)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut out)?;
    out.finish()?.sync_all()?;
    std::fs::rename(&unfinished, with_end(path, ZIPPED))?;
    std::fs::remove_file(path)
}

/// The thread that looks after old files.
struct Keeper {
    orders: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Keeper {
    fn start(names: Names) -> io::Result<Self> {
        // one order may wait: whoever looks then sees all that was set aside until now
        let (orders, inbox) = sync_channel(1);
        let thread = std::thread::Builder::new().name("log-keeper".into()).spawn(move || {
            while inbox.recv().is_ok() {
                // tried again with the next file; the log itself is no place to complain about it
                let _ = names.keep();
            }
        })?;
        Ok(Self { orders, thread })
    }

    fn look(&self) {
        let _ = self.orders.try_send(());
    }

    fn end(self) {
        drop(self.orders);
        // a panic in there has been reported
        let _ = self.thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn names_in(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn fill(path: &Path, rotation: Rotation, lines: usize) {
        let mut file = RotatingFile::open(path, rotation).unwrap();
        file.limit = 10;
        for n in 0..lines {
            file.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
    }

    #[test]
    fn full_files_are_set_aside_and_few_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd.log");
        std::fs::write(dir.path().join("etcd-notes.log"), "not ours").unwrap();
        std::fs::write(dir.path().join("etcd-2026-99-01T00-00-00.000.log"), "no date").unwrap();
        fill(&path, Rotation { maxbackups: 2, ..Rotation::default() }, 6);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "line 5\n");
        let names = names_in(dir.path());
        assert_eq!(names.len(), 5, "{names:?}");
        assert!(dir.path().join("etcd-notes.log").exists());
        let kept = names.iter().filter(|name| name.starts_with("etcd-2") && !name.contains("-99-"));
        let texts: Vec<_> = kept.map(|name| std::fs::read_to_string(dir.path().join(name)).unwrap()).collect();
        assert_eq!(texts, ["line 3\n", "line 4\n"], "the newest, each whole");
    }

    #[test]
    fn names_stay_in_order_when_older_files_are_removed_and_the_clock_is_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd.log");
        let mut file = RotatingFile::open(&path, Rotation::default()).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut newest = String::new();
        for at in [now, now, now - Duration::from_secs(60), now] {
            file.rotate(at).unwrap();
            let aside: Vec<_> = names_in(dir.path()).into_iter().filter(|name| name != "etcd.log").collect();
            let [name] = &aside[..] else { panic!("one is set aside at a time: {aside:?}") };
            assert!(*name > newest, "{name} follows {newest}");
            newest.clone_from(name);
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
    }

    #[test]
    fn old_files_are_compressed_whole_and_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd.log");
        fill(&path, Rotation { compress: true, maxbackups: 3, localtime: true, ..Rotation::default() }, 6);
        let names = names_in(dir.path());
        let zipped: Vec<_> = names.iter().filter(|name| name.ends_with(".log.gz")).collect();
        assert_eq!((zipped.len(), names.len()), (3, 4), "{names:?}");
        let mut text = String::new();
        let newest = File::open(dir.path().join(zipped[2])).unwrap();
        flate2::read::GzDecoder::new(newest).read_to_string(&mut text).unwrap();
        assert_eq!(text, "line 4\n");
    }

    #[test]
    fn what_is_too_old_goes_by_the_time_in_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd.log");
        let old = ["etcd-2006-01-02T15-04-05.000.log", "etcd-2006-01-02T15-04-06.000.log.gz"];
        old.iter().for_each(|name| std::fs::write(dir.path().join(name), "old").unwrap());
        fill(&path, Rotation { maxage: 3, ..Rotation::default() }, 3);
        let names = names_in(dir.path());
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(old.iter().all(|name| !names.contains(&(*name).to_owned())), "{names:?}");
    }

    #[test]
    fn json_of_the_flag() {
        let parsed: Rotation = serde_json::from_str("{\"maxsize\": 1, \"compress\": true}").unwrap();
        assert_eq!(parsed, Rotation { maxsize: 1, compress: true, ..Rotation::default() });
    }
}
