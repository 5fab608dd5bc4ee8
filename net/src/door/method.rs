//! Which path is served by whom, and the traits services implement.
//!
//! The door calls a service with bytes and gets bytes back; it must not know what they mean.

use super::call::Call;
use super::calls::{StreamEvents, StreamHandle};
use super::meta::CallMeta;
use super::method_info::{MethodInfo, MethodKind};
use super::status::{Code, Status};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// A unary method. Implemented by closures `Fn(Call, Bytes)`.
pub trait UnaryHandler {
    /// Takes one request. Answer by `call.reply(..)` at once, or keep `call.defer()` and give that token to
    /// [`LoopHandle::complete`](super::LoopHandle::complete) later. Called once for every request; must not block.
    fn call(&self, call: Call, body: Bytes);
}

impl<F: Fn(Call, Bytes)> UnaryHandler for F {
    fn call(&self, call: Call, body: Bytes) {
        self(call, body);
    }
}

/// A method with one request and a stream of answers. Implemented by closures.
pub trait ServerStreamHandler {
    /// Starts a stream for one request. The returned object hears of credit and of the end.
    fn open(&self, meta: CallMeta, body: Bytes, stream: StreamHandle) -> Box<dyn StreamEvents>;
}

impl<F: Fn(CallMeta, Bytes, StreamHandle) -> Box<dyn StreamEvents>> ServerStreamHandler for F {
    fn open(&self, meta: CallMeta, body: Bytes, stream: StreamHandle) -> Box<dyn StreamEvents> {
        self(meta, body, stream)
    }
}

/// A method with a stream of requests. Implemented by closures.
pub trait BidiHandler {
    /// Starts a stream. The returned object gets the messages.
    fn open(&self, meta: CallMeta, stream: StreamHandle) -> Box<dyn StreamEvents>;
}

impl<F: Fn(CallMeta, StreamHandle) -> Box<dyn StreamEvents>> BidiHandler for F {
    fn open(&self, meta: CallMeta, stream: StreamHandle) -> Box<dyn StreamEvents> {
        self(meta, stream)
    }
}

#[derive(Clone)]
pub(super) enum Handler {
    Unary(Rc<dyn UnaryHandler>),
    ServerStream(Rc<dyn ServerStreamHandler>),
    Bidi(Rc<dyn BidiHandler>),
}

#[derive(Clone)]
pub(super) struct Method {
    pub(super) info: Rc<MethodInfo>,
    pub(super) handler: Handler,
}

/// The methods of one loop, by exact path.
#[derive(Default)]
pub struct MethodTable {
    methods: Vec<Method>,
    paths: HashMap<String, usize>,
    services: HashSet<String>,
}

impl MethodTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a unary method.
    ///
    /// # Panics
    /// When `path` is not `/service/method` or is taken: a programming error of the caller.
    pub fn unary(&mut self, path: &str, handler: impl UnaryHandler + 'static) -> &mut Self {
        self.add(path, MethodKind::Unary, Handler::Unary(Rc::new(handler)))
    }

    /// Adds a server-streaming method. Panics as [`Self::unary`].
    pub fn server_stream(&mut self, path: &str, handler: impl ServerStreamHandler + 'static) -> &mut Self {
        self.add(path, MethodKind::ServerStream, Handler::ServerStream(Rc::new(handler)))
    }

    /// Adds a method with a stream of requests. Panics as [`Self::unary`].
    pub fn bidi(&mut self, path: &str, handler: impl BidiHandler + 'static) -> &mut Self {
        self.add(path, MethodKind::Bidi, Handler::Bidi(Rc::new(handler)))
    }

    /// Names of all methods, by index.
    pub fn infos(&self) -> impl Iterator<Item = &MethodInfo> {
        self.methods.iter().map(|m| &*m.info)
    }

    fn add(&mut self, path: &str, kind: MethodKind, handler: Handler) -> &mut Self {
        let (service, method) = split(path).unwrap_or_else(|| panic!("{path} is not /service/method"));
        let index = self.methods.len();
        let info =
            MethodInfo { index, path: path.to_owned(), service: service.to_owned(), method: method.to_owned(), kind };
        assert!(self.paths.insert(path.to_owned(), index).is_none(), "{path} is served twice");
        self.services.insert(info.service.clone());
        self.methods.push(Method { info: Rc::new(info), handler });
        self
    }

    /// The handler of a method.
    pub(super) fn handler(&self, info: &MethodInfo) -> Option<&Handler> {
        self.methods.get(info.index).map(|m| &m.handler)
    }

    pub(super) fn find(&self, path: &str) -> Option<&Method> {
        self.paths.get(path).map(|&i| &self.methods[i])
    }

    /// grpc-go's answer to a path that is not in the table.
    pub(super) fn unknown(&self, path: &str) -> Status {
        let message = match split(path) {
            None => format!("malformed method name: {path:?}"),
            Some((service, method)) if self.services.contains(service) => {
                format!("unknown method {method} for service {service}")
            }
            Some((service, _)) => format!("unknown service {service}"),
        };
        Status::new(Code::Unimplemented, message)
    }
}

/// The methods of a running loop. Services hold handles of the loop, so they are emptied when it ends.
#[derive(Default)]
pub(super) struct Methods(RefCell<Rc<MethodTable>>);

impl Methods {
    pub(super) fn table(&self) -> Rc<MethodTable> {
        self.0.borrow().clone()
    }

    pub(super) fn replace(&self, table: MethodTable) {
        self.0.replace(Rc::new(table));
    }
}

fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.rsplit_once('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_paths_get_grpc_gos_words() {
        let mut table = MethodTable::new();
        table.unary("/a.B/C", |_: Call, _: Bytes| {});
        assert!(table.find("/a.B/C").is_some());
        assert_eq!(table.unknown("/a.B/D").message, "unknown method D for service a.B");
        assert_eq!(table.unknown("/x.Y/C").message, "unknown service x.Y");
        assert_eq!(table.unknown("/x").message, "malformed method name: \"/x\"");
    }
}
