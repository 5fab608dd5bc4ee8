//! Reads of the v2 tree in one view: nodes, listings, events, and what has ended.
//!
//! Pure functions of a view. Must never follow a directory by recursion: paths have as many parts as a client likes.

use super::path;
use super::rows::{NodeRow, decode_event, event_key};
use super::source::Source;
use super::tree::{children, ended, find};
use crate::engine::Snapshot;
use crate::schema::meta;
use crate::view::View;
use bytes::Bytes;
use model::ReadError;
use model::v2::{Event, Listed, Listing};

/// What a node of a listing costs beside its key and value.
const NODE_BYTES: usize = 160;

fn source<S: Snapshot>(view: &View<S>) -> Source<'_, S> {
    Source::new(&view.snapshot, None)
}

/// A node, and what lies in it: one level, or everything with `recursive`. Hidden nodes are left out, unless one is asked for. TTLs
/// are what is left at `now`, nanoseconds since 1970. `admit` is told what each node costs, and ends the walk by an error.
///
/// # Errors
/// [`ReadError::Store`], and those of `admit`.
pub fn list<S: Snapshot>(
    view: &View<S>,
    path: &[u8],
    recursive: bool,
    now: i64,
    admit: &mut dyn FnMut(usize) -> Result<(), ReadError>,
) -> Result<Listing, ReadError> {
    let source = source(view);
    let index = view.v2.index;
    let path = path::clean(path);
    let root = match find(source, &path, index)? {
        Ok(node) => node,
        Err(refusal) => return Ok(Listing { result: Err(refusal), index }),
    };
    let mut out = Vec::new();
    let mut next = vec![(0, path, root)];
    while let Some((depth, path, node)) = next.pop() {
        let lists = node.dir && (depth == 0 || recursive);
        out.push(Listed { depth, node: node.shown(&path, now) });
        if !lists {
            continue;
        }
        let (first, mut refused) = (next.len(), None);
        children(source, &path, &mut |path, row| {
            if path::is_hidden(path) {
                return Ok(true);
            }
            refused = admit(NODE_BYTES + path.len() + row.len()).err();
            let node = NodeRow::decode_row(Bytes::copy_from_slice(row))?;
            next.push((depth + 1, path.to_vec(), node));
            Ok(refused.is_none())
        })?;
        if let Some(why) = refused {
            return Err(why);
        }
        next[first..].reverse();
    }
    Ok(Listing { result: Ok(out), index })
}

/// Events from `index` on, ascending, until one of the bounds is reached; the first one is always there if it is kept.
///
/// # Errors
/// [`ReadError::Store`].
pub fn events<S: Snapshot>(
    view: &View<S>,
    index: u64,
    most: usize,
    most_bytes: usize,
) -> Result<Vec<Event>, ReadError> {
    let (mut out, mut bytes) = (Vec::new(), 0);
    source(view).walk(&event_key(index), &[meta::V2_EVENT + 1], &mut |_, row| {
        bytes += row.len();
        out.push(decode_event(Bytes::copy_from_slice(row))?);
        Ok(out.len() < most && bytes < most_bytes)
    })?;
    Ok(out)
}

/// One event; `None` when it is no longer kept, or has not happened.
///
/// # Errors
/// [`ReadError::Store`].
pub fn event<S: Snapshot>(view: &View<S>, index: u64) -> Result<Option<Event>, ReadError> {
    Ok(super::tree::event(source(view), index)?)
}

/// Whether a node has ended by `now` and is still there: then it is time for a request that removes it.
///
/// # Errors
/// [`ReadError::Store`].
pub fn has_ended<S: Snapshot>(view: &View<S>, now: i64) -> Result<bool, ReadError> {
    Ok(view.v2.expiring > 0 && !ended(source(view), now, 1)?.is_empty())
}
