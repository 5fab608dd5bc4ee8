//! A database of etcd's from anywhere: refused, or made into a store that opens, whose walk and check end.

use super::request::prepared;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use storage::apply::{MemberIds, StateMachine};
use storage::engine::Engine;
use storage::engine::sim::SimEngine;
use storage::etcd::{Database, EtcdSource, import, status};

fn base() -> &'static [u8] {
    static BASE: OnceLock<Vec<u8>> = OnceLock::new();
    BASE.get_or_init(|| {
        let mut out = Vec::new();
        let end = EtcdSource::new(prepared().snapshot(), "3.7.0").expect("a source").send(|chunk| {
            out.extend_from_slice(&chunk);
            ControlFlow::Continue(())
        });
        end.expect("the stream ends well");
        out
    })
}

/// First byte: 0 these bytes as they are; otherwise edits of a sound database.
pub fn run(data: &[u8]) {
    let Some((shape, rest)) = data.split_first() else { return };
    let mut bytes = if *shape == 0 { rest.to_vec() } else { base().to_vec() };
    if *shape != 0 {
        edit(&mut bytes, rest);
    }
    let Ok(database) = Database::open(&bytes[..]) else { return };
    let checked = database.check(&mut |_| ());
    let told = status(&database, &mut |_| ());
    assert!(checked.is_ok() || told.is_err(), "a status of a file that is not sound");
    let engine = Arc::new(SimEngine::new());
    let taken = import(&database, engine.as_ref(), MemberIds { cluster_id: 1, member_id: 2 }, &mut |_| ());
    let opened = StateMachine::open(engine);
    match (taken, opened) {
        (Ok(_), Ok(store)) => {
            let view = store.view();
            let _ = storage::read::range(&view, &crate::request::all());
            let _ = storage::read::hash::hash_kv(&view, 0);
        }
        (Ok(_), Err(why)) => panic!("taken over into a store that does not open: {why}"),
        (Err(why), Ok(_)) => panic!("{why}, and yet there is a store"),
        (Err(_), Err(_)) => {}
    }
}

/// Edits of four bytes: what, where (two bytes: a page and a place near its beginning, or anywhere), a value.
fn edit(bytes: &mut Vec<u8>, edits: &[u8]) {
    const PAGE: usize = 4096;
    for edit in edits.chunks_exact(4).take(64) {
        let [what, a, b, value] = *edit else { return };
        let (page, place) = (usize::from(a) * PAGE % bytes.len().max(1), usize::from(b));
        let anywhere = usize::from(u16::from_be_bytes([a, b])) % bytes.len().max(1);
        let at = if what % 2 == 0 { page + place } else { anywhere };
        match what / 2 % 3 {
            2 => bytes.truncate(at.max(PAGE)),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= value;
                }
            }
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![1],
        vec![1, 0, 2, 10, 1],
        vec![1, 0, 2, 20, 4],
        vec![1, 0, 3, 8, 3],
        vec![1, 4, 3, 0, 0],
        vec![1, 1, 0, 48, 1],
        vec![0; 120],
    ]
}
