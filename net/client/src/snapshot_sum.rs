//! The sum at the end of a snapshot: computed while the snapshot comes, and compared with what the server sent.
//!
//! Must never hold more of the snapshot than the length of a sum.

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// The sum of what came, without the last bytes, which are the sum that the server sent.
pub struct SnapshotSum {
    context: Context,
    tail: Vec<u8>,
    size: u64,
}

/// Why a snapshot is not whole. Both say how many bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotSumError {
    /// It is not whole blocks of 512 bytes and a sum.
    Missing(u64),
    /// It is not what the server sent.
    Mismatch(u64),
}

impl Default for SnapshotSum {
    fn default() -> Self {
        Self::new()
    }
}

impl SnapshotSum {
    /// Of nothing.
    pub fn new() -> Self {
        Self { context: Context::new(&SHA256), tail: Vec::new(), size: 0 }
    }

    /// Bytes that came so far, the sum among them.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes of the snapshot.
    pub fn add(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.tail.extend_from_slice(bytes);
        let sure = self.tail.len().saturating_sub(SHA256_OUTPUT_LEN);
        self.context.update(&self.tail[..sure]);
        self.tail.drain(..sure);
    }

    /// Whether the snapshot ends with its own sum.
    ///
    /// # Errors
    /// [`SnapshotSumError`].
    pub fn check(self) -> Result<(), SnapshotSumError> {
        if self.size % 512 != SHA256_OUTPUT_LEN as u64 {
            return Err(SnapshotSumError::Missing(self.size));
        }
        match self.context.finish().as_ref() == self.tail {
            true => Ok(()),
            false => Err(SnapshotSumError::Mismatch(self.size)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::digest;

    #[test]
    fn the_sum_is_checked_however_it_is_cut() {
        let good = [&[7; 1024][..], digest(&SHA256, &[7; 1024]).as_ref()].concat();
        let check = |bytes: &[u8], chunk: usize| {
            let mut sum = SnapshotSum::new();
            bytes.chunks(chunk).for_each(|chunk| sum.add(chunk));
            sum.check().is_ok()
        };
        assert!([1, 31, 32, 33, 500, 2000].into_iter().all(|chunk| check(&good, chunk)));
        let mut bad = good.clone();
        bad[100] ^= 1;
        assert!(!check(&bad, 100) && !check(&good[..1024], 100) && !check(&[], 1));
    }
}
