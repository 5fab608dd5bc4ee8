//! `check perf`.

use super::load::{self, Stats};
use crate::cli::Input;
use crate::commands::session::Session;
use crate::exit::{ERROR, Exit};
use crate::print::say_line;
use crate::term::progress::{Progress, Unit};
use aws_lc_rs::rand::SystemRandom;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// Puts a second, and clients, for each size.
const LOADS: [(u32, usize); 4] = [(150, 50), (1000, 200), (8000, 500), (15_000, 1000)];
const LENGTH: Duration = Duration::from_secs(60);
const KEY: usize = 256;
const VALUE: usize = 1024;
/// What is good enough, in seconds.
const SLOWEST: f64 = 0.5;
const DEVIATION: f64 = 0.1;
/// Share of the wanted rate that is good enough.
const RATE: f64 = 0.9;

/// Runs it.
///
/// # Errors
/// When the cluster is not good enough, or does not answer.
pub async fn run(input: Input) -> Result<(), Exit> {
    let (rate, count) = LOADS[super::size(&input.text("load"))?];
    let session = Session::new(input).await?;
    let prefix = session.input.bytes("prefix");
    let clients = load::clients(&session.config, count).await?;
    let first = clients[0].clone();
    super::must_be_free(&first, &prefix, "prefix {q} has keys. Delete with '{name} del --prefix {}' first").await?;
    let (keys, taken) = mpsc::channel(count);
    let (done, _nobody) = mpsc::unbounded_channel();
    let puts = tokio::spawn(load::put_all(clients, taken, VALUE, done));
    give_out(keys, &prefix, rate).await;
    let stats = puts.await.map_err(|why| Exit::new(ERROR, why.to_string()))?;
    match super::delete(&first, &prefix).await {
        Ok(revision) if session.input.on("auto-compact") => super::compact(&first, revision).await?,
        Ok(_) => {}
        Err(why) => say_line(&format!("FAIL: Cleanup failed during key deletion: ERROR({why})")),
    }
    if session.input.on("auto-defrag") {
        super::defrag(&session.config).await?;
    }
    if judge(&stats, f64::from(rate)) {
        say_line("PASS");
        return Ok(());
    }
    say_line("FAIL");
    Err(Exit::silent(ERROR))
}

/// Hands out keys at a rate for a minute, or until Ctrl-C.
async fn give_out(keys: mpsc::Sender<bytes::Bytes>, prefix: &[u8], rate: u32) {
    let random = SystemRandom::new();
    let mut progress = Progress::start(Unit::Things("puts"), Some(u64::from(rate) * LENGTH.as_secs()));
    let mut tick = interval(Duration::from_secs(1) / rate);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let work = async {
        let mut given = 0;
        loop {
            tick.tick().await;
            if keys.send(load::random_key(&random, prefix, KEY)).await.is_err() {
                return;
            }
            given += 1;
            progress.at(given);
        }
    };
    tokio::select! {
        () = work => {}
        () = sleep_until(Instant::now() + LENGTH) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Says how it was. Whether it was good enough.
fn judge(stats: &Stats, wanted: f64) -> bool {
    let mut good = !stats.say_errors();
    let mut say = |passed: bool, well: String, badly: String| {
        say_line(if passed { &well } else { &badly });
        good &= passed;
    };
    let rate = stats.rate() as i64 + 1;
    say(
        stats.rate() / wanted > RATE,
        format!("PASS: Throughput is {rate} writes/s"),
        format!("FAIL: Throughput too low: {rate} writes/s"),
    );
    let slowest = stats.slowest();
    say(
        slowest <= SLOWEST,
        format!("PASS: Slowest request took {slowest:.6}s"),
        format!("Slowest request took too long: {slowest:.6}s"),
    );
    let deviation = stats.deviation();
    say(
        deviation <= DEVIATION,
        format!("PASS: Stddev is {deviation:.6}s"),
        format!("Stddev too high: {deviation:.6}s"),
    );
    good
}
