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

pub use messages::peer::{Answer, Call, NoAnswer, Vitals};

/// A reason that only newer builds know still means that there is no answer.
fn no_answer(byte: u8) -> NoAnswer {
    [NoAnswer::NotCapable, NoAnswer::Busy].into_iter().find(|known| *known as u8 == byte).unwrap_or(NoAnswer::Failed)
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
        byte => Err(no_answer(byte)),
    };
    Ok(Answer { id: flat.id.to_native(), result })
}
