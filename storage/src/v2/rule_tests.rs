//! Rules of the v2 tree one by one, as etcd 3.4 has them.

use super::V2State;
use super::read;
use crate::auth::AuthState;
use crate::engine::sim::SimEngine;
use crate::engine::{Engine, Op};
use crate::view::View;
use bytes::Bytes;
use model::v2::{Error, Event, HISTORY, Listing, Outcome, Request, code, method};
use std::sync::Arc;

/// The time of every request: 2001-09-09, later than what etcd takes for a mistake.
pub(super) const NOW: i64 = 1_000_000_000_000_000_000;
pub(super) const SECOND: i64 = 1_000_000_000;

/// A tree on an engine of its own.
pub(super) struct Rig {
    pub(super) engine: SimEngine,
    pub(super) state: V2State,
}

impl Rig {
    pub(super) fn new() -> Self {
        let engine = SimEngine::new();
        let state = V2State::read(&engine.snapshot()).unwrap();
        Self { engine, state }
    }

    /// Applies a request and writes its rows.
    pub(super) fn apply(&mut self, request: &Request) -> Outcome {
        let mut ops: Vec<Op> = Vec::new();
        let outcome = self.state.apply(&self.engine.snapshot(), request, &mut ops).unwrap();
        self.engine.write(ops).unwrap();
        self.state.forget_written();
        outcome
    }

    pub(super) fn view(&self) -> View<<SimEngine as Engine>::Snapshot> {
        let status = model::StoreStatus {
            revision: 1,
            compact_revision: -1,
            applied_index: 0,
            applied_term: 0,
            logical_bytes: 0,
            live_bytes: 0,
            keys: 0,
            alarms: Arc::default(),
        };
        let auth: Arc<AuthState> = Arc::default();
        View { snapshot: self.engine.snapshot(), auth, v2: self.state.head(), status }
    }

    pub(super) fn list(&self, path: &str, recursive: bool) -> Listing {
        read::list(&self.view(), path.as_bytes(), recursive, NOW, &mut |_| Ok(())).unwrap()
    }

    fn ok(&mut self, request: Request) -> Event {
        self.apply(&request).result.unwrap_or_else(|why| panic!("{request:?}: {why:?}"))
    }

    fn refused(&mut self, request: Request) -> (u16, String) {
        let before = self.state.head();
        let Error { code, cause, index } = self.apply(&request).result.expect_err("refused");
        assert_eq!(self.state.head(), before, "a refused request changes nothing");
        assert_eq!(index, before.index);
        (code, String::from_utf8(cause.to_vec()).unwrap())
    }

    fn keys(&self, path: &str, recursive: bool) -> Vec<String> {
        let nodes = self.list(path, recursive).result.unwrap();
        nodes.iter().map(|node| String::from_utf8(node.node.key.to_vec()).unwrap()).collect()
    }
}

pub(super) fn put(path: &'static str, value: &'static str) -> Request {
    Request { method: method::PUT.into(), path: path.into(), val: value.into(), time: NOW, ..Request::default() }
}

fn delete(path: &'static str) -> Request {
    Request { method: method::DELETE.into(), path: path.into(), time: NOW, ..Request::default() }
}

fn ttl(seconds: i64, request: Request) -> Request {
    Request { expiration: NOW + seconds * SECOND, ..request }
}

fn at(seconds: i64) -> Request {
    Request { method: method::SYNC.into(), time: NOW + seconds * SECOND, ..Request::default() }
}

#[test]
fn a_set_makes_its_directories_and_resets_what_was_there() {
    let mut rig = Rig::new();
    let made = rig.ok(put("/1/a/b", "x"));
    assert!(made.is_created() && made.prev_node.is_none() && made.index() == 1);
    assert_eq!(rig.keys("/1", true), ["/1", "/1/a", "/1/a/b"]);
    let set = rig.ok(put("/1/a/b", "y"));
    assert_eq!((set.node.created, set.prev_node.as_ref().unwrap().value.clone()), (2, Some(Bytes::from("x"))));
    assert!(!set.is_created());
    assert_eq!(rig.refused(put("/1/a", "z")), (code::NOT_FILE, "/1/a".into()));
    assert_eq!(rig.refused(put("/1/a/b/c", "z")), (code::NOT_DIR, "/1/a/b".into()));
    assert_eq!(rig.refused(put("/1", "z")), (code::ROOT_READ_ONLY, "/".into()));
}

#[test]
fn conditions_decide_what_a_put_does() {
    let mut rig = Rig::new();
    rig.ok(put("/1/k", "x"));
    let with = |prev_exist, prev_value: &'static str, prev_index| Request {
        prev_exist,
        prev_value: prev_value.into(),
        prev_index,
        ..put("/1/k", "y")
    };
    assert_eq!(rig.refused(with(Some(false), "", 0)), (code::NODE_EXIST, "/1/k".into()));
    assert_eq!(rig.refused(with(None, "no", 0)), (code::TEST_FAILED, "[no != x]".into()));
    assert_eq!(rig.refused(with(None, "", 9)), (code::TEST_FAILED, "[9 != 1]".into()));
    assert_eq!(rig.refused(with(None, "no", 9)), (code::TEST_FAILED, "[no != x] [9 != 1]".into()));
    let swapped = rig.ok(with(None, "x", 1));
    assert_eq!((swapped.action().name(), swapped.node.created, swapped.index()), ("compareAndSwap", 1, 2));
    let updated = rig.ok(with(Some(true), "", 0));
    assert_eq!((updated.action().name(), updated.node.created, updated.index()), ("update", 1, 3));
    let missing = Request { prev_exist: Some(true), ..put("/1/none/k", "") };
    assert_eq!(rig.refused(missing), (code::KEY_NOT_FOUND, "/1/none".into()));
}

#[test]
fn keys_of_the_server_are_in_order() {
    let mut rig = Rig::new();
    let post = |path| Request { method: method::POST.into(), ..put(path, "v") };
    assert_eq!(rig.ok(post("/1/q")).node.key, "/1/q/00000000000000000001");
    assert_eq!(rig.ok(post("/1/q")).node.key, "/1/q/00000000000000000002");
    assert_eq!(rig.refused(post("/1/q/00000000000000000001")).0, code::NOT_DIR);
}

#[test]
fn directories_are_deleted_when_they_are_meant() {
    let mut rig = Rig::new();
    rig.ok(put("/1/d/e/k", "x"));
    assert_eq!(rig.refused(delete("/1/d")), (code::NOT_FILE, "/1/d".into()));
    assert_eq!(rig.refused(Request { dir: true, ..delete("/1/d") }), (code::DIR_NOT_EMPTY, "/1/d".into()));
    let deleted = rig.ok(Request { recursive: true, ..delete("/1/d") });
    assert!(deleted.node.dir && deleted.removes(b"/1/d/e/k") && deleted.removes(b"/1/d"));
    assert_eq!(rig.keys("/1", true), ["/1"]);
    assert_eq!(rig.state.head().nodes, 0);
    assert_eq!(rig.refused(Request { recursive: true, ..delete("/1") }), (code::ROOT_READ_ONLY, "/".into()));
}

#[test]
fn hidden_nodes_are_shown_to_those_who_name_them() {
    let mut rig = Rig::new();
    rig.ok(put("/1/_h/k", "x"));
    rig.ok(put("/1/v", "x"));
    assert_eq!(rig.keys("/1", true), ["/1", "/1/v"]);
    assert_eq!(rig.keys("/1/_h", true), ["/1/_h", "/1/_h/k"]);
}

#[test]
fn what_has_ended_goes_the_earliest_first_and_only_by_the_leaders_time() {
    let mut rig = Rig::new();
    rig.ok(ttl(9, put("/1/late", "x")));
    let made = rig.ok(ttl(5, put("/1/soon", "x")));
    assert_eq!((made.node.ttl, made.node.expiration), (5, Some(NOW + 5 * SECOND)));
    rig.ok(ttl(5, Request { dir: true, ..put("/1/dir", "") }));
    rig.ok(put("/1/dir/k", "x"));
    rig.apply(&at(4));
    assert_eq!(rig.state.head().index, 4);
    rig.apply(&at(5));
    assert_eq!(rig.keys("/1", true), ["/1", "/1/late"]);
    let events = read::events(&rig.view(), 5, 10, 1 << 20).unwrap();
    let keys: Vec<_> = events.iter().map(|event| (event.action().name(), event.node.key.clone())).collect();
    assert_eq!(keys, [("expire", Bytes::from("/1/dir")), ("expire", Bytes::from("/1/soon"))]);
    assert!(!read::has_ended(&rig.view(), NOW + 8 * SECOND).unwrap());
    assert!(read::has_ended(&rig.view(), NOW + 9 * SECOND).unwrap());
}

#[test]
fn a_refresh_keeps_the_value_and_is_no_news() {
    let mut rig = Rig::new();
    rig.ok(ttl(5, put("/1/k", "x")));
    let refreshed = rig.ok(ttl(50, Request { refresh: Some(true), prev_exist: Some(true), ..put("/1/k", "") }));
    assert!(refreshed.refresh && refreshed.node.value == Some(Bytes::from("x")) && refreshed.node.ttl == 50);
    let missing = ttl(5, Request { refresh: Some(true), ..put("/1/none", "") });
    assert_eq!(rig.refused(missing).0, code::KEY_NOT_FOUND);
    rig.ok(put("/1/k", "y"));
    assert_eq!(rig.state.head().expiring, 0, "a set without a TTL takes it away");
}

#[test]
fn an_end_long_ago_is_a_mistake_of_its_client() {
    let mut rig = Rig::new();
    let set = rig.ok(Request { expiration: 5 * SECOND, ..put("/1/k", "x") });
    assert_eq!((set.node.expiration, rig.state.head().expiring), (None, 0));
}

#[test]
fn the_last_thousand_events_are_kept() {
    let mut rig = Rig::new();
    for _ in 0..HISTORY + 5 {
        rig.ok(put("/1/k", "x"));
    }
    let head = rig.state.head();
    assert_eq!((head.index, head.first_event), (HISTORY + 5, 6));
    assert!(read::event(&rig.view(), 5).unwrap().is_none());
    assert_eq!(read::event(&rig.view(), 6).unwrap().unwrap().index(), 6);
    let mut problems = Vec::new();
    super::check::check(&rig.engine.snapshot(), &mut |problem| problems.push(problem)).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn a_path_has_so_many_parts_and_no_more() {
    let mut rig = Rig::new();
    let path = |parts: usize| format!("/1{}", "/d".repeat(parts - 1));
    let request = |path: String| Request { path: path.into(), ..put("/", "x") };
    rig.ok(request(path(255)));
    let nodes = rig.list("/1", true).result.unwrap();
    assert_eq!((nodes.len(), nodes.last().unwrap().depth), (255, 254));
    assert_eq!(rig.refused(request(path(256))).0, code::INVALID_FORM);
    rig.ok(Request { recursive: true, ..delete("/1/d") });
    assert_eq!(rig.state.head().nodes, 0);
}
