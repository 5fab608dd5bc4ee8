//! A queue bounded in bytes, between the threads that send and the task that writes a stream.
//!
//! It lives as long as one connection: what was not taken when that ends comes back and is never queued again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// How much of a bound something takes.
pub trait Weigh {
    /// Bytes, about.
    fn weight(&self) -> usize;
}

/// A queue that takes `limit` bytes, and at least one item of any size.
pub fn queue<T: Weigh>(limit: usize) -> (QueueSender<T>, QueueReceiver<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let used = Arc::new(AtomicUsize::new(0));
    (QueueSender { sender, used: used.clone(), limit }, QueueReceiver { receiver, used })
}

/// The sending end.
#[derive(Debug)]
pub struct QueueSender<T> {
    sender: mpsc::UnboundedSender<(T, usize)>,
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl<T: Weigh> QueueSender<T> {
    /// Adds an item, or gives it back because the queue is full or its connection has ended.
    ///
    /// # Errors
    /// The item.
    pub fn offer(&self, item: T) -> Result<(), T> {
        let weight = item.weight();
        let before = self.used.fetch_add(weight, Ordering::AcqRel);
        if before > 0 && before.saturating_add(weight) > self.limit {
            self.used.fetch_sub(weight, Ordering::AcqRel);
            return Err(item);
        }
        self.sender.send((item, weight)).map_err(|refused| refused.0.0)
    }
}

/// The receiving end.
#[derive(Debug)]
pub struct QueueReceiver<T> {
    receiver: mpsc::UnboundedReceiver<(T, usize)>,
    used: Arc<AtomicUsize>,
}

impl<T> QueueReceiver<T> {
    /// Waits for the next item; `None` when there will be none.
    pub async fn next(&mut self) -> Option<T> {
        let (item, weight) = self.receiver.recv().await?;
        self.used.fetch_sub(weight, Ordering::AcqRel);
        Some(item)
    }

    /// The next item, if one is there.
    pub fn ready(&mut self) -> Option<T> {
        let (item, weight) = self.receiver.try_recv().ok()?;
        self.used.fetch_sub(weight, Ordering::AcqRel);
        Some(item)
    }

    /// Takes nothing more, and gives back what nobody took. An offer that runs at the same time is either in here or refused.
    pub async fn close(mut self) -> Vec<T> {
        self.receiver.close();
        let mut left = Vec::new();
        while let Some((item, _)) = self.receiver.recv().await {
            left.push(item);
        }
        left
    }
}
