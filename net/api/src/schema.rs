//! What JSON needs to know of the messages and methods: names, numbers and kinds of fields. Generated from `proto/`.
//!
//! Must stay plain data without any cost at the start of a process.

/// A message.
#[derive(Debug)]
pub struct Message {
    /// `package.Name`.
    pub name: &'static str,
    /// Its fields in the order of their numbers, which is that of JSON. At most 64.
    pub fields: &'static [Field],
    /// Full names of its groups of fields of which one may be set.
    pub oneofs: &'static [&'static str],
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// Its number.
    pub number: u32,
    /// Its name in the proto file, which answers have.
    pub name: &'static str,
    /// Its name in lowerCamelCase, which requests may have as well.
    pub json_name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// It is a list.
    pub repeated: bool,
    /// Index in [`Message::oneofs`].
    pub oneof: Option<i32>,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "protobuf's own names")]
pub enum Kind {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    String,
    Bytes,
    Enum(&'static Enum),
    Message(&'static Message),
}

/// An enum: names and numbers of its values.
#[derive(Debug)]
pub struct Enum {
    /// The values, as declared.
    pub values: &'static [(&'static str, i32)],
}

/// How many messages flow in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// One request, one response.
    Unary,
    /// One request, many responses.
    ServerStream,
    /// Many requests, many responses.
    Bidi,
}

/// A method of a service.
#[derive(Debug)]
pub struct Method {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// How many messages flow.
    pub flow: Flow,
    /// Type of its requests.
    pub request: &'static Message,
    /// Type of its responses.
    pub response: &'static Message,
}

impl Message {
    /// The field that JSON calls so, with its index: by its name in lowerCamelCase or that of the proto file.
    pub fn field_named(&self, name: &str) -> Option<(usize, &'static Field)> {
        let by = |pick: fn(&Field) -> &str| self.fields.iter().enumerate().find(|(_, field)| pick(field) == name);
        by(|field| field.json_name).or_else(|| by(|field| field.name))
    }

    /// The field of this number, with its index.
    pub fn field_numbered(&self, number: u32) -> Option<(usize, &'static Field)> {
        let at = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        Some((at, &self.fields[at]))
    }
}

impl Kind {
    /// Protobuf's name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Enum(_) => "enum",
            Self::Message(_) => "message",
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/schema.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_either_name_and_by_number() {
        let range = METHODS.iter().find(|method| method.path == "/etcdserverpb.KV/Range").expect("Range");
        assert_eq!(range.flow, Flow::Unary);
        for name in ["rangeEnd", "range_end"] {
            assert_eq!(range.request.field_named(name).map(|(at, field)| (at, field.number)), Some((1, 2)), "{name}");
        }
        assert!(range.request.field_named("RangeEnd").is_none());
        assert_eq!(range.request.field_numbered(13).map(|(at, _)| at), Some(12));
        assert!(range.request.field_numbered(14).is_none());
    }

    #[test]
    fn a_decoder_can_note_the_fields_it_has_seen_in_64_bits() {
        for method in METHODS {
            assert!(method.request.fields.len() <= 64, "{}", method.request.name);
            assert!(method.request.oneofs.len() <= 64, "{}", method.request.name);
        }
    }
}
