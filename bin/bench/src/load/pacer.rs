//! The schedule of an open loop: request `i` is due at `start + i / rate`, whether or not the ones before are done.
//!
//! Must keep microseconds: the runtime's timers round up to a millisecond, so a timerfd wakes the clients.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinHandle;

/// Due times, and the clients that wait for theirs.
pub struct Pacer {
    start: Instant,
    rate: f64,
    /// In order of due time, because tickets are.
    waiting: RefCell<VecDeque<(Instant, Waker)>>,
    /// The timer's task sleeps until somebody waits.
    idle: Cell<Option<Waker>>,
}

/// A pacer's timer; it stops when dropped.
pub struct Ticking(JoinHandle<()>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Pacer {
    /// Starts now with this many requests per second, which must be positive.
    pub fn new(rate: f64) -> Rc<Self> {
        Rc::new(Self { start: Instant::now(), rate, waiting: RefCell::default(), idle: Cell::new(None) })
    }

    /// When the request with this ticket should start.
    pub fn due(&self, ticket: u64) -> Instant {
        self.start + Duration::from_secs_f64(ticket as f64 / self.rate)
    }

    /// Waits until a due time; at once when it has passed.
    pub async fn until(&self, due: Instant) {
        let mut queued = false;
        poll_fn(|cx| {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            if !queued {
                self.waiting.borrow_mut().push_back((due, cx.waker().clone()));
                queued = true;
                if let Some(idle) = self.idle.take() {
                    idle.wake();
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// Runs the timer on this thread's runtime.
    ///
    /// # Errors
    /// The system has no timers left.
    pub fn run(self: &Rc<Self>) -> io::Result<Ticking> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // a timer is read as a pipe is; the runtime's type for any descriptor has no safe constructor
        let timer = Receiver::from_owned_fd_unchecked(timer)?;
        let pacer = self.clone();
        Ok(Ticking(tokio::task::spawn_local(async move {
            // an error of the timer cannot happen on a descriptor of our own; clients would then wait for ever
            while pacer.turn(&timer).await.is_ok() {}
        })))
    }

    async fn turn(&self, timer: &Receiver) -> io::Result<()> {
        let first = poll_fn(|cx| match self.waiting.borrow().front() {
            Some((due, _)) => Poll::Ready(*due),
            None => {
                self.idle.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await;
        let left = first.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            let value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            timerfd_settime(timer, TimerfdTimerFlags::empty(), &once)?;
            timer.readable().await?;
            if let Err(why) = timer.try_read(&mut [0; 8]) {
                // woken too early: look again
                return if why.kind() == io::ErrorKind::WouldBlock { Ok(()) } else { Err(why) };
            }
        }
        let now = Instant::now();
        let mut waiting = self.waiting.borrow_mut();
        while waiting.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, waker)) = waiting.pop_front() {
                waker.wake();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::{Builder, LocalOptions};

    #[test]
    fn due_times_follow_the_rate_and_not_the_answers() {
        let pacer = Pacer::new(1000.0);
        assert_eq!(pacer.due(0), pacer.start);
        assert_eq!(pacer.due(1500) - pacer.start, Duration::from_millis(1500));
    }

    #[test]
    fn nobody_starts_early_and_everybody_starts() {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let pacer = Pacer::new(20_000.0);
            let _ticking = pacer.run().unwrap();
            let tasks: Vec<_> = (0..200u64)
                .map(|ticket| {
                    let pacer = pacer.clone();
                    tokio::task::spawn_local(async move {
                        let due = pacer.due(ticket);
                        pacer.until(due).await;
                        assert!(Instant::now() >= due);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
}
