//! A log file that is set aside when it is full; old ones are removed by count and age.

use super::format::timestamp;
use serde::Deserialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// `--log-rotation-config-json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Rotation {
    /// MiB a file may reach; zero for 100.
    pub maxsize: u64,
    /// Days old files are kept; zero for ever.
    pub maxage: u64,
    /// Old files that are kept; zero for all.
    pub maxbackups: usize,
    /// Names in local time. Only UTC is offered.
    pub localtime: bool,
    /// Compress old files. Not offered.
    pub compress: bool,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { maxsize: 100, maxage: 0, maxbackups: 0, localtime: false, compress: false }
    }
}

/// The file and how full it is.
pub struct RotatingFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
    limit: u64,
}

impl RotatingFile {
    /// Opens a file for appending.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let limit = match rotation.maxsize {
            0 => 100 << 20,
            mib => mib.saturating_mul(1 << 20),
        };
        let file = append(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), rotation, file, size, limit })
    }

    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        std::fs::rename(&self.path, self.aside(now))?;
        self.file = append(&self.path)?;
        self.size = 0;
        self.prune(now)
    }

    /// `etcd-2006-01-02T15-04-05.000000Z.log` for `etcd.log`.
    fn aside(&self, now: SystemTime) -> PathBuf {
        let (prefix, suffix) = self.parts();
        self.path.with_file_name(format!("{prefix}{}{suffix}", timestamp(now).replace(':', "-")))
    }

    fn parts(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        let suffix = self.path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        (format!("{}-", text(self.path.file_stem())), suffix)
    }

    fn prune(&self, now: SystemTime) -> io::Result<()> {
        let (prefix, suffix) = self.parts();
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut old: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let middle = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(&suffix));
            // only names that we gave: a date follows the prefix
            if middle.is_some_and(|m| m.len() == "2006-01-02T15-04-05.000000Z".len() && m.ends_with('Z')) {
                old.push(entry.path());
            }
        }
        // names are dates, the newest last
        old.sort();
        let surplus = match self.rotation.maxbackups {
            0 => 0,
            keep => old.len().saturating_sub(keep),
        };
        let age = Duration::from_secs(self.rotation.maxage.saturating_mul(24 * 3600));
        for (index, path) in old.iter().enumerate() {
            let written = std::fs::metadata(path).and_then(|m| m.modified()).unwrap_or(now);
            let expired = self.rotation.maxage > 0 && now.duration_since(written).unwrap_or_default() > age;
            if index < surplus || expired {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_are_set_aside_and_few_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd.log");
        std::fs::write(dir.path().join("etcd-notes.log"), "not ours").unwrap();
        let rotation = Rotation { maxbackups: 2, ..Rotation::default() };
        let mut file = RotatingFile::open(&path, rotation).unwrap();
        file.limit = 10;
        for n in 0..6 {
            file.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "line 5\n");
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(dir.path().join("etcd-notes.log").exists());
    }

    #[test]
    fn json_of_the_flag() {
        let parsed: Rotation = serde_json::from_str("{\"maxsize\": 1, \"compress\": true}").unwrap();
        assert_eq!(parsed, Rotation { maxsize: 1, compress: true, ..Rotation::default() });
    }
}
