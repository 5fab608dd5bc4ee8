//! What benchmarks share: percentiles, and the floor of the disk they are compared with.
//!
//! Must never assert a time: a benchmark reports, it does not judge.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The value below which this share of `sorted` lies.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Median time of writing and syncing 4 KiB into a zero-filled file: nothing durable can be faster on this disk.
///
/// # Errors
/// The file system's.
pub fn sync_floor(dir: &Path) -> io::Result<Duration> {
    const BLOCK: usize = 4096;
    const ROUNDS: usize = 500;
    let file = File::create(dir.join("floor"))?;
    file.write_all_at(&vec![0; BLOCK * ROUNDS], 0)?;
    file.sync_all()?;
    let mut took = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let start = Instant::now();
        file.write_all_at(&[1; BLOCK], (round * BLOCK) as u64)?;
        file.sync_data()?;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    Ok(percentile(&took, 0.5))
}
