//! Every page of a file, read once: is it part of one tree or free, and never both.
//!
//! What bbolt's own `check` looks for. Must never keep more than one bit per page, and one page of each level.

use crate::database::{Bucket, Database, Root};
use crate::error::BoltError;
use crate::node::{LEVELS, Node, head_of};
use crate::page::{HEAD, Kind, NO_FREE_LIST, u64_at};
use crate::source::Source;
use bytes::Bytes;

/// Numbers of free pages that are read at once.
const IDS: u64 = 8192;
/// In the place of the number of elements, when the list is longer than that can say.
const LONG_LIST: u16 = u16::MAX;

/// What a sound file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Buckets, nested ones included.
    pub buckets: u64,
    /// Rows that are no buckets.
    pub rows: u64,
    /// Pages that are part of a tree, of the free list, or meta pages.
    pub used_pages: u64,
    /// All others.
    pub free_pages: u64,
}

struct Check<'d, 'p, S> {
    database: &'d Database<S>,
    used: Vec<u64>,
    found: Checked,
    progress: &'p mut dyn FnMut(u64),
}

/// Keys that a page may hold: from the first one on, before the second one.
#[derive(Clone, Copy)]
struct Bounds<'k> {
    lower: Option<&'k Bytes>,
    upper: Option<&'k Bytes>,
}

impl<S: Source> Database<S> {
    /// Reads all pages that are in use. `progress` is told the bytes of those so far.
    ///
    /// # Errors
    /// [`BoltError`], with the first page that is damaged.
    pub fn check(&self, progress: &mut dyn FnMut(u64)) -> Result<Checked, BoltError> {
        let words = usize::try_from(self.meta().pages.div_ceil(64)).expect("a file's pages can be counted");
        let mut check = Check { database: self, used: vec![0; words], found: Checked::default(), progress };
        check.take(0, 2)?;
        check.bucket(&self.root(), 0)?;
        let free = check.free_list()?;
        let unused = self.meta().pages - check.found.used_pages;
        if let Some(listed) = free
            && listed != unused
        {
            return Err(self.damaged(self.meta().free_list, "pages are neither in use nor in the free list"));
        }
        check.found.free_pages = unused;
        Ok(check.found)
    }
}

impl<S: Source> Check<'_, '_, S> {
    /// Notes pages as used, which must not be yet.
    fn take(&mut self, page: u64, pages: u64) -> Result<(), BoltError> {
        for page in page..page + pages {
            if !self.mark(page) {
                return Err(self.database.damaged(page, "more than one other page refers to it"));
            }
        }
        self.found.used_pages += pages;
        (self.progress)(self.found.used_pages * u64::from(self.database.meta().page_size));
        Ok(())
    }

    /// False when it was marked before.
    fn mark(&mut self, page: u64) -> bool {
        let (word, bit) = ((page / 64) as usize, 1 << (page % 64));
        let is_new = self.used[word] & bit == 0;
        self.used[word] |= bit;
        is_new
    }

    fn bucket(&mut self, bucket: &Bucket, depth: usize) -> Result<(), BoltError> {
        let top = Node::top(self.database, bucket)?;
        if matches!(bucket.0, Root::Page(_)) {
            self.take(top.page, top.pages)?;
        }
        self.tree(&top, Bounds { lower: None, upper: None }, depth)
    }

    fn tree(&mut self, node: &Node, bounds: Bounds<'_>, depth: usize) -> Result<(), BoltError> {
        if depth == LEVELS {
            return Err(self.database.damaged(node.page, "it lies deeper than any tree is"));
        }
        match node.kind {
            Kind::Leaf => self.leaf(node, bounds, depth),
            _ => self.branch(node, bounds, depth),
        }
    }

    fn branch(&mut self, node: &Node, bounds: Bounds<'_>, depth: usize) -> Result<(), BoltError> {
        let mut next = Some(node.child(self.database, 0)?);
        if bounds.lower.is_some_and(|lower| next.as_ref().is_some_and(|(key, _)| key < lower)) {
            return Err(self.database.damaged(node.page, "it begins before the key that leads to it"));
        }
        for n in 1..=node.count {
            let (key, child) = next.take().expect("the elements were counted");
            next = if n < node.count { Some(node.child(self.database, n)?) } else { None };
            let upper = next.as_ref().map(|(key, _)| key).or(bounds.upper);
            if upper.is_some_and(|upper| key >= *upper) {
                return Err(self.database.damaged(node.page, "its keys are out of order"));
            }
            let below = Node::load(self.database, child)?;
            self.take(below.page, below.pages)?;
            if below.count == 0 {
                return Err(self.database.damaged(child, "it is empty, below another page"));
            }
            self.tree(&below, Bounds { lower: Some(&key), upper }, depth + 1)?;
        }
        Ok(())
    }

    fn leaf(&mut self, node: &Node, bounds: Bounds<'_>, depth: usize) -> Result<(), BoltError> {
        let mut last: Option<Bytes> = None;
        for n in 0..node.count {
            let (key, value, is_bucket) = node.row(self.database, n)?;
            let fits = last.as_ref().is_none_or(|last| *last < key)
                && bounds.lower.is_none_or(|lower| *lower <= key)
                && bounds.upper.is_none_or(|upper| key < *upper);
            if !fits {
                return Err(self.database.damaged(node.page, "its keys are out of order"));
            }
            match is_bucket {
                true => {
                    self.found.buckets += 1;
                    let bucket = self.database.bucket_of(node.page, &value)?;
                    self.bucket(&bucket, depth + 1)?;
                }
                false => self.found.rows += 1,
            }
            last = Some(key);
        }
        Ok(())
    }

    /// Pages in the free list, none of which may be in use; `None` when the file has no list.
    fn free_list(&mut self) -> Result<Option<u64>, BoltError> {
        let (database, page) = (self.database, self.database.meta().free_list);
        if page == NO_FREE_LIST {
            return Ok(None);
        }
        let head = head_of(database, page)?;
        if head.kind != Kind::FreeList {
            return Err(database.damaged(page, "it is no free list"));
        }
        let pages = 1 + u64::from(head.overflow);
        self.take(page, pages)?;
        let (mut at, mut count) = (HEAD as u64, u64::from(head.count));
        if head.count == LONG_LIST {
            count = u64_at(&database.read(page, at, 8)?, 0);
            at += 8;
        }
        let room = pages * u64::from(database.meta().page_size) - at;
        if count > room / 8 {
            return Err(database.damaged(page, "it lists more pages than it has room for"));
        }
        let mut left = count;
        while left > 0 {
            let now = left.min(IDS);
            let ids = database.read(page, at, now as usize * 8)?;
            for id in ids.chunks_exact(8).map(|id| u64_at(id, 0)) {
                if !database.is_data(id) || !self.mark(id) {
                    return Err(database.damaged(page, "it lists a page that is in use, listed twice, or none"));
                }
            }
            (at, left) = (at + now * 8, left - now);
        }
        Ok(Some(count))
    }
}
