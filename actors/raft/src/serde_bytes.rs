//! Payloads for serde: as bytes, not as lists of numbers. The `bytes` crate could do it, but its feature would be switched
//! on for every program of a workspace.
//!
//! Must never interpret what it carries.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::ser::Serializer;

pub(crate) fn serialize<S: Serializer>(data: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(data)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    deserializer.deserialize_byte_buf(Payload)
}

struct Payload;

impl<'de> Visitor<'de> for Payload {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, data: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes::copy_from_slice(data))
    }

    fn visit_byte_buf<E: Error>(self, data: Vec<u8>) -> Result<Bytes, E> {
        Ok(data.into())
    }

    /// Formats without bytes of their own, such as JSON, write a list.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Bytes, A::Error> {
        let mut data = Vec::new();
        while let Some(byte) = list.next_element()? {
            data.push(byte);
        }
        Ok(data.into())
    }
}
