//! The service the tests call: echoes at once, echoes through another thread, floods, and never answers.

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt};
use net::door::{
    Answer, AnswerSource, Call, CallMeta, CallRecord, CallToken, Door, DoorLimits, DoorObserver, Ended, HttpBody,
    HttpHandler, HttpInput, HttpRequest, Inbound, ListenSpec, Listener, LocalMeta, LoopHandle, LoopHooks, LoopSender,
    LoopSetup, MethodInfo, MethodTable, SendError, Status, StreamEvents, StreamHandle, text,
};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the tests look at from outside.
#[derive(Default)]
pub struct Seen {
    /// `on_cancel` of deferred calls and of streams.
    pub cancelled: AtomicUsize,
    /// Messages the flood has got rid of.
    pub flooded: AtomicUsize,
    /// Chunks pulled from the big answer.
    pub pulled: AtomicUsize,
    /// Lists handed to the other thread.
    pub lists: AtomicUsize,
    /// Calls started and handled, as the observer saw them.
    pub started: AtomicUsize,
    pub handled: AtomicUsize,
}

type Hop = (usize, CallToken, Bytes);
type Reply = (CallToken, Bytes);

struct Services {
    handle: LoopHandle,
    out: RefCell<Vec<Hop>>,
    hop: mpsc::Sender<Vec<Hop>>,
    seen: Arc<Seen>,
}

impl LoopHooks<Reply> for Services {
    fn on_messages(&self, list: Vec<Reply>) {
        for (token, body) in list {
            self.handle.complete(token, Answer::message(body));
        }
    }

    fn end_of_round(&self) {
        let list = std::mem::take(&mut *self.out.borrow_mut());
        if !list.is_empty() {
            self.seen.lists.fetch_add(1, Ordering::Relaxed);
            self.hop.send(list).expect("the hop thread lives");
        }
    }
}

struct Counter(Arc<Seen>);

impl DoorObserver for Counter {
    fn started(&self, _: &MethodInfo, _: &http::HeaderMap) -> Option<Box<CallRecord>> {
        self.0.started.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn handled(&self, _: Ended<'_>) {
        self.0.handled.fetch_add(1, Ordering::Relaxed);
    }
}

struct Pages(LoopHandle);

impl HttpHandler for Pages {
    fn handle(&self, request: HttpRequest) -> LocalBoxFuture<'static, http::Response<HttpBody>> {
        if request.host() == "evil.example" {
            return async { text(http::StatusCode::MISDIRECTED_REQUEST, "") }.boxed_local();
        }
        if request.uri.path() == "/inside" {
            return inside(self.0.clone(), request).boxed_local();
        }
        async move {
            let (method, path) = (request.method.clone(), request.uri.path().to_owned());
            let length = whole(request.body).await.len();
            text(http::StatusCode::OK, format!("{method} {path} {length}"))
        }
        .boxed_local()
    }
}

async fn whole(mut input: HttpInput) -> Bytes {
    let mut all = Vec::new();
    while let Some(Ok(piece)) = input.piece().await {
        all.extend_from_slice(&piece);
    }
    all.into()
}

/// Calls the other methods without a socket, as the JSON gateway does.
async fn inside(handle: LoopHandle, request: HttpRequest) -> http::Response<HttpBody> {
    let peer = request.peer;
    let body = whole(request.body).await;
    let meta = || LocalMeta { headers: http::HeaderMap::new(), deadline: None, peer: peer.clone() };
    let mut message = handle.call("/test.Echo/Hop", meta(), body.clone()).await.expect("a message");
    let mut called = 0;
    while let Some(chunk) = message.chunk().await {
        called += chunk.expect("a chunk").len();
    }
    drop(message);

    let mut parrot = handle.open("/test.Echo/Parrot", meta(), Some(body)).expect("opens");
    let echoed = parrot.next().await.expect("echo").expect("a message").len();
    parrot.half_close();
    let end = parrot.next().await.expect("the end").expect_err("a status");

    let many: Bytes = [2000u32.to_be_bytes(), 1000u32.to_be_bytes()].concat().into();
    let flood = handle.open("/test.Echo/Flood", meta(), Some(many.clone())).expect("opens");
    let flooded = flood.filter(|m| std::future::ready(m.is_ok())).count().await;
    // dropped before its end: cancelled
    drop(handle.open("/test.Echo/Flood", meta(), Some(many)).expect("opens"));
    text(http::StatusCode::OK, format!("{called} {echoed} {} {flooded}", end.code.name()))
}

/// Sends as many messages as credit allows, then the rest as it comes back.
struct Flood {
    left: u32,
    body: Bytes,
    seen: Arc<Seen>,
}

impl Flood {
    fn pour(&mut self, stream: &StreamHandle) {
        while self.left > 0 {
            match stream.try_send(self.body.clone()) {
                Ok(_) => {
                    self.left -= 1;
                    self.seen.flooded.fetch_add(1, Ordering::Relaxed);
                }
                Err(SendError::Full(_) | SendError::Closed) => return,
            }
        }
        stream.finish(Status::OK);
    }
}

impl StreamEvents for Flood {
    fn on_ready(&mut self, stream: &StreamHandle) {
        self.pour(stream);
    }

    fn on_cancel(&mut self) {
        self.seen.cancelled.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives every message back; stops reading while there is no credit.
struct Parrot {
    waiting: Option<Bytes>,
    ended: bool,
    seen: Arc<Seen>,
}

impl StreamEvents for Parrot {
    fn on_message(&mut self, stream: &StreamHandle, message: Bytes) -> Inbound {
        match stream.try_send(message.clone()) {
            Ok(_) => Inbound::Continue,
            Err(_) => {
                self.waiting = Some(message);
                Inbound::Pause
            }
        }
    }

    fn on_half_close(&mut self, stream: &StreamHandle) {
        self.ended = true;
        if self.waiting.is_none() {
            stream.finish(Status::OK);
        }
    }

    fn on_ready(&mut self, stream: &StreamHandle) {
        if let Some(message) = self.waiting.take() {
            stream.try_send(message).expect("ready means credit");
        }
        if self.ended { stream.finish(Status::OK) } else { stream.resume() }
    }

    fn on_cancel(&mut self) {
        self.seen.cancelled.fetch_add(1, Ordering::Relaxed);
    }
}

/// A large answer in chunks of 32 KiB.
struct Zeros(usize, Arc<Seen>);

impl AnswerSource for Zeros {
    fn total_len(&self) -> usize {
        self.0
    }

    fn poll_chunk(&mut self, _: usize, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let n = self.0.min(32 << 10);
        self.0 -= n;
        self.1.pulled.fetch_add(1, Ordering::Relaxed);
        Poll::Ready((n > 0).then(|| Ok(Bytes::from(vec![0; n]))))
    }
}

fn number(body: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(body[at..at + 4].try_into().expect("four bytes"))
}

fn methods(services: &Rc<Services>, handle: &LoopHandle) -> MethodTable {
    let seen = services.seen.clone();
    let mut table = MethodTable::new();
    table.unary("/test.Echo/Inline", |call: Call, body: Bytes| call.reply(Answer::message(body)));
    let s = services.clone();
    let index = handle.index();
    table.unary("/test.Echo/Hop", move |call: Call, body: Bytes| {
        s.out.borrow_mut().push((index, call.defer(), body));
    });
    let s = seen.clone();
    table.unary("/test.Echo/Never", move |call: Call, _: Bytes| {
        let seen = s.clone();
        call.defer_with(move || {
            seen.cancelled.fetch_add(1, Ordering::Relaxed);
        });
    });
    table.unary("/test.Echo/Hold", |call: Call, _: Bytes| {
        // kept by nobody: it ends with its deadline, or with the door
        call.defer();
    });
    let s = seen.clone();
    table.unary("/test.Echo/Zeros", move |call: Call, body: Bytes| {
        call.reply(Answer::source(Zeros(number(&body, 0) as usize, s.clone())));
    });
    table.unary("/test.Echo/Forget", |call: Call, _: Bytes| drop(call));
    table.unary("/test.Echo/Token", |call: Call, _: Bytes| {
        let token = call.get("token").map(Bytes::copy_from_slice).unwrap_or_default();
        call.reply(Answer::message(token));
    });
    let s = seen.clone();
    table.server_stream("/test.Echo/Flood", move |_: CallMeta, body: Bytes, stream: StreamHandle| {
        let body_len = number(&body, 4) as usize;
        let mut flood = Flood { left: number(&body, 0), body: Bytes::from(vec![7; body_len]), seen: s.clone() };
        flood.pour(&stream);
        Box::new(flood) as Box<dyn StreamEvents>
    });
    table.bidi("/test.Echo/Parrot", move |_: CallMeta, _: StreamHandle| {
        Box::new(Parrot { waiting: None, ended: false, seen: seen.clone() }) as Box<dyn StreamEvents>
    });
    table
}

/// A running server; its threads end with it.
pub struct Server {
    pub addr: SocketAddr,
    pub seen: Arc<Seen>,
    pub door: Arc<Door>,
    threads: Vec<JoinHandle<()>>,
}

fn on_thread<F: Future<Output = ()> + 'static>(make: impl FnOnce() -> F + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async { make().await });
    })
}

/// Starts a server with two loops on a free port.
pub fn start(limits: &DoorLimits, spec: ListenSpec) -> Server {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let addr = listener.local_addr().expect("address");
    start_on(limits, spec, Listener::Tcp(listener), addr)
}

/// Starts a server on a given listener.
pub fn start_on(limits: &DoorLimits, spec: ListenSpec, listener: Listener, addr: SocketAddr) -> Server {
    let seen = Arc::new(Seen::default());
    let (hop, hops) = mpsc::channel::<Vec<Hop>>();
    let s = seen.clone();
    let setup = Arc::new(move |handle: LoopHandle, _: LoopSender<Reply>| {
        let services = Rc::new(Services {
            handle: handle.clone(),
            out: RefCell::new(Vec::new()),
            hop: hop.clone(),
            seen: s.clone(),
        });
        LoopSetup {
            methods: methods(&services, &handle),
            http: Rc::new(Pages(handle.clone())),
            hooks: services,
            observer: Rc::new(Counter(s.clone())),
        }
    });
    let (door, runners, senders) = Door::new(limits, 2, 10_000, setup);
    let mut threads: Vec<_> = runners.into_iter().map(|r| on_thread(move || r.run())).collect();
    threads.push(std::thread::spawn(move || {
        for list in hops {
            let mut replies = vec![Vec::new(); senders.len()];
            list.into_iter().for_each(|(index, token, body)| replies[index].push((token, body)));
            senders.iter().zip(replies).for_each(|(sender, list)| {
                sender.send(list);
            });
        }
    }));
    let d = door.clone();
    threads.push(on_thread(move || async move { d.listen(listener, spec).await.expect("listens") }));
    Server { addr, seen, door, threads }
}

impl Server {
    /// Stops at once and waits for all threads; the hop's ends with the last service.
    pub async fn stop(self) {
        self.door.shutdown(Duration::ZERO, Status::canceled()).await;
        drop(self.door);
        for thread in self.threads {
            thread.join().expect("no thread of the server panicked");
        }
    }
}
