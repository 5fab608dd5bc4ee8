//! Every version in `log`: it reads back, follows the one it superseded, and has its place in `cur` or `hist`.

use super::report::Report;
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use crate::schema::{Head, HistRow, Kind, LogRow, hist_key};
use bytes::Bytes;
use model::{KeyValue, Revision};
use prost::Message;

/// Versions looked up together.
const TOGETHER: usize = 256;
/// Bytes of them after which they are looked up.
const BYTES: usize = 1 << 20;

/// A version that reads back.
struct Version {
    revision: Revision,
    kind: Kind,
    kv: KeyValue,
    /// As stored.
    encoded: Bytes,
}

pub(super) fn check<S: Snapshot>(
    snapshot: &S,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) -> Result<(), EngineError> {
    let mut scan = snapshot.scan_once(Family::Log, &[], None, Direction::Forward);
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    while let Some((key, row)) = scan.next()? {
        report.row(Family::Log, key.len() + row.len());
        bytes += row.len();
        waiting.extend(read(key, row, report));
        if waiting.len() >= TOGETHER || bytes >= BYTES {
            place(snapshot, &waiting, report)?;
            waiting.clear();
            bytes = 0;
            progress(report.rows.iter().sum());
        }
    }
    place(snapshot, &waiting, report)
}

/// One version, with what is wrong in itself.
fn read(key: &[u8], row: &[u8], report: &mut Report) -> Option<Version> {
    let Some(revision) = Revision::from_bytes(key) else {
        report.problem(Family::Log, format!("the key {} is no revision", key.escape_ascii()));
        return None;
    };
    let at = format!("revision {}.{}", revision.main, revision.sub);
    let row = match LogRow::decode(Bytes::copy_from_slice(row)) {
        Ok(row) => row,
        Err(why) => {
            report.problem(Family::Log, format!("{at}: {why}"));
            return None;
        }
    };
    let kv = match KeyValue::decode(row.kv.clone()) {
        Ok(kv) => kv,
        Err(why) => {
            report.problem(Family::Log, format!("{at}: its key-value does not read back: {why}"));
            return None;
        }
    };
    let newest = report.state.map(|state| state.revision + i64::from(report.unfinished.is_some()));
    if newest.is_some_and(|newest| revision.main > newest) {
        report.problem(Family::Log, format!("{at} is newer than the store"));
    }
    if kv.mod_revision != revision.main {
        report.problem(Family::Log, format!("{at}: its key-value says it was changed at {}", kv.mod_revision));
    }
    if row.superseded >= revision || (row.kind == Kind::Create) != (row.superseded == Revision::default()) {
        let Revision { main, sub } = row.superseded;
        report.problem(Family::Log, format!("{at}: a {:?} cannot supersede revision {main}.{sub}", row.kind));
    }
    Some(Version { revision, kind: row.kind, kv, encoded: row.kv })
}

/// Looks up where the versions have their places.
fn place<S: Snapshot>(snapshot: &S, versions: &[Version], report: &mut Report) -> Result<(), EngineError> {
    let keys: Vec<&[u8]> = versions.iter().map(|v| &v.kv.key[..]).collect();
    let heads = snapshot.multi_get(Family::Cur, &keys)?;
    let mut past = Vec::new();
    for (version, head) in versions.iter().zip(heads) {
        let head = head.and_then(|row| Head::decode(&row).ok().map(|head| (head, row)));
        match head.filter(|(head, _)| head.modified == version.revision) {
            Some((head, row)) => shown(version, head, &row, report),
            None => past.push(version),
        }
    }
    let keys: Vec<Vec<u8>> = past.iter().map(|v| hist_key(&v.kv.key, v.revision)).collect();
    let wanted: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    for (version, row) in past.into_iter().zip(snapshot.multi_get(Family::Hist, &wanted)?) {
        superseded(version, row, report);
    }
    Ok(())
}

/// A version that its key shows now.
fn shown(version: &Version, head: Head, row: &[u8], report: &mut Report) {
    report.living += 1;
    report.living_bytes += (Revision::LEN + LogRow::HEAD + version.encoded.len()) as u64;
    let kv = &version.kv;
    let same = version.kind != Kind::Delete
        && (head.create, head.version, head.lease) == (kv.create_revision, kv.version, kv.lease)
        && head.len as usize == version.encoded.len()
        && Head::inline(row).is_none_or(|inline| inline == version.encoded);
    if !same {
        report.problem(Family::Cur, format!("key {} and its version in log differ", kv.key.escape_ascii()));
    }
}

/// A version that was superseded, or a tombstone.
fn superseded(version: &Version, row: Option<Bytes>, report: &mut Report) {
    let (kv, Revision { main, sub }) = (&version.kv, version.revision);
    let key = kv.key.escape_ascii();
    let Some(row) = row else {
        let what = format!("key {key} at revision {main}.{sub} is neither its newest version nor in hist");
        return report.problem(Family::Log, what);
    };
    let fits = HistRow::decode(&row).is_ok_and(|row| {
        (row.kind, row.create, row.version, row.lease) == (version.kind, kv.create_revision, kv.version, kv.lease)
    });
    if !fits {
        report.problem(Family::Hist, format!("key {key} at revision {main}.{sub}: hist and log differ"));
    }
}
