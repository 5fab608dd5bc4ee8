//! Compares both sides, key by key, each at one revision. Must never change either.

use super::error::MigrateError;
use super::leases::Leases;
use super::pages::Pages;
use super::report::Report;
use api::mvccpb::KeyValue;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt::Write;

/// A key that is not the same on both sides.
#[derive(Debug)]
pub struct Difference {
    /// The key.
    pub key: Bytes,
    /// What the source has.
    pub source: Option<KeyValue>,
}

/// One side of the comparison.
pub struct Side {
    pages: Pages,
    read: VecDeque<KeyValue>,
    over: bool,
    keys: u64,
    hash: Context,
}

/// Both sides, in step.
pub struct Comparison<'a> {
    source: Side,
    destination: Side,
    leases: &'a Leases,
}

/// What was compared.
#[derive(Debug)]
pub struct Sum {
    /// Keys of the source.
    pub keys: u64,
    /// SHA-256 over keys, values and leases of the source, in hexadecimal.
    pub source: String,
    /// The same of the destination.
    pub destination: String,
}

impl Side {
    fn new(pages: Pages) -> Self {
        Self { pages, read: VecDeque::new(), over: false, keys: 0, hash: Context::new(&SHA256) }
    }

    async fn fill(&mut self) -> Result<(), MigrateError> {
        while self.read.is_empty() && !self.over {
            match self.pages.next().await? {
                Some(page) => self.read.extend(page),
                None => self.over = true,
            }
        }
        Ok(())
    }

    fn take(&mut self, lease: i64) -> Option<KeyValue> {
        let kv = self.read.pop_front()?;
        self.keys += 1;
        for part in [&kv.key, &kv.value] {
            self.hash.update(&(part.len() as u64).to_be_bytes());
            self.hash.update(part);
        }
        self.hash.update(&lease.to_be_bytes());
        Some(kv)
    }

    fn sum(self) -> String {
        self.hash.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
            // a text takes everything
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl<'a> Comparison<'a> {
    /// Compares these; leases tell which of the source are over.
    pub fn new(source: Pages, destination: Pages, leases: &'a Leases) -> Self {
        Self { source: Side::new(source), destination: Side::new(destination), leases }
    }

    /// The next key that differs; none at the end.
    ///
    /// # Errors
    /// As reading the pages.
    pub async fn next(&mut self, report: &mut Report) -> Result<Option<Difference>, MigrateError> {
        tokio::try_join!(self.source.fill(), self.destination.fill())?;
        while let (Some(here), Some(there)) = (self.source.read.front(), self.destination.read.front()) {
            match here.key.cmp(&there.key) {
                Ordering::Less => return Ok(self.only_here()),
                Ordering::Greater => return Ok(self.only_there()),
                Ordering::Equal => {}
            }
            let (mut lease, same) = (here.lease, here.value == there.value);
            if lease != there.lease {
                lease = self.leases.adopt(lease, self.source.pages.revision()).await?;
            }
            let same = same && lease == there.lease;
            let there = there.lease;
            report.part("comparing", "keys", self.source.keys, self.source.pages.total);
            let (source, _) = (self.source.take(lease), self.destination.take(there));
            if let (false, Some(source)) = (same, source) {
                return Ok(Some(Difference { key: source.key.clone(), source: Some(source) }));
            }
            tokio::try_join!(self.source.fill(), self.destination.fill())?;
        }
        if self.source.read.is_empty() { Ok(self.only_there()) } else { Ok(self.only_here()) }
    }

    /// What was compared, once there is no next.
    pub fn sum(self) -> Sum {
        Sum { keys: self.source.keys, source: self.source.sum(), destination: self.destination.sum() }
    }

    fn only_here(&mut self) -> Option<Difference> {
        let lease = self.source.read.front()?.lease;
        let kv = self.source.take(lease)?;
        Some(Difference { key: kv.key.clone(), source: Some(kv) })
    }

    fn only_there(&mut self) -> Option<Difference> {
        let lease = self.destination.read.front()?.lease;
        let kv = self.destination.take(lease)?;
        Some(Difference { key: kv.key, source: None })
    }
}
