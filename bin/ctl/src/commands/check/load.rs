//! Many clients that put keys, and how long that took.

use crate::client::method::PUT;
use crate::client::{Client, Config, Until, connect};
use crate::exit::Exit;
use api::etcdserverpb as pb;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

/// What all clients together saw.
#[derive(Debug, Default)]
pub struct Stats {
    /// How long each put took, in seconds.
    pub times: Vec<f64>,
    /// Errors by text.
    pub errors: BTreeMap<String, u64>,
    /// From the first to the last.
    pub total: Duration,
}

impl Stats {
    /// Puts a second.
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.total.as_secs_f64()
    }

    /// The slowest put, in seconds.
    pub fn slowest(&self) -> f64 {
        self.times.iter().copied().fold(0.0, f64::max)
    }

    /// How far times lie from their mean, in seconds.
    pub fn deviation(&self) -> f64 {
        let count = self.times.len().max(1) as f64;
        let mean = self.times.iter().sum::<f64>() / count;
        (self.times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / count).sqrt()
    }

    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        for (text, count) in other.errors {
            *self.errors.entry(text).or_default() += count;
        }
    }

    /// Says which errors there were, if any.
    pub fn say_errors(&self) -> bool {
        if self.errors.is_empty() {
            return false;
        }
        crate::print::say_line("FAIL: too many errors");
        for (text, count) in &self.errors {
            crate::print::say_line(&format!("FAIL: ERROR({text}) -> {count}"));
        }
        true
    }
}

/// Clients, each with a connection of its own.
pub async fn clients(config: &Config, count: usize) -> Result<Vec<Client>, Exit> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(connect(config).await?);
    }
    Ok(all)
}

/// Puts what comes through the channel until it closes. `done` is told of every put.
pub async fn put_all(
    clients: Vec<Client>,
    keys: mpsc::Receiver<Bytes>,
    value: usize,
    done: mpsc::UnboundedSender<()>,
) -> Stats {
    let (keys, value) = (Arc::new(Mutex::new(keys)), Bytes::from(vec![0; value]));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for client in clients {
        let (keys, value, done) = (keys.clone(), value.clone(), done.clone());
        workers.spawn(async move {
            let mut stats = Stats::default();
            loop {
                let next = keys.lock().await.recv().await;
                let Some(key) = next else { return stats };
                let request = pb::PutRequest { key, value: value.clone(), ..Default::default() };
                let start = Instant::now();
                let put: Result<pb::PutResponse, _> = client.unary(PUT, request, Until::NEVER).await;
                match put {
                    Ok(_) => stats.times.push(start.elapsed().as_secs_f64()),
                    Err(why) => *stats.errors.entry(why.to_string()).or_default() += 1,
                }
                // whoever counts may be gone
                let _ = done.send(());
            }
        });
    }
    let mut stats = Stats::default();
    while let Some(worker) = workers.join_next().await {
        if let Ok(seen) = worker {
            stats.add(seen);
        }
    }
    stats.total = start.elapsed();
    stats
}

/// A key: the prefix, a random number, zeros up to `size` bytes.
pub fn random_key(random: &SystemRandom, prefix: &[u8], size: usize) -> Bytes {
    let mut number = [0; 9];
    // without random numbers keys repeat, which is no harm here
    let _ = random.fill(&mut number);
    let mut key = [prefix, &number].concat();
    key.resize(prefix.len() + size, 0);
    key.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        let stats = Stats { times: vec![0.1, 0.3], errors: BTreeMap::new(), total: Duration::from_secs(2) };
        assert!((stats.rate() - 1.0).abs() < 1e-9);
        assert!((stats.slowest() - 0.3).abs() < 1e-9);
        assert!((stats.deviation() - 0.1).abs() < 1e-9);
    }
}
