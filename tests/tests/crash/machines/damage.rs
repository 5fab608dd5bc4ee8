//! Damaged, cut and lost files of one sound member: refused with file and advice, or repaired where that is certain; what is served
//! is never another value than was written.

use super::{END_PATIENCE, Ledger, copy, fatal, fits};
use harness::daemon::Settings;
use harness::request::get;
use harness::{Daemon, soon};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What may come of it.
#[derive(Clone, Copy)]
enum Expect {
    /// The start is refused with this sentence.
    Refused(&'static str),
    /// It serves everything that was acknowledged.
    Serves,
    /// It serves, and a read that meets the damage gets an error with these words; or the start is refused as above.
    Found(&'static str),
}

struct Case {
    name: &'static str,
    harm: fn(&Path),
    expect: Expect,
}

fn file(data: &Path, folder: &str, fits: impl Fn(&str) -> bool) -> PathBuf {
    let dir = data.join("member").join(folder);
    let mut found: Vec<_> = std::fs::read_dir(&dir).expect("the folder").map(|f| f.expect("a file").path()).collect();
    found.retain(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy())));
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no such file in {}", dir.display()))
}

fn segment(data: &Path) -> PathBuf {
    file(data, "wal", |name| name == "0000000000000001.wal")
}

/// The largest table: it has most of the values.
fn table(data: &Path) -> PathBuf {
    let dir = data.join("member/store");
    let tables = std::fs::read_dir(dir).expect("the store").map(|f| f.expect("a file").path());
    let tables = tables.filter(|path| path.extension().is_some_and(|ext| ext == "sst"));
    tables.max_by_key(|path| path.metadata().map_or(0, |meta| meta.len())).expect("a table")
}

fn manifest(data: &Path) -> PathBuf {
    file(data, "store", |name| name.starts_with("MANIFEST-"))
}

fn options(data: &Path) -> PathBuf {
    file(data, "store", |name| name.starts_with("OPTIONS-"))
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("the file");
    bytes[at] ^= 4;
    std::fs::write(path, bytes).expect("damage");
}

fn middle(path: &Path) -> usize {
    path.metadata().expect("the file").len() as usize / 2
}

fn cut(path: &Path) {
    let half = middle(path) as u64;
    std::fs::File::options().write(true).open(path).and_then(|f| f.set_len(half)).expect("cut");
}

fn cases() -> Vec<Case> {
    use Expect::{Found, Refused, Serves};
    let case = |name, harm: fn(&Path), expect| Case { name, harm, expect };
    let wal = "write-ahead log: …/member/wal/0000000000000001.wal is corrupt at offset …: …; do not start this member with this log, \
               remove it from the cluster and add it again, or restore the folder from a copy of the same disk";
    let store = "store is corrupt: …; start this member with --rebuild-from-leader, restore it from a snapshot, or remove it and \
                 add it again";
    let lost = "log and store in … do not fit together: …; restore this member from a snapshot, or remove it from the cluster and add it again";
    vec![
        case("a bit of the log's head", |d| flip(&segment(d), 70), Refused(wal)),
        case("a bit of an early batch", |d| flip(&segment(d), 4096 + 80), Refused(wal)),
        case("a bit behind the last batch", |d| flip(&segment(d), (4 << 20) - 10), Serves),
        case("a log cut in its zeros", |d| cut(&segment(d)), Serves),
        case(
            "a log cut to one batch",
            |d| {
                std::fs::File::options().write(true).open(segment(d)).and_then(|f| f.set_len(8192)).expect("cut");
            },
            Refused(lost),
        ),
        case("an empty log", |d| std::fs::write(segment(d), b"").expect("empty"), Refused(wal)),
        case("no log", |d| std::fs::remove_dir_all(d.join("member/wal")).expect("remove"), Refused(lost)),
        case("no segment", |d| std::fs::remove_file(segment(d)).expect("remove"), Refused(lost)),
        case("a bit of a table", |d| flip(&table(d), middle(&table(d))), Found("Corruption")),
        case(
            "a bit of a table's foot",
            |d| flip(&table(d), table(d).metadata().expect("t").len() as usize - 4),
            Refused(store),
        ),
        case("a table cut", |d| cut(&table(d)), Refused(store)),
        case("no table", |d| std::fs::remove_file(table(d)).expect("remove"), Refused(store)),
        case("a bit of the manifest", |d| flip(&manifest(d), middle(&manifest(d))), Refused(store)),
        case("no manifest", |d| std::fs::remove_file(manifest(d)).expect("remove"), Refused(store)),
        case("a damaged CURRENT", |d| flip(&d.join("member/store/CURRENT"), 3), Refused(store)),
        case(
            "an empty CURRENT",
            |d| std::fs::write(d.join("member/store/CURRENT"), b"").expect("empty"),
            Refused(store),
        ),
        case(
            "no CURRENT",
            |d| std::fs::remove_file(d.join("member/store/CURRENT")).expect("remove"),
            Refused(
                "store is corrupt: …/member/store holds … but no file CURRENT; start this member with --rebuild-from-leader, restore it from a \
                 snapshot, or remove it and add it again",
            ),
        ),
        case("a damaged OPTIONS", |d| flip(&options(d), middle(&options(d))), Serves),
        case("no OPTIONS", |d| std::fs::remove_file(options(d)).expect("remove"), Serves),
        case("no store", |d| std::fs::remove_dir_all(d.join("member/store")).expect("remove"), Serves),
        case(
            "no lock files",
            |d| {
                std::fs::remove_file(d.join("member/store/LOCK")).expect("remove");
                std::fs::remove_file(d.join("member/wal/LOCK")).expect("remove");
            },
            Serves,
        ),
    ]
}

async fn judge(case: &Case, settings: Settings, ledger: &Ledger) {
    let name = case.name;
    if let Expect::Refused(sentence) = case.expect {
        let (status, said) =
            tokio::task::spawn_blocking(move || settings.run_to_end(END_PATIENCE)).await.expect("a thread");
        assert_eq!(status.code(), Some(1), "{name}:\n{said}");
        assert!(!said.contains("panicked"), "{name}:\n{said}");
        let error = fatal(&said);
        println!("  {error}");
        return assert!(fits(&error, sentence), "{name}:\n  said   {error}\n  wanted {sentence}");
    }
    let words = match case.expect {
        Expect::Found(words) => words,
        _ => return serves(settings, ledger).await,
    };
    let log = settings.data.with_extension("log");
    let Some((mut daemon, stubs)) = Daemon::try_start(settings, END_PATIENCE).await else {
        let said = std::fs::read_to_string(&log).expect("its log");
        return assert!(said.contains(words) && !said.contains("panicked"), "{name}:\n{said}");
    };
    let mut errors = 0;
    for (key, fill) in &ledger.acknowledged {
        match soon("a get", stubs.range(get(key))).await {
            Ok(answer) => {
                assert!(Ledger::is_value(&answer.kvs[0].value, *fill), "{name}: {key} is another value")
            }
            Err(why) if why.message().contains(words) => errors += 1,
            Err(_) => {
                // a compaction met it first
                let (_, said, _) = daemon.ends(END_PATIENCE).await;
                return assert!(said.contains(words) && !said.contains("panicked"), "{name}:\n{said}");
            }
        }
    }
    println!("{name}: {errors} reads of {} met the damage", ledger.acknowledged.len());
    assert!(!daemon.log().contains("panicked") && daemon.ended().is_none(), "{name}");
}

async fn serves(settings: Settings, ledger: &Ledger) {
    let (_daemon, stubs) = Daemon::start(settings).await;
    ledger.check(&stubs).await;
    stubs.put("after", "x").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_damage_is_found_or_repaired() {
    let dir = TempDir::new().expect("a folder");
    let sound = dir.path().join("sound");
    let first = Settings::new(&sound);
    // the member's id follows from its peer URL
    let peer = first.peer;
    let (daemon, stubs) = Daemon::start(first).await;
    let mut ledger = Ledger::default();
    // values above what is kept beside the key, so that reads go to the tables
    ledger.write(&stubs, 300, 2_000).await.expect("writes");
    tokio::task::spawn_blocking(|| daemon.terminate()).await.expect("terminate");
    for (number, case) in cases().iter().enumerate() {
        println!("{}", case.name);
        let data = dir.path().join(format!("case{number}"));
        copy(&sound, &data);
        (case.harm)(&data);
        judge(case, Settings { peer, ..Settings::new(&data) }, &ledger).await;
        std::fs::remove_dir_all(&data).expect("remove the case");
    }
}
