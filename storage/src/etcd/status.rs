//! What `etcdutl snapshot status` says of a database of etcd's: after every page of it was checked.
//!
//! Must never say anything of a file that is not sound.

use super::EtcdError;
use super::rows;
use bbolt::{Database, Source};
use bytes::Bytes;
use model::KeyValue;
use prost::Message;
use std::collections::HashSet;

/// See the file header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdStatus {
    /// CRC32C over the names of all buckets and their rows, in order.
    pub hash: u32,
    /// Newest main revision there is a version of.
    pub revision: i64,
    /// Keys that live, as etcdutl counts them: by the rows that are there.
    pub keys: u64,
    /// Bytes of all pages.
    pub bytes: u64,
    /// Version of the storage, empty before 3.6.
    pub version: String,
}

/// Checks a database and reads all of its rows. `progress` is told bytes, up to twice those of the file. Holds the hashes of all living
/// keys: sixteen bytes each.
///
/// # Errors
/// [`EtcdError`], with the first thing that is damaged.
pub fn status<S: Source>(database: &Database<S>, progress: &mut dyn FnMut(u64)) -> Result<EtcdStatus, EtcdError> {
    database.check(progress)?;
    let mut found = EtcdStatus { bytes: database.bytes(), ..EtcdStatus::default() };
    let mut living = Living::default();
    let mut buckets = database.rows(&database.root());
    let mut seen = database.bytes();
    while let Some(bucket) = buckets.next()? {
        let (name, Some(bucket)) = (bucket.key, bucket.bucket) else { continue };
        found.hash = crc32c::crc32c_append(found.hash, &name);
        let mut all = database.rows(&bucket);
        while let Some(row) = all.next()? {
            found.hash = crc32c::crc32c_append(crc32c::crc32c_append(found.hash, &row.key), &row.value);
            if name == rows::KEY {
                found.revision = living.note(&row.key, &row.value)?;
            }
            if name == rows::META && row.key == rows::STORAGE_VERSION {
                found.version = String::from_utf8_lossy(&row.value).into_owned();
            }
            seen += (row.key.len() + row.value.len()) as u64;
        }
        progress(seen);
    }
    found.keys = living.keys.len() as u64;
    Ok(found)
}

/// The keys that live after the versions so far, by a hash that is wide enough to tell all keys of a store apart.
#[derive(Default)]
struct Living {
    keys: HashSet<u128>,
}

impl Living {
    /// The main revision of the version.
    fn note(&mut self, key: &[u8], value: &Bytes) -> Result<i64, EtcdError> {
        let bad = |why| EtcdError::Row { bucket: rows::KEY, key: key.escape_ascii().to_string(), why };
        let (revision, deleted) = rows::decode_revision(key).ok_or_else(|| bad("no revision"))?;
        let kv = KeyValue::decode(value.clone()).map_err(|_| bad("its key-value does not read back"))?;
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &kv.key);
        let short = u128::from_be_bytes(sum.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes"));
        if deleted {
            self.keys.remove(&short)
        } else {
            self.keys.insert(short)
        };
        Ok(revision.main)
    }
}
