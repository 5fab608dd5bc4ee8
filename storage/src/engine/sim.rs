//! The deterministic engine: RocksDB without its own log and with atomic flush, modelled in memory.
//!
//! A crash ([`SimEngine::crash`]) leaves the state of the last completed flush. Faults are injected by the test, never by
//! chance. Must never stand behind real data: only [`SimEngine::checkpoint`](Engine::checkpoint) touches a disk.

use super::rows::{Gap, Rows};
use super::{Direction, EmptyStretches, Engine, EngineError, Family, Load, Op, Row, Scan, Snapshot, Step};
use bytes::{Buf, BufMut, Bytes};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// Name of the one file of a checkpoint.
const FILE: &str = "sim-engine";
/// First bytes of that file: what it is, and its version.
const MAGIC: &[u8; 8] = b"simeng\0\x01";

/// An injected failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// [`EngineError::Io`].
    Io,
    /// [`EngineError::NoSpace`].
    NoSpace,
}

impl Fault {
    fn error(self, op: &'static str) -> EngineError {
        let why = String::from("injected fault");
        match self {
            Self::Io => EngineError::Io { op, why },
            Self::NoSpace => EngineError::NoSpace { op, why },
        }
    }
}

type State = [Rows; Family::ALL.len()];

#[derive(Debug, Default)]
struct Inner {
    now: State,
    flushed: State,
    batches: u64,
    background_flush: Option<u64>,
    fail_write: Option<Fault>,
    fail_flush: Option<Fault>,
    broken: Option<Fault>,
}

/// A handle of the engine; clones share the state, so that a test can inject faults into an engine somebody else owns.
#[derive(Clone, Debug, Default)]
pub struct SimEngine(Arc<Mutex<Inner>>);

impl SimEngine {
    /// An empty engine.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a checkpoint back.
    ///
    /// # Errors
    /// [`EngineError::Io`] when the file cannot be read, [`EngineError::Corrupt`] when it is damaged.
    pub fn open(dir: &Path) -> Result<Self, EngineError> {
        let path = dir.join(FILE);
        let bytes = std::fs::read(&path).map_err(|e| io("open", &e))?;
        let damaged = |why: &str| EngineError::Corrupt(format!("{}: {why}", path.display()));
        let at = bytes.len().checked_sub(4).ok_or_else(|| damaged("too short"))?;
        let (body, mut crc) = bytes.split_at(at);
        if crc.get_u32() != crc32c::crc32c(body) {
            return Err(damaged("checksum mismatch"));
        }
        let rows = body.strip_prefix(MAGIC).ok_or_else(|| damaged("not a checkpoint of the deterministic engine"))?;
        let state = decode(rows).ok_or_else(|| damaged("truncated row"))?;
        Ok(Self::of(state))
    }

    /// What a restart after a crash now would find. The crashed engine itself stays as it is.
    pub fn crash(&self) -> Self {
        Self::of(self.lock().flushed.clone())
    }

    /// Flushes by itself after every `batches` batches, as RocksDB does when its write buffer is full; `None`: never.
    pub fn set_background_flush(&self, batches: Option<u64>) {
        self.lock().background_flush = batches;
    }

    /// Makes the next write fail; nothing of it is visible, and no later write or flush succeeds.
    pub fn fail_next_write(&self, fault: Fault) {
        self.lock().fail_write = Some(fault);
    }

    /// Makes the next flush fail, the background's included; no later write or flush succeeds.
    pub fn fail_next_flush(&self, fault: Fault) {
        self.lock().fail_flush = Some(fault);
    }

    fn of(state: State) -> Self {
        Self(Arc::new(Mutex::new(Inner { now: state.clone(), flushed: state, ..Inner::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

impl Inner {
    /// Fails once broken, and breaks when a fault is due.
    fn check(&mut self, due: impl Fn(&mut Self) -> Option<Fault>, op: &'static str) -> Result<(), EngineError> {
        self.broken = self.broken.or_else(|| due(self));
        self.broken.map_or(Ok(()), |fault| Err(fault.error(op)))
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        self.check(|inner| inner.fail_flush.take(), "flush")?;
        self.flushed = self.now.clone();
        self.batches = 0;
        Ok(())
    }
}

impl Engine for SimEngine {
    type Snapshot = SimSnapshot;

    fn write(&self, batch: Vec<Op>) -> Result<(), EngineError> {
        let mut inner = self.lock();
        inner.check(|inner| inner.fail_write.take(), "write")?;
        for op in batch {
            match op {
                Op::Put { family, key, value } => inner.now[family as usize].insert(key, value),
                Op::Delete { family, key } => inner.now[family as usize].remove(&key),
            }
        }
        inner.batches += 1;
        if inner.background_flush.is_some_and(|every| inner.batches >= every) {
            // A background flush that fails is seen by the next write, as in RocksDB.
            let _ = inner.flush();
        }
        Ok(())
    }

    fn snapshot(&self) -> SimSnapshot {
        SimSnapshot(self.lock().now.clone(), None)
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.lock().flush()
    }

    fn get_persisted(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.lock().flushed[Family::Meta as usize].get(key).cloned())
    }

    fn checkpoint(&self, dir: &Path) -> Result<(), EngineError> {
        let state = {
            let mut inner = self.lock();
            inner.flush()?; // as RocksDB does: a checkpoint consists of flushed files
            inner.now.clone()
        };
        let mut bytes = MAGIC.to_vec();
        encode(&state, &mut bytes);
        let crc = crc32c::crc32c(&bytes);
        bytes.put_u32(crc);
        std::fs::create_dir(dir).map_err(|e| io("checkpoint", &e))?;
        let mut file = std::fs::File::create_new(dir.join(FILE)).map_err(|e| io("checkpoint", &e))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(|e| io("checkpoint", &e))
    }

    fn disk_bytes(&self) -> u64 {
        self.lock().flushed.iter().map(Rows::bytes).sum()
    }

    fn compact_files(&self, _: &dyn Fn() -> bool) -> Result<(), EngineError> {
        self.flush()
    }

    fn load(&self) -> Result<Box<dyn Load>, EngineError> {
        Ok(Box::new(SimLoad { engine: self.clone(), rows: State::default() }))
    }

    /// There are no files to remove.
    fn closed(&self) -> Box<dyn Fn() -> bool + Send> {
        Box::new(|| true)
    }
}

/// Rows on their way in. Like the files of RocksDB, all of them are durable when they become visible.
struct SimLoad {
    engine: SimEngine,
    rows: State,
}

impl Load for SimLoad {
    fn put(&mut self, family: Family, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.rows[family as usize].insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), EngineError> {
        let mut inner = self.engine.lock();
        inner.check(|inner| inner.fail_write.take().or_else(|| inner.fail_flush.take()), "load")?;
        for (family, rows) in self.rows.iter().enumerate() {
            let mut gap = rows.before(&[]);
            while let Some((key, value, next)) = rows.right(gap) {
                let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                inner.now[family].insert(key.clone(), value.clone());
                inner.flushed[family].insert(key, value);
                gap = next;
            }
        }
        Ok(())
    }
}

fn io(op: &'static str, error: &std::io::Error) -> EngineError {
    let why = error.to_string();
    if error.kind() == std::io::ErrorKind::StorageFull {
        return EngineError::NoSpace { op, why };
    }
    EngineError::Io { op, why }
}

fn encode(state: &State, out: &mut Vec<u8>) {
    for (family, rows) in state.iter().enumerate() {
        let mut gap = rows.before(&[]);
        while let Some((key, value, next)) = rows.right(gap) {
            out.put_u8(family as u8);
            out.put_u32(key.len() as u32);
            out.put_u32(value.len() as u32);
            out.put_slice(key);
            out.put_slice(value);
            gap = next;
        }
    }
}

fn decode(mut bytes: &[u8]) -> Option<State> {
    let mut state = State::default();
    while !bytes.is_empty() {
        let mut head = bytes.split_off(..9)?;
        let rows = state.get_mut(head.get_u8() as usize)?;
        let key = bytes.split_off(..head.get_u32() as usize)?;
        let value = bytes.split_off(..head.get_u32() as usize)?;
        rows.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    }
    Some(state)
}

/// A snapshot of the deterministic engine.
#[derive(Clone, Debug)]
pub struct SimSnapshot(State, Option<Arc<EmptyStretches>>);

impl Snapshot for SimSnapshot {
    type Scan<'a> = SimScan<'a>;

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.0[family as usize].get(key).cloned())
    }

    fn multi_get(&self, family: Family, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, EngineError> {
        Ok(keys.iter().map(|key| self.0[family as usize].get(key).cloned()).collect())
    }

    fn scan<'a>(&'a self, family: Family, lower: &[u8], upper: Option<&[u8]>, direction: Direction) -> SimScan<'a> {
        let rows = &self.0[family as usize];
        let gap = match (direction, upper) {
            (Direction::Forward, _) => rows.before(lower),
            (Direction::Backward, Some(upper)) => rows.before(upper),
            (Direction::Backward, None) => rows.end(),
        };
        let upper = upper.map(<[u8]>::to_vec);
        SimScan { rows, gap, row: None, lower: lower.to_vec(), upper, direction, sparse: false, sought: false }
    }

    fn empty_stretches(&self) -> &EmptyStretches {
        self.1.as_deref().unwrap_or(EmptyStretches::none())
    }

    fn with_empty_stretches(self, stretches: Arc<EmptyStretches>) -> Self {
        Self(self.0, Some(stretches))
    }

    fn scan_sparse<'a>(
        &'a self,
        family: Family,
        lower: &[u8],
        upper: Option<&[u8]>,
        direction: Direction,
    ) -> SimScan<'a> {
        SimScan { sparse: true, ..self.scan(family, lower, upper, direction) }
    }
}

/// A scan over a [`SimSnapshot`].
#[derive(Debug)]
pub struct SimScan<'a> {
    rows: &'a Rows,
    gap: Gap,
    row: Option<Row<'a>>,
    lower: Vec<u8>,
    upper: Option<Vec<u8>>,
    direction: Direction,
    /// Claims now and then that deleted rows lie ahead; nothing is ever deleted here but at once.
    sparse: bool,
    /// A seek has come before the step.
    sought: bool,
}

impl<'a> SimScan<'a> {
    fn ahead(&self) -> Option<(&'a [u8], &'a [u8], Gap)> {
        let row = match self.direction {
            Direction::Forward => self.rows.right(self.gap),
            Direction::Backward => self.rows.left(self.gap),
        };
        let inside = |key: &[u8]| key >= &self.lower[..] && self.upper.as_ref().is_none_or(|upper| key < &upper[..]);
        row.filter(|row| inside(row.0))
    }
}

impl Scan for SimScan<'_> {
    fn step(&mut self) -> Result<Step, EngineError> {
        let ahead = self.ahead();
        let sought = std::mem::take(&mut self.sought);
        // Which rows are said to be hard to reach follows from their keys, so that every run is the same.
        let next = ahead.map_or(&self.lower[..], |(key, _, _)| key);
        let hard = crc32c::crc32c(next).is_multiple_of(4);
        if self.sparse && hard && !sought {
            return Ok(Step::Sparse);
        }
        let Some((key, value, next)) = ahead else { return Ok(Step::End) };
        self.gap = next;
        self.row = Some((key, value));
        Ok(Step::Row)
    }

    fn row(&self) -> Row<'_> {
        self.row.expect("the last step has led to a row")
    }

    fn seek(&mut self, key: &[u8]) {
        self.sought = true;
        self.gap = match (self.direction, &self.upper) {
            (Direction::Forward, _) => self.rows.before(key.max(&self.lower)),
            (Direction::Backward, Some(upper)) if key >= &upper[..] => self.rows.before(upper),
            (Direction::Backward, _) => self.rows.behind(key),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &'static str, value: &'static str) -> Op {
        Op::Put { family: Family::Meta, key: key.into(), value: value.into() }
    }

    fn value(engine: &SimEngine, key: &str) -> Option<Bytes> {
        engine.snapshot().get(Family::Meta, key.as_bytes()).unwrap()
    }

    #[test]
    fn a_crash_leaves_the_last_completed_flush() {
        let engine = SimEngine::new();
        engine.write(vec![put("a", "1")]).unwrap();
        engine.flush().unwrap();
        engine.write(vec![put("a", "2")]).unwrap();
        assert_eq!(engine.get_persisted(b"a").unwrap(), Some("1".into()));
        assert_eq!(value(&engine.crash(), "a"), Some("1".into()));
        assert_eq!(value(&engine, "a"), Some("2".into()));
        engine.set_background_flush(Some(2));
        engine.write(vec![put("a", "3")]).unwrap();
        assert_eq!(value(&engine.crash(), "a"), Some("3".into()));
    }

    #[test]
    fn after_a_fault_nothing_more_is_written() {
        let engine = SimEngine::new();
        engine.fail_next_flush(Fault::NoSpace);
        engine.write(vec![put("a", "1")]).unwrap();
        assert!(matches!(engine.flush(), Err(EngineError::NoSpace { op: "flush", .. })));
        assert!(engine.write(vec![put("a", "2")]).is_err());
        assert_eq!(value(&engine, "a"), Some("1".into()));
        assert_eq!(value(&engine.crash(), "a"), None);
    }

    #[test]
    fn a_damaged_checkpoint_is_refused() {
        let engine = SimEngine::new();
        engine.write(vec![put("a", "1")]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("copy");
        engine.checkpoint(&dir).unwrap();
        assert!(engine.checkpoint(&dir).is_err(), "an existing directory is never written into");
        assert_eq!(value(&SimEngine::open(&dir).unwrap(), "a"), Some("1".into()));
        let mut bytes = std::fs::read(dir.join(FILE)).unwrap();
        bytes[12] ^= 1;
        std::fs::write(dir.join(FILE), bytes).unwrap();
        assert!(matches!(SimEngine::open(&dir), Err(EngineError::Corrupt(_))));
    }
}
