//! Long calls of one connection: streams, and calls that wait for others. They leave room for short ones.
//!
//! A client that has as many calls open as the server announced waits, without a word to anybody, until one of them ends
//! before it opens another. So long calls may never take all of them, and the log names the peer whose calls are refused
//! or must wait.

use super::conn_shared::ConnShared;
use super::limits::DoorLimits;
use std::rc::Rc;

/// A long call of a connection, counted while this lives.
pub(super) struct LongCall(Rc<ConnShared>);

impl LongCall {
    /// Counts a call as long; `None` when the connection has as many as it may have.
    pub(super) fn begin(conn: &Rc<ConnShared>, limits: &DoorLimits) -> Option<Self> {
        let open = conn.long_calls.get();
        if open >= limits.max_long_calls() {
            if !conn.reported_long.replace(true) {
                tracing::warn!(
                    peer = ?conn.peer.addr,
                    open,
                    "a client has too many streams and waiting calls open on one connection; refusing more of them"
                );
            }
            return None;
        }
        conn.long_calls.set(open + 1);
        Some(Self(conn.clone()))
    }
}

impl Drop for LongCall {
    fn drop(&mut self) {
        self.0.long_calls.set(self.0.long_calls.get() - 1);
    }
}

/// A connection has as many calls open as were announced: its client opens no further one until one ends.
pub(super) fn report_full(conn: &ConnShared, limits: &DoorLimits) {
    if !conn.reported_full.replace(true) {
        tracing::warn!(
            peer = ?conn.peer.addr,
            open = conn.open_calls.get(),
            limit = limits.max_concurrent_streams,
            "a client has as many calls open on one connection as it may; further ones wait at the client"
        );
    }
}

/// The loop has as many calls open as it may have: this connection's next one is refused.
pub(super) fn report_no_room(conn: &ConnShared, limits: &DoorLimits) {
    if !conn.reported_no_room.replace(true) {
        tracing::warn!(
            peer = ?conn.peer.addr,
            limit = limits.max_calls,
            "too many calls and streams are open on a connection thread; refusing new ones of a client"
        );
    }
}
