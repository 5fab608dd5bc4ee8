//! A copy of the store in a file, which is there whole, checked and on disk, or not at all.
//!
//! Must never leave a part under the file's own name.

use crate::client::Client;
use crate::error::Error;
use crate::snapshot_sum::SnapshotSum;
use crate::transport::{Failure, Until, method};
use api::etcdserverpb as pb;
use std::io;
use std::path::{Path, PathBuf};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tonic::Streaming;

/// Why no snapshot was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The server, or the connection.
    #[error(transparent)]
    Call(#[from] Error),
    /// The file.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// Its name.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What came is not what was sent.
    #[error("the snapshot does not end with its checksum after {0} bytes: it was cut or damaged on its way; try again")]
    Damaged(u64),
}

/// A snapshot was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// Bytes of the file.
    pub size: u64,
    /// Version of the server it came from.
    pub version: String,
}

impl Client {
    /// Saves a snapshot of one member. It is written under a name of its own beside the file (`.part`), and gets the file's name when it
    /// is whole: whatever goes wrong, an older file stays as it was, and the next attempt begins anew.
    ///
    /// ```
    /// # harness::examples::on_member(async |endpoint| {
    /// # let client = conclave_client::Client::connect([endpoint.clone()]).await?;
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("backup.db");
    /// let saved = client.save_snapshot(&endpoint, &file).await?;
    /// assert_eq!(std::fs::metadata(&file)?.len(), saved.size);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub async fn save_snapshot(&self, endpoint: &str, path: impl AsRef<Path>) -> Result<Saved, SnapshotError> {
        let path = path.as_ref();
        let mut part = Part::create(path).await.map_err(|source| failed(path, source))?;
        let pool = self.pool.only(endpoint);
        let answers: Result<Streaming<pb::SnapshotResponse>, Failure> =
            pool.answers(method::SNAPSHOT, pb::SnapshotRequest {}, Until::NEVER).await;
        let mut answers = answers.map_err(Error::from)?;
        let (mut sum, mut version) = (SnapshotSum::new(), String::new());
        loop {
            let answer = answers.message().await.map_err(|status| Error::from(pool.broken(status)))?;
            let Some(answer) = answer else { break };
            if sum.size() == 0 {
                version = answer.version;
            }
            sum.add(&answer.blob);
            part.file.write_all(&answer.blob).await.map_err(|source| failed(path, source))?;
        }
        let size = sum.size();
        if sum.check().is_err() {
            return Err(SnapshotError::Damaged(size));
        }
        part.keep().await.map_err(|source| failed(path, source))?;
        Ok(Saved { size, version })
    }
}

fn failed(path: &Path, source: io::Error) -> SnapshotError {
    SnapshotError::File { path: path.to_owned(), source }
}

/// A file under construction; dropped before it is kept, it is removed.
struct Part {
    file: File,
    part: PathBuf,
    name: PathBuf,
}

impl Part {
    async fn create(name: &Path) -> io::Result<Self> {
        let mut part = name.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        // for the owner alone: it holds every key, and the passwords' hashes
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part).await?;
        Ok(Self { file, part, name: name.to_owned() })
    }

    async fn keep(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        tokio::fs::rename(&self.part, &self.name).await?;
        // the name must be on disk as well
        let folder = self.name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).await?.sync_all().await
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // renamed already when it was kept
        let _ = std::fs::remove_file(&self.part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_kept_does_not_stay_and_harms_no_older_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = folder.path().join("s.db");
        std::fs::write(&name, "older").expect("write");
        let mut part = Part::create(&name).await.expect("create");
        part.file.write_all(b"half").await.expect("write");
        drop(part);
        assert_eq!(std::fs::read(&name).expect("read"), b"older");
        let mut part = Part::create(&name).await.expect("create");
        part.file.write_all(b"whole").await.expect("write");
        part.keep().await.expect("keep");
        drop(part);
        assert_eq!(std::fs::read(&name).expect("read"), b"whole");
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1);
    }
}
