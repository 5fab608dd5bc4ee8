//! The rows of a bucket in the order of their keys, one page of each level in memory.
//!
//! A walk ends on every file, however damaged: keys must ascend over all of it, and no page but the first may be empty, so that a
//! page that is met a second time shows. Must never skip what it cannot read.

use crate::database::{Bucket, Database};
use crate::error::BoltError;
use crate::node::Node;
use crate::page::Kind;
use crate::source::Source;
use bytes::Bytes;

/// A row of a bucket. Key and value share the buffer of their page: copy what is to stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key, never empty.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// What the value is, when it is marked as a bucket.
    pub bucket: Option<Bucket>,
}

/// See the file header.
#[derive(Debug)]
pub struct Rows<'d, S> {
    database: &'d Database<S>,
    /// Where to begin.
    bucket: Option<Bucket>,
    /// Pages from the first one down, and the next element of each.
    path: Vec<(Node, usize)>,
    /// Last key that was met, of a row or a branch, and whether it was that of a row.
    last: Option<(Bytes, bool)>,
}

impl<S: Source> Database<S> {
    /// The bucket of this name at the top, if there is one.
    ///
    /// # Errors
    /// [`BoltError`].
    pub fn bucket(&self, name: &[u8]) -> Result<Option<Bucket>, BoltError> {
        let mut rows = self.rows(&self.root());
        while let Some(row) = rows.next()? {
            if row.key == name {
                return Ok(row.bucket);
            }
        }
        Ok(None)
    }

    /// The rows of a bucket, from its first to its last.
    pub fn rows(&self, bucket: &Bucket) -> Rows<'_, S> {
        Rows::new(self, bucket.clone())
    }
}

impl<'d, S: Source> Rows<'d, S> {
    fn new(database: &'d Database<S>, bucket: Bucket) -> Self {
        Self { database, bucket: Some(bucket), path: Vec::new(), last: None }
    }

    /// The next row, `None` behind the last one. After an error nothing more is to be expected.
    ///
    /// # Errors
    /// [`BoltError`].
    #[expect(clippy::should_implement_trait, reason = "an iterator of results would go on behind an error")]
    pub fn next(&mut self) -> Result<Option<Row>, BoltError> {
        if let Some(bucket) = self.bucket.take() {
            let top = Node::top(self.database, &bucket)?;
            self.path.push((top, 0));
        }
        loop {
            let Some((node, at)) = self.path.last_mut() else { return Ok(None) };
            let n = *at;
            if n == node.count {
                self.path.pop();
                continue;
            }
            *at += 1;
            if node.kind == Kind::Leaf {
                return self.row(n).map(Some);
            }
            let (page, (key, child)) = (node.page, node.child(self.database, n)?);
            // the key of a branch is at or before the first one below it, and behind all rows so far
            let ascends = self.last.as_ref().is_none_or(|(last, is_row)| *last < key || (!is_row && *last == key));
            if !ascends {
                return Err(self.database.damaged(page, "its keys are out of order"));
            }
            self.last = Some((key, false));
            self.enter(child)?;
        }
    }

    fn enter(&mut self, child: u64) -> Result<(), BoltError> {
        let node = Node::below(self.database, child, self.path.len())?;
        self.path.push((node, 0));
        Ok(())
    }

    fn row(&mut self, n: usize) -> Result<Row, BoltError> {
        let (node, _) = self.path.last().expect("a leaf is at hand");
        let (key, value, is_bucket) = node.row(self.database, n)?;
        let ascends = self.last.as_ref().is_none_or(|(last, is_row)| *last < key || (!is_row && *last == key));
        if !ascends {
            return Err(self.database.damaged(node.page, "its keys are out of order"));
        }
        self.last = Some((key.clone(), true));
        let bucket = if is_bucket { Some(self.database.bucket_of(node.page, &value)?) } else { None };
        Ok(Row { key, value, bucket })
    }
}
