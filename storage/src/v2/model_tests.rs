//! Random requests against a naive tree in memory, which is written after etcd's rules and knows nothing of rows; and against the same
//! requests in other batches.

use super::rule_tests::{NOW, Rig, SECOND};
use super::{V2State, check};
use crate::engine::sim::SimEngine;
use crate::engine::{Direction, Engine, Family, Op, Scan, Snapshot};
use bytes::Bytes;
use model::v2::{Operation, Request, code, method};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    dir: bool,
    value: Bytes,
    expiration: i64,
    created: u64,
    modified: u64,
}

/// The naive tree: paths without their prefix, root left out.
#[derive(Default)]
struct Naive {
    nodes: BTreeMap<String, Node>,
    index: u64,
}

type Refusal = (u16, String);

impl Naive {
    fn find(&self, path: &str) -> Result<&Node, Refusal> {
        let mut above = String::new();
        for part in path.split('/').skip(1) {
            if self.nodes.get(&above).is_some_and(|node| !node.dir) {
                return Err((code::NOT_DIR, above));
            }
            above = format!("{above}/{part}");
            if !self.nodes.contains_key(&above) {
                return Err((code::KEY_NOT_FOUND, above));
            }
        }
        Ok(&self.nodes[path])
    }

    fn place(&mut self, path: &str, request: &Request, value: Bytes) -> Result<(), Refusal> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        for length in 1..parts.len() {
            let above = format!("/{}", parts[..length].join("/"));
            match self.nodes.get(&above) {
                Some(node) if !node.dir => return Err((code::NOT_DIR, above)),
                Some(_) => {}
                None => {
                    let (created, modified) = (self.index + 1, self.index + 1);
                    self.nodes.insert(above, Node { dir: true, value: Bytes::new(), expiration: 0, created, modified });
                }
            }
        }
        self.index += 1;
        let value = if request.dir { Bytes::new() } else { value };
        let (created, modified) = (self.index, self.index);
        let node = Node { dir: request.dir, value, expiration: request.expiration, created, modified };
        self.nodes.insert(path.into(), node);
        Ok(())
    }

    fn compared(&self, path: &str, request: &Request) -> Result<Node, Refusal> {
        let node = self.find(path)?;
        if node.dir {
            return Err((code::NOT_FILE, path.into()));
        }
        let value_differs = !request.prev_value.is_empty() && request.prev_value != node.value;
        let index_differs = request.prev_index != 0 && request.prev_index != node.modified;
        if value_differs || index_differs { Err((code::TEST_FAILED, String::new())) } else { Ok(node.clone()) }
    }

    fn remove(&mut self, path: &str) {
        self.index += 1;
        let below = format!("{path}/");
        self.nodes.retain(|other, _| other != path && !other.starts_with(&below));
    }

    fn delete(&mut self, path: &str, request: &Request) -> Result<(), Refusal> {
        let node = self.find(path)?;
        let is_empty = !self.nodes.keys().any(|other| other.starts_with(&format!("{path}/")));
        match (node.dir, request.recursive, request.dir) {
            (true, false, false) => Err((code::NOT_FILE, path.into())),
            (true, false, true) if !is_empty => Err((code::DIR_NOT_EMPTY, path.into())),
            _ => {
                self.remove(path);
                Ok(())
            }
        }
    }

    fn apply(&mut self, request: &Request) -> Result<(), Refusal> {
        let mut path = String::from_utf8(request.path[2..].to_vec()).unwrap();
        let refresh = request.is_refresh();
        match request.operation().unwrap() {
            Operation::Set => {
                let old = match self.find(&path) {
                    Ok(node) => Some(node.clone()),
                    Err((code::KEY_NOT_FOUND, _)) if !refresh => None,
                    Err(refusal) => return Err(refusal),
                };
                if old.as_ref().is_some_and(|old| old.dir) {
                    return Err((code::NOT_FILE, path));
                }
                let value = if refresh { old.unwrap().value } else { request.val.clone() };
                self.place(&path, request, value)?;
            }
            Operation::Create { unique } => {
                if unique {
                    path = format!("{path}/{:020}", self.index + 1);
                }
                match self.find(&path) {
                    Ok(_) => return Err((code::NODE_EXIST, path)),
                    Err((code::KEY_NOT_FOUND, _)) => self.place(&path, request, request.val.clone())?,
                    Err(refusal) => return Err(refusal),
                }
            }
            Operation::Update => {
                let mut node = self.find(&path)?.clone();
                if node.dir && !request.val.is_empty() {
                    return Err((code::NOT_FILE, path));
                }
                self.index += 1;
                if !node.dir {
                    node.modified = self.index;
                    node.value = if refresh { node.value } else { request.val.clone() };
                }
                self.nodes.insert(path, Node { expiration: request.expiration, ..node });
            }
            Operation::CompareAndSwap => {
                let node = self.compared(&path, request)?;
                self.index += 1;
                let value = if refresh { node.value.clone() } else { request.val.clone() };
                let node = Node { value, modified: self.index, expiration: request.expiration, ..node };
                self.nodes.insert(path, node);
            }
            Operation::Delete => self.delete(&path, request)?,
            Operation::CompareAndDelete => {
                self.compared(&path, request)?;
                self.remove(&path);
            }
            Operation::Sync => {
                let ended = |node: &Node| node.expiration != 0 && node.expiration <= request.time;
                loop {
                    let next = self.nodes.iter().filter(|(_, node)| ended(node));
                    // rows find them by time and then by path
                    let next = next.min_by_key(|(path, node)| (node.expiration, (*path).clone()));
                    let Some(path) = next.map(|(path, _)| path.clone()) else { break };
                    self.remove(&path);
                }
            }
        }
        Ok(())
    }
}

fn requests() -> impl Strategy<Value = Request> {
    let path =
        proptest::collection::vec("[ab_]|a!", 1..4).prop_map(|parts| Bytes::from(format!("/1/{}", parts.join("/"))));
    let method = prop_oneof![
        8 => Just(method::PUT), 2 => Just(method::POST), 4 => Just(method::DELETE), 1 => Just(method::SYNC)
    ];
    let conditions = (
        prop_oneof![3 => Just(0u64), 1 => 1u64..20],
        prop_oneof![3 => Just(String::new()), 1 => "[xy]"],
        any::<Option<bool>>(),
    );
    let flags = (any::<bool>(), any::<bool>(), prop_oneof![6 => Just(None), 1 => Just(Some(true))]);
    (path, method, "[xy]?", conditions, flags, prop_oneof![3 => Just(0), 1 => 1i64..9], 0i64..12).prop_map(
        |(path, method, val, (prev_index, prev_value, prev_exist), (dir, recursive, refresh), ttl, later)| Request {
            method: method.into(),
            // a directory in every fourth path would hide the rest
            dir: dir && path.len() > 4,
            path,
            val: val.into(),
            prev_index,
            prev_value: prev_value.into(),
            prev_exist,
            recursive,
            refresh,
            expiration: if ttl == 0 { 0 } else { NOW + ttl * SECOND },
            time: NOW + if method == method::SYNC { later * SECOND } else { 0 },
            ..Request::default()
        },
    )
}

/// Nodes with the part of their path behind `/1`.
fn nodes_of(rig: &Rig) -> BTreeMap<String, Node> {
    let snapshot = rig.engine.snapshot();
    let mut out = BTreeMap::new();
    let prefix = crate::schema::meta::V2_NODE;
    let mut scan = snapshot.scan(Family::Meta, &[prefix], Some(&[prefix + 1]), Direction::Forward);
    while let Some((key, value)) = scan.next().unwrap() {
        let path = String::from_utf8(super::rows::path_of(key).unwrap()[2..].to_vec()).unwrap();
        let row = super::rows::NodeRow::decode_row(Bytes::copy_from_slice(value)).unwrap();
        let expiration = row.expiration.unwrap_or_default();
        let node = Node { dir: row.dir, value: row.value, expiration, created: row.created, modified: row.modified };
        out.insert(path, node);
    }
    out
}

fn all_rows(engine: &SimEngine) -> Vec<(Bytes, Bytes)> {
    let snapshot = engine.snapshot();
    let mut scan = snapshot.scan(Family::Meta, &[], None, Direction::Forward);
    let mut out = Vec::new();
    while let Some((key, value)) = scan.next().unwrap() {
        out.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
    }
    out
}

proptest! {
    #[test]
    fn the_tree_does_what_a_naive_one_does(requests in proptest::collection::vec(requests(), 1..120)) {
        let (mut rig, mut naive) = (Rig::new(), Naive::default());
        for request in &requests {
            let outcome = rig.apply(request);
            let expected = naive.apply(request);
            match (&outcome.result, &expected) {
                (Ok(event), Ok(())) if request.method != method::SYNC => {
                    prop_assert_eq!(event.index(), naive.index, "{:?}", request);
                }
                (Ok(_), Ok(())) => {}
                (Err(refused), Err((code, cause))) => {
                    prop_assert_eq!(refused.code, *code, "{:?}", request);
                    if *code != code::TEST_FAILED {
                        prop_assert_eq!(&refused.cause[2..], cause.as_bytes(), "{:?}", request);
                    }
                }
                _ => prop_assert!(false, "{:?}: {:?} and not {:?}", request, outcome, expected),
            }
            prop_assert_eq!(outcome.index, naive.index);
            prop_assert_eq!(&nodes_of(&rig), &naive.nodes, "{:?}", request);
        }
        let mut problems = Vec::new();
        check::check(&rig.engine.snapshot(), &mut |problem| problems.push(problem)).unwrap();
        prop_assert!(problems.is_empty(), "{:?}", problems);
    }

    #[test]
    fn rows_do_not_depend_on_how_requests_are_batched(
        requests in proptest::collection::vec(requests(), 1..80),
        cuts in proptest::collection::vec(1usize..9, 1..20),
    ) {
        let mut one_by_one = Rig::new();
        let expected: Vec<_> = requests.iter().map(|request| one_by_one.apply(request)).collect();
        let engine = SimEngine::new();
        let mut state = V2State::read(&engine.snapshot()).unwrap();
        let (mut rest, mut outcomes) = (&requests[..], Vec::new());
        for cut in cuts.iter().cycle() {
            let (batch, behind) = rest.split_at(rest.len().min(*cut));
            let (snapshot, mut ops) = (engine.snapshot(), Vec::<Op>::new());
            for request in batch {
                outcomes.push(state.apply(&snapshot, request, &mut ops).unwrap());
            }
            engine.write(ops).unwrap();
            state.forget_written();
            // what is read back stands for a restart
            state = V2State::read(&engine.snapshot()).unwrap();
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(outcomes, expected);
        prop_assert_eq!(all_rows(&engine), all_rows(&one_by_one.engine));
    }
}
