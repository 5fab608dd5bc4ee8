//! The bookkeeping behind [`SimDisk`](super::SimDisk): cache, platter, names, faults.
//!
//! Must never be reached except under the one lock of its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Order of names for the journal.
type Names = BTreeMap<PathBuf, u64>;
/// Folders exist at once and for good: nothing under test removes one.
type Dirs = BTreeSet<PathBuf>;

/// Bytes that reach the platter whole or not at all.
pub const SECTOR: usize = 512;

/// What goes wrong, and when. Counts are of calls from now on; the default is a disk without faults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Fail the sync after this many more successful ones. It persists a part of the sectors and forgets about the others.
    pub fail_sync_after: Option<u64>,
    /// Fail the write after this many more successful ones, having written a part of it.
    pub fail_write_after: Option<u64>,
    /// The machine stops in the middle of the change (write, sync, or change of a name) after this many more: that one and all
    /// calls after it fail. Follow with [`SimDisk::crash`](super::SimDisk::crash).
    pub stop_after: Option<u64>,
    /// Bytes all files together may have; a write that would exceed them writes what fits, then fails as a full disk does.
    pub capacity: Option<u64>,
}

/// What a crash does to an unsynced sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It keeps what the last sync left.
    Lost,
    /// Its latest bytes made it.
    Kept,
}

type Sector = [u8; SECTOR];

#[derive(Clone, Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    cache: Vec<u8>,
    /// Versions of each sector written since the last sync, oldest first.
    unsynced: BTreeMap<u64, Vec<Sector>>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: Names,
    durable_names: Names,
    name_changes: Vec<NameChange>,
    dirs: Dirs,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) boot: u64,
    faults: Faults,
    random: u64,
    stopped: bool,
    pub(super) hang: bool,
    pub(super) syncs: u64,
    pub(super) changes: u64,
}

fn failure(why: &str) -> io::Error {
    io::Error::other(format!("simulated: {why}"))
}

/// Bytes of sector `number` of a file, zeros beyond its end.
fn sector_of(bytes: &[u8], number: u64) -> Sector {
    let mut sector = [0; SECTOR];
    let start = (number as usize * SECTOR).min(bytes.len());
    let end = (start + SECTOR).min(bytes.len());
    sector[..end - start].copy_from_slice(&bytes[start..end]);
    sector
}

fn put_sector(bytes: &mut [u8], number: u64, sector: &Sector) {
    let start = (number as usize * SECTOR).min(bytes.len());
    let end = (start + SECTOR).min(bytes.len());
    bytes[start..end].copy_from_slice(&sector[..end - start]);
}

fn apply_name(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Link(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        NameChange::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        NameChange::Remove(path) => {
            names.remove(path);
        }
    }
}

impl State {
    pub(super) fn set_faults(&mut self, faults: Faults, seed: u64) {
        self.faults = faults;
        self.random = seed;
    }

    /// splitmix64: small, and good enough to scatter choices.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next_random() % bound.max(1)
    }

    /// Counts a change; true when the machine stops in the middle of it.
    fn change(&mut self) -> io::Result<bool> {
        if self.stopped {
            return Err(failure("the machine has stopped"));
        }
        self.changes += 1;
        if let Some(left) = &mut self.faults.stop_after {
            if *left == 0 {
                self.stopped = true;
                return Ok(true);
            }
            *left -= 1;
        }
        Ok(false)
    }

    fn alive(&self, boot: u64) -> io::Result<()> {
        if boot == self.boot { Ok(()) } else { Err(failure("the handle belongs to an earlier run")) }
    }

    fn inode(&self, inode: u64) -> io::Result<&Inode> {
        self.inodes.get(&inode).ok_or_else(|| failure("the handle's file is gone"))
    }

    pub(super) fn make_dirs(&mut self, dir: &Path) {
        self.dirs.extend(dir.ancestors().map(Path::to_owned));
    }

    pub(super) fn lookup(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let stop = self.change()?;
        apply_name(&mut self.names, &change);
        self.name_changes.push(change);
        if stop { Err(failure("the machine stopped while changing a name")) } else { Ok(()) }
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        if self.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| self.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.next_inode += 1;
        let inode = self.next_inode;
        self.inodes.insert(inode, Inode::default());
        self.change_name(NameChange::Link(path.to_owned(), inode))?;
        Ok(inode)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.lookup(from)?;
        self.change_name(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.lookup(path)?;
        self.change_name(NameChange::Remove(path.to_owned()))
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if !self.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let in_dir = self.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(in_dir.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        if self.change()? {
            return Err(failure("the machine stopped in a sync of a folder"));
        }
        let of_dir = |path: &PathBuf| path.parent() == Some(dir);
        let changes = std::mem::take(&mut self.name_changes);
        for change in changes {
            let touches = match &change {
                NameChange::Link(path, _) | NameChange::Remove(path) => of_dir(path),
                NameChange::Rename(from, to) => of_dir(from) || of_dir(to),
            };
            if touches {
                apply_name(&mut self.durable_names, &change);
            } else {
                self.name_changes.push(change);
            }
        }
        Ok(())
    }

    pub(super) fn len(&self, inode: u64, boot: u64) -> io::Result<u64> {
        self.alive(boot)?;
        Ok(self.inode(inode)?.cache.len() as u64)
    }

    pub(super) fn read(&self, inode: u64, boot: u64, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.alive(boot)?;
        let start = offset as usize;
        let bytes = self.inode(inode)?.cache.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    pub(super) fn write(&mut self, inode: u64, boot: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.alive(boot)?;
        let stop = self.change()?;
        let fails = match &mut self.faults.fail_write_after {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        let (room, full) = self.room_for(inode, bytes.len(), offset)?;
        let taken = if fails { self.below(bytes.len() as u64) as usize } else { bytes.len() }.min(room);
        self.put(inode, &bytes[..taken], offset);
        match (stop, fails, full) {
            (true, ..) => Err(failure("the machine stopped in a write")),
            (_, true, _) => Err(failure("a write failed")),
            (.., true) => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    /// Bytes left of the capacity, if there is one.
    pub(super) fn free(&self) -> Option<u64> {
        let used: u64 = self.inodes.values().map(|i| i.cache.len() as u64).sum();
        self.faults.capacity.map(|capacity| capacity.saturating_sub(used))
    }

    /// How many of `len` bytes at `offset` the capacity allows, and whether that is fewer.
    fn room_for(&self, inode: u64, len: usize, offset: u64) -> io::Result<(usize, bool)> {
        let Some(capacity) = self.faults.capacity else { return Ok((len, false)) };
        let used: u64 = self.inodes.values().map(|i| i.cache.len() as u64).sum();
        let own = self.inode(inode)?.cache.len() as u64;
        let limit = (own + capacity.saturating_sub(used)).saturating_sub(offset).min(len as u64) as usize;
        Ok((limit, limit < len))
    }

    fn put(&mut self, inode: u64, bytes: &[u8], offset: u64) {
        let Some(file) = self.inodes.get_mut(&inode) else { return };
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if bytes.is_empty() {
            return;
        }
        let touched = start / SECTOR..=(end - 1) / SECTOR;
        if file.cache.len() < end {
            file.cache.resize(end, 0);
        }
        let before: Vec<Sector> = touched.clone().map(|s| sector_of(&file.cache, s as u64)).collect();
        file.cache[start..end].copy_from_slice(bytes);
        for (number, before) in touched.zip(before) {
            let number = number as u64;
            let now = sector_of(&file.cache, number);
            let known = file.unsynced.contains_key(&number) || sector_of(&file.durable, number) == now;
            if now != before || !known {
                file.unsynced.entry(number).or_default().push(now);
            }
        }
    }

    pub(super) fn sync(&mut self, inode: u64, boot: u64) -> io::Result<()> {
        self.alive(boot)?;
        let stop = self.change()?;
        let fails = match &mut self.faults.fail_sync_after {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if stop {
            return Err(failure("the machine stopped in a sync"));
        }
        let mut file = self.inodes.remove(&inode).ok_or_else(|| failure("the handle's file is gone"))?;
        if file.durable.len() < file.cache.len() {
            file.durable.resize(file.cache.len(), 0);
        }
        for (number, versions) in std::mem::take(&mut file.unsynced) {
            let latest = versions.last().expect("a touched sector has a version");
            if !fails || self.below(2) == 0 {
                put_sector(&mut file.durable, number, latest);
            }
        }
        self.inodes.insert(inode, file);
        if fails {
            return Err(failure("a sync failed"));
        }
        self.syncs += 1;
        Ok(())
    }

    pub(super) fn unsynced(&self) -> Vec<(PathBuf, u64)> {
        let sectors = |(path, inode): (&PathBuf, &u64)| {
            let file = &self.inodes[inode];
            file.unsynced.keys().map(|s| (path.clone(), *s)).collect::<Vec<_>>()
        };
        self.names.iter().flat_map(sectors).collect()
    }

    pub(super) fn flip_bit(&mut self, path: &Path, offset: u64, bit: u8) {
        let inode = self.lookup(path).expect("a file to damage");
        let file = self.inodes.get_mut(&inode).expect("a name has a file");
        file.cache[offset as usize] ^= 1 << bit;
        file.durable[offset as usize] ^= 1 << bit;
    }

    pub(super) fn kill_process(&mut self) {
        self.boot += 1;
        self.locks.clear();
        self.faults = Faults::default();
        self.stopped = false;
        self.hang = false;
    }

    pub(super) fn crash_by_choice(&mut self, choose: &mut dyn FnMut(&Path, u64) -> Fate) {
        for (path, inode) in &self.names {
            let file = self.inodes.get_mut(inode).expect("a name has a file");
            file.durable.resize(file.cache.len(), 0);
            for (number, versions) in std::mem::take(&mut file.unsynced) {
                if choose(path, number) == Fate::Kept {
                    put_sector(&mut file.durable, number, versions.last().expect("a touched sector has a version"));
                }
            }
            file.cache = file.durable.clone();
        }
        self.durable_names = self.names.clone();
        self.name_changes.clear();
        self.kill_process();
    }

    pub(super) fn crash_by_seed(&mut self, seed: u64) {
        self.random = seed;
        for inode in self.inodes.keys().copied().collect::<Vec<_>>() {
            let mut file = self.inodes.remove(&inode).expect("listed above");
            if self.below(2) == 0 {
                file.durable.resize(file.cache.len(), 0);
            }
            for (number, versions) in std::mem::take(&mut file.unsynced) {
                let kept = self.below(versions.len() as u64 + 1) as usize;
                if kept > 0 {
                    put_sector(&mut file.durable, number, &versions[kept - 1]);
                }
            }
            file.cache = file.durable.clone();
            self.inodes.insert(inode, file);
        }
        let kept = self.below(self.name_changes.len() as u64 + 1) as usize;
        for change in self.name_changes.drain(..).take(kept) {
            apply_name(&mut self.durable_names, &change);
        }
        self.names = self.durable_names.clone();
        let live: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| live.contains(inode));
        self.kill_process();
    }
}
