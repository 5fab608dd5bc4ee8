//! The disk monitor: an early alarm and a reserve, so that a full disk refuses writes instead of ending the member, again at every
//! start.
//!
//! The rules are [`Space`]'s; the task around them measures, proposes and keeps the file. Must never decide about an entry: what
//! stands in the way of writes is the NOSPACE alarm, which went through the log like any other.

use crate::alarms;
use crate::client::Client;
use model::AlarmMember;
use model::request::AlarmType;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use storage::disk::space::{MARGIN, Space};
use storage::engine::rocks::RocksMemory;

/// Time between two measurements. Fast enough that a disk of 400 MB/s does not fill the margin between two of them.
const PERIOD: Duration = Duration::from_millis(250);
/// The same on a small disk, whose margin is filled sooner.
const SHORT_PERIOD: Duration = Duration::from_millis(20);

/// Where a member's files lie, and the file that keeps room for it.
#[derive(Clone, Debug)]
pub(crate) struct DiskMonitor {
    data: PathBuf,
    wal: PathBuf,
    reserve: PathBuf,
    memory: RocksMemory,
}

impl DiskMonitor {
    /// Of a member whose folders exist.
    pub(crate) fn new(member: &Path, wal: &Path, memory: &RocksMemory) -> Self {
        Self { data: member.to_owned(), wal: wal.to_owned(), reserve: member.join("reserve"), memory: memory.clone() }
    }

    /// Gives the reserve away before a start that may otherwise not succeed: opening writes files too.
    pub(crate) fn before_start(member: &Path) {
        let Ok(disk) = Space::of(member) else { return };
        if disk.free < disk.margin() {
            release(&member.join("reserve"), disk);
        }
    }

    /// Gives the reserve away to a defragmentation, which needs room to make room.
    pub(crate) fn for_defragmentation(&self) {
        if let Ok(disk) = Space::of(&self.data)
            && disk.is_low(self.memory.write_buffer_usage() as u64)
        {
            release(&self.reserve, disk);
        }
    }

    /// Measures both disks and keeps the reserve; true when room runs out.
    fn measure(&self) -> bool {
        let unflushed = self.memory.write_buffer_usage() as u64;
        let disk = match Space::of(&self.data) {
            Ok(disk) => disk,
            Err(why) => {
                tracing::debug!(path = %self.data.display(), error = %why, "cannot measure free space");
                return false;
            }
        };
        if disk.needs_reserve() {
            release(&self.reserve, disk);
        } else if disk.can_reserve(unflushed)
            && !self.reserve.exists()
            && let Err(why) = make(&self.reserve, disk.margin())
        {
            tracing::debug!(path = %self.reserve.display(), error = %why, "cannot keep a reserve on this file system");
        }
        // the log has no part in the memtables; a folder that is gone is the log's own trouble
        let log_is_low = Space::of(&self.wal).is_ok_and(|disk| disk.is_low(0));
        disk.is_low(unflushed) || log_is_low
    }
}

/// Allocates the reserve. What cannot be allocated leaves no file.
fn make(path: &Path, bytes: u64) -> io::Result<()> {
    let file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    fallocate(&file, FallocateFlags::empty(), 0, bytes).inspect_err(|_| {
        // the error that counts is the first one
        let _ = std::fs::remove_file(path);
    })?;
    Ok(())
}

fn release(path: &Path, disk: Space) {
    match std::fs::remove_file(path) {
        Ok(()) => {
            tracing::warn!(path = %path.display(), free = disk.free, "the disk is nearly full, gave the reserve away")
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => tracing::warn!(path = %path.display(), error = %why, "cannot give the reserve away"),
    }
}

/// Measures until the node ends. While room is short, writes are refused at the door and by the alarm.
pub(crate) async fn watch(client: Client, monitor: DiskMonitor) {
    let is_small = Space::of(&monitor.data).is_ok_and(|disk| disk.margin() < MARGIN / 2);
    let period = if is_small { SHORT_PERIOD } else { PERIOD };
    loop {
        let ports = client.ports();
        if ports.gauges.stopping.load(Relaxed) {
            return;
        }
        let measuring = monitor.clone();
        // a disk that hangs must not hang the host's arbiter
        let Ok(low) = actix_rt::task::spawn_blocking(move || measuring.measure()).await else { return };
        let was_low = ports.gauges.disk_low.swap(low, Relaxed);
        let alarm = AlarmMember { member_id: ports.identity.member_id, alarm: AlarmType::Nospace };
        if low && !alarms::is_raised(&client, alarm) {
            if !was_low {
                let dir = monitor.data.display();
                tracing::warn!(
                    data = %dir, log = %monitor.wal.display(),
                    "disk space runs out: raising the NOSPACE alarm; free space or delete and compact, then disarm the alarm"
                );
            }
            if let Err(why) = alarms::raise(&client, alarm).await {
                tracing::debug!(error = %why, "the NOSPACE alarm was not raised, it is tried again");
            }
        } else if was_low && !low {
            tracing::info!("there is disk space again; a standing NOSPACE alarm has to be disarmed");
        }
        actix_rt::time::sleep(period).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_reserve_takes_its_room_and_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reserve");
        if let Err(why) = make(&path, 4 * MIB) {
            println!("skipped: this file system does not allocate: {why}");
            assert!(!path.exists());
            return;
        }
        let taken = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).unwrap()) * 512;
        assert!(taken >= 4 * MIB, "{taken} bytes");
        assert!(make(&path, MIB).is_err(), "there is one already");
        release(&path, Space { total: 0, free: 0 });
        assert!(!path.exists());
        release(&path, Space { total: 0, free: 0 });
    }
}
