//! JSON of protobuf messages, as etcd's gateway reads and writes it: Go's `encoding/json` finds a value in a body, `protojson`
//! makes it a message.
//!
//! | file | does |
//! |---|---|
//! | `scan` | finds the end of a value in bytes that come piece by piece |
//! | `token` | words of a value that was found |
//! | `scalar` | numbers, enums and bytes |
//! | `decode` | from a value to a message's bytes |
//! | `assemble` | a message under construction, whose parts get their lengths in the end |
//! | `encode` | from a message's bytes, piece by piece, to JSON |
//!
//! Messages are never built as objects: JSON becomes protobuf's bytes and those become JSON. Must not know HTTP, or any message by
//! name.

mod assemble;
mod decode;
mod encode;
mod go_text;
mod scalar;
mod scan;
mod token;

pub use decode::decode;
pub use encode::{Encoder, Escapes, Malformed};
pub use go_text::push_string;
pub use scan::{Found, Scanner};

#[cfg(test)]
mod tests;
