//! Every leaf page of a file, whether a tree leads to it or not: what is left of a damaged file, and of what was deleted.
//!
//! Must never stop at a page that cannot be read: it says so and goes on.

use crate::database::Database;
use crate::error::BoltError;
use crate::node::Node;
use crate::page::Kind;
use crate::source::Source;
use bytes::Bytes;

/// What a scan meets.
#[derive(Debug)]
pub enum Scanned {
    /// An element of a leaf page.
    Row {
        /// Number of the page.
        page: u64,
        /// Its place in the page.
        index: usize,
        /// Elements of the page.
        count: usize,
        /// The key.
        key: Bytes,
        /// The value; of a bucket, where its tree begins.
        value: Bytes,
    },
    /// A page or an element that cannot be read.
    Damaged(BoltError),
}

impl<S: Source> Database<S> {
    /// Shows everything on leaf pages, in the order of pages. `each` says whether the rest of its page is of interest.
    pub fn scan(&self, each: &mut dyn FnMut(Scanned) -> bool) {
        let mut page = 2;
        while page < self.meta().pages {
            page += match Node::load(self, page) {
                Ok(node) if node.kind == Kind::Leaf => {
                    self.leaf(&node, each);
                    node.pages
                }
                // a page in the middle of a run says what it likes
                Ok(_) => 1,
                Err(why) => {
                    each(Scanned::Damaged(why));
                    1
                }
            };
        }
    }

    fn leaf(&self, node: &Node, each: &mut dyn FnMut(Scanned) -> bool) {
        for index in 0..node.count {
            let scanned = match node.row(self, index) {
                Ok((key, value, _)) => Scanned::Row { page: node.page, index, count: node.count, key, value },
                Err(why) => Scanned::Damaged(why),
            };
            if !each(scanned) {
                return;
            }
        }
    }
}
