//! Asks two servers the same and tells where they differ.
//!
//! Must never ask one of them anything that the other one was not asked.

use super::normal::{Normal, normal, same};
use super::plan::{Chance, Planned, next};
use crate::http::{self, Answer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a watch is given before it counts as waiting.
const WAIT: Duration = Duration::from_millis(60);
/// How long it is given when the other server has answered.
const LONG_WAIT: Duration = Duration::from_secs(3);

/// A server and its origin.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Where it serves clients.
    pub address: SocketAddr,
    /// Index of its tree when nothing had been asked.
    pub origin: u64,
}

impl Target {
    /// A server that was not asked anything yet.
    ///
    /// # Errors
    /// It does not serve the v2 API.
    pub async fn find(address: SocketAddr) -> Result<Self, String> {
        let answer = http::get(address, "/v2/keys").await;
        let index = answer.header("x-etcd-index").and_then(|index| index.parse().ok());
        let origin = index.ok_or_else(|| format!("{address} does not serve the v2 API: {}", answer.body))?;
        Ok(Self { address, origin })
    }

    /// Asks; `None` when it waits.
    async fn ask(&self, planned: &Planned, wait: Duration) -> Option<Answer> {
        let target = planned.target(self.origin);
        let asked = http::request(self.address, planned.method, &target);
        if !planned.waits {
            return Some(asked.await);
        }
        tokio::time::timeout(wait, asked).await.ok()
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Requests.
    pub asked: u64,
    /// How many by method and status.
    pub kinds: BTreeMap<(String, u16), u64>,
    /// Those that differ.
    pub differing: Vec<String>,
}

/// Asks both servers the same random requests, and stops at the tenth difference.
pub async fn compare(ours: Target, theirs: Target, seed: u64, count: u64) -> Found {
    let mut chance = Chance::new(seed);
    let mut found = Found::default();
    let mut index = 1;
    while found.asked < count && found.differing.len() < 10 {
        let planned = next(&mut chance, index);
        let (mut mine, mut other) = tokio::join!(ours.ask(&planned, WAIT), theirs.ask(&planned, WAIT));
        match (&mine, &other) {
            (None, Some(_)) => mine = ours.ask(&planned, LONG_WAIT).await,
            (Some(_), None) => other = theirs.ask(&planned, LONG_WAIT).await,
            _ => {}
        }
        found.asked += 1;
        let of = |answer: &Option<Answer>, origin: u64| answer.as_ref().map(|answer| normal(answer, origin));
        let (mine_is, other_is) = (of(&mine, ours.origin), of(&other, theirs.origin));
        if let Some(seen) = other_is.as_ref().and_then(|normal| normal.index) {
            index = seen.max(1) as u64;
        }
        let code = other_is.as_ref().map_or(0, |normal| normal.code);
        *found.kinds.entry((planned.method.to_owned(), code)).or_default() += 1;
        let equal = match (&mine_is, &other_is) {
            (Some(mine), Some(other)) => same(mine, other),
            (None, None) => true,
            _ => false,
        };
        if !equal {
            found.differing.push(shown(&planned, ours, &mine_is, &other_is));
        }
    }
    found
}

fn shown(planned: &Planned, ours: Target, mine: &Option<Normal>, other: &Option<Normal>) -> String {
    format!("{} {}\n  ours:   {mine:?}\n  theirs: {other:?}", planned.method, planned.target(ours.origin))
}
