//! Where the snapshot of another member becomes a store, beside the present one: who may send it, where it is resumed after a broken
//! connection, and when it is thrown away.
//!
//! One at a time. What was received stays in memory and in the staged store's folder as long as this member runs, so a transfer goes on
//! in the middle when the same sender comes again with the same checkpoint; after a restart it begins anew. Must never let a
//! store be opened by two, nor touch one that was handed over.

use super::about::About;
use crate::limits::STAGING_PATIENCE;
use crate::raft_core::inbox::InnerPort;
use messages::Gauges;
use messages::peer::{BulkHeader, BulkSink, Held};
use messages::receive::Receive;
use raft::{Body, Message, NodeId, Snapshot, Term};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use storage::apply::MemberIds;
use storage::boot::Stores;
use storage::disk::Disk;
use storage::engine::Engine;
use storage::member::pointer::store_name;
use storage::snapshot::Stage;

/// Room that must be left on the disk beside a staged store.
const SPARE_ROOM: u64 = 64 << 20;

/// Takes transfers; what the peer transport sees of [`Staging`].
pub trait ReceiveSnapshots: Send + Sync {
    /// Another member wants to send a snapshot.
    ///
    /// # Errors
    /// Why it is not wanted, in words for the sender.
    fn begin(self: Arc<Self>, header: &BulkHeader) -> Result<Box<dyn BulkSink>, String>;
}

/// What a staging area needs.
pub struct StagingParts<E: Engine> {
    /// The stores of the member.
    pub stores: Arc<dyn Stores<Engine = E> + Send + Sync>,
    /// Whose disk is looked at for room.
    pub disk: Arc<dyn Disk>,
    /// The member's folder.
    pub member: PathBuf,
    /// Whose store it becomes.
    pub owner: MemberIds,
    /// Effects of one batch of the store.
    pub chunk_bytes: usize,
    /// Is told of a store that is ready.
    pub core: InnerPort,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
}

/// What makes two connections parts of the same transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    from: NodeId,
    transfer: u64,
    length: u64,
}

/// A store on its way in. Field order is drop order.
pub(super) struct Incoming<E> {
    key: Key,
    pub(super) about: About,
    pub(super) name: String,
    pub(super) stage: Stage,
    pub(super) engine: Arc<E>,
}

impl<E> Incoming<E> {
    /// Who sends it.
    pub(super) fn from(&self) -> NodeId {
        self.key.from
    }
}

enum Slot<E> {
    Free,
    /// A connection brings it.
    Receiving {
        /// Of the leader that sends it.
        term: Term,
        /// Set when a newer one is wanted.
        cancel: Arc<AtomicBool>,
    },
    /// The connection broke.
    Parked {
        incoming: Box<Incoming<E>>,
        since: Instant,
    },
    /// The store is the core's: to be installed, or discarded.
    Handed,
    /// The node stops.
    Closed,
}

/// See the file header.
pub struct Staging<E: Engine> {
    pub(super) parts: StagingParts<E>,
    slot: Mutex<Slot<E>>,
    /// Name of the store that the member has: nothing is received under it, and it is never removed here.
    current: Mutex<String>,
}

impl<E: Engine> Staging<E> {
    /// With nothing in it. The member has the store of this name.
    pub fn new(parts: StagingParts<E>, current: String) -> Self {
        Self { parts, slot: Mutex::new(Slot::Free), current: Mutex::new(current) }
    }

    fn is_current(&self, name: &str) -> bool {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) == name
    }

    fn lock(&self) -> MutexGuard<'_, Slot<E>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the slot into another state, unless the node stops. A store that was parked is given back.
    fn set(&self, next: Slot<E>) -> Option<Incoming<E>> {
        let busy = matches!(next, Slot::Receiving { .. } | Slot::Handed);
        let mut slot = self.lock();
        if matches!(*slot, Slot::Closed) {
            return parked(next);
        }
        self.parts.gauges.receiving_snapshot.store(busy, Release);
        parked(std::mem::replace(&mut *slot, next))
    }

    /// Makes an empty store of this name.
    pub(super) fn open(&self, name: &str) -> Result<(Arc<E>, Stage), String> {
        let text = |why: &dyn std::fmt::Display| why.to_string();
        if self.parts.stores.list().map_err(|why| text(&why))?.iter().any(|there| there == name) {
            self.parts.stores.remove(name).map_err(|why| text(&why))?;
        }
        let engine = self.parts.stores.open(name).map_err(|why| text(&why))?;
        let stage = Stage::new(engine.as_ref()).map_err(|why| text(&why))?;
        Ok((engine, stage))
    }

    /// What was received is of something else: begins at zero.
    pub(super) fn begin_again(&self, incoming: Incoming<E>) -> Result<Incoming<E>, String> {
        let Incoming { key, about, name, stage, engine } = incoming;
        drop((stage, engine));
        let opened = self.open(&name);
        let (engine, stage) = opened.inspect_err(|_| self.remove(&name))?;
        Ok(Incoming { key, about, name, stage, engine })
    }

    /// Closes and removes a store that did not become one.
    pub(super) fn discard(&self, incoming: Incoming<E>) {
        let name = incoming.name.clone();
        drop(incoming);
        self.remove(&name);
    }

    /// Removes a staged store that nobody has open, and is free for the next one.
    pub(super) fn remove(&self, name: &str) {
        assert!(!self.is_current(name), "AI-STAGED: {name} is the store of this member");
        if let Err(why) = self.parts.stores.remove(name) {
            // the next start removes it
            tracing::warn!(store = name, error = %why, "cannot remove a staged store");
        }
        let parked = self.set(Slot::Free);
        debug_assert!(parked.is_none(), "one store is staged at a time");
    }

    /// Keeps what was received so far, for the sender to go on.
    pub(super) fn park(&self, incoming: Incoming<E>) {
        if let Some(unwanted) = self.set(Slot::Parked { incoming: Box::new(incoming), since: Instant::now() }) {
            self.discard(unwanted);
        }
    }

    /// The store is the core's from now on.
    pub(super) fn hand_over(&self) {
        self.set(Slot::Handed);
    }

    /// The staged store of this name became the member's own: another one may come.
    pub(super) fn taken(&self, name: &str) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = name.to_owned();
        self.set(Slot::Free);
    }

    /// Something waits to be resumed.
    pub fn is_parked(&self) -> bool {
        matches!(*self.lock(), Slot::Parked { .. })
    }

    /// Throws away what nobody goes on with.
    pub(super) fn expire(&self) {
        let old = match &mut *self.lock() {
            slot @ Slot::Parked { .. } if slot.idles() => parked(std::mem::replace(slot, Slot::Free)),
            _ => None,
        };
        if let Some(incoming) = old {
            self.discard(incoming);
        }
    }

    /// The node stops: nothing is received any more.
    pub(super) fn close(&self) {
        let before = std::mem::replace(&mut *self.lock(), Slot::Closed);
        if let Slot::Receiving { cancel, .. } = &before {
            cancel.store(true, Release);
        }
        if let Some(incoming) = parked(before) {
            self.discard(incoming);
        }
    }

    /// Takes the slot for a connection: with what is there already of the same transfer, or with what has to go first.
    fn reserve(&self, key: Key, about: &About, cancel: &Arc<AtomicBool>) -> Result<Option<Incoming<E>>, String> {
        let mut slot = self.lock();
        match &*slot {
            Slot::Free | Slot::Parked { .. } => {}
            Slot::Receiving { term, cancel } => {
                if about.term > *term {
                    cancel.store(true, Release);
                }
                return Err("another snapshot is being received".to_owned());
            }
            Slot::Handed => return Err("another snapshot is being installed".to_owned()),
            Slot::Closed => return Err("the member is stopping".to_owned()),
        }
        self.parts.gauges.receiving_snapshot.store(true, Release);
        let before = std::mem::replace(&mut *slot, Slot::Receiving { term: about.term, cancel: cancel.clone() });
        drop(slot);
        match parked(before) {
            Some(incoming) if incoming.key == key && incoming.about.meta == about.meta => {
                Ok(Some(Incoming { about: about.clone(), ..incoming }))
            }
            Some(other) => {
                let name = other.name.clone();
                drop(other);
                if let Err(why) = self.parts.stores.remove(&name) {
                    tracing::warn!(store = name, error = %why, "cannot remove a staged store");
                }
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Lets a transfer in: what is there of it, and what ends it when it is set.
    pub(super) fn enter(&self, header: &BulkHeader) -> Result<(Incoming<E>, Arc<AtomicBool>), String> {
        let about = About::decode(&header.about).ok_or("this build does not know such snapshots")?;
        let &BulkHeader { from, transfer, length, .. } = header;
        if self.answer_at_once(from, &about) {
            return Err(format!("this member has entry {} already", about.meta.index));
        }
        if let Some(free) = self.parts.disk.free(&self.parts.member)
            && free < length.saturating_add(SPARE_ROOM)
        {
            return Err(format!("{free} bytes are free on the disk, {length} are needed, and some to spare"));
        }
        let key = Key { from, transfer, length };
        let cancel = Arc::<AtomicBool>::default();
        if let Some(incoming) = self.reserve(key, &about, &cancel)? {
            return Ok((incoming, cancel));
        }
        let name = store_name(about.meta.index);
        let (engine, stage) = self.open(&name).inspect_err(|_| {
            self.set(Slot::Free);
        })?;
        tracing::info!(from = format!("{from:x}"), index = about.meta.index, length, "receiving a snapshot");
        Ok((Incoming { key, about, name, stage, engine }, cancel))
    }

    /// This member has that entry already: raft only has to say so. Between the swap of the store and the core's word of it the
    /// applied index is that of the store before, and the name alone tells.
    fn answer_at_once(&self, from: NodeId, about: &About) -> bool {
        let index = about.meta.index;
        if self.parts.gauges.rebuilding.load(Acquire) && !self.is_current(&store_name(index)) {
            return false;
        }
        if index > self.parts.gauges.applied.load(Acquire) && !self.is_current(&store_name(index)) {
            return false;
        }
        let snapshot = Snapshot { meta: about.meta.clone(), data: Default::default() };
        let body = Body::Snapshot(Box::new(snapshot));
        let messages = vec![Message { from, to: self.parts.owner.member_id, term: about.term, body }];
        // one that is dropped is sent again
        self.parts.core.receive(Receive { messages, held: Held::default() }, false);
        true
    }
}

impl<E> Slot<E> {
    fn idles(&self) -> bool {
        matches!(self, Self::Parked { since, .. } if since.elapsed() > STAGING_PATIENCE)
    }
}

fn parked<E>(slot: Slot<E>) -> Option<Incoming<E>> {
    match slot {
        Slot::Parked { incoming, .. } => Some(*incoming),
        _ => None,
    }
}
