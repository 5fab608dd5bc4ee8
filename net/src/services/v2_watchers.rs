//! The watchers of the v2 tree that one connection thread serves: who wants to hear of which event, by etcd's rules.
//!
//! Watchers are told indices, never events: what they hold is small, and an event that is no longer kept ends them. Plain state; must
//! never read the store.

use bytes::Bytes;
use model::v2::{Action, Event};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use tokio::sync::mpsc;

/// What a watcher wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interest {
    /// Also what happens below its path.
    pub(crate) recursive: bool,
    /// More than one event.
    pub(crate) stream: bool,
    /// The first index that it wants.
    pub(crate) since: u64,
}

impl Interest {
    /// Whether a watcher that begins in the past hears of an event. Other rules than for new events, as in etcd: hidden keys count,
    /// and so does everything whose path begins like that of a removed directory.
    pub(crate) fn wants_past(path: &[u8], recursive: bool, event: &Event) -> bool {
        let key = &event.node.key[..];
        let removes_dir = matches!(event.action(), Action::Delete | Action::Expire)
            && event.prev_node.as_ref().is_some_and(|prev| prev.dir);
        !event.refresh && (key == path || recursive && lies_below(key, path) || removes_dir && path.starts_with(key))
    }

    /// Whether a waiting watcher hears of a new event.
    fn wants(&self, path: &[u8], event: &Event) -> bool {
        let key = &event.node.key[..];
        let is_concerned = key == path
            || self.recursive && lies_below(key, path) && !is_hidden_below(key, path)
            || event.removes(path);
        is_concerned && event.index() >= self.since
    }
}

/// Whether a path lies below a directory.
fn lies_below(path: &[u8], dir: &[u8]) -> bool {
    dir == b"/" || path.strip_prefix(dir).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// Whether one of the names between a directory and a path below it is hidden.
fn is_hidden_below(path: &[u8], dir: &[u8]) -> bool {
    let rest = path.strip_prefix(dir).unwrap_or_default();
    rest.windows(2).any(|pair| pair == b"/_") || dir == b"/" && rest.first() == Some(&b'_')
}

/// A watcher that waits.
#[derive(Debug)]
struct Watcher {
    id: u64,
    interest: Interest,
    /// Indices of events.
    events: mpsc::Sender<u64>,
}

/// Names a watcher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registered {
    pub(crate) id: u64,
}

/// The watchers of one connection thread, by their paths.
#[derive(Debug, Default)]
pub(crate) struct V2Watchers {
    by_path: RefCell<HashMap<Bytes, Vec<Watcher>>>,
    /// Index of the last event that was looked at; of no meaning without watchers.
    seen: Cell<u64>,
    last_id: Cell<u64>,
}

impl V2Watchers {
    /// Adds a watcher while the tree stands at `index`: it hears of what comes behind it.
    pub(crate) fn add(&self, path: Bytes, interest: Interest, events: mpsc::Sender<u64>, index: u64) -> Registered {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let mut by_path = self.by_path.borrow_mut();
        if by_path.is_empty() {
            self.seen.set(index);
        }
        by_path.entry(path).or_default().push(Watcher { id, interest, events });
        Registered { id }
    }

    /// Removes a watcher, if it is still there.
    pub(crate) fn remove(&self, path: &[u8], id: u64) {
        let mut by_path = self.by_path.borrow_mut();
        let Some(watchers) = by_path.get_mut(path) else { return };
        watchers.retain(|watcher| watcher.id != id);
        if watchers.is_empty() {
            by_path.remove(path);
        }
    }

    /// Index of the next event to look at; `None` while nobody watches.
    pub(crate) fn next_index(&self) -> Option<u64> {
        (!self.by_path.borrow().is_empty()).then(|| self.seen.get() + 1)
    }

    /// Tells whoever wants to hear of the next event. One that cannot take it, or wanted one event only, is removed.
    pub(crate) fn tell(&self, event: &Event) {
        self.seen.set(event.index());
        if event.refresh {
            return;
        }
        let mut by_path = self.by_path.borrow_mut();
        let mut emptied = Vec::new();
        let mut visit = |path: &[u8], watchers: &mut Vec<Watcher>| {
            watchers.retain(|watcher| {
                if !watcher.interest.wants(path, event) {
                    return true;
                }
                watcher.events.try_send(event.index()).is_ok() && watcher.interest.stream
            });
            if watchers.is_empty() {
                emptied.push(path.to_vec());
            }
        };
        if event.removed.len() > 1 {
            // anybody below the directory may be concerned
            by_path.iter_mut().for_each(|(path, watchers)| visit(path, watchers));
        } else {
            for path in with_ancestors(&event.node.key) {
                if let Some(watchers) = by_path.get_mut(path) {
                    visit(path, watchers);
                }
            }
        }
        for path in emptied {
            by_path.remove(&path[..]);
        }
    }

    /// Ends all watchers.
    pub(crate) fn end_all(&self) {
        let watchers = std::mem::take(&mut *self.by_path.borrow_mut());
        drop(watchers);
    }
}

/// A path, the directories above it, and the root.
fn with_ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let above = ends.chain((path.len() > 1).then_some(path.len())).map(|end| &path[..end]);
    std::iter::once(&b"/"[..]).chain(above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::v2::Node;

    fn event(action: Action, key: &'static str, index: u64, removed: &[&str]) -> Event {
        let node = Node { key: key.into(), modified: index, ..Node::default() };
        let mut removed: Vec<u64> = removed.iter().map(|path| Event::path_hash(path.as_bytes())).collect();
        removed.sort_unstable();
        let prev_node = (removed.len() > 1).then(|| Node { dir: true, ..node.clone() });
        Event { removed, prev_node, ..Event::of(action, node) }
    }

    struct Rig(V2Watchers, Vec<(&'static str, mpsc::Receiver<u64>)>);

    impl Rig {
        fn watch(&mut self, path: &'static str, recursive: bool, stream: bool) {
            let (sender, receiver) = mpsc::channel(2);
            self.0.add(path.into(), Interest { recursive, stream, since: 1 }, sender, 0);
            self.1.push((path, receiver));
        }

        fn heard(&mut self) -> Vec<(&'static str, u64)> {
            let mut out = Vec::new();
            for (path, receiver) in &mut self.1 {
                while let Ok(index) = receiver.try_recv() {
                    out.push((*path, index));
                }
            }
            out
        }
    }

    #[test]
    fn a_watcher_hears_of_its_path_and_with_recursive_of_what_is_below() {
        let mut rig = Rig(V2Watchers::default(), Vec::new());
        rig.watch("/1/a", false, true);
        rig.watch("/1", true, true);
        rig.watch("/1/a/b", true, true);
        rig.watch("/1/a", true, true);
        rig.0.tell(&event(Action::Set, "/1/a/b", 1, &[]));
        assert_eq!(rig.heard(), [("/1", 1), ("/1/a/b", 1), ("/1/a", 1)]);
        rig.0.tell(&event(Action::Set, "/1/ab", 2, &[]));
        assert_eq!(rig.heard(), [("/1", 2)], "a name that begins alike lies not below");
    }

    #[test]
    fn hidden_keys_are_told_to_those_who_name_them() {
        let mut rig = Rig(V2Watchers::default(), Vec::new());
        for path in ["/1", "/1/_h", "/1/_h/k"] {
            rig.watch(path, true, true);
        }
        rig.0.tell(&event(Action::Set, "/1/_h/k", 1, &[]));
        assert_eq!(rig.heard(), [("/1/_h", 1), ("/1/_h/k", 1)]);
    }

    #[test]
    fn the_removal_of_a_directory_is_told_at_every_path_that_went() {
        let mut rig = Rig(V2Watchers::default(), Vec::new());
        for path in ["/1/d/k", "/1/d/never", "/1/d", "/1/dx"] {
            rig.watch(path, false, false);
        }
        rig.0.tell(&event(Action::Delete, "/1/d", 1, &["/1/d", "/1/d/k"]));
        assert_eq!(rig.heard(), [("/1/d/k", 1), ("/1/d", 1)]);
        let past = event(Action::Delete, "/1/d", 1, &["/1/d", "/1/d/k"]);
        assert!(Interest::wants_past(b"/1/dx", false, &past), "etcd compares prefixes in the history");
    }

    #[test]
    fn one_event_is_enough_without_stream_and_a_full_queue_ends_a_watcher() {
        let mut rig = Rig(V2Watchers::default(), Vec::new());
        rig.watch("/1/k", false, false);
        rig.watch("/1/k", false, true);
        for index in 1..=4 {
            rig.0.tell(&event(Action::Set, "/1/k", index, &[]));
        }
        assert_eq!(rig.heard(), [("/1/k", 1), ("/1/k", 1), ("/1/k", 2)]);
        assert_eq!(rig.0.next_index(), None, "nobody is left");
    }

    #[test]
    fn a_refresh_is_told_to_nobody() {
        let mut rig = Rig(V2Watchers::default(), Vec::new());
        rig.watch("/1/k", false, true);
        rig.0.tell(&Event { refresh: true, ..event(Action::Set, "/1/k", 1, &[]) });
        assert!(rig.heard().is_empty());
        assert_eq!(rig.0.next_index(), Some(2));
    }
}
