//! A snapshot whose scans end when the node stops, so that no walk over the whole store keeps a stop waiting.
//!
//! Must never end a scan for another reason, nor end it quietly: a walk that is cut off is an error, not a short answer.

use bytes::Bytes;
use messages::Gauges;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use storage::engine::{Direction, EmptyStretches, EngineError, Family, Row, Scan, Snapshot, Step};
use storage::view::View;

/// A snapshot, and the counters that say whether the node stops.
#[derive(Clone, Debug)]
pub struct Cancellable<S> {
    inner: S,
    gauges: Arc<Gauges>,
}

impl<S> Cancellable<S> {
    /// Around a snapshot.
    pub fn new(inner: S, gauges: Arc<Gauges>) -> Self {
        Self { inner, gauges }
    }
}

impl<S: Snapshot> Cancellable<S> {
    /// A view whose walks end with the node.
    pub fn view(of: &View<S>, gauges: &Arc<Gauges>) -> View<Self> {
        let snapshot = Self::new(of.snapshot.clone(), gauges.clone());
        View { snapshot, auth: of.auth.clone(), v2: of.v2, status: of.status.clone() }
    }
}

impl<S: Snapshot> Snapshot for Cancellable<S> {
    type Scan<'a> = CancellableScan<'a, S::Scan<'a>>;

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.inner.get(family, key)
    }

    fn multi_get(&self, family: Family, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.inner.multi_get(family, keys)
    }

    fn scan<'a>(&'a self, family: Family, lower: &[u8], upper: Option<&[u8]>, direction: Direction) -> Self::Scan<'a> {
        let inner = self.inner.scan(family, lower, upper, direction);
        CancellableScan { inner, stopping: &self.gauges.stopping }
    }

    fn empty_stretches(&self) -> &EmptyStretches {
        self.inner.empty_stretches()
    }

    fn with_empty_stretches(self, stretches: Arc<EmptyStretches>) -> Self {
        Self { inner: self.inner.with_empty_stretches(stretches), ..self }
    }

    fn scan_once<'a>(
        &'a self,
        family: Family,
        lower: &[u8],
        upper: Option<&[u8]>,
        direction: Direction,
    ) -> Self::Scan<'a> {
        let inner = self.inner.scan_once(family, lower, upper, direction);
        CancellableScan { inner, stopping: &self.gauges.stopping }
    }

    fn scan_sparse<'a>(
        &'a self,
        family: Family,
        lower: &[u8],
        upper: Option<&[u8]>,
        direction: Direction,
    ) -> Self::Scan<'a> {
        let inner = self.inner.scan_sparse(family, lower, upper, direction);
        CancellableScan { inner, stopping: &self.gauges.stopping }
    }
}

/// A scan of a [`Cancellable`].
pub struct CancellableScan<'a, T> {
    inner: T,
    stopping: &'a AtomicBool,
}

impl<T: Scan> Scan for CancellableScan<'_, T> {
    fn step(&mut self) -> Result<Step, EngineError> {
        if self.stopping.load(Relaxed) {
            return Err(EngineError::Io { op: "read", why: "the node is being stopped".into() });
        }
        self.inner.step()
    }

    fn row(&self) -> Row<'_> {
        self.inner.row()
    }

    fn seek(&mut self, key: &[u8]) {
        self.inner.seek(key);
    }
}
