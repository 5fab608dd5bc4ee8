//! What Linux tells about another process: memory, CPU time, and the size of its files.
//!
//! Must not need rights beyond reading `/proc` of the same user.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Clock ticks of `/proc/PID/stat` per second; a constant of the kernel's interface.
const TICKS: u64 = 100;

fn status(pid: u32, field: &str) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok());
    number.map(|kib| kib << 10).ok_or_else(|| io::Error::other(format!("/proc/{pid}/status has no {field}")))
}

/// Resident memory in bytes.
///
/// # Errors
/// There is no such process, or it is not ours.
pub fn resident(pid: u32) -> io::Result<u64> {
    status(pid, "VmRSS")
}

/// Most resident memory so far, in bytes.
///
/// # Errors
/// As [`resident`].
pub fn peak(pid: u32) -> io::Result<u64> {
    status(pid, "VmHWM")
}

/// CPU time used so far, user and system, to ten milliseconds.
///
/// # Errors
/// As [`resident`].
pub fn cpu(pid: u32) -> io::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // the name in parentheses may hold spaces; fields count from its end
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    let both = ticks(11).zip(ticks(12)).ok_or_else(|| io::Error::other("/proc/PID/stat is not as it should be"))?;
    Ok(Duration::from_millis((both.0 + both.1) * 1000 / TICKS))
}

/// Bytes that the files below a folder take on the disk. Files that vanish meanwhile are not counted.
///
/// # Errors
/// The folder itself cannot be read.
pub fn disk(dir: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let Ok(entry) = entry else { continue };
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes += disk(&entry.path()).unwrap_or(0),
            Ok(meta) => bytes += meta.blocks() * 512,
            Err(_) => {}
        }
    }
    Ok(bytes)
}

/// Bytes that the disk below a folder has written since the machine started, by whomever: the counter of a process counts pages that
/// it has dirtied, not what reaches the disk.
///
/// # Errors
/// The folder is on no disk that the kernel lists.
pub fn disk_written(dir: &Path) -> io::Result<u64> {
    /// Unit of `/proc/diskstats`, whatever the disk's own is.
    const SECTOR: u64 = 512;
    use std::os::unix::fs::MetadataExt;
    let device = fs::metadata(dir)?.dev();
    // as the kernel packs them into st_dev
    let (major, minor) = ((device >> 8 & 0xfff).to_string(), (device & 0xff | device >> 12 & 0xfff00).to_string());
    let table = fs::read_to_string("/proc/diskstats")?;
    let disks = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let sectors =
        disks.into_iter().find(|fields| fields.starts_with(&[&major, &minor])).and_then(|f| f.get(9)?.parse().ok());
    sectors
        .map(|sectors: u64| sectors * SECTOR)
        .ok_or_else(|| io::Error::other(format!("{} is on no disk that /proc/diskstats lists", dir.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_time() {
        let me = std::process::id();
        assert!(resident(me).unwrap() > 1 << 20);
        assert!(peak(me).unwrap() >= resident(me).unwrap() / 2);
        let before = cpu(me).unwrap();
        let mut sum = 0u64;
        while cpu(me).unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }

    #[test]
    fn disk_counts_folders_below() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/b"), vec![1; 100_000]).unwrap();
        let bytes = disk(dir.path()).unwrap();
        assert!((100_000..200_000).contains(&bytes), "{bytes}");
    }
}
