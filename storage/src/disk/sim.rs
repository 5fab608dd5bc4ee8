//! A disk in memory that loses what a real one may lose at a crash, under a seed.
//!
//! The model: a write lands in the cache; each 512-byte sector reaches the platter whole, in any order, in any of the versions it
//! had since the last sync, or not at all; names change in order (a journal), but a suffix of the changes may be lost; after a failed
//! sync the cache shows bytes that will never be written (as Linux does). Must never persist more than that model allows by being
//! asked nicely, nor use a clock or randomness of its own: every choice comes from a seed or from the caller.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, DiskLock};

mod state;
#[cfg(test)]
mod tests;

use state::State;
pub use state::{Fate, Faults, SECTOR};

/// A simulated disk; clones share it.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

impl Shared {
    /// A panic elsewhere in a test must not hide behind a poisoned lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct SimFile {
    shared: Arc<Shared>,
    inode: u64,
    /// A crash takes all open handles with it.
    boot: u64,
}

#[derive(Debug)]
struct SimLock {
    shared: Arc<Shared>,
    path: PathBuf,
    boot: u64,
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shared handle, as the WAL takes it.
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Sets what goes wrong from now on, and the seed for what is left to chance in it.
    pub fn set_faults(&self, faults: Faults, seed: u64) {
        self.shared.state().set_faults(faults, seed);
    }

    /// While true, a sync does not return; setting it back lets waiting ones go on.
    pub fn hang_syncs(&self, hang: bool) {
        self.shared.state().hang = hang;
        self.shared.released.notify_all();
    }

    /// Power loss: what was not synced is kept, torn or lost as `seed` says. Open handles and locks are dead; faults are cleared.
    pub fn crash(&self, seed: u64) {
        self.shared.state().crash_by_seed(seed);
    }

    /// Power loss in which the caller decides about every unsynced sector; all names and lengths are kept.
    pub fn crash_with(&self, mut choose: impl FnMut(&Path, u64) -> Fate) {
        self.shared.state().crash_by_choice(&mut choose);
    }

    /// Death of the process alone: the cache survives, handles and locks do not; faults are cleared.
    pub fn kill_process(&self) {
        self.shared.state().kill_process();
    }

    /// Sectors that a crash may lose, by file, ascending.
    pub fn unsynced(&self) -> Vec<(PathBuf, u64)> {
        self.shared.state().unsynced()
    }

    /// Flips one bit at rest, in cache and on the platter.
    ///
    /// # Panics
    /// When there is no such byte: a test that flips nothing tests nothing.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) {
        self.shared.state().flip_bit(path, offset, bit);
    }

    /// Successful syncs of files so far.
    pub fn sync_count(&self) -> u64 {
        self.shared.state().syncs
    }

    /// Changes (writes, syncs, changes of names) so far: the unit of [`Faults::stop_after`].
    pub fn change_count(&self) -> u64 {
        self.shared.state().changes
    }

    /// A copy with the same contents, cache and names, that lives on its own: for trying many crashes from one point.
    pub fn fork(&self) -> Self {
        let state = self.shared.state().clone();
        Self { shared: Arc::new(Shared { state: Mutex::new(state), released: Condvar::new() }) }
    }

    fn file(&self, inode: u64, boot: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { shared: self.shared.clone(), inode, boot })
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.shared.state().make_dirs(dir);
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.shared.state();
        let inode = state.create(path)?;
        let boot = state.boot;
        drop(state);
        Ok(self.file(inode, boot))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.shared.state();
        let (inode, boot) = (state.lookup(path)?, state.boot);
        drop(state);
        Ok(self.file(inode, boot))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.state().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.shared.state().remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.shared.state().list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.state().sync_dir(dir)
    }

    fn free(&self, _dir: &Path) -> Option<u64> {
        self.shared.state().free()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut state = self.shared.state();
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { shared: self.shared.clone(), path: path.to_owned(), boot: state.boot }))
    }
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.boot == self.boot {
            state.locks.remove(&self.path);
        }
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.shared.state().len(self.inode, self.boot)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.shared.state().read(self.inode, self.boot, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.shared.state().write(self.inode, self.boot, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        while state.hang && state.boot == self.boot {
            state = self.shared.released.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.sync(self.inode, self.boot)
    }
}
