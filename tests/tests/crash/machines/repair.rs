//! Damage of one of three members, in the files of real processes: found, named, and repaired from the others or from what the member has. What is
//! answered meanwhile is right or refused, and in the end all members have the same data.

use super::{Ledger, fatal, fits};
use api::conclave::RebuildRequest;
use api::conclave::maintenance_client::MaintenanceClient;
use api::etcdserverpb::{AlarmAction, AlarmType};
use harness::daemon::Settings;
use harness::damage::wrong_count;
use harness::request::get;
use harness::{Daemon, Stubs, soon, until};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use storage::disk::OsDisk;
use storage::member::pointer;
use tempfile::TempDir;

/// Longest that a start may take on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// The member that is damaged.
const DAMAGED: usize = 2;
/// Data at rest is read again after so long.
const SCRUB: &str = "--scrub-interval=200ms";
const REBUILD: &str = "--rebuild-from-leader";
/// What a member says that ends because of its store.
const CORRUPT_STORE: &str = "store is corrupt: …; start this member with --rebuild-from-leader, restore it from a snapshot, or remove it \
                             and add it again";

/// Three members, all of them running but while one is being damaged.
struct Three {
    settings: Vec<Settings>,
    daemons: Vec<Option<Daemon>>,
    stubs: Vec<Stubs>,
    ledger: Ledger,
}

impl Three {
    async fn start(dir: &Path) -> Self {
        let mut settings = Settings::of_cluster(dir, 3);
        settings.iter_mut().for_each(|one| one.flags = vec![SCRUB.to_owned()]);
        let mut daemons: Vec<Daemon> = settings.iter().cloned().map(Daemon::spawn).collect();
        let mut stubs = Vec::new();
        for daemon in &mut daemons {
            stubs.push(daemon.serves().await);
        }
        let daemons = daemons.into_iter().map(Some).collect();
        let mut three = Self { settings, daemons, stubs, ledger: Ledger::default() };
        three.answers(0).await;
        // values above what is kept beside the key
        three.ledger.write(&three.stubs[0], 200, 2_000).await.expect("writes");
        three
    }

    /// Waits until a member takes part.
    async fn answers(&self, member: usize) {
        until("an answer", async || self.stubs[member].range(get("ready")).await.ok()).await;
    }

    /// The files of the damaged member's present store.
    fn store(&self) -> PathBuf {
        let member = self.settings[DAMAGED].data.join("member");
        member.join(pointer::read(&OsDisk, &member).expect("a store pointer"))
    }

    async fn stop(&mut self) {
        let daemon = self.daemons[DAMAGED].take().expect("it runs");
        tokio::task::spawn_blocking(|| daemon.terminate()).await.expect("terminate");
    }

    /// Starts the damaged member with these flags; false when it ends instead.
    async fn run(&mut self, flags: &[&str]) -> bool {
        let mut settings = self.settings[DAMAGED].clone();
        settings.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let Some((daemon, stubs)) = Daemon::try_start(settings, PATIENCE).await else { return false };
        self.daemons[DAMAGED] = Some(daemon);
        self.stubs[DAMAGED] = stubs;
        true
    }

    /// A start without further flags is refused; what it says.
    async fn is_refused(&self) -> String {
        let settings = self.settings[DAMAGED].clone();
        let (status, said) =
            tokio::task::spawn_blocking(move || settings.run_to_end(PATIENCE)).await.expect("a thread");
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        fatal(&said)
    }

    /// Everything that the damaged member says is right; it may say nothing.
    async fn says_nothing_wrong(&self) -> usize {
        let mut refused = 0;
        for (key, fill) in &self.ledger.acknowledged {
            match soon("a get", self.stubs[DAMAGED].range(get(key))).await {
                Ok(answer) => assert!(Ledger::is_value(&answer.kvs[0].value, *fill), "{key} is another value"),
                Err(_) => refused += 1,
            }
        }
        refused
    }

    /// Waits for words in the damaged member's log; the line that has them.
    ///
    /// # Errors
    /// The member has ended before it said them: its last words.
    async fn is_said(&mut self, words: &[&str]) -> Result<String, String> {
        let fits = |line: &&str| words.iter().all(|word| line.contains(word));
        let daemon = self.daemons[DAMAGED].as_mut().expect("it runs");
        until(&format!("{words:?} in the log"), async || {
            let ended = daemon.ended().is_some();
            match daemon.log().lines().find(fits) {
                Some(line) => Some(Ok(line.to_owned())),
                None if ended => Some(Err(fatal(&daemon.log()))),
                None => None,
            }
        })
        .await
    }

    /// Writes go on, everything is there, and all have the same data.
    async fn is_whole(&mut self) {
        let writer = self.stubs[DAMAGED].clone();
        let end = Instant::now() + PATIENCE;
        while let Err(why) = self.ledger.write(&writer, 20, 2_000).await {
            assert!(Instant::now() < end, "a write is refused: {why}");
            for alarm in self.stubs[0].alarm(AlarmAction::Get, 0, AlarmType::None).await {
                self.stubs[0].alarm(AlarmAction::Deactivate, alarm.member_id, AlarmType::Corrupt).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut hashes = Vec::new();
        for stubs in &self.stubs {
            self.ledger.check(stubs).await;
            let revision = stubs.range(get("ready")).await.expect("a read").header.expect("a header").revision;
            let said = stubs.hash_kv(revision).await.expect("a hash");
            hashes.push((said.hash, said.hash_revision, said.compact_revision));
        }
        assert!(hashes.windows(2).all(|two| two[0] == two[1]), "{hashes:x?}");
        for daemon in self.daemons.iter().flatten() {
            assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
        }
    }
}

fn flip(path: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().read(true).write(true).open(path).expect("the file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[byte[0] ^ 4], at).expect("damage");
}

fn largest(folder: &Path, fits: impl Fn(&str) -> bool) -> (PathBuf, u64) {
    let files = std::fs::read_dir(folder).expect("the folder").map(|file| file.expect("a file").path());
    let named = files.filter(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy())));
    named
        .map(|path| (path.clone(), path.metadata().expect("it is there").len()))
        .max_by_key(|(_, len)| *len)
        .expect("one")
}

fn table(store: &Path) -> (PathBuf, u64) {
    largest(store, |name| name.ends_with(".sst"))
}

fn bit_of_a_value(store: &Path) {
    let (table, len) = table(store);
    flip(&table, len / 2);
}

/// Found by the scrubber, fenced, and rebuilt on command; or found by RocksDB, which compacts when it likes, so that the member ends and is
/// rebuilt by a start.
async fn rebuilt_on_command(damage: Harm, words: &[&str]) {
    let dir = TempDir::new().expect("a folder");
    let mut three = Three::start(dir.path()).await;
    three.stop().await;
    damage(&three.store());
    assert!(three.run(&[]).await, "it starts: the damage is where nobody looks at a start");
    match three.is_said(words).await {
        Ok(line) => println!("{line}"),
        Err(why) => {
            assert!(fits(&why, CORRUPT_STORE), "{why}");
            three.daemons[DAMAGED] = None;
            assert!(three.run(&[REBUILD]).await, "it serves with the leader's store");
            three.answers(DAMAGED).await;
            return three.is_whole().await;
        }
    }
    let refused = three.says_nothing_wrong().await;
    println!("{refused} reads of {} were refused", three.ledger.acknowledged.len());
    let mut client = MaintenanceClient::new(three.stubs[DAMAGED].channel.clone());
    soon("the rebuild", client.rebuild(RebuildRequest {})).await.expect("rebuilt");
    three.is_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_of_a_table_is_found_named_and_repaired() {
    rebuilt_on_command(bit_of_a_value, &["the store of this member is damaged", ".sst"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_count_is_found_named_and_repaired() {
    rebuilt_on_command(wrong_count, &["the store of this member is damaged", "count"]).await;
}

/// Does something to the files of a store.
type Harm = fn(&Path);

/// Damage after which the store cannot be opened at all.
fn unopenable() -> Vec<(&'static str, Harm)> {
    vec![
        ("a bit of the manifest", |store| {
            let (manifest, len) = largest(store, |name| name.starts_with("MANIFEST-"));
            flip(&manifest, len / 2);
        }),
        ("a bit of a table's foot", |store| {
            let (table, len) = table(store);
            flip(&table, len - 4);
        }),
        ("no table", |store| std::fs::remove_file(table(store).0).expect("remove")),
        ("no CURRENT", |store| std::fs::remove_file(store.join("CURRENT")).expect("remove")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_open_is_rebuilt_from_the_leader() {
    let dir = TempDir::new().expect("a folder");
    let mut three = Three::start(dir.path()).await;
    for (name, harm) in unopenable() {
        println!("{name}");
        three.stop().await;
        // entries that it has only in its log, and some that it does not have at all
        three.ledger.write(&three.stubs[0], 10, 500).await.expect("writes");
        harm(&three.store());
        let why = three.is_refused().await;
        assert!(fits(&why, CORRUPT_STORE), "{name}: {why}");
        // killed on its way as well
        let mut early = three.settings[DAMAGED].clone();
        early.flags.push(REBUILD.to_owned());
        let daemon = Daemon::spawn(early);
        tokio::time::sleep(Duration::from_millis(300)).await;
        daemon.kill();
        assert!(three.run(&[REBUILD]).await, "{name}: it serves with the leader's store");
        three.answers(DAMAGED).await;
        three.is_whole().await;
        three.stop().await;
        assert!(three.run(&[]).await, "{name}: and without the flag");
        three.answers(DAMAGED).await;
        three.is_whole().await;
        assert!(three.daemons[DAMAGED].is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_of_the_log_of_a_running_member_is_found_named_and_let_go_of() {
    let dir = TempDir::new().expect("a folder");
    let mut three = Three::start(dir.path()).await;
    let folder = three.settings[DAMAGED].data.join("member/wal");
    let segment = folder.join("0000000000000001.wal");
    // of a batch that is followed by others
    flip(&segment, 4096 + 80);
    let line = three.is_said(&["the log of this member is damaged at rest", "0000000000000001.wal", "4096"]).await;
    println!("{}", line.expect("it runs on"));
    assert_eq!(three.says_nothing_wrong().await, 0, "what it serves is right, and served");
    three.ledger.write(&three.stubs[0], 20, 500).await.expect("writes go on");
    three.is_said(&["what was damaged of the log is gone"]).await.expect("it runs on");
    assert!(!segment.exists(), "the segment is let go of");
    three.is_whole().await;
    let alarms = three.stubs[0].alarm(AlarmAction::Get, 0, AlarmType::None).await;
    assert!(alarms.is_empty(), "its data is right: {alarms:?}");
    three.daemons[DAMAGED].take().expect("it runs").kill();
    assert!(three.run(&[]).await, "the log is sound");
    three.answers(DAMAGED).await;
    three.is_whole().await;
}
