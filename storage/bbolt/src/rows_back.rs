//! The rows of a bucket from its last to its first, one page of each level in memory.
//!
//! A walk ends on every file, however damaged, as that of [`Rows`](crate::Rows) does: keys must descend over all of it. Must never
//! skip what it cannot read.

use crate::database::{Bucket, Database};
use crate::error::BoltError;
use crate::node::Node;
use crate::page::Kind;
use crate::rows::Row;
use crate::source::Source;
use bytes::Bytes;

/// See the file header.
#[derive(Debug)]
pub struct RowsBack<'d, S> {
    database: &'d Database<S>,
    /// Where to begin.
    bucket: Option<Bucket>,
    /// Pages from the first one down, and how many elements of each are left.
    path: Vec<(Node, usize)>,
    last: Option<Bytes>,
}

impl<S: Source> Database<S> {
    /// The rows of a bucket, from its last to its first.
    pub fn rows_back(&self, bucket: &Bucket) -> RowsBack<'_, S> {
        RowsBack { database: self, bucket: Some(bucket.clone()), path: Vec::new(), last: None }
    }
}

impl<S: Source> RowsBack<'_, S> {
    /// The row before, `None` before the first one. After an error nothing more is to be expected.
    ///
    /// # Errors
    /// [`BoltError`].
    #[expect(clippy::should_implement_trait, reason = "an iterator of results would go on behind an error")]
    pub fn next(&mut self) -> Result<Option<Row>, BoltError> {
        if let Some(bucket) = self.bucket.take() {
            let top = Node::top(self.database, &bucket)?;
            let count = top.count;
            self.path.push((top, count));
        }
        loop {
            let Some((node, left)) = self.path.last_mut() else { return Ok(None) };
            if *left == 0 {
                self.path.pop();
                continue;
            }
            *left -= 1;
            let n = *left;
            if node.kind == Kind::Leaf {
                return self.row(n).map(Some);
            }
            let (_, child) = node.child(self.database, n)?;
            self.enter(child)?;
        }
    }

    fn enter(&mut self, child: u64) -> Result<(), BoltError> {
        let node = Node::below(self.database, child, self.path.len())?;
        let count = node.count;
        self.path.push((node, count));
        Ok(())
    }

    fn row(&mut self, n: usize) -> Result<Row, BoltError> {
        let (node, _) = self.path.last().expect("a leaf is at hand");
        let (key, value, is_bucket) = node.row(self.database, n)?;
        if self.last.as_ref().is_some_and(|last| *last <= key) {
            return Err(self.database.damaged(node.page, "its keys are out of order"));
        }
        self.last = Some(key.clone());
        let bucket = if is_bucket { Some(self.database.bucket_of(node.page, &value)?) } else { None };
        Ok(Row { key, value, bucket })
    }
}
