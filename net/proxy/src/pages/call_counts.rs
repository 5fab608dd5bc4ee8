//! Calls and messages that are counted on their way, whether they are typed or passed on: what `grpc_server_*` shows.
//!
//! Must never hold a message back, nor count a method that etcd does not have: labels come from here, not from clients.

use api::CODE_NAMES;
use api::schema::{Flow, METHODS};
use http::HeaderMap;
use hyper::body::{Frame, SizeHint};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{self, Poll};
use tonic::body::Body;

const CANCELED: usize = 1;
const UNKNOWN: usize = 2;
/// Bytes before each message: compressed or not, and its length.
const HEAD: usize = 5;

/// Counts of one method.
#[derive(Debug)]
struct MethodCounts {
    labels: String,
    started: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    handled: [AtomicU64; CODE_NAMES.len()],
}

/// Counts of all methods.
#[derive(Debug)]
pub(crate) struct CallCounts(HashMap<&'static str, Arc<MethodCounts>>);

impl CallCounts {
    pub(crate) fn new() -> Self {
        let counts = |method: &'static api::schema::Method| {
            let (service, name) = method.path.trim_start_matches('/').split_once('/')?;
            let kind = match method.flow {
                Flow::Unary => "unary",
                Flow::ServerStream => "server_stream",
                Flow::Bidi => "bidi_stream",
            };
            let labels = format!("grpc_method=\"{name}\",grpc_service=\"{service}\",grpc_type=\"{kind}\"");
            let counts = MethodCounts {
                labels,
                started: AtomicU64::new(0),
                received: AtomicU64::new(0),
                sent: AtomicU64::new(0),
                handled: Default::default(),
            };
            Some((method.path, Arc::new(counts)))
        };
        Self(METHODS.iter().filter_map(counts).collect())
    }

    /// A call begins: its request and its answer are to go through what comes back; `None` for a method that nobody knows.
    pub(crate) fn begin(&self, path: &str) -> Option<CountedCall> {
        let counts = self.0.get(path)?.clone();
        counts.started.fetch_add(1, Relaxed);
        Some(CountedCall(Some(counts)))
    }

    /// Appends the families. Methods that were never called are left out, as in etcd's proxy. Names and helps are etcd's.
    pub(crate) fn write(&self, page: &mut String) {
        let mut called: Vec<&Arc<MethodCounts>> =
            self.0.values().filter(|counts| counts.started.load(Relaxed) > 0).collect();
        called.sort_by(|a, b| a.labels.cmp(&b.labels));
        family(
            page,
            "grpc_server_handled_total",
            "Total number of RPCs completed on the server, regardless of success or failure.",
        );
        for counts in &called {
            for (code, handled) in CODE_NAMES.iter().zip(&counts.handled) {
                let handled = handled.load(Relaxed);
                if handled > 0 {
                    // writing into memory does not fail
                    let labels = &counts.labels;
                    let _ = writeln!(page, "grpc_server_handled_total{{grpc_code=\"{code}\",{labels}}} {handled}");
                }
            }
        }
        type Pick = fn(&MethodCounts) -> &AtomicU64;
        let families: [(&str, &str, Pick); 3] = [
            (
                "grpc_server_msg_received_total",
                "Total number of RPC stream messages received on the server.",
                |counts| &counts.received,
            ),
            ("grpc_server_msg_sent_total", "Total number of gRPC stream messages sent by the server.", |counts| {
                &counts.sent
            }),
            ("grpc_server_started_total", "Total number of RPCs started on the server.", |counts| &counts.started),
        ];
        for (name, help, pick) in families {
            family(page, name, help);
            for counts in &called {
                let _ = writeln!(page, "{name}{{{}}} {}", counts.labels, pick(counts).load(Relaxed));
            }
        }
    }
}

fn family(page: &mut String, name: &str, help: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} counter");
}

/// A call under way. It ends with its answer, or with a client that goes away.
pub(crate) struct CountedCall(Option<Arc<MethodCounts>>);

impl CountedCall {
    pub(crate) fn request(&self, request: http::Request<Body>) -> http::Request<Body> {
        let counts = self.0.clone();
        let body = |body| Counted { body, counts, direction: Direction::In, frames: Frames::default() };
        request.map(|inner| Body::new(body(inner)))
    }

    pub(crate) fn answer(mut self, answer: http::Response<Body>) -> http::Response<Body> {
        let counts = self.0.take();
        let code = code_of(answer.headers());
        if let Some(code) = code {
            // a refusal without a body
            end(counts.as_deref(), code);
        }
        let direction = Direction::Out { is_over: code.is_some() };
        let body = |body| Counted { body, counts, direction, frames: Frames::default() };
        answer.map(|inner| Body::new(body(inner)))
    }
}

impl Drop for CountedCall {
    fn drop(&mut self) {
        end(self.0.as_deref(), CANCELED);
    }
}

fn end(counts: Option<&MethodCounts>, code: usize) {
    if let Some(counts) = counts {
        counts.handled[code].fetch_add(1, Relaxed);
    }
}

/// The code that headers or trailers name.
fn code_of(headers: &HeaderMap) -> Option<usize> {
    let status = headers.get("grpc-status")?.to_str().ok();
    let code = status.and_then(|text| text.parse::<usize>().ok());
    Some(code.filter(|code| *code < CODE_NAMES.len()).unwrap_or(UNKNOWN))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    In,
    Out { is_over: bool },
}

/// A body whose messages are counted.
struct Counted {
    body: Body,
    counts: Option<Arc<MethodCounts>>,
    direction: Direction,
    frames: Frames,
}

impl Counted {
    fn over(&mut self, code: usize) {
        if self.direction == (Direction::Out { is_over: false }) {
            self.direction = Direction::Out { is_over: true };
            end(self.counts.as_deref(), code);
        }
    }
}

impl hyper::body::Body for Counted {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) if frame.is_data() => {
                let messages = frame.data_ref().map_or(0, |data| self.frames.messages(data));
                if let Some(counts) = &self.counts {
                    let total = if self.direction == Direction::In { &counts.received } else { &counts.sent };
                    total.fetch_add(messages, Relaxed);
                }
            }
            Some(Ok(frame)) => {
                let code = frame.trailers_ref().and_then(code_of).unwrap_or(UNKNOWN);
                self.over(code);
            }
            Some(Err(_)) | None => self.over(UNKNOWN),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.over(CANCELED);
    }
}

/// Finds where messages begin in pieces of any length.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that are known.
    known: usize,
    /// Bytes of a message that are still to come.
    left: usize,
}

impl Frames {
    /// Messages whose head ends in this piece.
    fn messages(&mut self, mut data: &[u8]) -> u64 {
        let mut begun = 0;
        while !data.is_empty() {
            if self.left > 0 {
                let inside = self.left.min(data.len());
                (self.left, data) = (self.left - inside, &data[inside..]);
                continue;
            }
            let missing = (HEAD - self.known).min(data.len());
            self.head[self.known..self.known + missing].copy_from_slice(&data[..missing]);
            (self.known, data) = (self.known + missing, &data[missing..]);
            if self.known == HEAD {
                let [_, a, b, c, d] = self.head;
                (self.known, self.left) = (0, u32::from_be_bytes([a, b, c, d]) as usize);
                begun += 1;
            }
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let message = |length: u8| [&[0, 0, 0, 0, length][..], &vec![1; usize::from(length)]].concat();
        let all = [message(0), message(3), message(200), message(0), message(7)].concat();
        for piece in [1, 2, 3, 5, 6, 7, 100, all.len()] {
            let mut frames = Frames::default();
            let counted: u64 = all.chunks(piece).map(|part| frames.messages(part)).sum();
            assert_eq!((counted, frames.known, frames.left), (5, 0, 0), "pieces of {piece}");
        }
    }

    fn page(counts: &CallCounts) -> String {
        let mut page = String::new();
        counts.write(&mut page);
        page
    }

    #[tokio::test]
    async fn a_call_ends_once_with_its_code() {
        let counts = CallCounts::new();
        assert!(counts.begin("/etcdserverpb.KV/Nothing").is_none());
        let path = "/etcdserverpb.KV/Range";
        // refused without a body, given up by the client before and while it was answered
        let refused = tonic::Status::not_found("x").into_http();
        let answer = counts.begin(path).unwrap().answer(refused);
        answer.into_body().collect().await.unwrap();
        drop(counts.begin(path).unwrap());
        drop(counts.begin(path).unwrap().answer(http::Response::new(Body::empty())));
        // answered
        let message = http_body_util::Full::new(bytes::Bytes::from_static(&[0, 0, 0, 0, 1, 9]));
        let request = http::Request::new(Body::new(message.clone()));
        let call = counts.begin(path).unwrap();
        call.request(request).into_body().collect().await.unwrap();
        let trailers =
            async { Some(Ok(HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]))) };
        let body = message.with_trailers(trailers);
        call.answer(http::Response::new(Body::new(body))).into_body().collect().await.unwrap();
        let page = page(&counts);
        let labels = "grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"";
        for line in [
            format!("grpc_server_handled_total{{grpc_code=\"OK\",{labels}}} 1\n"),
            format!("grpc_server_handled_total{{grpc_code=\"NotFound\",{labels}}} 1\n"),
            format!("grpc_server_handled_total{{grpc_code=\"Canceled\",{labels}}} 2\n"),
            format!("grpc_server_msg_received_total{{{labels}}} 1\n"),
            format!("grpc_server_msg_sent_total{{{labels}}} 1\n"),
            format!("grpc_server_started_total{{{labels}}} 4\n"),
        ] {
            assert!(page.contains(&line), "{line} in {page}");
        }
        assert!(!page.contains("grpc_method=\"Put\""), "never called");
    }
}
