//! Whose data a folder holds: etcd's must never be taken for an empty folder, or whoever follows its keys deletes everything.
//!
//! Must never change anything, nor open a file: names alone tell.

use super::folders::Folders;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder that another program's data lies in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignData {
    /// etcd's, of any release since 2.0.
    #[error(
        "{} is a file of etcd: conclave does not start on etcd's files, and has changed nothing; to move the data, with its revisions, \
         history, leases and users, stop etcd, run `conclaveutl snapshot restore {} --data-dir <new folder>` (with --name, \
         --initial-cluster and --initial-advertise-peer-urls as this member has them, and --from-wal-dir if its log lies elsewhere), and start conclave with that --data-dir; for an \
         empty store, name an empty folder",
        file.display(), data_dir.display()
    )]
    Etcd {
        /// A file of it.
        file: PathBuf,
        /// The folder that was named.
        data_dir: PathBuf,
    },
}

/// Whether a file name is one that etcd gives.
type NameTest = fn(&str) -> bool;

/// Refuses folders in which a new member would be made beside etcd's files. Where a member of ours lives already, other files are
/// nobody's business.
///
/// # Errors
/// [`ForeignData`], with the first file that was found.
pub fn refuse_foreign(data_dir: &Path, wal_dir: Option<&Path>) -> Result<(), ForeignData> {
    let folders = Folders::of(data_dir, wal_dir);
    if folders.store.join("CURRENT").exists() {
        return Ok(());
    }
    let places: [(PathBuf, NameTest); 6] = [
        (folders.member.join("snap"), is_snapshot),
        (folders.member.join("wal"), is_segment),
        (folders.wal, is_segment),
        // its folder `member` was named instead of the one above
        (data_dir.join("snap"), is_snapshot),
        (data_dir.join("wal"), is_segment),
        // a proxy of the releases before 3.6
        (data_dir.join("proxy"), |name| name == "cluster"),
    ];
    let found = places.iter().find_map(|(dir, is_etcds)| first(dir, *is_etcds));
    found.map_or(Ok(()), |file| Err(ForeignData::Etcd { file, data_dir: data_dir.to_owned() }))
}

/// The first such file of a folder by name. One that cannot be read holds nothing that would be lost here: its error comes later.
fn first(dir: &Path, is_wanted: NameTest) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?.flatten();
    let wanted = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_wanted));
    wanted.map(|entry| entry.path()).min()
}

/// The database, one received from a leader, or a snapshot such as `0000000000000002-0000000000000005.snap`, broken or not.
fn is_snapshot(name: &str) -> bool {
    name == "db" || name.starts_with("db.tmp") || name.ends_with(".snap.db") || is_pair(name, ".snap")
}

/// A segment of the log such as `0000000000000000-0000000000000000.wal`. Ours are named by one number.
fn is_segment(name: &str) -> bool {
    is_pair(name, ".wal")
}

/// Two numbers of sixteen digits, and this ending, whatever follows.
fn is_pair(name: &str, ending: &str) -> bool {
    let is_number = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some((numbers, _)) = name.split_once(ending) else { return false };
    numbers.split_once('-').is_some_and(|(first, second)| is_number(first) && is_number(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "etcd's").unwrap();
    }

    #[test]
    fn folders_of_etcd_are_told_from_ours_and_from_nobodys() {
        let etcds = [
            "member/snap/db",
            "member/snap/0000000000000002-0000000000000005.snap",
            "member/snap/0000000000000005.snap.db",
            "member/snap/db.tmp.123",
            "member/wal/0000000000000000-0000000000000000.wal",
            "member/wal/0000000000000001-00000000000000Af.wal.broken",
            "snap/db",
            "wal/0000000000000000-0000000000000000.wal",
            "proxy/cluster",
        ];
        for name in etcds {
            let dir = tempfile::tempdir().unwrap();
            touch(&dir.path().join(name));
            let refused = refuse_foreign(dir.path(), None);
            let expected = ForeignData::Etcd { file: dir.path().join(name), data_dir: dir.path().to_owned() };
            assert_eq!(refused, Err(expected), "{name}");
            touch(&dir.path().join("member/store/CURRENT"));
            assert_eq!(refuse_foreign(dir.path(), None), Ok(()), "a member of ours lives beside {name}");
        }
        for name in ["lost+found/x", "member/wal/0000000000000001.wal", "member/wal/README", "member/snap/notes"] {
            let dir = tempfile::tempdir().unwrap();
            touch(&dir.path().join(name));
            assert_eq!(refuse_foreign(dir.path(), None), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_log_of_etcd_elsewhere_is_found_too() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log/0000000000000000-0000000000000000.wal");
        touch(&log);
        let data = dir.path().join("data");
        let refused = refuse_foreign(&data, log.parent());
        assert_eq!(refused, Err(ForeignData::Etcd { file: log.clone(), data_dir: data.clone() }));
        let sentence = refused.unwrap_err().to_string();
        for part in [
            &log.display().to_string(),
            "is a file of etcd",
            "changed nothing",
            "conclaveutl snapshot restore",
            "--data-dir",
        ] {
            assert!(sentence.contains(part), "{sentence}");
        }
        assert_eq!(refuse_foreign(&data, None), Ok(()));
        assert!(!data.exists(), "nothing was made");
    }
}
