//! One connection's worth of a snapshot on its way in, and what happens when all of it is here: it is verified, opened, and raft is
//! told. Runs on the transport's threads, which may block.
//!
//! Must never call a snapshot received before raft was told of it.

use super::staging::{Incoming, ReceiveSnapshots, Staging};
use crate::applier_install::OpenedStore;
use crate::wiring::snapshots::{SnapshotStaged, StagedStore};
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use messages::peer::{BulkHeader, BulkSink};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, Instant};
use storage::engine::Engine;

/// Patience with a core that has much to do.
const CORE_PATIENCE: Duration = Duration::from_secs(30);
/// Patience with a defragmentation, which ends early when a snapshot comes.
const DEFRAGMENTATION_PATIENCE: Duration = Duration::from_secs(60);
/// Told to a sender that comes with more of what is not there any more.
const LOST: &str = "what was received of the snapshot is lost";
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// See the file header.
pub struct StagingSink<E: Engine> {
    staging: Arc<Staging<E>>,
    /// None once it is handed over or lost.
    incoming: Option<Incoming<E>>,
    cancel: Arc<AtomicBool>,
    /// What was received is of no more use.
    broken: bool,
}

impl<E: Engine> ReceiveSnapshots for Staging<E> {
    fn begin(self: Arc<Self>, header: &BulkHeader) -> Result<Box<dyn BulkSink>, String> {
        Ok(Box::new(self.open_sink(header)?))
    }
}

impl<E: Engine> Staging<E> {
    /// [`ReceiveSnapshots::begin`] for who takes the steps of a sink himself.
    ///
    /// # Errors
    /// Why it is not wanted, in words for the sender.
    pub fn open_sink(self: Arc<Self>, header: &BulkHeader) -> Result<StagingSink<E>, String> {
        let (incoming, cancel) = self.enter(header)?;
        Ok(StagingSink { staging: self, incoming: Some(incoming), cancel, broken: false })
    }
}

/// A store that raft is being told of.
pub struct HandedOver(Receiver<bool>);

impl HandedOver {
    /// What raft's core has said of it so far.
    pub fn told(&self) -> Option<io::Result<()>> {
        match self.0.try_recv() {
            Ok(taken) => Some(Self::judge(taken)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(Self::silent())),
        }
    }

    /// Waits for its word.
    fn wait(self) -> io::Result<()> {
        self.0.recv_timeout(CORE_PATIENCE).map_err(|_| Self::silent()).and_then(Self::judge)
    }

    fn judge(taken: bool) -> io::Result<()> {
        if taken { Ok(()) } else { Err(io::Error::other("another snapshot is being installed")) }
    }

    fn silent() -> io::Error {
        io::Error::other("the member did not say whether it takes the snapshot")
    }
}

impl<E: Engine> StagingSink<E> {
    fn incoming(&mut self) -> io::Result<&mut Incoming<E>> {
        self.incoming.as_mut().ok_or_else(|| io::Error::other(LOST))
    }

    /// Waits for the end of a defragmentation: both at once would keep three copies of the store on the disk.
    fn wait_for_defragmentation(&self) {
        let end = Instant::now() + DEFRAGMENTATION_PATIENCE;
        while self.staging.parts.gauges.defragmenting.load(Acquire) && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
    }

    /// Tells raft of the store.
    fn hand_over(&self, from: u64, term: u64, staged: StagedStore) -> io::Result<HandedOver> {
        self.staging.hand_over();
        let name = staged.name.clone();
        let (stepped, told) = bounded(1);
        let mut message = SnapshotStaged { from, term, staged, stepped };
        let end = Instant::now() + CORE_PATIENCE;
        while let Err(refused) = self.staging.parts.core.staged(message) {
            if Instant::now() >= end || self.cancel.load(Acquire) {
                drop(refused);
                self.staging.remove(&name);
                return Err(io::Error::other("the member is too busy to take the snapshot"));
            }
            message = *refused;
            std::thread::sleep(LOOK);
        }
        Ok(HandedOver(told))
    }

    /// All bytes are here: they are verified, the store is opened and raft is told. The first half of [`BulkSink::finish`]; the
    /// simulator crashes between the halves.
    ///
    /// # Errors
    /// In words for the sender: the store is gone.
    pub fn complete(mut self) -> io::Result<HandedOver> {
        self.wait_for_defragmentation();
        let from = self.incoming()?.from();
        let Some(incoming) = self.incoming.take() else { return Err(io::Error::other(LOST)) };
        let Incoming { about, name, stage, engine, .. } = incoming;
        let (parts, begun) = (&self.staging.parts, Instant::now());
        let measured = &parts.gauges.measured;
        let opened = stage.finish(engine.clone(), parts.owner, &about.meta, parts.chunk_bytes);
        let opened = opened.map_err(io::Error::other).and_then(|store| {
            let membership = store.membership().map_err(io::Error::other)?;
            // its name must outlast a crash before the log says that it is installed
            let syncing = Instant::now();
            parts.disk.sync_dir(&parts.member)?;
            measured.received_stores_synced.observe(syncing.elapsed());
            Ok((store, membership))
        });
        let (store, membership) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                drop(engine);
                self.staging.remove(&name);
                return Err(why);
            }
        };
        measured.received_stores.observe(begun.elapsed());
        let hash = store.running_hash().map(|(_, hash)| hash);
        let store = Box::new(OpenedStore { store, engine });
        let staged = StagedStore { meta: about.meta, membership: Arc::new(membership), hash, name, store };
        self.hand_over(from, about.term, staged)
    }
}

impl<E: Engine> BulkSink for StagingSink<E> {
    fn progress(&mut self) -> io::Result<(u64, u32)> {
        Ok(self.incoming()?.stage.progress())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.incoming()?;
        if let Some(incoming) = self.incoming.take() {
            self.incoming = Some(self.staging.begin_again(incoming).map_err(io::Error::other)?);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.cancel.load(Acquire) {
            return Err(io::Error::other("the member stops, or a newer snapshot is wanted"));
        }
        let fed = self.incoming()?.stage.feed(bytes);
        fed.map_err(|why| {
            self.broken = true;
            io::Error::other(why)
        })
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.complete()?.wait()
    }
}

impl<E: Engine> Drop for StagingSink<E> {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        if self.broken || self.cancel.load(Acquire) {
            self.staging.discard(incoming);
        } else {
            self.staging.park(incoming);
        }
    }
}
