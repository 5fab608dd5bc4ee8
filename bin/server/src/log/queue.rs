//! A bounded queue of lines in front of one output, emptied by a thread of its own: whoever writes a line never waits for a pipe that
//! nobody reads, or for a disk that hangs.
//!
//! A line that finds no room is dropped and counted; the count is said in a line of its own once the output takes lines again, and is
//! a metric. `tracing-appender` does something like it, but bounds lines instead of bytes and prints to the standard streams at its
//! end, which may be what is stuck. Must never be waited for without a bound.

use super::sink::Sink;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Bytes of lines that wait for one output: some thousand lines. Part of what the process itself takes (docs/architecture.md).
const MOST_BYTES: usize = 1 << 20;

/// Makes the line that says how many were dropped.
pub type Notice = Box<dyn Fn(u64) -> String + Send>;

/// The writing end. When it is dropped, the thread writes what is left and ends.
pub struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// There is a line, or the end.
    filled: Condvar,
    /// Something was written.
    written: Condvar,
    /// Lines dropped since the start of the process.
    dropped: Arc<AtomicU64>,
}

enum Entry {
    Line(String),
    /// So many lines were dropped between the entries around it.
    Dropped(u64),
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Of lines that wait, and of those that are being written.
    bytes: usize,
    /// Lines that were ever put into the queue.
    accepted: u64,
    /// Of those, the ones that were written or lost.
    finished: u64,
    closed: bool,
}

impl Shared {
    /// Nothing panics while it holds the lock, but a line matters more than the proof of it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Starts the thread of an output. Dropped lines are added to `dropped`.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn start(sink: Sink, notice: Notice, dropped: Arc<AtomicU64>) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { state: Mutex::default(), filled: Condvar::new(), written: Condvar::new(), dropped });
        let of_thread = shared.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || serve(&of_thread, sink, &notice))?;
        Ok(Self { shared })
    }

    /// Puts a line into the queue, or drops it.
    pub fn push(&self, line: String) {
        let mut state = self.shared.state();
        if state.bytes > 0 && state.bytes + line.len() > MOST_BYTES {
            self.shared.dropped.fetch_add(1, Relaxed);
            match state.entries.back_mut() {
                Some(Entry::Dropped(count)) => *count += 1,
                _ => state.entries.push_back(Entry::Dropped(1)),
            }
            return;
        }
        state.bytes += line.len();
        state.accepted += 1;
        state.entries.push_back(Entry::Line(line));
        drop(state);
        self.shared.filled.notify_one();
    }

    /// Waits until everything that is in the queue now is written, but not beyond `end`. False when something is left.
    pub fn flush(&self, end: Instant) -> bool {
        let mut state = self.shared.state();
        let goal = state.accepted;
        while state.finished < goal {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.filled.notify_one();
    }
}

/// Writes lines until the queue is closed and empty.
fn serve(shared: &Shared, mut sink: Sink, notice: &Notice) {
    // dropped, and not yet said
    let mut unsaid = 0;
    loop {
        let mut state = shared.state();
        while state.entries.is_empty() && !state.closed {
            state = shared.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.entries.is_empty() {
            return;
        }
        let entries = std::mem::take(&mut state.entries);
        drop(state);
        for entry in entries {
            let line = match entry {
                Entry::Line(line) => line,
                Entry::Dropped(count) => {
                    unsaid += count;
                    continue;
                }
            };
            if unsaid > 0 && sink.write(&notice(unsaid)).is_ok() {
                unsaid = 0;
            }
            if sink.write(&line).is_err() {
                unsaid += 1;
                shared.dropped.fetch_add(1, Relaxed);
            }
            let mut state = shared.state();
            state.bytes -= line.len();
            state.finished += 1;
            drop(state);
            shared.written.notify_all();
        }
        if unsaid > 0 && sink.write(&notice(unsaid)).is_ok() {
            unsaid = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::time::Duration;

    fn in_a_moment() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// A pipe takes 64 KiB and then blocks for ever: what nobody reads must not reach the one who writes.
    #[test]
    fn a_pipe_that_nobody_reads_blocks_nobody_and_what_was_dropped_is_said() {
        let (reader, writer) = io::pipe().unwrap();
        let dropped = Arc::new(AtomicU64::new(0));
        let notice: Notice = Box::new(|count| format!("{count} lines dropped\n"));
        let queue = Queue::start(Sink::Stream(Box::new(writer)), notice, dropped.clone()).unwrap();
        let line = format!("{}\n", "x".repeat(999));
        let lines = 4 * MOST_BYTES / line.len();
        for _ in 0..lines {
            queue.push(line.clone());
        }
        assert!(!queue.flush(Instant::now() + Duration::from_millis(50)), "the pipe is full");
        let lost = dropped.load(Relaxed);
        assert!(lost > 0 && lost < lines as u64, "{lost} of {lines}");
        // somebody reads again
        let mut read = BufReader::new(reader).lines();
        let mut taken = 0;
        let mut said = 0;
        while taken + said < lines as u64 {
            let next = read.next().expect("a line").unwrap();
            match next.strip_suffix(" lines dropped") {
                Some(count) => said += count.parse::<u64>().unwrap(),
                None => taken += 1,
            }
        }
        assert_eq!((said, taken), (lost, lines as u64 - lost), "every line is written or counted");
        queue.push("again\n".into());
        assert_eq!(read.next().unwrap().unwrap(), "again");
        assert!(queue.flush(in_a_moment()));
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted_and_the_next_ones_are_tried() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let dropped = Arc::new(AtomicU64::new(0));
        let queue = Queue::start(Sink::Stream(Box::new(writer)), Box::new(|_| String::from("x")), dropped.clone());
        let queue = queue.unwrap();
        queue.push("a\n".into());
        queue.push("b\n".into());
        assert!(queue.flush(in_a_moment()), "a closed pipe is not waited for");
        assert_eq!(dropped.load(Relaxed), 2);
    }

    #[test]
    fn what_is_left_at_the_end_is_written() {
        let (reader, writer) = io::pipe().unwrap();
        let queue = Queue::start(Sink::Stream(Box::new(writer)), Box::new(|_| String::new()), Arc::default()).unwrap();
        queue.push("last words\n".into());
        drop(queue);
        assert_eq!(io::read_to_string(reader).unwrap(), "last words\n");
    }
}
