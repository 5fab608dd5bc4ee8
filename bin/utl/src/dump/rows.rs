//! Rows of the five families as lines, and which of them are wanted.
//!
//! Must never judge a row: that is `check`'s.

use super::line::{Line, Value};
use crate::cli::RowFilter;
use crate::failure::Failure;
use model::auth::{Permission, PermissionType};
use model::{KeyValue, Revision};
use prost::Message;
use std::os::unix::ffi::OsStrExt;
use storage::apply::meta_rows::decode_conf_state;
use storage::apply::{LeaseRow, MemberRow};
use storage::auth::rows as auth;
use storage::count::{CountRow, read_row};
use storage::engine::Family;
use storage::schema::{Head, HistRow, LogRow, meta, split_hist_key};

/// Which rows, and how much of them.
pub struct Rows {
    families: Vec<Family>,
    prefix: Option<Vec<u8>>,
    from: i64,
    to: i64,
    /// Rows without a revision are not wanted either.
    by_revision: bool,
    values: bool,
}

impl Rows {
    /// From the flags.
    ///
    /// # Errors
    /// [`Failure`] for a family that does not exist.
    pub fn new(filter: &RowFilter) -> Result<Self, Failure> {
        let family = |name: &String| {
            let family = Family::ALL.into_iter().find(|family| family.name() == name);
            family.ok_or_else(|| Failure::bad_args(format!("unknown family {name:?}: log, cur, hist, cnt, meta")))
        };
        let families = match filter.family.is_empty() {
            true => Family::ALL.to_vec(),
            false => filter.family.iter().map(family).collect::<Result<_, _>>()?,
        };
        Ok(Self {
            families,
            prefix: filter.prefix.as_ref().map(|prefix| prefix.as_bytes().to_vec()),
            from: filter.from_rev.unwrap_or(0),
            to: filter.to_rev.unwrap_or(i64::MAX),
            by_revision: filter.from_rev.is_some() || filter.to_rev.is_some(),
            values: !filter.show.keys_only,
        })
    }

    /// Families in the order of a store.
    pub fn families(&self) -> impl Iterator<Item = Family> + '_ {
        Family::ALL.into_iter().filter(|family| self.families.contains(family))
    }

    /// Where a scan needs to look.
    pub fn bounds(&self, family: Family) -> (Vec<u8>, Option<Vec<u8>>) {
        match (family, &self.prefix) {
            (Family::Log, _) => {
                let end = (self.to < i64::MAX).then(|| Revision::new(self.to.max(0) + 1, 0).to_bytes().to_vec());
                (Revision::new(self.from.max(0), 0).to_bytes().to_vec(), end)
            }
            (Family::Cur, Some(prefix)) => (prefix.clone(), behind(prefix)),
            _ => (Vec::new(), None),
        }
    }

    /// The line of a row that is wanted.
    pub fn line(&self, family: Family, key: &[u8], value: &[u8]) -> Option<Line> {
        if !self.families.contains(&family) {
            return None;
        }
        let read = match family {
            Family::Log => self.version(key, value),
            Family::Cur => self.present(key, value),
            Family::Hist => self.past(key, value),
            Family::Cnt => self.count(key, value),
            Family::Meta => self.meta(key, value),
        };
        read.unwrap_or_else(|why| {
            let line = Line::new("family", family.name()).with("damaged", Value::Text(why));
            Some(line.with("row_key", Value::Bytes(key.to_vec())).with("row", Value::Bytes(value.to_vec())))
        })
    }

    fn wants(&self, key: &[u8], revision: Option<Revision>) -> bool {
        self.prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix))
            && match revision {
                Some(revision) => (self.from..=self.to).contains(&revision.main),
                None => !self.by_revision,
            }
    }

    fn version(&self, key: &[u8], value: &[u8]) -> Result<Option<Line>, String> {
        let revision = Revision::from_bytes(key).ok_or("the key is no revision")?;
        let row = LogRow::decode(bytes::Bytes::copy_from_slice(value)).map_err(|why| why.to_string())?;
        let kv = KeyValue::decode(row.kv).map_err(|why| why.to_string())?;
        if !self.wants(&kv.key, Some(revision)) {
            return Ok(None);
        }
        let what = Value::Text(format!("{:?}", row.kind).to_lowercase());
        let mut line = Line::new("family", "log").with("revision", at(revision)).with("kind", what);
        if row.superseded != Revision::default() {
            line = line.with("superseded", at(row.superseded));
        }
        Ok(Some(line.and(self.key_value(kv))))
    }

    fn key_value(&self, kv: KeyValue) -> Line {
        let line = Line::new("", "").with("key", Value::Key(kv.key.to_vec()));
        let line = line.int_if("create_revision", kv.create_revision).int("mod_revision", kv.mod_revision);
        let line = line.int_if("version", kv.version).lease(kv.lease);
        match self.values && kv.version != 0 {
            true => line.with("value", Value::Bytes(kv.value.to_vec())),
            false => line,
        }
    }

    fn present(&self, key: &[u8], value: &[u8]) -> Result<Option<Line>, String> {
        let head = Head::decode(value).map_err(|why| why.to_string())?;
        if !self.wants(key, Some(head.modified)) {
            return Ok(None);
        }
        let inline = Head::inline(value);
        let line = Line::new("family", "cur").with("key", Value::Key(key.to_vec())).with("revision", at(head.modified));
        let line = line.int("create_revision", head.create).int("version", head.version).lease(head.lease);
        let line = line.int("bytes", head.len).with("inline", Value::Bool(inline.is_some()));
        let Some(kv) = inline.filter(|_| self.values) else { return Ok(Some(line)) };
        let kv = KeyValue::decode(kv).map_err(|why| why.to_string())?;
        Ok(Some(line.with("value", Value::Bytes(kv.value.to_vec()))))
    }

    fn past(&self, key: &[u8], value: &[u8]) -> Result<Option<Line>, String> {
        let (key, revision) = split_hist_key(key).map_err(|why| why.to_string())?;
        let row = HistRow::decode(value).map_err(|why| why.to_string())?;
        if !self.wants(&key, Some(revision)) {
            return Ok(None);
        }
        let what = Value::Text(format!("{:?}", row.kind).to_lowercase());
        let line = Line::new("family", "hist").with("key", Value::Key(key)).with("revision", at(revision));
        let line = line.with("kind", what).int_if("create_revision", row.create).int_if("version", row.version);
        Ok(Some(line.lease(row.lease)))
    }

    fn count(&self, key: &[u8], value: &[u8]) -> Result<Option<Line>, String> {
        let row = read_row(key, value).map_err(|why| why.to_string())?;
        let line = Line::new("family", "cnt");
        let (start, line) = match row {
            CountRow::Changes { from, upto, created, deleted } => {
                let line =
                    line.with("kind", Value::Text("changes".into())).with("after", at(from)).with("upto", at(upto));
                let line = line.int("created", created).int("deleted", deleted);
                return Ok((self.prefix.is_none() && self.wants(&[], Some(upto))).then_some(line));
            }
            CountRow::Block { start, keys, .. } => {
                (start, line.with("kind", Value::Text("block".into())).int("keys", keys))
            }
            CountRow::Group { start, keys, blocks } => {
                let line = line.with("kind", Value::Text("group".into()));
                (start, line.int("keys", keys).int("blocks", blocks))
            }
        };
        let wanted = self.wants(&start, None);
        Ok(wanted.then(|| line.with("from", Value::Key(start.to_vec()))))
    }

    fn meta(&self, key: &[u8], value: &[u8]) -> Result<Option<Line>, String> {
        let about_key = key.first() == Some(&meta::ATTACHED);
        if about_key && !self.wants(key.get(9..).unwrap_or_default(), None) {
            return Ok(None);
        }
        if !about_key && (self.by_revision || self.prefix.is_some()) {
            return Ok(None);
        }
        super::v2::row(key, value, self.values).unwrap_or_else(|| table(key, value)).map(Some)
    }
}

/// The first key behind all that begin so.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let end = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut behind = prefix[..=end].to_vec();
    behind[end] += 1;
    Some(behind)
}

/// A revision as people write it.
fn at(revision: Revision) -> Value {
    Value::Text(format!("{}.{}", revision.main, revision.sub))
}

/// The row with the running hash, which is shown as ids are.
fn running_hash(line: Line, value: &[u8]) -> Result<Line, String> {
    let words: Vec<u64> =
        value.chunks_exact(8).map(|word| u64::from_be_bytes(word.try_into().expect("eight bytes"))).collect();
    match words[..] {
        [algorithm, index, hash] if value.len() == 24 => {
            Ok(line.int("algorithm", algorithm as i64).int("index", index as i64).with("hash", Value::Id(hash)))
        }
        _ => Err("the row running_hash has the wrong length".into()),
    }
}

/// A row of `meta`.
fn table(key: &[u8], value: &[u8]) -> Result<Line, String> {
    let line = |name: &str| Line::new("family", "meta").with("row", Value::Text(name.into()));
    let ints = || -> Vec<i64> {
        value.chunks_exact(8).map(|int| i64::from_be_bytes(int.try_into().expect("eight bytes"))).collect()
    };
    let named = |row: &str, names: &[&'static str]| match ints() {
        ints if ints.len() == names.len() && value.len().is_multiple_of(8) => {
            Ok(names.iter().zip(ints).fold(line(row), |line, (name, int)| line.int(name, int)))
        }
        _ => Err(format!("the row {row} has the wrong length")),
    };
    let id = || key.get(1..9).map_or(0, |id| u64::from_be_bytes(id.try_into().expect("eight bytes")));
    match key {
        meta::APPLIED => named("applied", &["index", "term"]),
        meta::REVISIONS => {
            named("revisions", &["current", "compacted", "deleted_up_to", "deleting_up_to", "next_main", "next_sub"])
        }
        meta::SIZES => {
            // a store that was made before its history was counted has the first five
            let names =
                ["log_bytes", "cur_bytes", "keys", "leases", "live_log_bytes", "log_rows", "hist_rows", "hist_bytes"];
            named("sizes", if value.len() == 5 * 8 { &names[..5] } else { &names })
        }
        meta::IDENTITY => {
            let ids = named("identity", &["cluster", "member"]).map(|_| ints())?;
            let line = line("identity").with("cluster_id", Value::Id(ids[0] as u64));
            Ok(line.with("member_id", Value::Id(ids[1] as u64)))
        }
        meta::RUNNING_HASH => running_hash(line("running_hash"), value),
        meta::FORMAT => {
            let format = value.try_into().map(u32::from_be_bytes).map_err(|_| "the row format has the wrong length")?;
            Ok(line("format").int("version", format))
        }
        meta::CLUSTER_VERSION | meta::DOWNGRADE => {
            let name = if key == meta::DOWNGRADE { "downgrade" } else { "cluster_version" };
            Ok(line(name).with("version", Value::Text(String::from_utf8_lossy(value).into())))
        }
        meta::CONF_STATE => {
            let cs = decode_conf_state(value).map_err(|why| why.to_string())?;
            let line =
                line("conf_state").with("voters", Value::Ids(cs.voters)).with("learners", Value::Ids(cs.learners));
            let line = line.with("voters_outgoing", Value::Ids(cs.voters_outgoing));
            let line = line.with("learners_next", Value::Ids(cs.learners_next));
            Ok(line.with("auto_leave", Value::Bool(cs.auto_leave)))
        }
        meta::CHUNK => Ok(line("chunk").with("cursor", Value::Bytes(value.to_vec()))),
        [meta::LEASE, ..] => {
            let lease = LeaseRow::decode(value).map_err(|why| why.to_string())?;
            let line = line("lease").lease(meta::lease_id(key).unwrap_or_default());
            Ok(line.int("ttl", lease.ttl).int_if("remaining", lease.remaining))
        }
        [meta::ATTACHED, ..] => {
            let line = line("attached").lease(meta::lease_id(key).unwrap_or_default());
            Ok(line.with("key", Value::Key(key.get(9..).unwrap_or_default().to_vec())))
        }
        [meta::MEMBER, ..] => {
            let row = MemberRow::decode(value).map_err(|why| why.to_string())?;
            let line = line("member").with("id", Value::Id(id())).with("name", Value::Text(row.name));
            Ok(line.with("peer_urls", Value::Texts(row.peer_urls)).with("client_urls", Value::Texts(row.client_urls)))
        }
        [meta::ALARM, ..] => {
            Ok(line("alarm").with("member", Value::Id(id())).int("alarm", key.get(9).copied().unwrap_or_default()))
        }
        [meta::REMOVED, ..] => Ok(line("removed").with("id", Value::Id(id()))),
        meta::AUTH | [meta::AUTH_USER | meta::AUTH_ROLE, ..] => of_users(key, value),
        _ => Err("an unknown row".into()),
    }
}

/// What a role may do with a range.
pub(super) fn permission(permission: &Permission) -> Line {
    let kind = PermissionType::try_from(permission.perm_type).map_or("unknown", PermissionType::as_str_name);
    let line = Line::new("op", "permission").with("type", Value::Text(kind.into()));
    let line = line.with("key", Value::Key(permission.key.to_vec()));
    let end = Value::Key(permission.range_end.to_vec());
    if permission.range_end.is_empty() { line } else { line.with("range_end", end) }
}

/// Rows of users and roles; never the hash of a password.
fn of_users(key: &[u8], value: &[u8]) -> Result<Line, String> {
    let line = |name: &str| Line::new("family", "meta").with("row", Value::Text(name.into()));
    match key {
        meta::AUTH => {
            let (enabled, revision) = auth::decode_switch(value).map_err(|why| why.to_string())?;
            Ok(line("auth").with("enabled", Value::Bool(enabled)).int("revision", revision))
        }
        // the hash of the password is nobody's business
        [meta::AUTH_USER, ..] => {
            let (name, user) = auth::decode_user(key, value).map_err(|why| why.to_string())?;
            let line = line("user").with("name", Value::Text(name)).with("roles", Value::Texts(user.roles.clone()));
            Ok(line.with("no_password", Value::Bool(user.has_no_password())))
        }
        [meta::AUTH_ROLE, ..] => {
            let (name, role) = auth::decode_role(key, value).map_err(|why| why.to_string())?;
            let permissions = role.key_permission.iter().map(permission).collect();
            Ok(line("role").with("name", Value::Text(name)).with("permissions", Value::Lines(permissions)))
        }
        _ => Err("an unknown row".into()),
    }
}
