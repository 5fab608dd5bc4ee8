//! The seam to the file system: everything the WAL does to a disk goes through [`Disk`] and [`DiskFile`].
//!
//! [`OsDisk`] is the real one; [`sim::SimDisk`] models what a real one may do at a crash. Must never hide an error, retry a
//! failed sync, or buffer: a caller that wants durability calls [`DiskFile::sync_data`] and, for names, [`Disk::sync_dir`].

pub mod sim;
pub mod space;

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

pub use sim::SimDisk;

/// Bytes written per call while zero-filling.
const FILL_STEP: usize = 1 << 20;

/// A file system, as little of it as is needed.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes the folder and its parents, for the owner alone; an existing one is fine. Not durable before the parent is synced.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// New empty file, open for reading and writing; `AlreadyExists` when there is one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Existing file, open for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames, replacing `to`. Durable only after [`Self::sync_dir`] of both folders.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Open handles stay readable.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Names of the files directly in `dir`, ascending. Names that are no UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Bytes that may still be written to the file system of `dir`; `None` when nobody knows. A hint: somebody else may take them.
    fn free(&self, dir: &Path) -> Option<u64>;

    /// Takes an exclusive lock on a file made for it, until the guard is dropped; `WouldBlock` while another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// An open file. Positions are explicit, so that it can be shared between threads.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Bytes in the file.
    fn len(&self) -> io::Result<u64>;

    /// True for a file without bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` from `offset`; `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, growing the file if needed. After an error any part may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns once everything written so far is durable, and the length. After an error nothing may be assumed of what was not yet
    /// durable, not even that reading it back tells the truth.
    fn sync_data(&self) -> io::Result<()>;

    /// Writes zeros over `from..to`, so that later writes there need no new blocks. `fallocate` is no substitute: the first write
    /// to a block that is allocated but unwritten still goes through the journal (126 us a sync against 93).
    fn fill_zero(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; FILL_STEP.min(to.saturating_sub(from) as usize)];
        let mut at = from;
        while at < to {
            let step = zeros.len().min((to - at) as usize);
            self.write_all_at(&zeros[..step], at)?;
            at += step as u64;
        }
        Ok(())
    }
}

/// A held lock; dropping it releases.
pub trait DiskLock: Send + Sync + fmt::Debug {}

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

#[derive(Debug)]
struct OsFile(File);

#[derive(Debug)]
struct OsLock {
    /// The lock lives as long as this handle.
    _file: File,
}

impl DiskLock for OsLock {}

impl OsDisk {
    /// A shared handle, as the WAL takes it.
    pub fn shared() -> Arc<dyn Disk> {
        Arc::new(Self)
    }
}

impl Disk for OsDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OsFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free(&self, dir: &Path) -> Option<u64> {
        Some(space::Space::of(dir).ok()?.free)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(OsLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The operating system's file system for those who only look: whatever would change something is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnlyDisk;

impl ReadOnlyDisk {
    fn refuse<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "opened for reading only"))
    }
}

impl Disk for ReadOnlyDisk {
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Self::refuse()
    }

    fn create(&self, _path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Self::refuse()
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OsFile(File::open(path)?)))
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Self::refuse()
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        Self::refuse()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        OsDisk.list(dir)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Self::refuse()
    }

    fn free(&self, dir: &Path) -> Option<u64> {
        OsDisk.free(dir)
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn DiskLock>> {
        Self::refuse()
    }
}

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same short life on both disks.
    fn exercise(disk: &dyn Disk, dir: &Path) {
        disk.create_dir_all(dir).unwrap();
        let (a, b) = (dir.join("a"), dir.join("b"));
        let file = disk.create(&a).unwrap();
        assert!(file.is_empty().unwrap());
        assert_eq!(disk.create(&a).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        file.fill_zero(0, 5000).unwrap();
        file.write_all_at(b"hello", 4998).unwrap();
        file.sync_data().unwrap();
        disk.rename(&a, &b).unwrap();
        disk.sync_dir(dir).unwrap();
        assert_eq!(disk.open(&a).unwrap_err().kind(), io::ErrorKind::NotFound);
        let again = disk.open(&b).unwrap();
        assert_eq!(again.len().unwrap(), 5003);
        let mut got = [1; 6];
        again.read_exact_at(&mut got, 4997).unwrap();
        assert_eq!(&got, b"\0hello");
        assert_eq!(again.read_exact_at(&mut got, 5000).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(disk.list(dir).unwrap(), ["b"]);
        disk.remove(&b).unwrap();
        assert!(disk.list(dir).unwrap().is_empty());
        assert_eq!(again.len().unwrap(), 5003, "an open handle outlives the name");

        let held = disk.lock(&dir.join("LOCK")).unwrap();
        assert_eq!(disk.lock(&dir.join("LOCK")).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        disk.lock(&dir.join("LOCK")).unwrap();
    }

    #[test]
    fn the_real_disk_and_the_simulated_one_agree() {
        let dir = tempfile::tempdir().unwrap();
        exercise(&OsDisk, &dir.path().join("x/y"));
        exercise(&SimDisk::new(), Path::new("/x/y"));
    }
}
