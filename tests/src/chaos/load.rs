//! Clients that read and write objects of three keys, and write down what they called and what was answered.
//!
//! Must never say that something was answered which was not, nor keep quiet about what may have had an effect.

use super::client::Client;
use super::linear::{Answer, Op, REGISTERS, Record, State};
use crate::compare::chance::Chance;
use crate::order::Span;
use crate::request::{compare, delete, get, prefix, put, put_op, range_op};
use crate::{Stubs, request};
use api::etcdserverpb::response_op::Response;
use api::etcdserverpb::{CompareResult, RangeResponse, ResponseHeader, TargetUnion, TxnRequest};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tonic::Status;

/// Objects of a round.
const OBJECTS: usize = 6;

/// What clients did in a round.
#[derive(Default)]
pub struct Load {
    /// By object.
    pub objects: BTreeMap<usize, Vec<Record>>,
    /// Everything that was answered.
    pub spans: Vec<Span>,
    /// The longest time that one client waited for its next answer.
    pub longest_wait: Duration,
    /// Refusals, by their text.
    pub refused: BTreeMap<String, usize>,
}

impl Load {
    /// Takes in what another client did.
    pub fn add(&mut self, other: Self) {
        for (object, records) in other.objects {
            self.objects.entry(object).or_default().extend(records);
        }
        self.spans.extend(other.spans);
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        for (text, count) in other.refused {
            *self.refused.entry(text).or_default() += count;
        }
    }
}

/// The key of a register.
fn key(round: usize, object: usize, register: usize) -> String {
    format!("chaos/{round:06}/{object}/{register}")
}

fn value(bytes: &[u8]) -> Option<u32> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// The next operation: its values are written by nobody else.
fn draw(chance: &mut Chance, seen: &State, fresh: u32) -> Op {
    let at = chance.below(REGISTERS);
    match chance.weighted(&[30, 8, 30, 10, 10, 12]) {
        0 => Op::Put(at, fresh),
        1 => Op::Delete(at),
        2 => Op::Get(at),
        3 => Op::GetAll,
        4 => Op::PutAll(fresh),
        _ => Op::Swap(at, seen[at], fresh),
    }
}

fn header(header: Option<ResponseHeader>) -> i64 {
    header.expect("a header").revision
}

fn all_of(answer: &RangeResponse) -> State {
    let mut state = State::default();
    for kv in &answer.kvs {
        let register = kv.key.last().map_or(0, |digit| usize::from(digit - b'0'));
        state[register] = value(&kv.value);
    }
    state
}

/// Carries out an operation: what was answered, the revision, and whether that is of its own.
async fn carry_out(stubs: &Stubs, op: Op, keys: &[String; REGISTERS]) -> Result<(Answer, i64, bool), Status> {
    let text = |value: u32| value.to_string();
    Ok(match op {
        Op::Put(at, value) => {
            let answer = stubs.kv.clone().put(put(&keys[at], text(value))).await?.into_inner();
            (Answer::Done, header(answer.header), true)
        }
        Op::Delete(at) => {
            let answer = stubs.kv.clone().delete_range(delete(&keys[at], [])).await?.into_inner();
            (Answer::Was(answer.deleted > 0), header(answer.header), answer.deleted > 0)
        }
        Op::Get(at) => {
            let answer = stubs.range(get(&keys[at])).await?;
            let held = answer.kvs.first().and_then(|kv| value(&kv.value));
            (Answer::Value(held), header(answer.header), false)
        }
        Op::GetAll => {
            let object = &keys[0][..keys[0].len() - 1];
            let answer = stubs.range(prefix(object)).await?;
            (Answer::All(all_of(&answer)), header(answer.header), false)
        }
        Op::PutAll(value) => {
            let puts = keys.iter().map(|key| put_op(key, text(value))).collect();
            (Answer::Done, header(stubs.txn(request::txn(puts)).await?.header), true)
        }
        Op::Swap(at, wanted, value) => swap(stubs, &keys[at], wanted, text(value)).await?,
    })
}

async fn swap(stubs: &Stubs, key: &str, wanted: Option<u32>, new: String) -> Result<(Answer, i64, bool), Status> {
    let holds = match wanted {
        Some(wanted) => TargetUnion::Value(wanted.to_string().into()),
        None => TargetUnion::Version(0),
    };
    let request = TxnRequest {
        compare: vec![compare(key, CompareResult::Equal, holds)],
        success: vec![put_op(key, new)],
        failure: vec![range_op(get(key))],
    };
    let answer = stubs.txn(request).await?;
    let result = if answer.succeeded {
        Ok(())
    } else {
        let read = answer.responses.first().and_then(|response| response.response.as_ref());
        let Some(Response::ResponseRange(read)) = read else {
            return Err(Status::internal("a transaction without its read"));
        };
        Err(read.kvs.first().and_then(|kv| value(&kv.value)))
    };
    Ok((Answer::Swapped(result), header(answer.header), answer.succeeded))
}

/// Works until it is told to stop.
pub async fn run(mut client: Client, seed: u64, round: usize, fresh: Arc<AtomicU32>, stop: Arc<AtomicBool>) -> Load {
    let mut chance = Chance::new(seed);
    let mut load = Load::default();
    let mut seen = [State::default(); OBJECTS];
    let mut last = Instant::now();
    while !stop.load(Relaxed) {
        let Some(stubs) = client.stubs().await else { continue };
        let object = chance.below(OBJECTS);
        let op = draw(&mut chance, &seen[object], fresh.fetch_add(1, Relaxed));
        let keys = std::array::from_fn(|register| key(round, object, register));
        let called = Instant::now();
        let answer = client.ask(carry_out(&stubs, op, &keys)).await;
        let end = Instant::now();
        let answered = match answer {
            Ok((answer, revision, is_write)) => {
                load.spans.push(Span { start: called, end, revision, is_write });
                load.longest_wait = load.longest_wait.max(end - last);
                last = end;
                note(&mut seen[object], op, answer);
                Some((end, answer))
            }
            Err(why) => {
                *load.refused.entry(why.message().to_owned()).or_default() += 1;
                None
            }
        };
        load.objects.entry(object).or_default().push(Record { called, answered, op });
    }
    load
}

/// What the client believes that the object holds, so that some of its conditions hold.
fn note(seen: &mut State, op: Op, answer: Answer) {
    match (op, answer) {
        (Op::Put(at, value) | Op::Swap(at, _, value), Answer::Done | Answer::Swapped(Ok(()))) => seen[at] = Some(value),
        (Op::PutAll(value), _) => *seen = [Some(value); REGISTERS],
        (Op::Delete(at), _) => seen[at] = None,
        (Op::Get(at), Answer::Value(held)) | (Op::Swap(at, ..), Answer::Swapped(Err(held))) => seen[at] = held,
        (_, Answer::All(state)) => *seen = state,
        _ => {}
    }
}
