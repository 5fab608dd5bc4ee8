//! One page of a tree, with the pages that overflow from it: every element is checked when it is taken.
//!
//! A run of pages is read at once unless it is a long one: then its elements are read one by one, so that a damaged length never
//! fills the memory. Must never be trusted about the order of its keys: who walks a tree sees to that.

use crate::database::{Bucket, Database, Root};
use crate::error::BoltError;
use crate::page::{
    BranchElement, ELEMENT, HEAD, Head, Kind, LeafElement, MAX_KEY, MAX_VALUE, branch_element, leaf_element,
};
use crate::source::Source;
use bytes::Bytes;

/// Longest run of pages that is read at once.
const WHOLE: u64 = 1 << 20;

/// Levels of a tree. The largest files have five.
pub(crate) const LEVELS: usize = 32;

/// See the file header.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its number; for an inline page, that of the page it stands on.
    pub(crate) page: u64,
    /// Pages of the run; zero for an inline page.
    pub(crate) pages: u64,
    pub(crate) kind: Kind,
    pub(crate) count: usize,
    /// Bytes of the run.
    length: u64,
    /// All of them, or the heads of the elements.
    bytes: Bytes,
}

impl Node {
    /// The first page of a bucket's tree.
    pub(crate) fn top<S: Source>(database: &Database<S>, bucket: &Bucket) -> Result<Self, BoltError> {
        match &bucket.0 {
            Root::Page(page) => Self::load(database, *page),
            Root::Inline { owner, bytes } => Self::inline(database, *owner, bytes.clone()),
        }
    }

    /// Reads a page below `depth` others of its tree: it has rows, or pages with rows.
    pub(crate) fn below<S: Source>(database: &Database<S>, page: u64, depth: usize) -> Result<Self, BoltError> {
        if depth == LEVELS {
            return Err(database.damaged(page, "it lies deeper than any tree is"));
        }
        let node = Self::load(database, page)?;
        match node.count {
            0 => Err(database.damaged(page, "it is empty, below another page")),
            _ => Ok(node),
        }
    }

    /// Reads a page that must be a branch or a leaf.
    pub(crate) fn load<S: Source>(database: &Database<S>, page: u64) -> Result<Self, BoltError> {
        let head = head_of(database, page)?;
        let pages = 1 + u64::from(head.overflow);
        let length = pages * u64::from(database.meta().page_size);
        let table = table(head.count) as u64;
        if table > length {
            return Err(database.damaged(page, "it has more elements than room"));
        }
        let wanted = if length <= WHOLE { length } else { table };
        let bytes = database.read(page, 0, wanted as usize)?;
        let node = Self { page, pages, kind: head.kind, count: usize::from(head.count), length, bytes };
        node.checked(database)
    }

    /// A page that stands in the value of its bucket, on page `owner`.
    pub(crate) fn inline<S: Source>(database: &Database<S>, owner: u64, bytes: Bytes) -> Result<Self, BoltError> {
        let head = bytes.first_chunk::<HEAD>().and_then(Head::decode);
        let head = head.ok_or_else(|| database.damaged(owner, "an inline bucket in it has no head"))?;
        if table(head.count) > bytes.len() {
            return Err(database.damaged(owner, "an inline bucket in it has more elements than room"));
        }
        let (length, count) = (bytes.len() as u64, usize::from(head.count));
        let node = Self { page: owner, pages: 0, kind: head.kind, count, length, bytes };
        match node.kind {
            Kind::Leaf => node.checked(database),
            _ => Err(database.damaged(owner, "an inline bucket in it is no leaf")),
        }
    }

    fn checked<S: Source>(self, database: &Database<S>) -> Result<Self, BoltError> {
        match (self.kind, self.count) {
            (Kind::Leaf, _) | (Kind::Branch, 1..) => Ok(self),
            (Kind::Branch, 0) => Err(database.damaged(self.page, "it is a branch without elements")),
            _ => Err(database.damaged(self.page, "it is neither branch nor leaf")),
        }
    }

    /// Key, value, and whether the value is a bucket.
    pub(crate) fn row<S: Source>(&self, database: &Database<S>, n: usize) -> Result<(Bytes, Bytes, bool), BoltError> {
        let LeafElement { is_bucket, at, key, value } = leaf_element(self.element(n), n);
        if value > MAX_VALUE {
            return Err(database.damaged(self.page, "a value in it is longer than any"));
        }
        let both = self.part(database, at, key, value)?;
        Ok((both.slice(..key), both.slice(key..), is_bucket))
    }

    /// First key and number of a page below.
    pub(crate) fn child<S: Source>(&self, database: &Database<S>, n: usize) -> Result<(Bytes, u64), BoltError> {
        let BranchElement { at, key, child } = branch_element(self.element(n), n);
        let key = self.part(database, at, key, 0)?;
        match database.is_data(child) && child != self.page {
            true => Ok((key, child)),
            false => Err(database.damaged(self.page, "it names a page below that cannot be one")),
        }
    }

    fn element(&self, n: usize) -> &[u8] {
        &self.bytes[HEAD + n * ELEMENT..][..ELEMENT]
    }

    /// Key and value, which stand behind each other.
    fn part<S: Source>(&self, database: &Database<S>, at: u64, key: usize, value: usize) -> Result<Bytes, BoltError> {
        if !(1..=MAX_KEY).contains(&key) {
            return Err(database.damaged(self.page, "a key in it is empty or longer than any"));
        }
        let length = key + value;
        let end = at + length as u64;
        if at < table(self.count as u16) as u64 || end > self.length {
            return Err(database.damaged(self.page, "an element in it lies outside of it"));
        }
        match self.bytes.len() as u64 == self.length {
            true => Ok(self.bytes.slice(at as usize..end as usize)),
            false => database.read(self.page, at, length),
        }
    }
}

/// Bytes of a page's head and those of its elements.
fn table(count: u16) -> usize {
    HEAD + usize::from(count) * ELEMENT
}

/// The head of a page that trees or the free list refer to, which must say its own number and end within the file.
pub(crate) fn head_of<S: Source>(database: &Database<S>, page: u64) -> Result<Head, BoltError> {
    if !database.is_data(page) {
        return Err(database.damaged(page, "something refers to it, but there is no such page"));
    }
    let bytes = database.read(page, 0, HEAD)?;
    let head = bytes.first_chunk::<HEAD>().and_then(Head::decode);
    let head = head.ok_or_else(|| database.damaged(page, "it is of no known kind"))?;
    if head.id != page {
        return Err(database.damaged(page, "it says another number of itself"));
    }
    if page + u64::from(head.overflow) >= database.meta().pages {
        return Err(database.damaged(page, "it overflows the end of the file"));
    }
    Ok(head)
}
