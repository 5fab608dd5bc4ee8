//! `stm`: transactions that read keys, write some and retry on conflict, perhaps under a lock.
//!
//! Must measure lock, transaction with its retries, and unlock as one request.

use super::mutex::Locker;
use super::output::{files, report};
use super::stm_txn::{Isolation, transact};
use super::{Failed, channels, plan, rng};
use crate::client::{CallError, Channel};
use crate::flags::Given;
use crate::load::rng::Rng;
use crate::load::{drive, keys};
use crate::report::{Live, Recorder};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

const KEY_SIZE: usize = 16;

struct Shape {
    keys: u64,
    per_txn: u64,
    writes: usize,
    value_size: usize,
}

fn shape(given: &Given) -> Result<Shape, Failed> {
    let (keys, per_txn, percent) = (given.number("keys"), given.number("keys-per-txn"), given.number("txn-wr-percent"));
    if keys == 0 {
        return Err(Failed::Usage("expected positive --keys, got (0)".into()));
    }
    if percent > 100 {
        return Err(Failed::Usage(format!("expected [0, 100] --txn-wr-percent, got ({percent})")));
    }
    if per_txn > keys {
        return Err(Failed::Usage(format!("expected --keys-per-txn between 0 and {keys}, got ({per_txn})")));
    }
    let writes = (per_txn * percent / 100) as usize;
    Ok(Shape { keys, per_txn, writes, value_size: given.count("val-size") })
}

fn drawn(shape: &Shape, rng: &mut Rng) -> (Vec<Bytes>, Bytes) {
    let mut numbers = BTreeSet::new();
    while (numbers.len() as u64) < shape.per_txn {
        numbers.insert(rng.below(shape.keys));
    }
    let keys = numbers.into_iter().map(|number| keys::numbered(number, KEY_SIZE)).collect();
    (keys, rng.bytes(shape.value_size).into())
}

pub(crate) async fn run(given: &Given) -> Result<(), Failed> {
    let shape = shape(given)?;
    let isolation = Isolation::parse(given.text("isolation"))
        .ok_or_else(|| Failed::Usage("--isolation is c, r, s or ss".into()))?;
    let locker = Locker::parse(given.text("stm-locker"))
        .ok_or_else(|| Failed::Usage(format!("unexpected stm locker {:?}", given.text("stm-locker"))))?;
    let channels = channels(given).await?;
    let clients = given.count("clients").max(1);
    let mut leases = Vec::new();
    for client in 0..clients {
        leases.push(locker.session(&channels[client % channels.len()]).await?);
    }
    let leases = Rc::new(leases);
    let rng = RefCell::new(rng(given));
    let recorder = Recorder::new("stm");
    let recorders = [recorder.clone()];
    let plan = plan(given, clients);
    let live = Live::start("stm", plan.total, plan.duration, &recorders);
    let held = leases.clone();
    drive(&plan, &channels, &recorders, async move |client, channel: &Channel, _| {
        let (keys, value) = drawn(&shape, &mut rng.borrow_mut());
        let one = async {
            let key = locker.lock(channel, held[client]).await?;
            let outcome = transact(channel, isolation, &keys, shape.writes, &value).await;
            locker.unlock(channel, key).await?;
            outcome.map(drop)
        };
        let outcome: Result<(), CallError> = one.await;
        (0, outcome)
    })
    .await?;
    drop(live);
    for (client, lease) in leases.iter().enumerate() {
        locker.close(&channels[client % channels.len()], *lease).await?;
    }
    let summary = recorder.summary();
    report(given, "", &summary, "")?;
    files(given, &[summary])
}
