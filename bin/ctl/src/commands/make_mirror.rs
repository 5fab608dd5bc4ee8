//! `make-mirror`: copies keys to another cluster, and follows their changes.

use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::client::config::{self, login};
use crate::client::method::{PUT, RANGE, TXN};
use crate::client::range::prefix;
use crate::client::watch::{Spec, Watches};
use crate::client::{Client, Config, Login, Secure, Until, connect};
use crate::exit::{ERROR, Exit};
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

/// `make-mirror`.
pub const COMMAND: Command = Command {
    name: "make-mirror",
    usage: "[options] <destination>",
    short: "Mirror keys to another cluster",
    long: "Copy keys to another cluster and follow their changes until the command is interrupted. Every 30 seconds it prints how many keys it
has written. With --rev it does not copy: it follows the changes from that revision on.",
    flags: &[
        Flag::text("prefix", "mirror only keys with this prefix"),
        Flag::int("rev", "do not copy; follow changes from this revision on"),
        Flag::new("max-txn-ops", Kind::Uint, "128", "maximum number of operations in one transaction"),
        Flag::text("dest-prefix", "prefix in the destination cluster that replaces --prefix"),
        Flag::switch("no-dest-prefix", "mirror to the destination without the prefix"),
        Flag::text("dest-cert", "client certificate file for the destination (PEM)"),
        Flag::text("dest-key", "private key file for --dest-cert (PEM)"),
        Flag::text("dest-cacert", "file of CA certificates to trust for the destination (PEM)"),
        Flag::new("dest-insecure-transport", Kind::Bool, "true", "use TLS to the destination only if an endpoint or a certificate flag requires it"),
        Flag::text("dest-user", "name[:password] to authenticate with at the destination"),
        Flag::text("dest-password", "password for --dest-user, if it contains none"),
    ],
    group: Group::Utility,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(input: Input) -> Result<(), Exit> {
    input.exactly(1, "make-mirror takes one destination argument")?;
    let to = login(&input.text("dest-user"), &input.text("dest-password"), "", "Destination Password: ")?;
    let destination = destination(&input, to)?;
    let session = Session::new(input).await?;
    let (to, from) = (connect(&destination).await?, session.client().await?);
    let input = &session.input;
    if input.on("no-dest-prefix") && !input.bytes("dest-prefix").is_empty() {
        let said = "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one";
        return Err(Exit::args(said));
    }
    let start = (input.int("rev") - 1).max(0);
    let old = input.bytes("prefix");
    let mut new = input.bytes("dest-prefix");
    if start == 0 && !input.on("no-dest-prefix") && new.is_empty() {
        new.clone_from(&old);
    }
    let count = Arc::new(AtomicU64::new(0));
    tokio::spawn(say_count(count.clone()));
    let max_ops = usize::try_from(input.int("max-txn-ops")).unwrap_or(usize::MAX).max(1);
    let mirror = Mirror { from, to, old, new, max_ops, count };
    let start = if start == 0 { mirror.copy().await? } else { start };
    mirror.follow(start + 1).await
}

fn destination(input: &Input, login: Login) -> Result<Config, Exit> {
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
}

impl Mirror {
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
            for kv in &page.kvs {
                let put = pb::PutRequest { key: self.renamed(&kv.key), value: kv.value.clone(), ..Default::default() };
                let _: pb::PutResponse = self.to.unary(PUT, put, Until::NEVER).await?;
                progress.at(self.count.fetch_add(1, Ordering::Relaxed) + 1);
            }
            match page.kvs.last().filter(|_| page.more) {
                Some(last) => key = [&last.key[..], b"\0"].concat().into(),
                None => return Ok(revision),
            }
        }
    }

    /// Follows changes. Those of one revision go into one transaction, unless they are too many.
    async fn follow(&self, revision: i64) -> Result<(), Exit> {
        let (key, range_end) = prefix(&self.old);
        let mut answers =
            Watches::start(self.from.clone(), false).watch(Spec { key, range_end, revision, ..Spec::default() });
        let mut progress = Progress::start(Unit::Things("keys"), None);
        while let Some(answer) = answers.recv().await {
            if answer.canceled || answer.compact_revision != 0 {
                return Err(Exit::new(ERROR, answer.reason()));
            }
            let mut ops = Vec::new();
            let mut last = 0;
            for event in answer.events.into_iter().flatten() {
                let revision = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
                if last != 0 && revision > last || ops.len() == self.max_ops {
                    self.commit(std::mem::take(&mut ops)).await?;
                }
                last = revision;
                ops.push(self.change(&event));
                progress.at(self.count.fetch_add(1, Ordering::Relaxed) + 1);
            }
            if !ops.is_empty() {
                self.commit(ops).await?;
            }
        }
        Ok(())
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

    async fn commit(&self, success: Vec<pb::RequestOp>) -> Result<(), Exit> {
        let txn = pb::TxnRequest { success, ..Default::default() };
        let _: pb::TxnResponse = self.to.unary(TXN, txn, Until::NEVER).await?;
        Ok(())
    }

    fn renamed(&self, key: &[u8]) -> Bytes {
        [&self.new[..], key.strip_prefix(&self.old[..]).unwrap_or(key)].concat().into()
    }
}
