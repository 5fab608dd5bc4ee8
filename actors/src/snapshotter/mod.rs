//! The snapshotter: checkpoints of the store that are sent to followers, and what is left of stores that came from a leader. Own
//! thread, one order at a time; the transfers themselves run on the transport's threads.
//!
//! | file | idea |
//! |---|---|
//! | `about` | what a transfer says about itself |
//! | `checkpoint` | a checkpoint as the source of a transfer |
//! | [`staging`] | a store on its way in: who may send it, where it is resumed |
//! | `sink` | one connection's worth of it |
//!
//! It never waits for a client's job: those have an owner of their own. Must never touch the write side of the store.

pub mod about;
mod checkpoint;
pub mod sink;
pub mod staging;
#[cfg(test)]
mod staging_tests;

use crate::death_watch::DeathWatch;
use crate::maintenance_jobs::OpenEngine;
use crate::raft_core::inbox::InnerPort;
use crate::store_cell::StoreCell;
use crate::wiring::snapshots::{Installed, SendSnapshot, SnapshotNotice, StagedStore, ToSnapshotter};
use about::About;
use checkpoint::{Checkpoint, CheckpointSource};
use crossbeam_channel::{Receiver, after, never, select};
use messages::Gauges;
use messages::peer::{Parcel, Transport};
use raft::{NodeId, SnapshotMeta};
use staging::Staging;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;
use storage::boot::Stores;
use storage::engine::Engine;

/// Pause between two looks at what waits to be removed.
const LOOK: Duration = Duration::from_secs(1);
/// Checkpoints that may fall into the middle of a large entry before it is given up, with [`BETWEEN`] between them.
const ATTEMPTS: u32 = 40;
/// Long enough for a piece of such an entry to be written.
const BETWEEN: Duration = Duration::from_millis(250);
/// Times that the removal of an old store is tried: whoever closes it may still be at it.
const REMOVALS: u32 = 10;

/// Ends the snapshotter talks to.
pub struct SnapshotterParts<E: Engine> {
    /// Its queue.
    pub inbox: Receiver<ToSnapshotter>,
    /// Ends it when its other end is dropped.
    pub stop: Receiver<()>,
    /// Where the store's engine is found.
    pub store: Arc<StoreCell<E>>,
    /// Opens a checkpoint.
    pub open: OpenEngine<E>,
    /// Where checkpoints are made; on the file system of the store.
    pub scratch: PathBuf,
    /// Version of the server, as streams say it.
    pub server_version: String,
    /// Carries snapshots to other members; none in a cluster of one.
    pub transport: Option<Arc<dyn Transport>>,
    /// Notices go here.
    pub core: InnerPort,
    /// All stores of the member.
    pub stores: Arc<dyn Stores<Engine = E> + Send + Sync>,
    /// Name of the current one.
    pub store_name: String,
    /// What is received.
    pub staging: Arc<Staging<E>>,
    /// A random number of this run: transfers of another run have other names.
    pub run: u64,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
}

/// A store that was replaced and is to be removed when nobody has it open.
struct Retired {
    name: String,
    closed: Box<dyn Fn() -> bool + Send>,
    tries: u32,
}

/// The owner of snapshots between members.
pub struct Snapshotter<E: Engine> {
    parts: SnapshotterParts<E>,
    made: u64,
    checkpoints: HashMap<u64, Arc<Checkpoint<E>>>,
    /// Nobody else is sent these; they are closed here when the last transfer has ended.
    forgotten: Vec<Arc<Checkpoint<E>>>,
    /// Transfers that were begun: set to end them.
    sending: HashMap<NodeId, Arc<AtomicBool>>,
    retired: Vec<Retired>,
}

impl<E: Engine> Snapshotter<E> {
    /// Nothing is being sent.
    pub fn new(parts: SnapshotterParts<E>) -> Self {
        let (checkpoints, sending) = (HashMap::new(), HashMap::new());
        Self { parts, made: 0, checkpoints, forgotten: Vec::new(), sending, retired: Vec::new() }
    }

    /// Runs until it is told to stop, or the store fails. A snapshot that fails is no reason to stop the node: raft asks for another one.
    pub fn run(mut self, mut watch: DeathWatch) {
        let served = self.serve_all();
        self.sending.values().for_each(|cancel| cancel.store(true, Release));
        self.parts.staging.close();
        match served {
            Ok(()) => watch.finish(),
            Err(why) => watch.fail(why),
        }
    }

    fn serve_all(&mut self) -> Result<(), String> {
        loop {
            let waiting = !self.retired.is_empty() || !self.forgotten.is_empty() || self.parts.staging.is_parked();
            let look = if waiting { after(LOOK) } else { never() };
            select! {
                recv(self.parts.inbox) -> order => match order {
                    Ok(order) => self.serve(order)?,
                    Err(_) => return Ok(()),
                },
                recv(self.parts.stop) -> _ => return Ok(()),
                recv(look) -> _ => {}
            }
            self.clean();
        }
    }

    /// Carries out one order.
    ///
    /// # Errors
    /// In the store's words: it cannot write any more, and the node must stop.
    pub fn serve(&mut self, order: ToSnapshotter) -> Result<(), String> {
        match order {
            ToSnapshotter::Build { checkpoint } => {
                let meta = self.build(checkpoint);
                match &meta {
                    Ok(meta) => tracing::info!("snapshot-index" = meta.index, "saved snapshot"),
                    Err(why) => tracing::error!(error = why, "cannot make a snapshot for a follower"),
                }
                if meta.is_err() && !self.parts.gauges.stopping.load(Acquire) {
                    // a checkpoint begins with a flush. When that is what fails, nobody else may notice: with nothing to apply, a leader would
                    // go on to lead, and to try, for ever
                    self.parts.store.load().flush().map_err(|why| why.to_string())?;
                }
                self.parts.core.snapshot(SnapshotNotice::Built { checkpoint, meta: meta.ok() });
            }
            ToSnapshotter::Send(send) => self.send(&send),
            ToSnapshotter::Cancel { to } => {
                if let Some(cancel) = self.sending.get(&to) {
                    cancel.store(true, Release);
                }
            }
            ToSnapshotter::Forget { checkpoint } => self.forgotten.extend(self.checkpoints.remove(&checkpoint)),
            ToSnapshotter::Discard(staged) => self.discard(staged),
            ToSnapshotter::Installed(installed) => self.installed(installed),
        }
        Ok(())
    }

    /// Makes a checkpoint. What it holds is read from inside it.
    fn build(&mut self, number: u64) -> Result<SnapshotMeta, String> {
        std::fs::create_dir_all(&self.parts.scratch).map_err(|why| why.to_string())?;
        for _ in 0..ATTEMPTS {
            if self.parts.gauges.stopping.load(Acquire) {
                return Err("the node is stopping".to_owned());
            }
            self.made += 1;
            let dir = self.parts.scratch.join(format!("for-members-{}", self.made));
            let engine = self.parts.store.load();
            let SnapshotterParts { open, server_version, gauges, .. } = &self.parts;
            let made = Checkpoint::make(dir, engine.as_ref(), open, server_version, gauges)?;
            if let Some(checkpoint) = made {
                let meta = checkpoint.meta().clone();
                self.checkpoints.insert(number, Arc::new(checkpoint));
                return Ok(meta);
            }
            // an index that the rows have left behind in part would be no place in the log
            std::thread::sleep(BETWEEN);
        }
        Err("a large entry is being applied for too long".to_owned())
    }

    fn send(&mut self, send: &SendSnapshot) {
        let &SendSnapshot { checkpoint: number, to, term } = send;
        let core = self.parts.core.clone();
        let done = move |delivered: bool| core.snapshot(SnapshotNotice::Sent { to, delivered });
        let (Some(transport), Some(checkpoint)) = (&self.parts.transport, self.checkpoints.get(&number)) else {
            return done(false);
        };
        let cancel = Arc::<AtomicBool>::default();
        self.sending.insert(to, cancel.clone());
        let about = About { term, meta: checkpoint.meta().clone() };
        let parcel = Parcel {
            transfer: self.parts.run.wrapping_add(number),
            about: about.encode(),
            source: Box::new(CheckpointSource::new(checkpoint.clone(), cancel)),
            done: Box::new(move |outcome| {
                let to = format!("{to:x}");
                match &outcome {
                    Ok(()) => tracing::info!(
                        "remote-peer-id" = to,
                        "snapshot-index" = about.meta.index,
                        "sent database snapshot"
                    ),
                    Err(why) => tracing::warn!(to, error = %why, "a follower was not sent its snapshot"),
                }
                done(outcome.is_ok());
            }),
        };
        transport.bulk(to, parcel);
    }

    /// Raft had no use for a store.
    fn discard(&mut self, staged: StagedStore) {
        let StagedStore { name, store, .. } = staged;
        drop(store);
        self.parts.staging.remove(&name);
    }

    /// The applier has another store: the old one goes when nobody reads it any more.
    fn installed(&mut self, installed: Installed) {
        let Installed { name, retired, closed } = installed;
        drop(retired);
        self.parts.staging.taken(&name);
        let name = std::mem::replace(&mut self.parts.store_name, name);
        self.retired.push(Retired { name, closed, tries: 0 });
    }

    /// Removes what nobody needs any more. Comes behind every order, and now and then.
    pub fn clean(&mut self) {
        self.forgotten.retain(|checkpoint| Arc::strong_count(checkpoint) > 1);
        let stores = &self.parts.stores;
        self.retired.retain_mut(|retired| {
            if !(retired.closed)() {
                return true;
            }
            retired.tries += 1;
            match stores.remove(&retired.name) {
                Ok(()) => false,
                Err(_) if retired.tries < REMOVALS => true,
                Err(why) => {
                    // the next start removes it
                    tracing::warn!(store = retired.name, error = %why, "cannot remove a store that was replaced");
                    false
                }
            }
        });
        self.parts.staging.expire();
    }
}
