//! One HTTP/2 connection of a loop: taking requests in, flushing answers out, keeping it honest.
//!
//! Must not call services: it only collects what was accepted.

use super::calls::LoopCtx;
use super::conn_shared::{ConnGuard, ConnShared};
use super::h2_input::PREFACE;
use super::io::{Io, IoStats};
use super::limits::DoorLimits;
use super::long_calls;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Ping, PingPong, RecvStream};
use http::Request;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// A request as h2 hands it out.
pub(super) struct Accepted {
    pub(super) conn: ConnGuard,
    pub(super) request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
}

/// One of the connections a door allows; given back when dropped.
pub(super) struct ConnPermit(pub(super) Arc<AtomicUsize>);

impl Drop for ConnPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

pub(super) struct Conn {
    h2: h2::server::Connection<Io, Bytes>,
    pub(super) shared: Rc<ConnShared>,
    waker: Waker,
    ping: Option<PingPong>,
    stats: Rc<IoStats>,
    /// Traffic seen by the last sweep.
    seen_read: u64,
    seen_written: u64,
    last_read: Instant,
    blocked_since: Option<Instant>,
    pinged: Option<Instant>,
    /// Receive window it was given.
    window: u32,
    /// Counted in [`LoopState::blocked`](super::state::LoopState::blocked).
    counted: bool,
    /// Counts the connection against the door's limit while it lives.
    _permit: ConnPermit,
}

impl Conn {
    pub(super) fn new(
        mut h2: h2::server::Connection<Io, Bytes>,
        shared: Rc<ConnShared>,
        stats: Rc<IoStats>,
        permit: ConnPermit,
        now: Instant,
        window: u32,
    ) -> Self {
        let waker = Waker::from(shared.waker.clone());
        let ping = h2.ping_pong();
        Self {
            h2,
            shared,
            waker,
            ping,
            stats,
            seen_read: 0,
            seen_written: 0,
            last_read: now,
            blocked_since: None,
            pinged: None,
            window,
            counted: false,
            _permit: permit,
        }
    }

    /// Reads everything that is there, flushes everything that waits. False when the connection is over.
    pub(super) fn poll(&mut self, ctx: &LoopCtx, accepted: &mut Vec<Accepted>) -> bool {
        let alive = self.drive(ctx, accepted);
        let blocked = alive && self.stats.blocked.get();
        self.count_blocked(ctx, blocked);
        if !blocked {
            ctx.flushed(&self.shared);
        }
        alive
    }

    fn count_blocked(&mut self, ctx: &LoopCtx, blocked: bool) {
        match (std::mem::replace(&mut self.counted, blocked), blocked) {
            (false, true) => ctx.blocked.set(ctx.blocked.get() + 1),
            (true, false) => ctx.blocked.set(ctx.blocked.get() - 1),
            _ => {}
        }
    }

    /// The connection goes: what it counted for is given back.
    pub(super) fn closed(&mut self, ctx: &LoopCtx) {
        self.count_blocked(ctx, false);
        ctx.connections.set(ctx.connections.get() - 1);
    }

    fn drive(&mut self, ctx: &LoopCtx, accepted: &mut Vec<Accepted>) -> bool {
        self.shared.waker.queued.store(false, Ordering::Release);
        let mut cx = Context::from_waker(&self.waker);
        loop {
            let has_all_calls = self.shared.open_calls.get() >= ctx.limits.max_concurrent_streams as usize;
            if has_all_calls {
                long_calls::report_full(&self.shared, &ctx.limits);
            }
            let full = has_all_calls || self.shared.answers.get() >= ctx.limits.connection_answers;
            let blocked = self.stats.blocked.get();
            if full || blocked || !ctx.has_room() {
                // drives reading and writing, but hands out no request
                if self.h2.poll_closed(&mut cx).is_ready() {
                    return false;
                }
                if blocked && !self.stats.blocked.get() {
                    continue;
                }
                self.shared.full.set(full);
                if !full && !blocked && !self.shared.gated.replace(true) {
                    ctx.gated.borrow_mut().push(self.shared.clone());
                }
                return true;
            }
            match self.h2.poll_accept(&mut cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    accepted.push(Accepted { conn: ConnGuard::new(&self.shared), request, respond });
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(peer = ?self.shared.peer.addr, %error, "client connection ended");
                    return false;
                }
                Poll::Ready(None) => return false,
                Poll::Pending => return true,
            }
        }
    }

    /// Says that no new call will be taken; the connection ends with its last call.
    pub(super) fn go_away(&mut self) {
        self.h2.graceful_shutdown();
        self.waker.wake_by_ref();
    }

    /// Looks for stalls and silence; called about once a second. False when the connection must be closed.
    pub(super) fn sweep(&mut self, ctx: &LoopCtx, now: Instant) -> bool {
        let limits = &ctx.limits;
        let read = self.stats.read.get();
        let written = self.stats.written.get();
        let took = written != self.seen_written;
        if read != self.seen_read {
            self.last_read = now;
        }
        self.seen_read = read;
        self.seen_written = written;
        // the fewer connections, the larger their windows; what was announced to a peer is not taken back
        let window = ctx.window();
        if window != self.window {
            self.window = window;
            self.h2.set_target_window_size(window);
            self.waker.wake_by_ref();
        }

        self.blocked_since = match self.blocked_since {
            Some(since) if self.stats.blocked.get() && !took => Some(since),
            _ => self.stats.blocked.get().then_some(now),
        };
        if self.blocked_since.is_some_and(|since| now - since > limits.write_stall) {
            tracing::info!(peer = ?self.shared.peer.addr, "client takes no bytes: closing its connection");
            return false;
        }
        if read <= PREFACE.len() as u64 && now - self.last_read > limits.handshake_timeout {
            tracing::debug!(peer = ?self.shared.peer.addr, "client says nothing behind the preface: closing its connection");
            return false;
        }
        self.keep_alive(limits, now)
    }

    fn keep_alive(&mut self, limits: &DoorLimits, now: Instant) -> bool {
        let Some(ping) = &mut self.ping else { return true };
        if let Some(sent) = self.pinged {
            let mut cx = Context::from_waker(&self.waker);
            if ping.poll_pong(&mut cx).is_ready() {
                self.pinged = None;
            } else if now - self.last_read.max(sent) > limits.keepalive_timeout {
                tracing::info!(peer = ?self.shared.peer.addr, "client does not answer pings: closing its connection");
                return false;
            }
        } else if now - self.last_read > limits.keepalive_interval && ping.send_ping(Ping::opaque()).is_ok() {
            self.pinged = Some(now);
            self.waker.wake_by_ref();
        }
        true
    }
}
