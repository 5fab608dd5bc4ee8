//! Bytes of a batch: its header, and the frame around each record. Pure.
//!
//! Must never change in place: another shape is another format version, and `tests/golden/wal-v1` keeps the first one readable.
//!
//! ```text
//! batch  := header (64 bytes) record* zeros up to the next 4 KiB boundary
//! header :=  0 magic "CONCLWAL"      8 version u16   10 zero u16     12 records u32
//!           16 log id u64           24 segment u64   32 number u64
//!           40 payload length u32   44 CRC32C of the payload u32
//!           48 first index u64      56 span u32      60 CRC32C of bytes 0..60 u32        (integers little-endian)
//! record := kind u8, 3 zeros, length u32, payload of that length, zeros up to a multiple of 8
//! ```
//! The header lies within one sector, so it is on the disk whole or not at all, and its own checksum, which covers that of the payload,
//! makes it recognisable while its payload is damaged. The log id is random: no value a user stores can look like a header.

/// Batches start at multiples of this many bytes.
pub const BLOCK: u64 = 4096;
/// Largest number of a batch, a file or an entry: no log gets there, and whatever is read can be counted on from.
pub(super) const COUNTABLE: u64 = 1 << 62;
/// Highest format version read, and the one written.
pub const FORMAT_VERSION: u16 = 1;
/// Bytes of a batch's header.
pub(super) const HEADER_LEN: usize = 64;
/// Bytes before a record's payload.
pub(super) const FRAME_LEN: usize = 8;
/// Record payloads start at multiples of this, counted from the batch.
const ALIGN: usize = 8;
const MAGIC: [u8; 8] = *b"CONCLWAL";

/// Rounds up to a whole number of blocks.
pub(super) fn padded(len: usize) -> u64 {
    (len as u64).next_multiple_of(BLOCK)
}

/// A batch's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) records: u32,
    pub(super) log_id: u64,
    pub(super) segment: u64,
    pub(super) number: u64,
    pub(super) payload_len: u32,
    pub(super) payload_crc: u32,
    /// Lowest index among the batch's entries; zero when it has none.
    pub(super) first_index: u64,
    /// How many indexes its entries leave behind, from `first_index` on.
    pub(super) span: u32,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// Anything else: zeros, old data, damage.
    Unrecognised,
    /// Ours, of a version not known here.
    Newer(u16),
}

impl Header {
    pub(super) fn encode(&self, out: &mut [u8]) {
        out[..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[10..12].fill(0);
        out[12..16].copy_from_slice(&self.records.to_le_bytes());
        out[16..24].copy_from_slice(&self.log_id.to_le_bytes());
        out[24..32].copy_from_slice(&self.segment.to_le_bytes());
        out[32..40].copy_from_slice(&self.number.to_le_bytes());
        out[40..44].copy_from_slice(&self.payload_len.to_le_bytes());
        out[44..48].copy_from_slice(&self.payload_crc.to_le_bytes());
        out[48..56].copy_from_slice(&self.first_index.to_le_bytes());
        out[56..60].copy_from_slice(&self.span.to_le_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
    }

    /// Checked reverse of [`Self::encode`].
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NoHeader> {
        let bytes: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(NoHeader::Unrecognised)?;
        if bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return Err(NoHeader::Unrecognised);
        }
        // Magic, version and the checksum's place are the promise that every later version keeps.
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != FORMAT_VERSION {
            return Err(NoHeader::Newer(version));
        }
        let header = Self {
            records: u32_at(bytes, 12),
            log_id: u64_at(bytes, 16),
            segment: u64_at(bytes, 24),
            number: u64_at(bytes, 32),
            payload_len: u32_at(bytes, 40),
            payload_crc: u32_at(bytes, 44),
            first_index: u64_at(bytes, 48),
            span: u32_at(bytes, 56),
        };
        let countable = header.number.max(header.first_index) <= COUNTABLE;
        if countable { Ok(header) } else { Err(NoHeader::Unrecognised) }
    }

    /// Bytes from the batch's start to the next one's.
    pub(super) fn extent(&self) -> u64 {
        padded(HEADER_LEN + self.payload_len as usize)
    }
}

fn u32_at(bytes: &[u8; HEADER_LEN], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEADER_LEN], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Opens a record of `kind`; returns where it starts, for [`close_record`].
pub(super) fn open_record(out: &mut Vec<u8>, kind: u8) -> usize {
    let at = out.len();
    out.extend_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
    at
}

/// Fills in the length of the record at `at` and pads it.
pub(super) fn close_record(out: &mut Vec<u8>, at: usize) {
    let len = (out.len() - at - FRAME_LEN) as u32;
    out[at + 4..at + 8].copy_from_slice(&len.to_le_bytes());
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// Walks the frames of a payload whose checksum was right.
pub(super) struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }
}

impl<'a> Iterator for Frames<'a> {
    /// Kind and payload, or `Err` when the frames do not add up.
    type Item = Result<(u8, &'a [u8]), ()>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        let Some((frame, body)) = rest.split_first_chunk::<FRAME_LEN>() else { return Some(Err(())) };
        let len = u32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]]) as usize;
        let Some(payload) = body.get(..len) else { return Some(Err(())) };
        self.rest = body.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some(Ok((frame[0], payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            records: 3,
            log_id: 0x1122_3344_5566_7788,
            segment: 9,
            number: COUNTABLE,
            payload_len: 5000,
            payload_crc: 0xdead_beef,
            first_index: 77,
            span: 3,
        }
    }

    #[test]
    fn a_header_round_trips_and_every_flipped_bit_is_seen() {
        let mut bytes = [0; HEADER_LEN];
        header().encode(&mut bytes);
        assert_eq!(Header::decode(&bytes), Ok(header()));
        let mut beyond = [0; HEADER_LEN];
        Header { number: COUNTABLE + 1, ..header() }.encode(&mut beyond);
        assert_eq!(Header::decode(&beyond), Err(NoHeader::Unrecognised), "a right checksum makes no number right");
        for bit in 0..HEADER_LEN * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad), Err(NoHeader::Unrecognised), "bit {bit}");
        }
        assert_eq!(header().extent(), 8192);
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = [0; HEADER_LEN];
        header().encode(&mut bytes);
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(NoHeader::Newer(2)));
    }

    #[test]
    fn frames_that_do_not_add_up_are_an_error() {
        let mut out = Vec::new();
        for (kind, data) in [(1u8, &b"abc"[..]), (2, b""), (3, b"12345678")] {
            let at = open_record(&mut out, kind);
            out.extend_from_slice(data);
            close_record(&mut out, at);
        }
        let got: Result<Vec<_>, ()> = Frames::new(&out).collect();
        assert_eq!(got, Ok(vec![(1, &b"abc"[..]), (2, b""), (3, b"12345678")]));
        assert!(Frames::new(&out[..out.len() - 1]).any(|f| f.is_err()));
        assert!(Frames::new(&out[..4]).any(|f| f.is_err()));
    }
}
