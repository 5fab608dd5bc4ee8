//! The simple tokens that this member knows, by the hashes of their secrets: who was given which, and when it was last used.
//!
//! The applier alone adds and ends tokens. Everybody reads them, as immutable maps that are replaced whole; what is shared and moves
//! is the time of the last use, which only grows. Tokens live in memory alone: none outlives the process. Must never be written to
//! a disk or a log.

use crate::limits::SIMPLE_TOKENS;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use storage::auth::TokenChange;

/// Maps that are replaced one at a time, so that a login copies few of all tokens.
const SHARDS: usize = 64;

/// How long a token lives without being used, unless somebody says otherwise.
pub const DEFAULT_TTL: Duration = Duration::from_secs(300);

/// What is known of a token.
#[derive(Debug)]
struct Known {
    user: Arc<str>,
    /// Milliseconds.
    last_used: AtomicU64,
}

type Shard = HashMap<Box<str>, Arc<Known>>;

/// The simple tokens of a member.
pub struct SimpleTokens {
    ttl: u64,
    /// Tokens of one map.
    most: usize,
    shards: Box<[ArcSwap<Shard>]>,
    hasher: RandomState,
}

impl std::fmt::Debug for SimpleTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimpleTokens").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

impl SimpleTokens {
    /// None yet; each lives so long after its last use.
    pub fn new(ttl: Duration) -> Self {
        Self::with_room(ttl, SIMPLE_TOKENS)
    }

    /// Room for so many in all.
    fn with_room(ttl: Duration, most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| ArcSwap::default()).collect();
        Self { ttl: millis(ttl), most: most / SHARDS, shards, hasher: RandomState::new() }
    }

    /// Whose a token is, unless it has ended. It lives on from `now`.
    pub fn user_of(&self, token: &str, now: Duration) -> Option<Arc<str>> {
        let shard = self.shard(token).load();
        let known = shard.get(token).filter(|known| self.lives(known, now))?;
        known.last_used.fetch_max(millis(now), Relaxed);
        Some(known.user.clone())
    }

    /// Takes in what commands did to tokens. Called by one thread alone.
    pub fn change(&self, change: TokenChange, now: Duration) {
        match change {
            TokenChange::Given { user, token } => self.give(user.into(), token.into(), now),
            TokenChange::UserEnded { user } => self.retain(|known| *known.user != *user),
            TokenChange::AllEnded => self.end_all(),
        }
    }

    /// Ends all tokens. Called by the same thread.
    pub fn end_all(&self) {
        self.retain(|_| false);
    }

    fn give(&self, user: Arc<str>, token: Box<str>, now: Duration) {
        let cell = self.shard(&token);
        let mut shard = Shard::clone(&cell.load());
        shard.retain(|_, known| self.lives(known, now));
        while shard.len() >= self.most {
            let idle = shard.iter().min_by_key(|(_, known)| known.last_used.load(Relaxed));
            let Some(idle) = idle.map(|(token, _)| token.clone()) else { break };
            shard.remove(&idle);
        }
        shard.insert(token, Arc::new(Known { user, last_used: AtomicU64::new(millis(now)) }));
        cell.store(Arc::new(shard));
    }

    fn retain(&self, keep: impl Fn(&Known) -> bool) {
        for cell in &self.shards {
            let shard = cell.load();
            if shard.values().any(|known| !keep(known)) {
                let kept = shard.iter().filter(|(_, known)| keep(known));
                cell.store(Arc::new(kept.map(|(token, known)| (token.clone(), known.clone())).collect()));
            }
        }
    }

    fn lives(&self, known: &Known, now: Duration) -> bool {
        millis(now) <= known.last_used.load(Relaxed).saturating_add(self.ttl)
    }

    fn shard(&self, token: &str) -> &ArcSwap<Shard> {
        &self.shards[self.hasher.hash_one(token) as usize % SHARDS]
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn given(user: &str, token: &str) -> TokenChange {
        TokenChange::Given { user: user.into(), token: token.into() }
    }

    #[test]
    fn a_token_lives_on_while_it_is_used_and_never_again_once_it_has_ended() {
        let tokens = SimpleTokens::new(at(10));
        tokens.change(given("alice", "t.1"), at(100));
        assert_eq!(tokens.user_of("t.1", at(109)).as_deref(), Some("alice"));
        assert_eq!(tokens.user_of("t.1", at(119)).as_deref(), Some("alice"));
        assert_eq!(tokens.user_of("t.1", at(130)), None);
        assert_eq!(tokens.user_of("t.1", at(130)), None, "asking has not revived it");
        assert_eq!(tokens.user_of("t.2", at(100)), None);
    }

    #[test]
    fn tokens_end_with_their_user_and_with_authentication() {
        let tokens = SimpleTokens::new(at(10));
        for n in 0..200 {
            tokens.change(given(if n % 2 == 0 { "alice" } else { "bob" }, &format!("t.{n}")), at(1));
        }
        tokens.change(TokenChange::UserEnded { user: "alice".into() }, at(1));
        for n in 0..200 {
            let expected = (n % 2 == 1).then_some("bob");
            assert_eq!(tokens.user_of(&format!("t.{n}"), at(1)).as_deref(), expected);
        }
        tokens.change(TokenChange::AllEnded, at(1));
        assert!((0..200).all(|n| tokens.user_of(&format!("t.{n}"), at(1)).is_none()));
    }

    #[test]
    fn there_are_never_more_than_the_limit_and_the_idle_ones_go() {
        const ROOM: usize = 4 * SHARDS;
        let tokens = SimpleTokens::with_room(at(1_000_000), ROOM);
        for n in 0..ROOM as u64 * 4 {
            tokens.change(given("a", &format!("t.{n}")), Duration::from_millis(n));
        }
        let held: usize = tokens.shards.iter().map(|shard| shard.load().len()).sum();
        assert!(held <= ROOM, "{held}");
        let last = ROOM as u64 * 4 - 1;
        assert!(tokens.user_of(&format!("t.{last}"), at(200)).is_some());
        assert!(tokens.user_of("t.0", at(200)).is_none());
    }
}
