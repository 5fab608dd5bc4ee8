//! `snapshot save`.
//!
//! The file appears under its name only when it is whole, checked and on disk. Must never leave a part behind.

use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group};
use crate::client::hint::hint;
use crate::client::method::SNAPSHOT;
use crate::client::{Client, Failure, Until};
use crate::exit::{Exit, INTERRUPTED};
use crate::print::say_line;
use crate::term::progress::{Progress, Unit};
use api::etcdserverpb as pb;
use conclave_client::{SnapshotSum, SnapshotSumError};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tonic::Streaming;

const EXAMPLE: &str = "  # to a file
  {} snapshot save /backup/snapshot.db

  # from one server, with certificates
  {} --endpoints=https://10.0.0.1:2379 --cacert=ca.crt --cert=client.crt --key=client.key snapshot save snapshot.db

  # as a user, not longer than ten minutes
  {} --user=root:secret --command-timeout=10m snapshot save snapshot.db
";

/// Metadata that names a format. A server that is none of Conclave's leaves it alone.
const FORMAT: &str = "conclave-snapshot-format";

/// `snapshot`.
pub const COMMAND: Command = Command {
    name: "snapshot",
    short: "Save snapshots of a member",
    example: EXAMPLE,
    below: &[Command {
        name: "save",
        usage: "<filename>",
        short: "Save a snapshot of one member to a file",
        example: EXAMPLE,
        flags: &[Flag::text(
            "format",
            "format of the file: etcd, which etcdutl restores too, or conclave; the server's choice if none is given",
        )],
        run: crate::run!(save),
        ..Command::EMPTY
    }],
    group: Group::Cluster,
    ..Command::EMPTY
};

async fn save(input: Input) -> Result<(), Exit> {
    input.exactly(1, "snapshot save expects one argument <filename>")?;
    let format = match &input.text("format")[..] {
        "" => None,
        "etcd" => Some("etcd"),
        "conclave" => Some("conclave"),
        other => return Err(Exit::args(format!("unknown format {other:?}; there are etcd and conclave"))),
    };
    let session = Session::new(input).await?;
    let fail = |why: String| Exit::new(INTERRUPTED, why);
    if session.config.endpoints.len() != 1 {
        let all = session.config.endpoints.join(" ");
        return Err(fail(format!("snapshot must be requested to one selected node, not multiple [{all}]")));
    }
    // a copy may take its time, unless a time was given
    let until = if session.input.changed("command-timeout") { session.until() } else { Until::NEVER };
    let client = session.client().await.map_err(|why| Exit { code: INTERRUPTED, ..why })?;
    let name = session.input.arg(0);
    let part = Part::open(Path::new(&name)).map_err(fail)?;
    let work = fetch(&client, part, format, until);
    let version = match until.0 {
        Some(at) => tokio::time::timeout_at(at, work).await.unwrap_or_else(|_| Err(Failure::Deadline(None).into())),
        None => work.await,
    };
    let version = version.map_err(|why| Exit { code: INTERRUPTED, ..why })?;
    say_line(&format!("Snapshot saved at {name}"));
    if !version.is_empty() {
        say_line(&format!("Server version {version}"));
    }
    Ok(())
}

async fn fetch(client: &Client, mut part: Part, format: Option<&'static str>, until: Until) -> Result<String, Exit> {
    let opened: Result<Streaming<pb::SnapshotResponse>, _> =
        client.answers_to(SNAPSHOT, pb::SnapshotRequest {}, format.map(|name| (FORMAT, name)).as_slice(), until).await;
    let mut answers = opened.map_err(|why| match why {
        Failure::Status(_) => refused(&why),
        other => other.into(),
    })?;
    let (mut version, mut sum) = (String::new(), SnapshotSum::new());
    let mut progress = Progress::start(Unit::Bytes, None);
    loop {
        let chunk = match answers.message().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(status) if sum.size() == 0 => return Err(refused(&client.broken(status))),
            Err(status) => {
                return Err(Exit::wrapped(INTERRUPTED, "could not write snapshot: {}", &client.broken(status)));
            }
        };
        if sum.size() == 0 {
            version = chunk.version;
            progress.set_total(chunk.remaining_bytes + chunk.blob.len() as u64);
        }
        sum.add(&chunk.blob);
        part.write(&chunk.blob).map_err(|why| Exit::new(INTERRUPTED, why))?;
        progress.at(sum.size());
    }
    drop(progress);
    sum.check().map_err(|why| Exit::new(INTERRUPTED, sum_text(why)))?;
    part.keep().map_err(|why| Exit::new(INTERRUPTED, why))?;
    Ok(version)
}

/// A refusal of the first answer: etcdctl shows it with its code.
fn refused(why: &Failure) -> Exit {
    let said = why.detail();
    if !crate::term::stderr_is_terminal() {
        crate::log::line("warn", "failed to receive from snapshot stream; closing", &[("error", &said)]);
    }
    Exit { hint: hint(why), ..Exit::new(INTERRUPTED, said) }
}

fn sum_text(why: SnapshotSumError) -> String {
    match why {
        SnapshotSumError::Missing(size) => format!("sha256 checksum not found [bytes: {size}]"),
        SnapshotSumError::Mismatch(size) => {
            format!("sha256 checksum does not match: the snapshot was damaged on its way [bytes: {size}]")
        }
    }
}

/// A file under construction; dropped before it is kept, it is removed.
struct Part {
    file: Option<File>,
    part: PathBuf,
    name: PathBuf,
}

impl Part {
    fn open(name: &Path) -> Result<Self, String> {
        let part = PathBuf::from(format!("{}.part", name.display()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
        let file = file.map_err(|why| {
            let shown = part.display();
            format!("could not open {shown} (open {shown}: {})", text(&why))
        })?;
        Ok(Self { file: Some(file), part, name: name.to_owned() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(|why| format!("could not write snapshot: {}", text(&why)))
    }

    /// Puts it on disk under its name.
    fn keep(mut self) -> Result<(), String> {
        if let Some(file) = self.file.take() {
            file.sync_all().map_err(|why| format!("could not fsync snapshot: {}", text(&why)))?;
        }
        let (part, name) = (self.part.display(), self.name.display());
        std::fs::rename(&self.part, &self.name)
            .map_err(|why| format!("could not rename {part} to {name} (rename {part} {name}: {})", text(&why)))?;
        // the name must be on disk as well
        let folder = self.name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|why| text(&why))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // renamed already when it was kept
        let _ = std::fs::remove_file(&self.part);
    }
}

fn text(why: &std::io::Error) -> String {
    crate::client::io_text(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::{SHA256, digest};

    fn whole(body: &[u8]) -> Vec<u8> {
        [body, digest(&SHA256, body).as_ref()].concat()
    }

    fn check(bytes: &[u8], chunk: usize) -> Result<(), String> {
        let mut sum = SnapshotSum::new();
        bytes.chunks(chunk).for_each(|chunk| sum.add(chunk));
        sum.check().map_err(sum_text)
    }

    #[test]
    fn the_sum_is_checked_however_it_is_cut() {
        let good = whole(&[7; 1024]);
        for chunk in [1, 31, 32, 33, 500, 2000] {
            assert_eq!(check(&good, chunk), Ok(()));
        }
        let mut bad = good.clone();
        bad[100] ^= 1;
        assert!(check(&bad, 100).unwrap_err().contains("does not match"));
        assert!(check(&good[..1024], 100).unwrap_err().contains("not found"));
    }

    #[test]
    fn a_part_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("s.db");
        let mut part = Part::open(&name).unwrap();
        part.write(b"half").unwrap();
        drop(part);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut part = Part::open(&name).unwrap();
        part.write(b"whole").unwrap();
        part.keep().unwrap();
        assert_eq!(std::fs::read(&name).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
