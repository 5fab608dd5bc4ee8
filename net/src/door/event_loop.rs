//! The loop: rounds over everything that is ready on its connections, its inbox and its timers.
//!
//! One round: take in what other threads sent, poll every ready connection (flush and read), hand all accepted requests
//! to the services, deliver stream events, then say `end_of_round`. Answers given in a round are flushed by the next one,
//! which runs at once. Must not block, and must not be a task per connection or per request.

use super::accept::{self, NewConnection, Socket};
use super::answer::Answer;
use super::calls::{Entry, LoopCtx, State};
use super::conn::{Accepted, Conn};
use super::conn_shared::ConnShared;
use super::expiry;
use super::http::{self, HttpHandler};
use super::inbox::{Inbox, LoopSender};
use super::limits::DoorLimits;
use super::loop_handle::LoopHandle;
use super::method::{MethodTable, Methods};
use super::observer::{DoorObserver, NoObserver};
use super::read;
use super::respond;
use super::send;
use super::status::{Code, Status};
use super::stream;
use super::token::CallToken;
use super::wake::{ConnWaker, ReadyList};
use super::wakeups;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep_until};

/// Rounds before other tasks of the thread get a turn.
const ROUNDS: usize = 16;
/// How often connections are looked over for stalls and silence.
const SWEEP: Duration = Duration::from_secs(1);

/// The services' side of a loop's rhythm.
pub trait LoopHooks<M> {
    /// Lists that other threads sent through the [`LoopSender`], in order.
    fn on_messages(&self, list: Vec<M>);

    /// Everything that was readable has been handed over: pass it on as one list now.
    fn end_of_round(&self) {}

    /// The door shuts down: streams are ended after what is sent on them now.
    fn stopping(&self) {}
}

/// What a loop serves; built on the loop's own thread.
pub struct LoopSetup<M> {
    /// gRPC methods.
    pub methods: MethodTable,
    /// Plain HTTP.
    pub http: Rc<dyn HttpHandler>,
    /// The rhythm.
    pub hooks: Rc<dyn LoopHooks<M>>,
    /// Metrics.
    pub observer: Rc<dyn DoorObserver>,
}

/// Builds a loop's services on its thread.
pub type SetupFn<M> = dyn Fn(LoopHandle, LoopSender<M>) -> LoopSetup<M> + Send + Sync;

/// What the door tells a loop.
pub(super) enum Control {
    Accept(Socket),
    Stop { grace: Duration, status: Status },
}

/// A loop, ready to be run on the thread of the caller's choice.
pub struct LoopRunner<M> {
    pub(super) index: usize,
    pub(super) limits: DoorLimits,
    pub(super) ready: Arc<ReadyList>,
    pub(super) ctl: Inbox<Control>,
    pub(super) inbox: Inbox<M>,
    pub(super) sender: LoopSender<M>,
    pub(super) setup: Arc<SetupFn<M>>,
    pub(super) done: oneshot::Sender<()>,
}

impl<M: 'static> LoopRunner<M> {
    /// Runs the loop until the door is shut down. Must be awaited inside a tokio `LocalSet` (an actix arbiter is one)
    /// of a current-thread runtime with I/O and time enabled.
    pub async fn run(self) {
        let ctx = Rc::new(LoopCtx::new(self.index, self.limits, self.ready));
        let methods = Rc::new(Methods::default());
        let setup = (self.setup)(LoopHandle { ctx: ctx.clone(), methods: methods.clone() }, self.sender);
        methods.replace(setup.methods);
        ctx.observer.replace(setup.observer);
        let (stop, _) = watch::channel(false);
        let mut core = Core {
            fresh: Rc::new(RefCell::new(Vec::new())),
            tasks: Rc::new(Cell::new(0)),
            ctx,
            methods,
            http: setup.http,
            hooks: setup.hooks,
            ctl: self.ctl,
            inbox: self.inbox,
            conns: Vec::new(),
            free: Vec::new(),
            ready_conns: Vec::new(),
            ready_calls: Vec::new(),
            accepted: Vec::new(),
            sleep: Box::pin(sleep_until(Instant::now() + SWEEP)),
            next_sweep: Instant::now() + SWEEP,
            stop,
            stop_at: None,
        };
        // rounds are bounded by ROUNDS; the runtime's own budget would cut them in the middle
        tokio::task::unconstrained(poll_fn(|cx| core.poll(cx))).await;
        core.clear();
        // nobody may be waiting for the end any more
        let _ = self.done.send(());
    }
}

struct Core<M> {
    ctx: Rc<LoopCtx>,
    methods: Rc<Methods>,
    http: Rc<dyn HttpHandler>,
    hooks: Rc<dyn LoopHooks<M>>,
    ctl: Inbox<Control>,
    inbox: Inbox<M>,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    /// Connections whose handshake is done.
    fresh: Rc<RefCell<Vec<NewConnection>>>,
    /// Handshakes and HTTP/1.1 connections that run as tasks.
    tasks: Rc<Cell<usize>>,
    ready_conns: Vec<usize>,
    ready_calls: Vec<CallToken>,
    accepted: Vec<Accepted>,
    sleep: Pin<Box<Sleep>>,
    next_sweep: Instant,
    stop: watch::Sender<bool>,
    stop_at: Option<Instant>,
}

impl<M: 'static> Core<M> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = self.ctx.ready.clone();
        ready.begin(cx.waker());
        let mut more = true;
        for _ in 0..ROUNDS {
            more = self.round();
            if !more {
                break;
            }
        }
        if self.is_over() {
            return Poll::Ready(());
        }
        if ready.end() || more {
            cx.waker().wake_by_ref();
        } else if read::inflates_on(&self.ctx) {
            // goes on only after the sockets were looked at: that is what inflating in rounds is for
            let _ = pin!(yield_now()).poll(cx);
        }
        self.arm(cx);
        Poll::Pending
    }

    /// One round; true when somebody became ready in it.
    fn round(&mut self) -> bool {
        let ctx = self.ctx.clone();
        let methods = self.methods.table();
        ctx.begin_round();
        self.control();
        let mut busy = self.take_messages() | ctx.called.take();
        self.admit();
        busy |= read::inflate(&ctx, &methods);

        ctx.ready.take_conns(&mut self.ready_conns);
        for key in self.ready_conns.drain(..) {
            let Some(slot) = self.conns.get_mut(key) else { continue };
            if slot.as_mut().is_some_and(|conn| !conn.poll(&ctx, &mut self.accepted)) {
                close(&ctx, slot);
                self.free.push(key);
            }
        }
        busy |= !self.accepted.is_empty();
        for accepted in self.accepted.drain(..) {
            if let Some(other) = read::accept(&ctx, &methods, accepted) {
                tokio::task::spawn_local(http::serve_h2(self.http.clone(), other, ctx.limits.clone()));
            }
        }
        ctx.ready.take_calls(&mut self.ready_calls);
        busy |= !self.ready_calls.is_empty();
        for token in self.ready_calls.drain(..) {
            wakeups::woken(&ctx, &methods, token);
        }
        if busy {
            self.hooks.end_of_round();
        }
        // what this round gave back may serve those that wait for it
        read::assemble_on(&ctx);
        send::read_on(&ctx);
        !ctx.ready.is_empty()
    }

    fn take_messages(&self) -> bool {
        self.inbox.begin();
        let mut any = false;
        while let Some(list) = self.inbox.next() {
            self.hooks.on_messages(list);
            any = true;
        }
        any
    }

    /// Lets in new connections, and old ones that waited for room.
    fn admit(&mut self) {
        let ctx = &self.ctx;
        if ctx.has_room() {
            for conn in ctx.gated.borrow_mut().drain(..) {
                conn.gated.set(false);
                std::task::Wake::wake_by_ref(&conn.waker);
            }
        }
        for fresh in self.fresh.borrow_mut().drain(..) {
            let key = self.free.pop().unwrap_or_else(|| {
                self.conns.push(None);
                self.conns.len() - 1
            });
            let waker = ConnWaker { key, ready: ctx.ready.clone(), queued: AtomicBool::new(false) };
            let shared = Rc::new(ConnShared {
                waker: Arc::new(waker),
                peer: fresh.peer,
                open_calls: Cell::new(0),
                long_calls: Cell::new(0),
                reported_long: Cell::new(false),
                reported_full: Cell::new(false),
                reported_no_room: Cell::new(false),
                full: Cell::new(false),
                gated: Cell::new(false),
                answers: Cell::new(0),
                unflushed: Cell::new(0),
                stalled: RefCell::default(),
            });
            std::task::Wake::wake_by_ref(&shared.waker);
            ctx.observer().connection_opened();
            ctx.connections.set(ctx.connections.get() + 1);
            let mut conn = Conn::new(fresh.h2, shared, fresh.stats, fresh.permit, ctx.now(), fresh.window);
            if self.stop_at.is_some() {
                conn.go_away();
            }
            self.conns[key] = Some(conn);
        }
    }

    fn control(&mut self) {
        self.ctl.begin();
        while let Some(list) = self.ctl.next() {
            for ctl in list {
                match ctl {
                    Control::Accept(socket) if self.stop_at.is_none() => {
                        let destination = accept::Destination {
                            ctx: self.ctx.clone(),
                            http: self.http.clone(),
                            fresh: self.fresh.clone(),
                            tasks: self.tasks.clone(),
                            stop: self.stop.subscribe(),
                        };
                        accept::start(socket, destination);
                    }
                    Control::Accept(_) => {}
                    Control::Stop { grace, status } => self.begin_stop(grace, &status),
                }
            }
        }
    }

    fn begin_stop(&mut self, grace: Duration, status: &Status) {
        self.stop_at = Some(self.ctx.now() + grace);
        self.stop.send_replace(true);
        for conn in self.conns.iter_mut().flatten() {
            conn.go_away();
        }
        self.hooks.stopping();
        let streams = self.ctx.table.borrow().tokens(|e| matches!(e.state, State::Streaming(_)));
        for token in streams {
            stream::abort(&self.ctx, token, status);
        }
        // calls that wait for others may wait for ever, and what they keep is to be cleaned up while that is possible
        let long = |e: &Entry| matches!(e.state, State::Waiting { on_cancel: Some(_), .. });
        let patient = self.ctx.table.borrow().tokens(long);
        for token in patient {
            respond::cancel_waiting(&self.ctx, token, Some(status.clone()));
        }
    }

    fn is_over(&self) -> bool {
        let Some(at) = self.stop_at else { return false };
        let idle = self.conns.len() == self.free.len() && self.tasks.get() == 0 && self.fresh.borrow().is_empty();
        idle || self.ctx.now() >= at
    }

    /// Runs timers that are due and sets the clock for the next.
    fn arm(&mut self, cx: &mut Context<'_>) {
        loop {
            let timers = [Some(self.next_sweep), self.ctx.next_deadline.get(), self.stop_at];
            let next = timers.into_iter().flatten().min().unwrap_or(self.next_sweep);
            if self.sleep.deadline() != next {
                self.sleep.as_mut().reset(next);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return;
            }
            self.ctx.now.set(Instant::now());
            self.expire();
            if self.ctx.now() >= self.next_sweep {
                self.sweep();
            }
            // whatever the timers caused is the next poll's work
            cx.waker().wake_by_ref();
            if self.stop_at.is_some_and(|at| self.ctx.now() >= at) {
                return;
            }
        }
    }

    /// Answers calls whose deadline has passed.
    fn expire(&self) {
        let ctx = &self.ctx;
        let now = ctx.now();
        if ctx.next_deadline.get().is_none_or(|at| at > now) {
            return;
        }
        let due = ctx.table.borrow().tokens(|e| e.open.deadline.is_some_and(|d| d <= now));
        for token in due {
            expiry::expire(ctx, token, &Status::deadline());
        }
        let next = ctx.first_deadline();
        ctx.next_deadline.set(next);
    }

    fn sweep(&mut self) {
        let ctx = self.ctx.clone();
        let now = ctx.now();
        self.next_sweep = now + SWEEP;
        for (key, slot) in self.conns.iter_mut().enumerate() {
            if slot.as_mut().is_some_and(|conn| !conn.sweep(&ctx, now)) {
                close(&ctx, slot);
                self.free.push(key);
            }
        }
        expiry::sweep_reads(&ctx, now);
        send::sweep(&ctx, now);
    }

    /// Drops everything that is left after the grace of a shutdown.
    fn clear(&mut self) {
        self.conns.clear();
        let ctx = &self.ctx;
        self.methods.replace(MethodTable::new());
        loop {
            let left = ctx.table.borrow().tokens(|_| true);
            if left.is_empty() {
                ctx.observer.replace(Rc::new(NoObserver));
                return;
            }
            for token in left {
                let waiting = ctx.table.borrow_mut().remove_waiting(token);
                match waiting {
                    Some((open, responder)) => {
                        let gone = Status::new(Code::Unavailable, "the server is shutting down");
                        respond::answer(ctx, open, responder, Answer::status(gone));
                    }
                    None => {
                        stream::abort(ctx, token, &Status::canceled());
                        drop(ctx.table.borrow_mut().remove(token));
                    }
                }
            }
        }
    }
}

fn close(ctx: &LoopCtx, slot: &mut Option<Conn>) {
    if let Some(mut conn) = slot.take() {
        conn.closed(ctx);
    }
    ctx.observer().connection_closed();
}
