//! Looking nodes up, putting and removing them, and the history of events: what every request of the v2 API is made of.
//!
//! Must never refuse a request by its own rules: those are `state`'s.

use super::path;
use super::rows::{
    Head, NodeRow, at_depth, behind, decode_event, event_key, node_key, path_of, split_ttl_key, ttl_key,
};
use super::source::{Source, Visit, Written};
use crate::auth::rows::ReadRowsError;
use crate::engine::Snapshot;
use crate::schema::meta;
use bytes::Bytes;
use model::v2::{Error, Event, HISTORY, KEYS, code};
use prost::Message;

/// Part of the tree that etcd keeps members in. Ours are rows of their own; the path is there all the same.
const MEMBERS: &str = "/0";

/// True for a path that no request may change: the root and the parts of the tree that are always there.
pub(super) fn is_read_only(path: &[u8]) -> bool {
    path == b"/" || path == KEYS.as_bytes() || path == MEMBERS.as_bytes()
}

/// A directory that is there without a row.
fn always_there(path: &[u8]) -> Option<NodeRow> {
    is_read_only(path).then(|| NodeRow { dir: true, ..NodeRow::default() })
}

/// A look-up: the node, or the request's error.
pub(super) type Found = Result<NodeRow, Error>;

/// One node.
pub(super) fn node<S: Snapshot>(source: Source<'_, S>, path: &[u8]) -> Result<Option<NodeRow>, ReadRowsError> {
    if let Some(node) = always_there(path) {
        return Ok(Some(node));
    }
    let row = source.get(&node_key(path))?;
    Ok(row.map(NodeRow::decode_row).transpose()?)
}

/// One node, or what etcd answers when the way to it ends: at a file, or where nothing is.
pub(super) fn find<S: Snapshot>(source: Source<'_, S>, path: &[u8], index: u64) -> Result<Found, ReadRowsError> {
    if let Some(node) = node(source, path)? {
        return Ok(Ok(node));
    }
    let mut above: &[u8] = b"/";
    let mut above_is_dir = true;
    for step in path::with_ancestors(path) {
        if !above_is_dir {
            return Ok(Err(Error::new(code::NOT_DIR, above.to_vec(), index)));
        }
        match node(source, step)? {
            Some(node) => above_is_dir = node.dir,
            None => return Ok(Err(Error::new(code::KEY_NOT_FOUND, step.to_vec(), index))),
        }
        above = step;
    }
    Ok(Err(Error::new(code::KEY_NOT_FOUND, path.to_vec(), index)))
}

/// The nodes that lie directly in a directory, ascending, until `visit` has enough.
pub(super) fn children<S: Snapshot>(
    source: Source<'_, S>,
    dir: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), ReadRowsError> {
    let lower = at_depth(path::depth(dir) + 1, &path::prefix_of_children(dir));
    let upper = behind(lower.clone());
    source.walk(&lower, &upper, &mut |key, row| visit(path_of(key)?, row))
}

/// Nodes that have ended by `time`, the earliest first, at most so many: when each ended, and its path.
pub(super) fn ended<S: Snapshot>(
    source: Source<'_, S>,
    time: i64,
    most: usize,
) -> Result<Vec<(i64, Vec<u8>)>, ReadRowsError> {
    let mut out = Vec::new();
    source.walk(&[meta::V2_TTL], &[meta::V2_TTL + 1], &mut |key, _| {
        let (ends, path) = split_ttl_key(key)?;
        if ends <= time {
            out.push((ends, path.to_vec()));
        }
        Ok(ends <= time && out.len() < most)
    })?;
    Ok(out)
}

/// What is known of a node that goes: the length of its row, and when it would have ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Old {
    row_bytes: usize,
    expiration: Option<i64>,
}

impl From<&NodeRow> for Old {
    fn from(node: &NodeRow) -> Self {
        Self { row_bytes: node.encoded_len(), expiration: node.expiration }
    }
}

/// The tree while an entry changes it.
pub(super) struct Tree<'t, S> {
    pub(super) snapshot: &'t S,
    /// Rows that are newer than the snapshot.
    pub(super) written: &'t mut Written,
    /// Rows that this entry wrote.
    pub(super) changed: &'t mut Vec<Bytes>,
    pub(super) head: &'t mut Head,
}

impl<S: Snapshot> Tree<'_, S> {
    pub(super) fn source(&self) -> Source<'_, S> {
        Source::new(self.snapshot, Some(self.written))
    }

    /// A node, or the request's error.
    pub(super) fn find(&self, path: &[u8]) -> Result<Found, ReadRowsError> {
        find(self.source(), path, self.head.index)
    }

    /// A node.
    pub(super) fn node(&self, path: &[u8]) -> Result<Option<NodeRow>, ReadRowsError> {
        node(self.source(), path)
    }

    /// Whether a directory holds anything.
    pub(super) fn has_children(&self, dir: &[u8]) -> Result<bool, ReadRowsError> {
        let mut any = false;
        children(self.source(), dir, &mut |_, _| {
            any = true;
            Ok(false)
        })?;
        Ok(any)
    }

    fn write(&mut self, key: Vec<u8>, row: Option<Bytes>) {
        let key = Bytes::from(key);
        self.written.insert(key.clone(), row);
        self.changed.push(key);
    }

    /// Puts a node in the place of `old`, and keeps its TTL where it is found.
    pub(super) fn put(&mut self, path: &[u8], old: Option<&NodeRow>, new: &NodeRow) {
        self.forget(path, old.map(Old::from));
        let key = node_key(path);
        let row = Bytes::from(new.encode_to_vec());
        self.head.nodes += 1;
        self.head.bytes += (key.len() + row.len()) as i64;
        self.write(key, Some(row));
        if let Some(expiration) = new.expiration {
            self.head.expiring += 1;
            self.write(ttl_key(expiration, path), Some(Bytes::new()));
        }
    }

    /// Removes a node without what lies below it.
    fn remove_one(&mut self, path: &[u8], old: Old) {
        self.forget(path, Some(old));
        self.write(node_key(path), None);
    }

    /// Takes a node out of the numbers and its TTL out of the rows.
    fn forget(&mut self, path: &[u8], old: Option<Old>) {
        let Some(old) = old else { return };
        self.head.nodes -= 1;
        self.head.bytes -= (node_key(path).len() + old.row_bytes) as i64;
        if let Some(expiration) = old.expiration {
            self.head.expiring -= 1;
            self.write(ttl_key(expiration, path), None);
        }
    }

    /// Makes the directories above `path` that are missing, as of the next index.
    ///
    /// The error is the request's: a file stands in the way.
    pub(super) fn make_parents(&mut self, path: &[u8]) -> Result<Result<(), Error>, ReadRowsError> {
        let Some(parent) = path::parent(path) else { return Ok(Ok(())) };
        if let Some(node) = self.node(parent)? {
            return Ok(if node.dir { Ok(()) } else { Err(self.not_dir(parent)) });
        }
        let parents: Vec<Vec<u8>> = path::with_ancestors(parent).map(<[u8]>::to_vec).collect();
        let index = self.head.index + 1;
        for dir in parents {
            match self.node(&dir)? {
                Some(node) if node.dir => {}
                Some(_) => return Ok(Err(self.not_dir(&dir))),
                None => {
                    let new = NodeRow { created: index, modified: index, dir: true, ..NodeRow::default() };
                    self.put(&dir, None, &new);
                }
            }
        }
        Ok(Ok(()))
    }

    fn not_dir(&self, path: &[u8]) -> Error {
        Error::new(code::NOT_DIR, path.to_vec(), self.head.index)
    }

    /// Removes a node with everything below it. Returns the hashes of all paths that went, ascending.
    pub(super) fn remove(&mut self, path: &[u8], node: &NodeRow) -> Result<Vec<u64>, ReadRowsError> {
        let mut removed = vec![Event::path_hash(path)];
        self.remove_one(path, node.into());
        if node.dir {
            self.remove_below(path, &mut removed)?;
        }
        removed.sort_unstable();
        removed.dedup();
        Ok(removed)
    }

    /// Removes everything below a directory, level by level.
    fn remove_below(&mut self, dir: &[u8], removed: &mut Vec<u64>) -> Result<(), ReadRowsError> {
        let mut depth = path::depth(dir) + 1;
        let prefix = path::prefix_of_children(dir);
        loop {
            let lower = at_depth(depth, &prefix);
            let upper = behind(lower.clone());
            let mut level = Vec::new();
            self.source().walk(&lower, &upper, &mut |key, row| {
                let node = NodeRow::decode_row(Bytes::copy_from_slice(row))?;
                level.push((path_of(key)?.to_vec(), Old::from(&node)));
                Ok(true)
            })?;
            if level.is_empty() {
                return Ok(());
            }
            for (path, node) in &level {
                removed.push(Event::path_hash(path));
                self.remove_one(path, *node);
            }
            depth += 1;
        }
    }

    /// Adds an event to the history, with its index, and lets go of the oldest one.
    pub(super) fn note(&mut self, event: &Event) -> Result<(), ReadRowsError> {
        let index = event.index();
        self.head.index = index;
        let row = Bytes::from(event.encode_to_vec());
        self.head.bytes += row.len() as i64;
        self.write(event_key(index), Some(row));
        if self.head.first_event == 0 {
            self.head.first_event = index;
        }
        while index - self.head.first_event >= HISTORY {
            let oldest = event_key(self.head.first_event);
            if let Some(row) = self.source().get(&oldest)? {
                self.head.bytes -= row.len() as i64;
                self.write(oldest, None);
            }
            self.head.first_event += 1;
        }
        Ok(())
    }
}

/// An event that is kept.
pub(super) fn event<S: Snapshot>(source: Source<'_, S>, index: u64) -> Result<Option<Event>, ReadRowsError> {
    Ok(source.get(&event_key(index))?.map(decode_event).transpose()?)
}
