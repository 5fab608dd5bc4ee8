//! What members say beside consensus: vitals, calls and answers, and their rkyv forms.
//!
//! The `…1` types are frame version 1 and must never change: a new shape is a new version. What a call means is not known here: its
//! kind is a number and its content bytes, so that a member can be asked something that its build has never heard of, and says so.

use super::error::FrameError;
use super::lane::MAX_CALL_BYTES;
use bytes::Bytes;
use rkyv::rancor::Error;
use rkyv::vec::ArchivedVec;
use rkyv::{Archive, Serialize};

/// Most running hashes in one [`Vitals`].
pub const MAX_HASHES: usize = 32;

/// How a member is. Sent with every heartbeat interval, and answered in kind; what is newest counts, the rest may be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// The sender's clock, which means something to the sender alone. Set by the transport.
    pub stamp: u64,
    /// The stamp that this answers, zero for none. Set by the transport.
    pub echo: u64,
    /// Age of the oldest write that is not yet on the disk, in microseconds; zero when there is none.
    pub unsynced_micros: u64,
    /// Applied index.
    pub applied: u64,
    /// Version of the build: major, minor, patch.
    pub version: [u16; 3],
    /// Running hashes: index and hash of the state there, oldest first. At most [`MAX_HASHES`].
    pub hashes: Vec<(u64, u64)>,
}

/// A question to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Chosen by the caller, unique on its connection.
    pub id: u64,
    /// What is asked. Kinds are numbered by those who ask and answer.
    pub kind: u16,
    /// How long the caller will wait, in milliseconds from now.
    pub deadline_millis: u32,
    /// The question.
    pub body: Bytes,
}

/// The answer to a [`Call`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The call's.
    pub id: u64,
    /// What came of it.
    pub result: Result<Bytes, NoAnswer>,
}

/// Why the other member gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It does not know this kind of call: an older build.
    #[error("the member is not capable of this: it runs an older version")]
    NotCapable = 1,
    /// It has too much to do.
    #[error("the member is busy")]
    Busy = 2,
    /// It is stopping, or what should have answered is gone.
    #[error("the member could not answer")]
    Failed = 3,
}

impl NoAnswer {
    fn from_byte(byte: u8) -> Self {
        // a reason that only newer builds know still means that there is no answer
        [Self::NotCapable, Self::Busy].into_iter().find(|known| *known as u8 == byte).unwrap_or(Self::Failed)
    }
}

#[derive(Archive, Serialize)]
struct Vitals1 {
    stamp: u64,
    echo: u64,
    unsynced_micros: u64,
    applied: u64,
    version: [u16; 3],
    hashes: Vec<Hash1>,
}

#[derive(Archive, Serialize)]
struct Hash1 {
    index: u64,
    hash: u64,
}

#[derive(Archive, Serialize)]
struct Call1 {
    id: u64,
    kind: u16,
    deadline_millis: u32,
    body: Bytes,
}

#[derive(Archive, Serialize)]
struct Answer1 {
    id: u64,
    /// Zero, or why there is none.
    refusal: u8,
    body: Bytes,
}

fn archive(
    flat: &impl for<'a> Serialize<rkyv::api::high::HighSerializer<Vec<u8>, rkyv::ser::allocator::ArenaHandle<'a>, Error>>,
    out: Vec<u8>,
) -> Vec<u8> {
    rkyv::api::high::to_bytes_in::<_, Error>(flat, out).expect("integers and bytes always archive")
}

/// Appends the archive. Hashes beyond [`MAX_HASHES`] are left out, oldest first.
pub(super) fn archive_vitals(vitals: &Vitals, out: Vec<u8>) -> Vec<u8> {
    let newest = vitals.hashes.len().saturating_sub(MAX_HASHES);
    let hashes = vitals.hashes[newest..].iter().map(|&(index, hash)| Hash1 { index, hash });
    let flat = Vitals1 {
        stamp: vitals.stamp,
        echo: vitals.echo,
        unsynced_micros: vitals.unsynced_micros,
        applied: vitals.applied,
        version: vitals.version,
        hashes: hashes.collect(),
    };
    archive(&flat, out)
}

pub(super) fn archive_call(call: &Call, out: Vec<u8>) -> Vec<u8> {
    let flat = Call1 { id: call.id, kind: call.kind, deadline_millis: call.deadline_millis, body: call.body.clone() };
    archive(&flat, out)
}

pub(super) fn archive_answer(answer: &Answer, out: Vec<u8>) -> Vec<u8> {
    let flat = match &answer.result {
        Ok(body) => Answer1 { id: answer.id, refusal: 0, body: body.clone() },
        Err(why) => Answer1 { id: answer.id, refusal: *why as u8, body: Bytes::new() },
    };
    archive(&flat, out)
}

fn invalid(_: Error) -> FrameError {
    FrameError::Malformed("the archive does not validate")
}

fn payload(frame: &Bytes, data: &ArchivedVec<u8>) -> Result<Bytes, FrameError> {
    if data.len() > MAX_CALL_BYTES {
        return Err(FrameError::TooLarge { length: data.len(), limit: MAX_CALL_BYTES });
    }
    Ok(if data.is_empty() { Bytes::new() } else { frame.slice_ref(data.as_slice()) })
}

pub(super) fn read_vitals(frame: &Bytes) -> Result<Vitals, FrameError> {
    let flat = rkyv::access::<ArchivedVitals1, Error>(frame).map_err(invalid)?;
    if flat.hashes.len() > MAX_HASHES {
        return Err(FrameError::Malformed("it has too many hashes"));
    }
    Ok(Vitals {
        stamp: flat.stamp.to_native(),
        echo: flat.echo.to_native(),
        unsynced_micros: flat.unsynced_micros.to_native(),
        applied: flat.applied.to_native(),
        version: std::array::from_fn(|at| flat.version[at].to_native()),
        hashes: flat.hashes.iter().map(|pair| (pair.index.to_native(), pair.hash.to_native())).collect(),
    })
}

pub(super) fn read_call(frame: &Bytes) -> Result<Call, FrameError> {
    let flat = rkyv::access::<ArchivedCall1, Error>(frame).map_err(invalid)?;
    Ok(Call {
        id: flat.id.to_native(),
        kind: flat.kind.to_native(),
        deadline_millis: flat.deadline_millis.to_native(),
        body: payload(frame, &flat.body)?,
    })
}

pub(super) fn read_answer(frame: &Bytes) -> Result<Answer, FrameError> {
    let flat = rkyv::access::<ArchivedAnswer1, Error>(frame).map_err(invalid)?;
    let result = match flat.refusal {
        0 => Ok(payload(frame, &flat.body)?),
        byte => Err(NoAnswer::from_byte(byte)),
    };
    Ok(Answer { id: flat.id.to_native(), result })
}
