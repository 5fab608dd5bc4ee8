//! `make-mirror`: copies keys to another cluster, and follows their changes.

use super::session::Session;
use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::cli::{Input, text};
use crate::client::config::{self, login};
use crate::client::method::{PUT, RANGE, TXN};
use crate::client::range::prefix;
use crate::client::watch::{Spec, Watches};
use crate::client::{Client, Config, Secure, Until, connect};
use crate::exit::{ERROR, Exit};
use crate::print::answer::Watched;
use crate::print::say_line;
use crate::term::progress::{Progress, Unit};
use api::etcdserverpb as pb;
use api::mvccpb::Event;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Keys of one read.
const BATCH: i64 = 1000;
/// Pause between two counts.
const COUNT_EVERY: Duration = Duration::from_secs(30);

/// Under this and the prefix the destination holds the revision up to which the mirror is complete. No prefix that a person writes
/// covers it.
const NOTE: &[u8] = b"\0conclave/make-mirror/";

/// How the destination is connected to.
pub const TO_DESTINATION: [Flag; 6] = [
    Flag::text("dest-cert", "client certificate file for the destination (PEM)"),
    Flag::text("dest-key", "private key file for --dest-cert (PEM)"),
    Flag::text("dest-cacert", "file of CA certificates to trust for the destination (PEM)"),
    Flag::new(
        "dest-insecure-transport",
        Kind::Bool,
        "true",
        "use TLS to the destination only if an endpoint or a certificate flag requires it",
    ),
    Flag::text("dest-user", "name[:password] to authenticate with at the destination"),
    Flag::text("dest-password", "password for --dest-user, if it contains none"),
];

/// `make-mirror`.
pub const COMMAND: Command = Command {
    name: "make-mirror",
    usage: "[options] <destination>",
    short: "Mirror keys to another cluster",
    long: "Copy keys to another cluster and follow their changes until the command is interrupted. Every 30 seconds it prints how many keys it
has written. With --rev it does not copy: it follows the changes from that revision on. With --resume it goes on where it was.",
    flags: &[
        Flag::text("prefix", "mirror only keys with this prefix"),
        Flag::int("rev", "do not copy; follow changes from this revision on"),
        Flag::new("max-txn-ops", Kind::Uint, "128", "maximum number of operations in one transaction"),
        Flag::text("dest-prefix", "prefix in the destination cluster that replaces --prefix"),
        Flag::switch("no-dest-prefix", "mirror to the destination without the prefix"),
        Flag::switch("resume", "write to the destination how far it is, and go on there when it is started again"),
        TO_DESTINATION[0],
        TO_DESTINATION[1],
        TO_DESTINATION[2],
        TO_DESTINATION[3],
        TO_DESTINATION[4],
        TO_DESTINATION[5],
    ],
    group: Group::Utility,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(input: Input) -> Result<(), Exit> {
    input.exactly(1, "make-mirror takes one destination argument")?;
    let destination = destination(&input)?;
    let session = Session::new(input).await?;
    let (to, from) = (connect(&destination).await?, session.client().await?);
    let input = &session.input;
    if input.on("no-dest-prefix") && !input.bytes("dest-prefix").is_empty() {
        let said = "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one";
        return Err(Exit::args(said));
    }
    if input.on("resume") && input.changed("rev") {
        return Err(Exit::args("`--rev` and `--resume` cannot be set at the same time, choose one"));
    }
    let start = (input.int("rev") - 1).max(0);
    let old = input.bytes("prefix");
    let mut new = input.bytes("dest-prefix");
    if start == 0 && !input.on("no-dest-prefix") && new.is_empty() {
        new.clone_from(&old);
    }
    let count = Arc::new(AtomicU64::new(0));
    tokio::spawn(say_count(count.clone()));
    let max_ops = usize::try_from(input.int("max-txn-ops")).unwrap_or(usize::MAX);
    // the note is an operation too
    let max_ops = max_ops.saturating_sub(usize::from(input.on("resume"))).max(1);
    let note = input.on("resume").then(|| [NOTE, &old[..]].concat().into());
    let mirror = Mirror { from, to, old, new, max_ops, count, note };
    let noted = mirror.noted().await?;
    let start = if noted > 0 { noted } else { start };
    let start = if start == 0 { mirror.copy().await? } else { start };
    mirror.follow(start + 1).await
}

/// The destination that the flags and the first argument name. Asks for a password that is missing.
///
/// # Errors
/// What does not fit together.
pub fn destination(input: &Input) -> Result<Config, Exit> {
    let login = login(&input.text("dest-user"), &input.text("dest-password"), "", "Destination Password: ")?;
    let secure = Secure {
        cert: input.text("dest-cert"),
        key: input.text("dest-key"),
        cacert: input.text("dest-cacert"),
        insecure_transport: input.on("dest-insecure-transport"),
        ..Secure::default()
    };
    config::with(input, &secure, vec![input.arg(0)], login)
}

async fn say_count(count: Arc<AtomicU64>) {
    loop {
        tokio::time::sleep(COUNT_EVERY).await;
        say_line(&count.load(Ordering::Relaxed).to_string());
    }
}

struct Mirror {
    from: Client,
    to: Client,
    old: Vec<u8>,
    new: Vec<u8>,
    max_ops: usize,
    count: Arc<AtomicU64>,
    /// Key of the destination that says how far it is, with `--resume`.
    note: Option<Bytes>,
}

impl Mirror {
    /// The revision up to which an earlier run has mirrored; 0 for none.
    async fn noted(&self) -> Result<i64, Exit> {
        let Some(key) = self.note.clone() else { return Ok(0) };
        let request = pb::RangeRequest { key, ..Default::default() };
        let found: pb::RangeResponse = self.to.unary(RANGE, request, Until::NEVER).await?;
        let Some(kv) = found.kvs.first() else { return Ok(0) };
        let number = std::str::from_utf8(&kv.value).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| {
            let said = format!("the key {:?} of the destination is no revision: delete it to copy anew", text(&kv.key));
            Exit::new(ERROR, said)
        })
    }

    /// What writes down that everything up to a revision is mirrored.
    fn note(&self, revision: i64) -> Option<pb::PutRequest> {
        let key = self.note.clone()?;
        Some(pb::PutRequest { key, value: revision.to_string().into(), ..Default::default() })
    }

    /// A note of another mirror is not mirrored, or it would be taken for the destination's.
    fn is_note(&self, key: &[u8]) -> bool {
        self.note.is_some() && key.starts_with(NOTE)
    }

    /// Copies everything as it is now; the revision of that.
    async fn copy(&self) -> Result<i64, Exit> {
        let probe = if self.old.is_empty() { Bytes::from_static(b"foo") } else { Bytes::copy_from_slice(&self.old) };
        let probe = pb::RangeRequest { key: probe, ..Default::default() };
        let now: pb::RangeResponse = self.from.unary(RANGE, probe, Until::NEVER).await?;
        let revision = now.header.unwrap_or_default().revision;
        let (mut key, range_end) = prefix(&self.old);
        let mut progress = Progress::start(Unit::Things("keys"), None);
        loop {
            let request = pb::RangeRequest {
                key: key.clone(),
                range_end: range_end.clone(),
                limit: BATCH,
                revision,
                ..Default::default()
            };
            let page: pb::RangeResponse = self.from.unary(RANGE, request, Until::NEVER).await?;
            progress.set_total(self.count.load(Ordering::Relaxed) + u64::try_from(page.count).unwrap_or(0));
            for kv in page.kvs.iter().filter(|kv| !self.is_note(&kv.key)) {
                let put = pb::PutRequest { key: self.renamed(&kv.key), value: kv.value.clone(), ..Default::default() };
                let _: pb::PutResponse = self.to.unary(PUT, put, Until::NEVER).await?;
                progress.at(self.count.fetch_add(1, Ordering::Relaxed) + 1);
            }
            match page.kvs.last().filter(|_| page.more) {
                Some(last) => key = [&last.key[..], b"\0"].concat().into(),
                None => break,
            }
        }
        if let Some(note) = self.note(revision) {
            let _: pb::PutResponse = self.to.unary(PUT, note, Until::NEVER).await?;
        }
        Ok(revision)
    }

    /// Follows changes. Those of one revision go into one transaction, unless they are too many.
    async fn follow(&self, revision: i64) -> Result<(), Exit> {
        let (key, range_end) = prefix(&self.old);
        let mut answers =
            Watches::start(self.from.clone(), false).watch(Spec { key, range_end, revision, ..Spec::default() });
        let mut progress = Progress::start(Unit::Things("keys"), None);
        while let Some(answer) = answers.recv().await {
            if answer.canceled || answer.compact_revision != 0 {
                return Err(self.over(&answer));
            }
            let mut ops = Vec::new();
            let mut last = 0;
            for event in answer.events.into_iter().flatten() {
                let Some(kv) = event.kv.as_ref().filter(|kv| !self.is_note(&kv.key)) else { continue };
                let revision = kv.mod_revision;
                if last != 0 && revision > last {
                    self.commit(std::mem::take(&mut ops), last).await?;
                } else if ops.len() == self.max_ops {
                    self.commit(std::mem::take(&mut ops), last - 1).await?;
                }
                last = revision;
                ops.push(self.change(&event));
                progress.at(self.count.fetch_add(1, Ordering::Relaxed) + 1);
            }
            if !ops.is_empty() {
                self.commit(ops, last).await?;
            }
        }
        Ok(())
    }

    fn over(&self, answer: &Watched) -> Exit {
        let mut exit = Exit::new(ERROR, answer.reason());
        if let (Some(key), true) = (&self.note, answer.compact_revision != 0) {
            let hint = format!(
                "what this mirror was to copy next is compacted: delete the key {:?} of the destination, and what the source has no more, to copy anew",
                text(key)
            );
            exit.hint = Some(hint);
        }
        exit
    }

    fn change(&self, event: &Event) -> pb::RequestOp {
        let kv = event.kv.clone().unwrap_or_default();
        let key = self.renamed(&kv.key);
        let request = if event.r#type == 0 {
            pb::RequestUnion::Put(pb::PutRequest { key, value: kv.value, ..Default::default() })
        } else {
            pb::RequestUnion::DeleteRange(pb::DeleteRangeRequest { key, ..Default::default() })
        };
        pb::RequestOp { request: Some(request) }
    }

    /// Writes changes; everything up to this revision is mirrored then.
    async fn commit(&self, mut success: Vec<pb::RequestOp>, complete: i64) -> Result<(), Exit> {
        let note = self.note(complete).map(|note| pb::RequestOp { request: Some(pb::RequestUnion::Put(note)) });
        success.extend(note);
        let txn = pb::TxnRequest { success, ..Default::default() };
        let _: pb::TxnResponse = self.to.unary(TXN, txn, Until::NEVER).await?;
        Ok(())
    }

    fn renamed(&self, key: &[u8]) -> Bytes {
        [&self.new[..], key.strip_prefix(&self.old[..]).unwrap_or(key)].concat().into()
    }
}
