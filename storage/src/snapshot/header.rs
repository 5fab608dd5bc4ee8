//! What a snapshot stream says about itself before its first row.
//!
//! Must never be believed before its checksum; its figures repeat rows of `meta` for those who only want to look.

use super::{MAGIC, OLDEST_VERSION, StreamError, VERSION};
use crate::apply::{MemberIds, OpenError, State};
use crate::engine::{Family, Snapshot};
use crate::schema::meta;
use bytes::{Buf, BufMut, Bytes};

/// The state a stream holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamHeader {
    /// Cluster it comes from.
    pub cluster_id: u64,
    /// Member it comes from.
    pub member_id: u64,
    /// Revision of the store.
    pub revision: i64,
    /// Revision up to which history is forgotten; -1 before any compaction.
    pub compact_revision: i64,
    /// Index of the last applied entry.
    pub applied_index: u64,
    /// Its term.
    pub applied_term: u64,
    /// Membership at that index, in the encoding of the row in `meta`.
    pub conf_state: Bytes,
    /// Version of the server, as text.
    pub server_version: String,
}

/// Bytes before the header's own.
pub(super) const START: usize = 20;
/// More than any header has: the conf state of some hundred members, a version.
const MOST: usize = 64 << 10;
/// What the first page of etcd's database says of itself.
const BOLT_MAGIC: u32 = 0xed0c_daed;

impl StreamHeader {
    /// What the rows of `snapshot` say.
    ///
    /// # Errors
    /// [`OpenError`] when one of them is missing or damaged: such a store is nothing to send.
    pub fn read<S: Snapshot>(snapshot: &S, server_version: &str) -> Result<Self, OpenError> {
        let row = |key: &'static [u8]| snapshot.get(Family::Meta, key)?.ok_or(OpenError::Empty);
        let state = State::read(snapshot)?;
        let identity = MemberIds::decode(&row(meta::IDENTITY)?)?;
        Ok(Self {
            cluster_id: identity.cluster_id,
            member_id: identity.member_id,
            revision: state.revision,
            compact_revision: state.compact,
            applied_index: state.applied.index,
            applied_term: state.applied.term,
            conf_state: row(meta::CONF_STATE)?,
            server_version: server_version.into(),
        })
    }

    /// The start of a stream that is `total` bytes long without its hash.
    pub(super) fn encode(&self, total: u64) -> Vec<u8> {
        let mut body = Vec::with_capacity(80 + self.conf_state.len() + self.server_version.len());
        for int in [total, self.cluster_id, self.member_id, self.revision as u64, self.compact_revision as u64] {
            body.put_u64(int);
        }
        body.put_u64(self.applied_index);
        body.put_u64(self.applied_term);
        for bytes in [&self.conf_state[..], self.server_version.as_bytes()] {
            body.put_u32(bytes.len() as u32);
            body.put_slice(bytes);
        }
        assert!(body.len() <= MOST, "SN-HEADER: a header of {} bytes", body.len());
        let mut out = Vec::with_capacity(START + body.len());
        out.put_slice(MAGIC);
        out.put_u32(VERSION);
        out.put_u32(body.len() as u32);
        out.put_u32(crc32c::crc32c_append(crc32c::crc32c(&out[8..16]), &body));
        out.put_slice(&body);
        out
    }

    /// Length of the header and its checksum, from the start of a stream.
    pub(super) fn decode_start(start: &[u8; START]) -> Result<(usize, u32), StreamError> {
        let Some(mut rest) = start.strip_prefix(MAGIC) else {
            // a page head of 16 bytes, then the magic of a meta page in the byte order of the machine
            let bolt = [BOLT_MAGIC.to_le_bytes(), BOLT_MAGIC.to_be_bytes()].iter().any(|m| start.ends_with(m));
            return Err(if bolt { StreamError::EtcdFile } else { StreamError::NotASnapshot });
        };
        let version = rest.get_u32();
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(StreamError::Version(version));
        }
        let length = rest.get_u32() as usize;
        if length > MOST {
            return Err(damaged("the header's length is out of bounds"));
        }
        Ok((length, rest.get_u32()))
    }

    /// The header and the stream's total length.
    pub(super) fn decode(start: &[u8; START], crc: u32, body: &[u8]) -> Result<(Self, u64), StreamError> {
        if crc32c::crc32c_append(crc32c::crc32c(&start[8..16]), body) != crc {
            return Err(damaged("the header's checksum does not fit"));
        }
        Self::parse(body).ok_or_else(|| damaged("the header does not read back"))
    }

    fn parse(mut body: &[u8]) -> Option<(Self, u64)> {
        let mut int = || body.try_get_u64().ok();
        let (total, cluster_id, member_id) = (int()?, int()?, int()?);
        let (revision, compact_revision) = (int()? as i64, int()? as i64);
        let (applied_index, applied_term) = (int()?, int()?);
        let mut bytes = || {
            let length = body.try_get_u32().ok()? as usize;
            body.split_off(..length).map(Bytes::copy_from_slice)
        };
        let conf_state = bytes()?;
        let server_version = String::from_utf8(bytes()?.into()).ok()?;
        let header = Self {
            cluster_id,
            member_id,
            revision,
            compact_revision,
            applied_index,
            applied_term,
            conf_state,
            server_version,
        };
        body.is_empty().then_some((header, total))
    }
}

fn damaged(why: &'static str) -> StreamError {
    StreamError::Damaged { offset: 0, block: 0, why }
}
