//! What each request of the v2 API does to the tree: etcd's rules, refusals and events.
//!
//! A refused request changes nothing, the index included. Must never look at a clock: TTLs are computed from the time that the
//! entry carries.

use super::path;
use super::rows::{Head, MAX_DEPTH, NodeRow};
use super::source::Written;
use super::tree::{Tree, ended, is_read_only};
use crate::auth::rows::ReadRowsError;
use crate::engine::{Family, Op, Snapshot};
use crate::schema::meta;
use bytes::Bytes;
use model::v2::{Action, Error, Event, Node, Operation, Outcome, Request, code};

/// Nodes that one request of the leader's removes because they have ended; the next one goes on.
pub const ENDED_AT_ONCE: usize = 1_000;
/// Ends before this moment (2000-01-01) are taken for none, as in etcd: some clients write the time in another unit.
const LEAST_EXPIRATION: i64 = 946_684_800_000_000_000;

/// A step that may be refused, or fail for good.
type Step<T> = Result<Result<T, Error>, ReadRowsError>;

/// The tree as the applier holds it: its numbers, and the rows that wait for the next engine write.
#[derive(Debug, Default)]
pub struct V2State {
    head: Head,
    written: Written,
}

/// What a request says about its node.
struct Wanted<'r> {
    path: Vec<u8>,
    request: &'r Request,
    /// As in the request.
    expiration: Option<i64>,
}

impl V2State {
    /// Reads the numbers of a store; one without v2 requests has none.
    ///
    /// # Errors
    /// [`ReadRowsError`].
    pub fn read<S: Snapshot>(snapshot: &S) -> Result<Self, ReadRowsError> {
        let row = snapshot.get(Family::Meta, meta::V2)?;
        let head = row.map(|row| Head::decode_row(&row)).transpose()?.unwrap_or_default();
        Ok(Self { head, written: Written::new() })
    }

    /// The numbers, including what is not written yet.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The rows stand in the engine now: the next snapshot has them.
    pub fn forget_written(&mut self) {
        self.written.clear();
    }

    /// Carries out a request. `ops` gets the rows that changed.
    ///
    /// # Errors
    /// [`ReadRowsError`]: the node must stop.
    pub fn apply<S: Snapshot>(
        &mut self,
        snapshot: &S,
        request: &Request,
        ops: &mut Vec<Op>,
    ) -> Result<Outcome, ReadRowsError> {
        let mut changed = Vec::new();
        let before = self.head;
        let mut tree = Tree { snapshot, written: &mut self.written, changed: &mut changed, head: &mut self.head };
        let result = carry_out(&mut tree, request)?;
        changed.sort_unstable();
        changed.dedup();
        for key in changed {
            let row = self.written.get(&key).cloned().flatten();
            ops.push(match row {
                Some(value) => Op::Put { family: Family::Meta, key, value },
                None => Op::Delete { family: Family::Meta, key },
            });
        }
        if self.head != before {
            let value = self.head.encode_row();
            ops.push(Op::Put { family: Family::Meta, key: Bytes::from_static(meta::V2), value });
        }
        Ok(Outcome { result, index: self.head.index })
    }
}

fn carry_out<S: Snapshot>(tree: &mut Tree<'_, S>, request: &Request) -> Step<Event> {
    let wanted = Wanted {
        path: path::clean(&request.path),
        request,
        expiration: Some(request.expiration).filter(|expiration| *expiration != 0),
    };
    if path::depth(&wanted.path) >= MAX_DEPTH {
        return Ok(Err(Error::new(code::INVALID_FORM, "the path has more than 255 parts", tree.head.index)));
    }
    match request.operation() {
        Some(Operation::Set) => set(tree, &wanted),
        Some(Operation::Create { unique }) => create(tree, wanted, unique),
        Some(Operation::Update) => update(tree, &wanted),
        Some(Operation::CompareAndSwap) => compare_and_swap(tree, &wanted),
        Some(Operation::Delete) => delete(tree, &wanted),
        Some(Operation::CompareAndDelete) => compare_and_delete(tree, &wanted),
        Some(Operation::Sync) => sync(tree, request.time),
        None => Ok(Err(Error::new(code::RAFT_INTERNAL, "etcdserver: unknown method", tree.head.index))),
    }
}

/// Lets a refusal be the answer of the step around it.
macro_rules! allowed {
    ($step:expr) => {
        match $step? {
            Ok(value) => value,
            Err(refusal) => return Ok(Err(refusal)),
        }
    };
}

impl Wanted<'_> {
    /// The value that a changed file has.
    fn value(&self, old: &NodeRow) -> Bytes {
        if self.request.is_refresh() { old.value.clone() } else { self.request.val.clone() }
    }
}

fn refuse_root<S: Snapshot>(tree: &Tree<'_, S>, path: &[u8]) -> Result<(), Error> {
    if is_read_only(path) { Err(Error::new(code::ROOT_READ_ONLY, "/", tree.head.index)) } else { Ok(()) }
}

fn set<S: Snapshot>(tree: &mut Tree<'_, S>, wanted: &Wanted<'_>) -> Step<Event> {
    let found = tree.find(&wanted.path)?;
    let old = match found {
        Ok(old) => Some(old),
        Err(refusal) if refusal.code != code::KEY_NOT_FOUND || wanted.request.is_refresh() => return Ok(Err(refusal)),
        Err(_) => None,
    };
    let value = old.as_ref().map_or_else(|| wanted.request.val.clone(), |old| wanted.value(old));
    let mut event = allowed!(place(tree, wanted, old.as_ref(), value, Action::Set));
    event.refresh = wanted.request.is_refresh();
    tree.note(&event)?;
    Ok(Ok(event))
}

fn create<S: Snapshot>(tree: &mut Tree<'_, S>, mut wanted: Wanted<'_>, unique: bool) -> Step<Event> {
    if unique {
        let name = format!("/{:020}", tree.head.index + 1);
        wanted.path = path::clean(&[&wanted.path, name.as_bytes()].concat());
    }
    if let Err(refusal) = refuse_root(tree, &wanted.path) {
        return Ok(Err(refusal));
    }
    if let Ok(old) = allow_missing(tree, &wanted)?
        && old.is_some()
    {
        return Ok(Err(Error::new(code::NODE_EXIST, wanted.path, tree.head.index)));
    }
    let event = allowed!(place(tree, &wanted, None, wanted.request.val.clone(), Action::Create));
    tree.note(&event)?;
    Ok(Ok(event))
}

/// The node, `None` when nothing is there, or the refusal when a file stands in the way.
fn allow_missing<S: Snapshot>(tree: &Tree<'_, S>, wanted: &Wanted<'_>) -> Step<Option<NodeRow>> {
    Ok(match tree.find(&wanted.path)? {
        Ok(old) => Ok(Some(old)),
        Err(refusal) if refusal.code == code::KEY_NOT_FOUND => Ok(None),
        Err(refusal) => Err(refusal),
    })
}

/// Puts a new node in the place of `old`, which must be a file. The history does not have it yet.
fn place<S: Snapshot>(
    tree: &mut Tree<'_, S>,
    wanted: &Wanted<'_>,
    old: Option<&NodeRow>,
    value: Bytes,
    action: Action,
) -> Step<Event> {
    if let Err(refusal) = refuse_root(tree, &wanted.path) {
        return Ok(Err(refusal));
    }
    if old.is_some_and(|old| old.dir) {
        return Ok(Err(Error::new(code::NOT_FILE, wanted.path.clone(), tree.head.index)));
    }
    allowed!(tree.make_parents(&wanted.path));
    let index = tree.head.index + 1;
    let dir = wanted.request.dir;
    let new = NodeRow {
        created: index,
        modified: index,
        expiration: wanted.expiration.filter(|expiration| *expiration >= LEAST_EXPIRATION),
        dir,
        value: if dir { Bytes::new() } else { value },
    };
    tree.put(&wanted.path, old, &new);
    let now = wanted.request.time;
    let mut event = Event::of(action, new.shown(&wanted.path, now));
    event.prev_node = old.map(|old| old.shown(&wanted.path, now));
    Ok(Ok(event))
}

fn update<S: Snapshot>(tree: &mut Tree<'_, S>, wanted: &Wanted<'_>) -> Step<Event> {
    if let Err(refusal) = refuse_root(tree, &wanted.path) {
        return Ok(Err(refusal));
    }
    let old = allowed!(tree.find(&wanted.path));
    if old.dir && !wanted.request.val.is_empty() {
        return Ok(Err(Error::new(code::NOT_FILE, wanted.path.clone(), tree.head.index)));
    }
    let index = tree.head.index + 1;
    // the indices of a directory stay, although the event names the new one: as in etcd
    let modified = if old.dir { old.modified } else { index };
    let value = if old.dir { Bytes::new() } else { wanted.value(&old) };
    change(tree, wanted, &old, NodeRow { modified, value, ..old.clone() }, Action::Update)
}

fn compare_and_swap<S: Snapshot>(tree: &mut Tree<'_, S>, wanted: &Wanted<'_>) -> Step<Event> {
    if let Err(refusal) = refuse_root(tree, &wanted.path) {
        return Ok(Err(refusal));
    }
    let old = allowed!(compared(tree, wanted));
    let modified = tree.head.index + 1;
    let value = wanted.value(&old);
    change(tree, wanted, &old, NodeRow { modified, value, ..old.clone() }, Action::CompareAndSwap)
}

/// Writes a changed node with the request's TTL, and notes the event.
fn change<S: Snapshot>(
    tree: &mut Tree<'_, S>,
    wanted: &Wanted<'_>,
    old: &NodeRow,
    mut new: NodeRow,
    action: Action,
) -> Step<Event> {
    new.expiration = wanted.expiration;
    tree.put(&wanted.path, Some(old), &new);
    let now = wanted.request.time;
    let node = Node { modified: tree.head.index + 1, ..new.shown(&wanted.path, now) };
    let mut event = Event::of(action, node);
    event.prev_node = Some(old.shown(&wanted.path, now));
    event.refresh = wanted.request.is_refresh();
    tree.note(&event)?;
    Ok(Ok(event))
}

/// A file that has the value and the index that the request names.
fn compared<S: Snapshot>(tree: &Tree<'_, S>, wanted: &Wanted<'_>) -> Step<NodeRow> {
    let index = tree.head.index;
    let old = allowed!(tree.find(&wanted.path));
    if old.dir {
        return Ok(Err(Error::new(code::NOT_FILE, wanted.path.clone(), index)));
    }
    let (value, wanted_index) = (&wanted.request.prev_value, wanted.request.prev_index);
    let differing_value = !value.is_empty() && *value != old.value;
    let differing_index = wanted_index != 0 && wanted_index != old.modified;
    let of_values = || [&b"["[..], value, b" != ", &old.value, b"]"].concat();
    let of_indices = || format!("[{wanted_index} != {}]", old.modified).into_bytes();
    let cause = match (differing_value, differing_index) {
        (false, false) => return Ok(Ok(old)),
        (true, false) => of_values(),
        (false, true) => of_indices(),
        (true, true) => [&of_values()[..], b" ", &of_indices()].concat(),
    };
    Ok(Err(Error::new(code::TEST_FAILED, cause, index)))
}

fn delete<S: Snapshot>(tree: &mut Tree<'_, S>, wanted: &Wanted<'_>) -> Step<Event> {
    if let Err(refusal) = refuse_root(tree, &wanted.path) {
        return Ok(Err(refusal));
    }
    let old = allowed!(tree.find(&wanted.path));
    let recursive = wanted.request.recursive;
    if old.dir && !recursive {
        let code = match wanted.request.dir {
            false => Some(code::NOT_FILE),
            true => tree.has_children(&wanted.path)?.then_some(code::DIR_NOT_EMPTY),
        };
        if let Some(code) = code {
            return Ok(Err(Error::new(code, wanted.path.clone(), tree.head.index)));
        }
    }
    remove(tree, &wanted.path, &old, Action::Delete, wanted.request.time)
}

fn compare_and_delete<S: Snapshot>(tree: &mut Tree<'_, S>, wanted: &Wanted<'_>) -> Step<Event> {
    let old = allowed!(compared(tree, wanted));
    remove(tree, &wanted.path, &old, Action::CompareAndDelete, wanted.request.time)
}

/// Removes a node with everything below it, and notes the event.
fn remove<S: Snapshot>(tree: &mut Tree<'_, S>, path: &[u8], old: &NodeRow, action: Action, now: i64) -> Step<Event> {
    let modified = tree.head.index + 1;
    let key = Bytes::copy_from_slice(path);
    let mut event = Event::of(action, Node { key, dir: old.dir, modified, created: old.created, ..Node::default() });
    event.prev_node = Some(old.shown(path, now));
    event.removed = tree.remove(path, old)?;
    tree.note(&event)?;
    Ok(Ok(event))
}

/// Removes what has ended by `time`, the earliest first. The event is the last one, of no use to anybody.
fn sync<S: Snapshot>(tree: &mut Tree<'_, S>, time: i64) -> Step<Event> {
    let mut last = Event::default();
    for (ends, path) in ended(tree.source(), time, ENDED_AT_ONCE)? {
        // it may have gone with its directory
        let Some(old) = tree.node(&path)?.filter(|old| old.expiration == Some(ends)) else { continue };
        if let Ok(event) = remove(tree, &path, &old, Action::Expire, time)? {
            last = event;
        }
    }
    Ok(Ok(last))
}
