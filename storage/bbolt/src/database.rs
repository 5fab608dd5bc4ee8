//! Opening a file, and the buckets in it.
//!
//! Must never take a file for sound because its first page is: each page is checked when it is read.

use crate::error::BoltError;
use crate::page::{BUCKET, HEAD, META, Meta, NO_FREE_LIST, PAGE_SIZES, u64_at};
use crate::source::Source;
use bytes::{Bytes, BytesMut};

/// A database file, open for reading.
#[derive(Debug)]
pub struct Database<S> {
    source: S,
    meta: Meta,
}

/// A tree of rows in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket(pub(crate) Root);

/// Where a bucket's tree begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// At this page.
    Page(u64),
    /// It is one small page that stands in the value of the bucket, on this page of the tree above.
    Inline { owner: u64, bytes: Bytes },
}

impl<S: Source> Database<S> {
    /// Reads the meta pages. Bytes behind the last page, such as the hash of a snapshot, are nobody's business.
    ///
    /// # Errors
    /// [`BoltError::NotADatabase`], [`BoltError::Truncated`], [`BoltError::Read`].
    pub fn open(source: S) -> Result<Self, BoltError> {
        let length = source.length().map_err(|source| BoltError::Read { offset: 0, source })?;
        let first = meta_at(&source, length, 0)?;
        let second = match &first {
            Ok(meta) => meta_at(&source, length, u64::from(meta.page_size))?.ok(),
            // without the first one, the second one is where it says that pages are as long as it is far away
            Err(_) => second(&source, length)?,
        };
        let newest = first.ok().into_iter().chain(second).max_by_key(|meta| meta.transaction);
        let Some(meta) = newest else {
            let why = meta_at(&source, length, 0)?.err().unwrap_or("too short");
            return Err(BoltError::NotADatabase { why });
        };
        let expected = meta.pages.checked_mul(u64::from(meta.page_size)).filter(|bytes| *bytes <= length);
        if expected.is_none() {
            let expected = meta.pages.saturating_mul(u64::from(meta.page_size));
            return Err(BoltError::Truncated { found: length, expected });
        }
        let database = Self { source, meta };
        if !database.is_data(meta.root) {
            return Err(database.damaged(meta.transaction % 2, "it names a page as root that cannot be one"));
        }
        if meta.free_list != NO_FREE_LIST && !database.is_data(meta.free_list) {
            return Err(database.damaged(meta.transaction % 2, "it names a page as free list that cannot be one"));
        }
        Ok(database)
    }

    /// Its newest sound meta page.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Bytes of all pages.
    pub fn bytes(&self) -> u64 {
        self.meta.pages * u64::from(self.meta.page_size)
    }

    /// The bucket that holds all others.
    pub fn root(&self) -> Bucket {
        Bucket(Root::Page(self.meta.root))
    }

    /// The bucket that a value marked as one is. `owner` is the page that the value stands on.
    pub(crate) fn bucket_of(&self, owner: u64, value: &Bytes) -> Result<Bucket, BoltError> {
        if value.len() < BUCKET {
            return Err(self.damaged(owner, "a bucket in it is too short"));
        }
        match u64_at(value, 0) {
            0 => Ok(Bucket(Root::Inline { owner, bytes: value.slice(BUCKET..) })),
            page => Ok(Bucket(Root::Page(page))),
        }
    }

    /// True for numbers of pages that may hold anything but a meta page.
    pub(crate) fn is_data(&self, page: u64) -> bool {
        (2..self.meta.pages).contains(&page)
    }

    /// Bytes of a page run from `at` on.
    pub(crate) fn read(&self, page: u64, at: u64, length: usize) -> Result<Bytes, BoltError> {
        let offset = page * u64::from(self.meta.page_size) + at;
        let mut bytes = BytesMut::zeroed(length);
        self.source.read_at(offset, &mut bytes).map_err(|source| BoltError::Read { offset, source })?;
        Ok(bytes.freeze())
    }

    pub(crate) fn damaged(&self, page: u64, why: &'static str) -> BoltError {
        BoltError::Damaged { page, offset: page.saturating_mul(u64::from(self.meta.page_size)), why }
    }
}

/// The meta page at an offset, or what is wrong with it.
fn meta_at<S: Source>(source: &S, length: u64, offset: u64) -> Result<Result<Meta, &'static str>, BoltError> {
    let at = offset + HEAD as u64;
    if length < at + META as u64 {
        return Ok(Err("too short"));
    }
    let mut bytes = [0; META];
    source.read_at(at, &mut bytes).map_err(|source| BoltError::Read { offset: at, source })?;
    Ok(Meta::decode(&bytes))
}

fn second<S: Source>(source: &S, length: u64) -> Result<Option<Meta>, BoltError> {
    for size in PAGE_SIZES.map(|power| 1_u64 << power) {
        if let Ok(meta) = meta_at(source, length, size)?
            && u64::from(meta.page_size) == size
        {
            return Ok(Some(meta));
        }
    }
    Ok(None)
}
