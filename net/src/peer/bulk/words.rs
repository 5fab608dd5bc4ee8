//! What is said around the bytes of a transfer, all integers little-endian:
//!
//! ```text
//! sender    transfer u64, length u64, about: length u32 and bytes
//! receiver  0 u8, bytes it has u64, their CRC-32C u32      or: 1 u8, why not: length u16 and text
//! sender    where it begins u64: what the receiver has, or 0 when its own first bytes are others
//! sender    chunks: length u32, CRC-32C of everything up to their end u32, bytes; at the end one of length 0
//! receiver  0 u8                                            or: 1 u8, what went wrong: length u16 and text
//! ```
//!
//! Nothing is believed: lengths are bounded before memory is set aside.

use crate::peer::lanes::read::ReadHalf;
use bytes::{BufMut, Bytes, BytesMut};
use std::io;
use tokio::io::AsyncReadExt;

/// Most bytes of a description.
pub const MAX_ABOUT: usize = 64 << 10;
/// Bytes of a chunk. Small enough that a checksum is found wrong soon, large enough that its words do not matter.
pub const CHUNK: usize = 256 << 10;
/// Most bytes of a reason.
const MAX_REASON: usize = 1 << 10;

/// What a transfer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Its number.
    pub transfer: u64,
    /// Bytes in all.
    pub length: u64,
    /// Its description.
    pub about: Bytes,
}

impl Opening {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(20 + self.about.len());
        out.put_u64_le(self.transfer);
        out.put_u64_le(self.length);
        out.put_u32_le(self.about.len() as u32);
        out.put_slice(&self.about);
        out.freeze()
    }

    /// Reads one.
    ///
    /// # Errors
    /// The stream, or a description that is too long.
    pub async fn read(from: &mut ReadHalf) -> io::Result<Self> {
        let transfer = from.read_u64_le().await?;
        let length = from.read_u64_le().await?;
        let about = from.read_u32_le().await? as usize;
        if about > MAX_ABOUT {
            return Err(invalid("its description is too long"));
        }
        let mut bytes = vec![0; about];
        from.read_exact(&mut bytes).await?;
        Ok(Self { transfer, length, about: bytes.into() })
    }
}

/// What a receiver says: yes, with something, or why not.
pub type Verdict<T> = Result<T, String>;

/// Bytes of an answer that agrees.
pub fn yes(held: Option<(u64, u32)>) -> Bytes {
    let mut out = BytesMut::with_capacity(13);
    out.put_u8(0);
    if let Some((offset, checksum)) = held {
        out.put_u64_le(offset);
        out.put_u32_le(checksum);
    }
    out.freeze()
}

/// Bytes of an answer that refuses.
pub fn no(why: &str) -> Bytes {
    let mut end = why.len().min(MAX_REASON);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = BytesMut::with_capacity(3 + end);
    out.put_u8(1);
    out.put_u16_le(end as u16);
    out.put_slice(&why.as_bytes()[..end]);
    out.freeze()
}

/// Reads whether the receiver wants a transfer, and what it has of it.
///
/// # Errors
/// The stream.
pub async fn read_held(from: &mut ReadHalf) -> io::Result<Verdict<(u64, u32)>> {
    match read_verdict(from).await? {
        Err(why) => Ok(Err(why)),
        Ok(()) => {
            let offset = from.read_u64_le().await?;
            Ok(Ok((offset, from.read_u32_le().await?)))
        }
    }
}

/// Reads whether the receiver has everything.
///
/// # Errors
/// The stream.
pub async fn read_verdict(from: &mut ReadHalf) -> io::Result<Verdict<()>> {
    match from.read_u8().await? {
        0 => Ok(Ok(())),
        1 => {
            let length = usize::from(from.read_u16_le().await?);
            if length > MAX_REASON {
                return Err(invalid("its reason is too long"));
            }
            let mut text = vec![0; length];
            from.read_exact(&mut text).await?;
            Ok(Err(String::from_utf8_lossy(&text).into_owned()))
        }
        _ => Err(invalid("it neither agrees nor refuses")),
    }
}

/// Words in front of a chunk.
pub fn chunk(length: usize, checksum: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(8);
    out.put_u32_le(length as u32);
    out.put_u32_le(checksum);
    out.freeze()
}

/// Reads the words in front of a chunk: its length and the checksum up to its end.
///
/// # Errors
/// The stream, or a chunk that is too long.
pub async fn read_chunk(from: &mut ReadHalf) -> io::Result<(usize, u32)> {
    let length = from.read_u32_le().await? as usize;
    let checksum = from.read_u32_le().await?;
    if length > CHUNK { Err(invalid("its chunk is too long")) } else { Ok((length, checksum)) }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
