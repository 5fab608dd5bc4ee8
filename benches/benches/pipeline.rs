//! Puts and reads through an embedded node: raft core, log, store and answers, without a socket. `cargo bench -p conclave-benches`.
//!
//! Reported beside the floor of the disk in the same run, because the same machine is never the same twice.

use bytes::Bytes;
use conclave_benches::{percentile, sync_floor};
use embed::{Client, Config, Node};
use futures_util::future::join_all;
use model::Command;
use model::request::{PutRequest, RangeRequest};
use std::error::Error;
use std::time::{Duration, Instant};

const VALUE: usize = 256;
const FOR: Duration = Duration::from_secs(3);

#[derive(Clone, Copy)]
enum What {
    Put,
    Range,
}

async fn one(client: &Client, what: What, n: u64) -> Result<(), embed::ClientError> {
    let key = Bytes::from(format!("key-{:08}", n % 100_000));
    match what {
        What::Put => {
            let put = PutRequest { key, value: vec![7; VALUE].into(), ..PutRequest::default() };
            client.execute(Command::Put(put)).await.map(drop)
        }
        What::Range => client.range(RangeRequest { key, ..RangeRequest::default() }).await.map(drop),
    }
}

async fn worker(client: Client, what: What, seed: u64, until: Instant) -> Result<Vec<Duration>, embed::ClientError> {
    let mut took = Vec::new();
    let mut n = seed;
    while Instant::now() < until {
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let start = Instant::now();
        one(&client, what, n >> 20).await?;
        took.push(start.elapsed());
    }
    Ok(took)
}

async fn measure(client: &Client, what: What, callers: u64) -> Result<(), embed::ClientError> {
    let until = Instant::now() + FOR;
    let start = Instant::now();
    let mut took = Vec::new();
    for list in join_all((0..callers).map(|seed| worker(client.clone(), what, seed, until))).await {
        took.extend(list?);
    }
    let elapsed = start.elapsed();
    took.sort_unstable();
    let name = match what {
        What::Put => "put",
        What::Range => "range",
    };
    println!(
        "{name:<6} {callers:>5} callers  {:>9.0}/s  p50 {:>9.1?}  p99 {:>9.1?}",
        took.len() as f64 / elapsed.as_secs_f64(),
        percentile(&took, 0.5),
        percentile(&took, 0.99),
    );
    Ok(())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    println!("floor: write and sync of 4 KiB, p50 {:.1?}", sync_floor(dir.path())?);
    let node = Node::start(Config::new("bench", dir.path().join("data"))).await?;
    let client = node.client();
    for callers in [1, 64, 1000] {
        measure(&client, What::Put, callers).await?;
    }
    for callers in [1, 64] {
        measure(&client, What::Range, callers).await?;
    }
    node.stop().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    actix_rt::System::new().block_on(run())
}
