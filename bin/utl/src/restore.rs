//! `snapshot restore`: a new member's data folder out of a snapshot file, ours or etcd's, or out of a data folder of etcd's.
//!
//! Everything is made under another name inside the data folder and takes its place at the end, store first, log last: a store without
//! a log is refused by the daemon, so whatever a crash leaves is told apart from a member. Must never touch a folder that holds
//! something already.

use crate::cli::Restore;
use crate::failure::Failure;
use crate::file::open_file;
use crate::target::options;
use crate::unpack::{Unpacked, etcds_folder, unpack};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use storage::apply::{Bootstrap, State, rehome};
use storage::disk::OsDisk;
use storage::engine::rocks::RocksEngine;
use storage::member::{
    Folders, Founders, InitialMember, RESTORING, create_log, founders, own_member, parse_cluster, parse_url,
};
use storage::snapshot::Hash;
use storage::wal::WalConfig;
use units::size;

/// Carries out the command.
///
/// # Errors
/// [`Failure`], saying what is wrong with the flags, the folders or the file.
pub fn run(options: &Restore) -> Result<(), Failure> {
    let [file] = &options.files[..] else {
        return Err(Failure::bad_args("snapshot restore requires exactly one argument"));
    };
    if (options.bump_revision > 0) != options.mark_compacted {
        return Err(Failure::bad_args("--mark-compacted required if --revision-bump > 0"));
    }
    let begun = Instant::now();
    let cluster = cluster(options)?;
    let new = Founders { cluster: &cluster, token: &options.initial_cluster_token, name: &options.name };
    let first = founders(new)?;
    let data_dir = options.data_dir.clone().unwrap_or_else(|| PathBuf::from(format!("{}.etcd", options.name)));
    refuse_used(&data_dir, options.wal_dir.as_deref())?;
    if file.is_dir() {
        etcds_folder(file, options.from_wal_dir.as_deref())?;
    } else {
        open_file(file)?;
    }

    let making = Making::begin(&data_dir)?;
    let (unpacked, state) = fill(file, &making, &first, options)?;
    let folders = making.finish(&first, options.wal_dir.as_deref())?;
    eprintln!("{}", told(file, &data_dir, &folders, &first, (&unpacked, &state), begun));
    Ok(())
}

/// The new cluster, with this member in it.
fn cluster(options: &Restore) -> Result<Vec<InitialMember>, Failure> {
    let advertised: Vec<String> =
        options.initial_advertise_peer_urls.split(',').map(|url| url.trim().to_owned()).collect();
    for url in &advertised {
        parse_url(url).map_err(|why| Failure::new(why.to_string()))?;
    }
    let cluster = parse_cluster(&options.initial_cluster)?;
    own_member(&cluster, &options.name, &advertised)?;
    Ok(cluster)
}

/// Only a data folder that does not exist or is empty, and a log's folder that does not exist, may be used.
fn refuse_used(data_dir: &Path, wal_dir: Option<&Path>) -> Result<(), Failure> {
    match fs::read_dir(data_dir).map(|mut entries| entries.next().is_none()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            let shown = data_dir.display().to_string();
            return Err(Failure::new(format!("data-dir {shown:?} not empty or could not be read ({error})")));
        }
        Ok(false) => {
            let shown = data_dir.display().to_string();
            let hint = match data_dir.join(RESTORING).exists() {
                true => format!("; {RESTORING} in it is left over from a restore that was interrupted: remove it"),
                false => "; choose another one, or move this one away".into(),
            };
            return Err(Failure::new(format!("data-dir {shown:?} not empty or could not be read{hint}")));
        }
        Ok(true) => {}
    }
    match wal_dir {
        Some(dir) if dir.exists() => Err(Failure::new(format!(
            "wal-dir {:?} exists; choose another one, or move this one away",
            dir.display().to_string()
        ))),
        _ => Ok(()),
    }
}

/// Unpacks the file and gives the store to its new cluster.
fn fill(file: &Path, making: &Making, first: &Bootstrap, flags: &Restore) -> Result<(Unpacked, State), Failure> {
    let engine = Arc::new(RocksEngine::open(&making.staged.store, &options())?);
    let hash = if flags.skip_hash_check { Hash::Skip } else { Hash::Check };
    let unpacked = unpack(file, flags.from_wal_dir.as_deref(), &engine, hash, "restoring")?;
    let revision = unpacked.revision;
    // half of the range is left to what comes after
    let fits = |bump: &i64| revision.checked_add(*bump).is_some_and(|jumped| jumped < i64::MAX / 2);
    let bump = i64::try_from(flags.bump_revision).ok().filter(fits);
    let Some(bump) = bump else {
        return Err(Failure::bad_args(format!(
            "--bump-revision {} leaves the range of revisions: the snapshot is at {revision}",
            flags.bump_revision
        )));
    };
    let state = rehome(&engine, first, bump)?;
    Ok((unpacked, state))
}

/// A member in the making. Dropped before it is finished, it leaves nothing behind.
struct Making {
    data_dir: PathBuf,
    /// The data folder was not there before.
    made_data_dir: bool,
    staging: PathBuf,
    staged: Folders,
    finished: bool,
}

impl Making {
    fn begin(data_dir: &Path) -> Result<Self, Failure> {
        let made_data_dir = !data_dir.exists();
        let staging = data_dir.join(RESTORING);
        let staged = Folders::below(&staging, None);
        let making = Self { data_dir: data_dir.to_owned(), made_data_dir, staging, staged, finished: false };
        let private = |dir: &Path| DirBuilder::new().recursive(true).mode(0o700).create(dir);
        private(&making.staged.store).map_err(|error| Failure::io("mkdir", &making.staged.store, &error))?;
        Ok(making)
    }

    /// Makes the log, and puts everything in its place.
    fn finish(mut self, first: &Bootstrap, wal_dir: Option<&Path>) -> Result<Folders, Failure> {
        let folders = Folders::of(&self.data_dir, wal_dir);
        if wal_dir.is_none() {
            log(&self.staged.wal, first)?;
        }
        for dir in [&self.staged.store, &self.staging, &self.data_dir] {
            sync(dir)?;
        }
        fs::rename(&self.staging, &folders.member).map_err(|error| Failure::io("rename", &self.staging, &error))?;
        sync(&self.data_dir)?;
        sync_above(&self.data_dir)?;
        if let Some(wal_dir) = wal_dir {
            log(wal_dir, first)?;
            sync_above(wal_dir)?;
        }
        self.finished = true;
        Ok(folders)
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // the failure that led here is what is told; what cannot be removed is named by the next attempt
        let _ = fs::remove_dir_all(&self.staging);
        if self.made_data_dir {
            let _ = fs::remove_dir(&self.data_dir);
        }
    }
}

fn log(dir: &Path, first: &Bootstrap) -> Result<(), Failure> {
    let mut id = [0; 8];
    SystemRandom::new().fill(&mut id).map_err(|_| Failure::new("the operating system gives no random numbers"))?;
    create_log(OsDisk::shared(), dir, WalConfig::default(), first, u64::from_be_bytes(id))?;
    Ok(())
}

fn sync(dir: &Path) -> Result<(), Failure> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| Failure::io("sync", dir, &error))
}

/// Makes the folder's own name durable.
fn sync_above(dir: &Path) -> Result<(), Failure> {
    match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync(Path::new(".")),
        Some(parent) => sync(parent),
        None => Ok(()),
    }
}

fn told(
    file: &Path,
    data_dir: &Path,
    folders: &Folders,
    first: &Bootstrap,
    (unpacked, state): (&Unpacked, &State),
    begun: Instant,
) -> String {
    let seconds = begun.elapsed().as_secs_f64().max(0.001);
    let rate = size((unpacked.bytes as f64 / seconds) as u64);
    let log = match folders.wal.starts_with(data_dir) {
        true => String::new(),
        false => format!(", log in {}", folders.wal.display()),
    };
    let jump = match state.revision == unpacked.revision {
        true => String::new(),
        false => format!(" (was {}, everything before is compacted)", unpacked.revision),
    };
    let hint = match state.revision == unpacked.revision {
        true => {
            "\nhint: clients that watched or cached beyond this revision hear nothing of it and keep stale data. If there are \
                 such clients (Kubernetes has them), restore the snapshot again with --bump-revision 1000000000 --mark-compacted"
        }
        false => "",
    };
    let note = unpacked.note.as_ref().map(|note| format!("\nnote: {note}")).unwrap_or_default();
    let members = match first.members.len() {
        1 => "1 member".into(),
        count => format!("{count} members"),
    };
    format!(
        "restored {} {}: {} in {seconds:.1} s ({rate}/s), {} keys, revision {}{jump}\n\
         member {:x} of cluster {:x} with {members}, data in {}{log}{note}{hint}",
        unpacked.what,
        file.display(),
        size(unpacked.bytes),
        unpacked.keys,
        state.revision,
        first.identity.member_id,
        first.identity.cluster_id,
        data_dir.display(),
    )
}
