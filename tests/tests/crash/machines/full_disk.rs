//! Full and read-only disks: a small tmpfs that only the daemon's mount namespace sees. Needs root; skipped with a line where not.

use super::{END_PATIENCE, Ledger, fatal, refused};
use api::etcdserverpb::{AlarmAction, AlarmType, CompactionRequest, DefragmentRequest, LeaseGrantRequest};
use harness::daemon::Settings;
use harness::machine::SmallDisk;
use harness::request::{all, delete_op, put, put_op, txn};
use harness::{Daemon, Stubs, expect_status, soon, until};
use tempfile::TempDir;
use tonic::Code;

const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";

/// A disk, and a daemon's settings on it.
fn on_small_disk(dir: &TempDir, size: &str) -> Option<(SmallDisk, Settings)> {
    let at = dir.path().join("disk");
    let disk = SmallDisk::mount(&at, size)?;
    let mut settings = Settings::new(at.join("data"));
    settings.within = disk.enter();
    Some((disk, settings))
}

/// Writes until the first refusal. True when it was the one about space; false when a small and fast disk was full between two looks
/// of the daemon, and it ended.
async fn write_until_refused(ledger: &mut Ledger, stubs: &Stubs, length: usize, most: usize) -> bool {
    for _ in 0..most / length {
        if let Err(refused) = ledger.write(stubs, 1, length).await {
            let about_space = refused.code() == Code::ResourceExhausted;
            assert!(!about_space || refused.message() == NO_SPACE, "{refused:?}");
            return about_space;
        }
    }
    panic!("{most} bytes fit on a smaller disk");
}

async fn alarm_stands(stubs: &Stubs) -> u64 {
    until("the alarm", async || {
        let alarms = stubs.alarm(AlarmAction::Get, 0, AlarmType::None).await;
        alarms.first().filter(|a| a.alarm == AlarmType::Nospace as i32).map(|a| a.member_id)
    })
    .await
}

async fn defragment(stubs: &Stubs) {
    let answer = soon("the defragmentation", stubs.maintenance.clone().defragment(DefragmentRequest {})).await;
    answer.expect("defragment");
}

/// What works and what does not while the alarm stands.
async fn refuses_growth_and_nothing_else(stubs: &Stubs) {
    let mut kv = stubs.kv.clone();
    expect_status("put", kv.put(put("x", "y")).await, Code::ResourceExhausted, NO_SPACE);
    expect_status("txn", stubs.txn(txn(vec![put_op("x", "y")])).await, Code::ResourceExhausted, NO_SPACE);
    let grant = stubs.lease.clone().lease_grant(LeaseGrantRequest { ttl: 10, id: 0 }).await;
    expect_status("lease", grant, Code::ResourceExhausted, NO_SPACE);
    soon("a read", stubs.range(all())).await.expect("reads go on");
    stubs.txn(txn(vec![delete_op("no such key", "")])).await.expect("a txn that only deletes");
    soon("a hash", stubs.hash_kv(0)).await.expect("hashes go on");
}

#[tokio::test]
async fn space_that_runs_out_raises_the_alarm_early_and_there_is_a_way_back() {
    fill_and_come_back("96m", 100_000, 200 << 20).await;
}

/// Below two gibibytes the log's segments are a large part of the disk: they must not outrun the alarm. `SMALL_DISK=1g` tries others.
#[tokio::test]
async fn a_disk_of_a_few_segments_raises_the_alarm_and_the_member_lives() {
    let size = std::env::var("SMALL_DISK").unwrap_or_else(|_| "256m".into());
    let in_time = fill_and_come_back(size.leak(), 100_000, 2 << 30).await;
    assert_ne!(in_time, Some(false), "the member ended for want of space");
}

/// What is kept free, the log and the store's own doubling must leave at least half of a small disk for values.
#[tokio::test]
async fn at_least_half_of_a_small_disk_is_taken_by_values() {
    const LENGTH: usize = 100_000;
    for size in [64, 128, 256] {
        let dir = TempDir::new().expect("a folder");
        let mount: &'static str = format!("{size}m").leak();
        let Some((_disk, settings)) = on_small_disk(&dir, mount) else { return };
        let (_daemon, stubs) = Daemon::start(settings).await;
        let mut ledger = Ledger::default();
        assert!(write_until_refused(&mut ledger, &stubs, LENGTH, 512 << 20).await, "the member ended on {size} MiB");
        let taken = (ledger.acknowledged.len() * LENGTH) >> 20;
        println!("{taken} of {size} MiB are values");
        assert!(taken >= size / 2, "{taken} MiB of {size}");
        ledger.check(&stubs).await;
    }
}

/// tmpfs without a size, as ramfs, says that it has no blocks: that is no full disk.
#[tokio::test]
async fn a_file_system_without_a_size_is_not_full() {
    let dir = TempDir::new().expect("a folder");
    let Some((disk, settings)) = on_small_disk(&dir, "0") else { return };
    let (_daemon, stubs) = Daemon::start(settings).await;
    let mut ledger = Ledger::default();
    ledger.write(&stubs, 50, 100_000).await.expect("there is room");
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    ledger.write(&stubs, 50, 100_000).await.expect("there is still room");
    assert!(stubs.alarm(AlarmAction::Get, 0, AlarmType::None).await.is_empty());
    let member = disk.seen_from_outside().join("data/member");
    assert!(member.join("store").exists() && !member.join("reserve").exists(), "a reserve would be memory");
    ledger.check(&stubs).await;
}

/// None where the machine cannot; false when the member ended before it could refuse.
async fn fill_and_come_back(size: &'static str, length: usize, most: usize) -> Option<bool> {
    let dir = TempDir::new().expect("a folder");
    let (disk, settings) = on_small_disk(&dir, size)?;
    let (daemon, stubs) = Daemon::start(settings).await;
    let mut ledger = Ledger::default();
    let in_time = write_until_refused(&mut ledger, &stubs, length, most).await;
    if !in_time {
        let (_, said, settings) = daemon.ends(END_PATIENCE).await;
        let error = fatal(&said);
        assert!(error.contains("no space left") || error.contains("disk is full"), "{error}");
        let (_daemon, stubs) = Daemon::start(settings).await;
        ledger.check(&stubs).await;
        println!("the disk was full between two looks; the next start serves");
        return Some(false);
    }
    let member = alarm_stands(&stubs).await;
    println!("{} puts of 100 kB fitted, {} KiB are free", ledger.acknowledged.len(), disk.free() >> 10);
    assert!(daemon.log().contains("disk space runs out: raising the NOSPACE alarm"), "the log says why");
    refuses_growth_and_nothing_else(&stubs).await;
    ledger.check(&stubs).await;

    comes_back(daemon, &disk, member, ledger).await;
    Some(true)
}

/// A member whose disk ran out of space lives through the way back that the documentation names.
async fn comes_back(daemon: Daemon, disk: &SmallDisk, member: u64, mut ledger: Ledger) {
    // no crash loop: killed and started again it serves what it may
    let (daemon, stubs) = Daemon::start(daemon.kill()).await;
    assert_eq!(alarm_stands(&stubs).await, member, "the alarm stands across a restart");
    refuses_growth_and_nothing_else(&stubs).await;
    ledger.check(&stubs).await;

    // the way back: delete, compact, defragment, disarm
    let cut = format!("ledger/{:06}", ledger.next * 9 / 10);
    let gone = stubs.delete("ledger/", &cut).await.0;
    ledger.acknowledged.retain(|key, _| *key >= cut);
    println!("{gone} keys deleted");
    let revision = stubs.revision().await;
    let request = CompactionRequest { revision, physical: true };
    soon("the compaction", stubs.kv.clone().compact(request)).await.expect("compact");
    defragment(&stubs).await;
    let before = disk.free();
    until("a put", async || {
        stubs.alarm(AlarmAction::Deactivate, member, AlarmType::Nospace).await;
        stubs.kv.clone().put(put("after", "x")).await.ok()
    })
    .await;
    println!("{} KiB are free after it", before >> 10);
    ledger.write(&stubs, 10, 1000).await.expect("writes go on");
    ledger.check(&stubs).await;
    drop(daemon);
}

/// The margin alone must be enough for the way back, with nothing in memtables that would have made the alarm come earlier.
#[tokio::test]
async fn the_margin_is_enough_for_the_way_back() {
    for (size, puts) in [("96m", 200), ("256m", 600)] {
        let dir = TempDir::new().expect("a folder");
        let Some((disk, settings)) = on_small_disk(&dir, size) else { return };
        let (daemon, stubs) = Daemon::start(settings).await;
        let mut ledger = Ledger::default();
        ledger.write(&stubs, puts, 100_000).await.expect("writes");
        defragment(&stubs).await;
        let margin = size.trim_end_matches('m').parse::<u64>().expect("MiB") << 16;
        // files that are not needed any more may go after it is filled
        let member = until("the alarm", async || {
            disk.fill(margin - (64 << 10));
            stubs.alarm(AlarmAction::Get, 0, AlarmType::None).await.first().map(|alarm| alarm.member_id)
        })
        .await;
        println!("{} KiB are free of {size}", disk.free() >> 10);
        comes_back(daemon, &disk, member, ledger).await;
    }
}

/// What the store holds for good is not kept in a lone member's log as well: that log would fill the disk with nothing to delete.
#[tokio::test]
async fn a_lone_member_keeps_no_log_that_nobody_asks_for() {
    let dir = TempDir::new().expect("a folder");
    let Some((_disk, settings)) = on_small_disk(&dir, "96m") else { return };
    let (_daemon, stubs) = Daemon::start(settings).await;
    let value = vec![7; 100_000];
    for n in 0..2_000 {
        let written = soon("a put", stubs.kv.clone().put(put("the same key", value.clone()))).await;
        written.unwrap_or_else(|why| panic!("put {n}: {why}"));
    }
}

#[tokio::test]
async fn a_disk_that_somebody_fills_at_once_loses_nothing_and_the_restart_serves() {
    let dir = TempDir::new().expect("a folder");
    let Some((disk, settings)) = on_small_disk(&dir, "96m") else { return };
    let (mut daemon, stubs) = Daemon::start(settings).await;
    let reserve = disk.seen_from_outside().join("data/member/reserve");
    until("the reserve", async || reserve.exists().then_some(())).await;
    let mut ledger = Ledger::default();
    ledger.write(&stubs, 50, 10_000).await.expect("writes");
    // faster than anybody can look
    disk.fill(0);
    let mut refusal = None;
    for _ in 0..300 {
        refusal = ledger.write(&stubs, 1, 100_000).await.err();
        if refusal.is_some() {
            break;
        }
    }
    // a refusal for want of space is the answer of a member that lives; any other one is of a member that is about to end
    let lives = refusal.is_none_or(|status| status.message() == "etcdserver: mvcc: database space exceeded");
    let ended = if lives { daemon.ended() } else { Some(until("the end", async || daemon.ended()).await) };
    let settings = match ended {
        Some(status) => {
            let said = daemon.log();
            assert_eq!(status.code(), Some(1), "{said}");
            let error = fatal(&said);
            assert!(error.contains("no space left") || error.contains("disk is full"), "{error}");
            println!("it ended: {error}");
            daemon.settings.clone()
        }
        None => {
            println!("it lives and refuses");
            ledger.check(&stubs).await;
            daemon.kill()
        }
    };
    // the disk is full but for the reserve; when that was given away and taken too, as much is free
    if !reserve.exists() {
        disk.free_again();
        disk.fill(6 << 20);
    }
    let (daemon, stubs) = Daemon::start(settings).await;
    ledger.check(&stubs).await;
    let member = alarm_stands(&stubs).await;
    refuses_growth_and_nothing_else(&stubs).await;
    disk.free_again();
    until("a put", async || {
        stubs.alarm(AlarmAction::Deactivate, member, AlarmType::Nospace).await;
        stubs.kv.clone().put(put("after", "x")).await.ok()
    })
    .await;
    until("the reserve again", async || reserve.exists().then_some(())).await;
    let (_daemon, stubs) = Daemon::start(daemon.kill()).await;
    ledger.check(&stubs).await;
}

#[tokio::test]
async fn a_disk_without_room_for_a_first_start_is_named() {
    let dir = TempDir::new().expect("a folder");
    let Some((disk, settings)) = on_small_disk(&dir, "16m") else { return };
    disk.fill(64 << 10);
    is_refused("a first start without room", &settings, "…no space left…free…").await;
    // what the refused start left is not in the way
    disk.free_again();
    let (_daemon, stubs) = Daemon::start(settings).await;
    stubs.put("k", "v").await;
}

#[tokio::test]
async fn a_read_only_file_system_is_named_and_harms_nothing() {
    let dir = TempDir::new().expect("a folder");
    let Some((disk, settings)) = on_small_disk(&dir, "96m") else { return };
    let (daemon, stubs) = Daemon::start(settings).await;
    let mut ledger = Ledger::default();
    ledger.write(&stubs, 20, 1000).await.expect("writes");
    let settings = daemon.settings.clone();
    tokio::task::spawn_blocking(|| daemon.terminate()).await.expect("terminate");
    disk.remount("ro");
    is_refused("a read-only file system", &settings, "…Read-only file system…").await;
    disk.remount("rw");
    let (_daemon, stubs) = Daemon::start(settings).await;
    ledger.check(&stubs).await;
}

async fn is_refused(name: &'static str, settings: &Settings, sentence: &'static str) {
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || refused(name, &settings, sentence)).await.expect("a thread");
}
