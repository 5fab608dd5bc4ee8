//! `check datascale`.

use super::{load, memory};
use crate::cli::Input;
use crate::commands::session::Session;
use crate::exit::{ERROR, Exit};
use crate::print::say_line;
use crate::term::progress::{Progress, Unit};
use aws_lc_rs::rand::SystemRandom;
use tokio::sync::mpsc;

/// Keys and clients for each size.
const LOADS: [(u64, usize); 4] = [(10_000, 50), (100_000, 200), (1_000_000, 500), (3_000_000, 1000)];
/// Bytes of a key and of a value.
const HALF: usize = 512;

/// Runs it.
///
/// # Errors
/// When puts fail, or the server does not tell its memory.
pub async fn run(input: Input) -> Result<(), Exit> {
    let (limit, count) = LOADS[super::size(&input.text("load"))?];
    let session = Session::new(input).await?;
    let prefix = session.input.bytes("prefix");
    let clients = load::clients(&session.config, count).await?;
    let first = clients[0].clone();
    super::must_be_free(&first, &prefix, "prefix {q} has keys. Delete with {name} del --prefix {} first").await?;
    let before = resident(&session, "before").await?;
    say_line(&format!(
        "Start data scale check for work load [{limit} key-value pairs, {} bytes per key-value, {count} concurrent clients].",
        2 * HALF
    ));
    let (keys, taken) = mpsc::channel(count);
    let (done, mut dones) = mpsc::unbounded_channel();
    let puts = tokio::spawn(load::put_all(clients, taken, HALF, done));
    let counted = tokio::spawn(async move {
        let mut progress = Progress::start(Unit::Things("puts"), Some(limit));
        let mut count = 0;
        while dones.recv().await.is_some() {
            count += 1;
            progress.at(count);
        }
    });
    let random = SystemRandom::new();
    for _ in 0..limit {
        if keys.send(load::random_key(&random, &prefix, HALF)).await.is_err() {
            break;
        }
    }
    drop(keys);
    let stats = puts.await.map_err(|why| Exit::new(ERROR, why.to_string()))?;
    counted.await.map_err(|why| Exit::new(ERROR, why.to_string()))?;
    let after = resident(&session, "after").await?;
    let revision = super::delete(&first, &prefix).await?;
    if session.input.on("auto-compact") {
        super::compact(&first, revision).await?;
    }
    if session.input.on("auto-defrag") {
        super::defrag(&session.config).await?;
    }
    if stats.say_errors() {
        return Err(Exit::silent(ERROR));
    }
    say_line(&format!("PASS: Approximate system memory used : {:.2} MB.", (after - before) / (1024.0 * 1024.0)));
    Ok(())
}

async fn resident(session: &Session, when: &str) -> Result<f64, Exit> {
    let endpoint = session.config.endpoints.first().cloned().unwrap_or_default();
    match memory::resident(&session.config, &endpoint).await {
        Ok(bytes) if bytes > 0.0 => Ok(bytes),
        told => {
            if let Err(why) = told {
                say_line(&why);
            }
            say_line(&format!("FAIL: Could not read process_resident_memory_bytes {when} the put operations."));
            Err(Exit::silent(ERROR))
        }
    }
}
