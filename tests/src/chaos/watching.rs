//! Watchers of the whole history: those that go on at another member, and those that stay with one, whatever happens to it.
//!
//! Each must see every revision once and in order; a rolling number says whether two have seen the same. Must never resume anywhere but
//! behind what was seen.

use super::client::Client;
use crate::Watching;
use crate::model::Present;
use crate::watch::create_all;
use api::mvccpb::Event;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a watcher has seen, for others to look at.
#[derive(Debug, Default)]
pub struct Seen {
    /// Newest revision all of whose events have come.
    pub revision: AtomicI64,
    /// Rolling number of all events so far.
    pub digest: AtomicU64,
    /// Streams that were opened.
    pub opened: AtomicU64,
    /// What was wrong.
    pub wrong: Mutex<Option<String>>,
    /// What the events lead to, of the watcher that keeps it.
    pub present: Mutex<Present>,
}

impl Seen {
    fn fail(&self, why: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    /// What was wrong, if anything was.
    pub fn failure(&self) -> Option<String> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the events of one answer.
    fn take(&self, events: &[Event], keeps: bool) {
        let mut revision = self.revision.load(SeqCst);
        let begun = revision;
        let mut digest = self.digest.load(SeqCst);
        for event in events {
            let Some(kv) = &event.kv else { return self.fail("an event without a key".to_owned()) };
            let follows = kv.mod_revision == revision + 1 || (kv.mod_revision == revision && revision > begun);
            if !follows {
                return self.fail(format!("revision {} came behind {revision}", kv.mod_revision));
            }
            revision = kv.mod_revision;
            for bytes in [&kv.key[..], &kv.value[..], &revision.to_be_bytes(), &[event.r#type as u8]] {
                digest = digest.rotate_left(7) ^ u64::from(crc32c::crc32c_append(digest as u32, bytes));
            }
            if keeps {
                self.present.lock().unwrap_or_else(PoisonError::into_inner).take(event);
            }
        }
        self.digest.store(digest, SeqCst);
        self.revision.store(revision, SeqCst);
    }
}

/// Watches until it is told to stop. `keeps` says whether it keeps what the events lead to.
pub async fn run(mut client: Client, seen: Arc<Seen>, keeps: bool, stop: Arc<AtomicBool>) {
    // nothing has been written before the first revision
    let _ = seen.revision.compare_exchange(0, 1, SeqCst, SeqCst);
    while !stop.load(Relaxed) && seen.failure().is_none() {
        let Some(stubs) = client.stubs().await else { continue };
        let open = Watching::try_open(&stubs, create_all(seen.revision.load(SeqCst) + 1));
        let Ok(Ok(mut watching)) = tokio::time::timeout(Duration::from_secs(2), open).await else {
            client.leave().await;
            continue;
        };
        seen.opened.fetch_add(1, Relaxed);
        while !stop.load(Relaxed) && seen.failure().is_none() {
            match tokio::time::timeout(Duration::from_millis(200), watching.try_next()).await {
                Ok(Ok(Some(answer))) if !answer.canceled => seen.take(&answer.events, keeps),
                Ok(Ok(Some(answer))) => {
                    let (compacted, why) = (answer.compact_revision, answer.cancel_reason);
                    if compacted > 0 {
                        seen.fail(format!("history up to {compacted} is gone, which was not seen: {why}"));
                    }
                    break;
                }
                Ok(_) => break,
                Err(_) => {}
            }
        }
        client.leave().await;
    }
}
