//! The figures, each a function that can be run by itself.
//!
//! Must measure both sides by the same code.

mod cpu;
mod deleted;
mod members;
mod memory;
mod reads;
mod upkeep;
mod written;

use crate::side::Side;
use std::pin::Pin;

/// One number of a figure.
pub struct Value {
    pub name: &'static str,
    pub unit: &'static str,
    pub number: f64,
    /// What Conclave should reach, in words.
    pub target: &'static str,
}

type Taking<'a> = Pin<Box<dyn Future<Output = Result<Vec<Value>, String>> + 'a>>;

/// A figure.
pub struct Figure {
    pub name: &'static str,
    pub about: &'static str,
    /// Takes long: only when asked for.
    pub optional: bool,
    pub take: for<'a> fn(&'a mut Side) -> Taking<'a>,
}

fn value(name: &'static str, unit: &'static str, number: f64, target: &'static str) -> Value {
    Value { name, unit, number, target }
}

macro_rules! figure {
    ($name:literal, $about:literal, $take:path, $optional:literal) => {
        Figure { name: $name, about: $about, optional: $optional, take: |side| Box::pin($take(side)) }
    };
}

/// Every figure, in the order in which they are taken: `compact` and `defrag` change what the ones before them need.
pub const FIGURES: &[Figure] = &[
    figure!("cpu", "server CPU for one put at 1,000 clients, sequential and random keys", cpu::puts, false),
    figure!("one", "median of one client's puts, against the echo of the door and one sync", cpu::one, false),
    figure!("written", "bytes that the disk writes for one put, at 1, 16 and 1,000 clients", written::written, false),
    figure!("range", "server CPU for one linearizable range, at 1,000 clients and one", reads::range, false),
    figure!("memory", "memory after loading the keys twice", memory::loaded, false),
    figure!("count", "count of random ranges, now and at an old revision", reads::count, false),
    figure!("list", "list of 1,000 of 100,000 keys", reads::list, false),
    figure!("restart", "restart after SIGKILL, and memory then", memory::restart, false),
    figure!("scan", "reading every key, and memory then", memory::scan, false),
    figure!("save", "saving a snapshot", deleted::save, false),
    figure!("deleted", "limit=1 behind a fifth as many deleted keys", deleted::behind_deleted, false),
    figure!("queue", "put at the tail, get the first, delete it: a tenth as many rounds", deleted::queue, true),
    figure!("compact", "worst put while a million revisions are compacted", upkeep::compact, false),
    figure!("defrag", "worst put while the member is defragmented, and the disk then", upkeep::defragment, false),
    figure!("gap", "time without a write after kill -9 of the leader (--members=3)", members::gap, true),
    figure!("join", "an empty member joins while 1,000 clients write (--members=3)", members::join, true),
    figure!("big", "restart after SIGKILL with three million keys", memory::big, true),
];
