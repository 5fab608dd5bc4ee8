//! What a request under `/v2/keys` asks for, checked in etcd's order and refused in its words.
//!
//! Must never look at the tree.

use super::form::Form;
use bytes::Bytes;
use http::Method;
use model::v2::{Error, KEYS, Request, code, method};

const SECOND: i64 = 1_000_000_000;

/// A checked request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyRequest {
    /// Read a node.
    Get(Get),
    /// Wait for what happens to one.
    Watch(Watch),
    /// Change one.
    Write {
        /// For the log.
        request: Request,
        /// The answer has no nodes.
        bare: bool,
    },
}

/// A read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Get {
    /// Path in the tree.
    pub(super) path: Bytes,
    /// With everything below.
    pub(super) recursive: bool,
    /// As of now, not as of what this member has applied.
    pub(super) quorum: bool,
}

/// A watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    /// Path in the tree.
    pub(super) path: Bytes,
    /// With everything below.
    pub(super) recursive: bool,
    /// More than one event.
    pub(super) stream: bool,
    /// The first index; zero for the next event.
    pub(super) since: u64,
}

fn refused(code: u16, cause: impl Into<Bytes>) -> Error {
    Error::new(code, cause, 0)
}

/// The path in the tree of what stands behind `/v2/keys`.
pub(super) fn tree_path(key: &[u8]) -> Bytes {
    // the path of a request is clean but for a slash at its end
    let key = key.strip_suffix(b"/").unwrap_or(key);
    [KEYS.as_bytes(), key].concat().into()
}

impl KeyRequest {
    /// Reads a form. `now` is in nanoseconds since 1970.
    ///
    /// # Errors
    /// etcd's error about the first field that is wrong.
    pub(super) fn of(method: &Method, key: &[u8], form: &Form, now: i64) -> Result<Self, Error> {
        let index = |name| form.uint(name).ok_or_else(|| invalid(code::INDEX_NAN, name));
        let flag = |name| form.flag(name).ok_or_else(|| invalid(code::INVALID_FIELD, name));
        let prev_index = index("prevIndex")?;
        let since = index("waitIndex")?;
        let recursive = flag("recursive")?;
        flag("sorted")?;
        let wait = flag("wait")?;
        let dir = flag("dir")?;
        let quorum = flag("quorum")?;
        let stream = flag("stream")?;
        if wait && *method != Method::GET {
            return Err(refused(code::INVALID_FIELD, "\"wait\" can only be used with GET requests"));
        }
        if form.get("prevValue") == Some(b"") {
            return Err(refused(code::PREV_VALUE_REQUIRED, "\"prevValue\" cannot be empty"));
        }
        let bare = flag("noValueOnSuccess")?;
        let ttl = match form.value("ttl") {
            b"" => None,
            _ => Some(form.uint("ttl").ok_or_else(|| invalid(code::TTL_NAN, "ttl"))?),
        };
        let prev_exist = nullable(form, "prevExist")?;
        let refresh = nullable(form, "refresh")?;
        if refresh == Some(true) {
            if !form.value("value").is_empty() {
                return Err(refused(code::REFRESH_VALUE, "A value was provided on a refresh"));
            }
            if ttl.is_none() {
                return Err(refused(code::REFRESH_TTL_REQUIRED, "No TTL value set"));
            }
        }
        let path = tree_path(key);
        if wait {
            return Ok(Self::Watch(Watch { path, recursive, stream, since }));
        }
        if matches!(*method, Method::GET | Method::HEAD) {
            let quorum = quorum && *method == Method::GET;
            return Ok(Self::Get(Get { path, recursive, quorum }));
        }
        let request = Request {
            id: 0,
            method: name(method).into(),
            path,
            val: Bytes::copy_from_slice(form.value("value")),
            dir,
            prev_value: Bytes::copy_from_slice(form.value("prevValue")),
            prev_index,
            prev_exist,
            expiration: ttl.map_or(0, |ttl| now.wrapping_add((ttl as i64).wrapping_mul(SECOND))),
            recursive,
            time: now,
            refresh,
        };
        Ok(Self::Write { request, bare })
    }
}

fn name(of: &Method) -> &'static str {
    match *of {
        Method::PUT => method::PUT,
        Method::POST => method::POST,
        _ => method::DELETE,
    }
}

fn invalid(code: u16, name: &str) -> Error {
    refused(code, format!("invalid value for \"{name}\""))
}

fn nullable(form: &Form, name: &str) -> Result<Option<bool>, Error> {
    if form.get(name).is_none() {
        return Ok(None);
    }
    form.flag(name).map(Some).ok_or_else(|| refused(code::INVALID_FIELD, format!("invalid value for {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn parse(method: Method, query: &str) -> Result<KeyRequest, Error> {
        let form = Form::of(&method, Some(query), &HeaderMap::new(), b"").unwrap();
        KeyRequest::of(&method, b"/a", &form, 1_000)
    }

    fn code_of(method: Method, query: &str) -> u16 {
        parse(method, query).unwrap_err().code
    }

    #[test]
    fn wrong_fields_are_refused_in_etcds_words() {
        let refused = parse(Method::GET, "recursive=maybe").unwrap_err();
        assert_eq!((refused.code, &refused.cause[..]), (209, &b"invalid value for \"recursive\""[..]));
        assert_eq!(parse(Method::PUT, "prevExist=x").unwrap_err().cause, "invalid value for prevExist");
        assert_eq!(code_of(Method::GET, "waitIndex=-1"), 203);
        assert_eq!(code_of(Method::PUT, "wait=true"), 209);
        assert_eq!(code_of(Method::PUT, "prevValue="), 201);
        assert_eq!(code_of(Method::PUT, "ttl=soon"), 202);
        assert_eq!(code_of(Method::PUT, "refresh=true&value=x&ttl=1"), 211);
        assert_eq!(code_of(Method::PUT, "refresh=true"), 212);
    }

    #[test]
    fn a_ttl_is_an_end_and_an_empty_one_is_none() {
        let expiration = |query| match parse(Method::PUT, query) {
            Ok(KeyRequest::Write { request, .. }) => request.expiration,
            other => panic!("no write: {other:?}"),
        };
        assert_eq!(expiration("ttl=5"), 5_000_001_000);
        assert_eq!(expiration("ttl="), 0);
        assert_eq!(expiration("ttl=0"), 1_000, "ended at once");
    }

    #[test]
    fn only_a_get_waits_and_asks_the_quorum() {
        let path: Bytes = "/1/a".into();
        let get = |recursive, quorum| KeyRequest::Get(Get { path: path.clone(), recursive, quorum });
        assert_eq!(parse(Method::GET, "quorum=true&recursive=1"), Ok(get(true, true)));
        assert_eq!(parse(Method::HEAD, "quorum=true"), Ok(get(false, false)));
        let watch = Watch { path: path.clone(), recursive: false, stream: true, since: 9 };
        assert_eq!(parse(Method::GET, "wait=true&waitIndex=9&stream=true"), Ok(KeyRequest::Watch(watch)));
    }
}
