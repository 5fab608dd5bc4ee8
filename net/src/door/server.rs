//! The door itself: its loops, its listeners, its end.
//!
//! Runtime-agnostic: the caller decides where loops and acceptors run. Must hold no state of connections.

use super::accept::{ListenSpec, Socket, StdSocket};
use super::conn::ConnPermit;
use super::event_loop::{Control, LoopRunner, SetupFn};
use super::inbox::{LoopSender, inbox};
use super::limits::DoorLimits;
use super::status::Status;
use super::wake::ReadyList;
use crate::throttle::Throttle;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

/// Equal errors of accepting are logged once in this time: out of descriptors, each attempt fails.
const ACCEPT_ERRORS: Duration = Duration::from_secs(5);

/// A bound listening socket.
pub enum Listener {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// Unix.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

/// A gRPC and HTTP server over several loops.
pub struct Door {
    loops: Vec<LoopSender<Control>>,
    next: AtomicUsize,
    open: Arc<AtomicUsize>,
    max_connections: usize,
    stop: watch::Sender<bool>,
    accept_errors: Throttle,
    done: Mutex<Vec<oneshot::Receiver<()>>>,
}

impl Door {
    /// A door with `loops` loops (at least one). Every runner must be run on a thread of its own ([`LoopRunner::run`]); `setup`
    /// is called there. `max_connections` bounds open connections over all loops; when it is reached, accepting waits.
    /// The senders reach the loops' hooks from other threads, by loop index.
    pub fn new<M: Send + 'static>(
        limits: &DoorLimits,
        loops: usize,
        max_connections: usize,
        setup: Arc<SetupFn<M>>,
    ) -> (Arc<Self>, Vec<LoopRunner<M>>, Vec<LoopSender<M>>) {
        let mut ctls = Vec::new();
        let mut runners = Vec::new();
        let mut senders = Vec::new();
        let mut done = Vec::new();
        for index in 0..loops.max(1) {
            let ready = Arc::new(ReadyList::default());
            let (ctl_tx, ctl) = inbox(&ready);
            let (sender, messages) = inbox(&ready);
            let (done_tx, done_rx) = oneshot::channel();
            ctls.push(ctl_tx);
            senders.push(sender.clone());
            done.push(done_rx);
            runners.push(LoopRunner {
                index,
                limits: limits.of_loop(loops),
                ready,
                ctl,
                inbox: messages,
                sender,
                setup: setup.clone(),
                done: done_tx,
            });
        }
        let door = Self {
            loops: ctls,
            next: AtomicUsize::new(0),
            open: Arc::new(AtomicUsize::new(0)),
            max_connections,
            stop: watch::channel(false).0,
            accept_errors: Throttle::new(ACCEPT_ERRORS),
            done: Mutex::new(done),
        };
        (Arc::new(door), runners, senders)
    }

    /// Accepts on `listener` until the door is shut down, and deals sockets to the loops in turn. Spawn it on any tokio
    /// runtime with I/O and time; several listeners may run at once.
    ///
    /// # Errors
    /// When the listener cannot be registered with the runtime; failures to accept are logged and retried.
    pub async fn listen(self: Arc<Self>, listener: Listener, spec: ListenSpec) -> io::Result<()> {
        let spec = Arc::new(spec);
        let mut stop = self.stop.subscribe();
        let listener = Accepting::new(listener)?;
        loop {
            while self.open.load(Ordering::Acquire) >= self.max_connections && !*stop.borrow() {
                sleep(Duration::from_millis(10)).await;
            }
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            match accepted {
                Ok(kind) => {
                    self.open.fetch_add(1, Ordering::AcqRel);
                    let permit = ConnPermit(self.open.clone());
                    let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.loops.len();
                    self.loops[turn].send(vec![Control::Accept(Socket { kind, spec: spec.clone(), permit })]);
                }
                Err(error) => {
                    if let Some(left_out) = self.accept_errors.admit(&error.to_string()) {
                        tracing::warn!(%error, left_out, "cannot accept a client connection");
                    }
                    // out of descriptors, or the peer is gone already: neither gets better by spinning
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// Open connections, handshakes included.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Shuts down: no new connections, GOAWAY on the old ones, streams end with `status`, unary calls may finish; after `grace`
    /// whatever is left is cut. Returns when all loops have ended. Answers still reach the loops meanwhile.
    pub async fn shutdown(&self, grace: Duration, status: Status) {
        self.stop.send_replace(true);
        for ctl in &self.loops {
            ctl.send(vec![Control::Stop { grace, status: status.clone() }]);
        }
        let done = std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner));
        for done in done {
            // an error means that the loop was never run or its thread died: it has ended either way
            let _ = done.await;
        }
    }
}

enum Accepting {
    Tcp(tokio::net::TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Accepting {
    fn new(listener: Listener) -> io::Result<Self> {
        match listener {
            Listener::Tcp(tcp) => {
                tcp.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(tcp).map(Self::Tcp)
            }
            #[cfg(unix)]
            Listener::Unix(unix) => {
                unix.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(unix).map(Self::Unix)
            }
        }
    }

    async fn accept(&self) -> io::Result<StdSocket> {
        match self {
            Self::Tcp(tcp) => tcp.accept().await?.0.into_std().map(StdSocket::Tcp),
            #[cfg(unix)]
            Self::Unix(unix) => unix.accept().await?.0.into_std().map(StdSocket::Unix),
        }
    }
}
