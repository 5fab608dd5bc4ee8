//! Requests and rows of the v2 API as lines.
//!
//! Must never show a value that was not asked for.

use super::line::{Line, Value};
use bytes::Bytes;
use model::v2::{Node, Request};
use storage::schema::meta;
use storage::v2::rows::{Head, NodeRow, decode_event, path_of, split_ttl_key};

/// What a request says.
pub(super) fn request(request: Request, values: bool) -> Line {
    let line = Line::new("", "").with("method", Value::Text(request.method)).with("path", key(&request.path));
    let line = line.int_if("expiration", request.expiration).int_if("time", request.time);
    let line = if values { line.with("value", Value::Bytes(request.val.to_vec())) } else { line };
    match request.prev_exist {
        Some(exist) => line.with("prev_exist", Value::Bool(exist)),
        None => line,
    }
}

/// A row of `meta`; `None` when it is another one's.
pub(super) fn row(row_key: &[u8], value: &[u8], values: bool) -> Option<Result<Line, String>> {
    let line = |name: &str| Line::new("family", "meta").with("row", Value::Text(name.into()));
    let bytes = || Bytes::copy_from_slice(value);
    let read = match row_key {
        meta::V2 => Head::decode_row(value).map(|head| {
            let line = line("v2").int("index", head.index).int("first_event", head.first_event);
            line.int("nodes", head.nodes).int("expiring", head.expiring).int("bytes", head.bytes)
        }),
        [meta::V2_NODE, ..] => NodeRow::decode_row(bytes()).and_then(|node| {
            let path = path_of(row_key)?;
            Ok(line("v2_node").and(shown(&node.shown(path, 0), values)))
        }),
        [meta::V2_TTL, ..] => {
            split_ttl_key(row_key).map(|(ends, path)| line("v2_ttl").int("expiration", ends).with("path", key(path)))
        }
        [meta::V2_EVENT, ..] => decode_event(bytes()).map(|event| {
            let line = line("v2_event").with("action", Value::Text(event.action().name().into()));
            line.and(shown(&event.node, values))
        }),
        _ => return None,
    };
    Some(read.map_err(|why| why.to_string()))
}

fn key(path: &[u8]) -> Value {
    Value::Key(path.to_vec())
}

fn shown(node: &Node, values: bool) -> Line {
    let line = Line::new("", "").with("path", key(&node.key)).with("dir", Value::Bool(node.dir));
    let line = line.int("created_index", node.created).int("modified_index", node.modified);
    let line = line.int_if("expiration", node.expiration.unwrap_or_default());
    match &node.value {
        Some(value) if values => line.with("value", Value::Bytes(value.to_vec())),
        _ => line,
    }
}
