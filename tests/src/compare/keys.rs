//! The keys that every run uses.
//!
//! Must stay few: a collision is what a run is after.

/// Every key that is written: prefixes of each other, both ends of the byte order, zeros inside.
pub const KEYS: [&[u8]; 20] = [
    b"\x00",
    b"\x00\x00",
    b"a",
    b"a\x00",
    b"a\x00\x00",
    b"aa",
    b"ab",
    b"b",
    b"b\xff",
    b"b\xff\xff",
    b"c",
    b"foo",
    b"foo/",
    b"foo/1",
    b"foo/2",
    b"foo/\xff",
    b"zz",
    b"\xfe",
    b"\xff",
    b"\xff\xff",
];
