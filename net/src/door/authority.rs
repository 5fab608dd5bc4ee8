//! `:authority` is opaque text to gRPC, and to `h2` it must be the authority of a URI: what it would refuse is taken out of
//! the header blocks before it sees them.
//!
//! Nobody behind the door looks at it, so a request without it is served as any other. Clients send `#initially=[...]` (Go 3.5),
//! `%2Ftmp%2Fc.sock` (unix sockets) and nothing at all. A field that is taken out leaves no entry in the dynamic table of h2
//! where the client has one, so later indices are moved. h2 then keeps old entries for longer than the client does, which is
//! of no account, as the client does not name them. Usual blocks are only walked over: must not copy or decode those.

use super::hpack::{Field, Name, Reader, STATIC_ENTRIES, Text, put_number, put_text};
use http::uri::Authority;
use std::collections::VecDeque;

const AUTHORITY: &[u8] = b":authority";
/// Its place in the static table, where the value is empty.
const AUTHORITY_INDEX: usize = 1;
/// Bytes of that name in Huffman code: names of another length need not be decoded.
const AUTHORITY_CODED: usize = 8;
/// The dynamic table holds at most this many entries of 32 bytes and more (4 KiB, what h2 announces).
const TABLE_ENTRIES: u64 = 128;

/// An entry of the client's dynamic table whose name is `:authority`.
struct Entry {
    /// Which insertion of the connection it was.
    number: u64,
    /// h2 has not seen it.
    removed: bool,
}

/// Takes authorities that h2 refuses out of the header blocks of one connection, in their order.
#[derive(Default)]
pub(super) struct AuthorityFilter {
    /// Insertions into the client's table so far.
    inserted: u64,
    /// Entries that matter, oldest first.
    entries: VecDeque<Entry>,
    /// How many of them were removed.
    removed: usize,
}

enum Verdict {
    Keep,
    Remove,
    /// Written anew with this index.
    Reindex(usize),
}

impl AuthorityFilter {
    /// The block as h2 is to see it; `None` when it may see it as it is. The result is never longer than `block`. A broken
    /// block is left as it is from where it breaks: h2 refuses it.
    pub(super) fn filter(&mut self, block: &[u8]) -> Option<Vec<u8>> {
        let mut reader = Reader::new(block);
        let mut out: Option<Vec<u8>> = None;
        let mut end = 0;
        let mut removed = false;
        loop {
            if out.is_none() && self.removed == 0 {
                // most of a usual block, which nothing happens to
                end = reader.skip_indexed();
            }
            let Some(field) = reader.field() else { break };
            let start = end;
            end = reader.position();
            match self.judge(&field, removed) {
                Verdict::Keep => {
                    if let Some(out) = &mut out {
                        out.extend_from_slice(&block[start..end]);
                    }
                }
                Verdict::Remove => {
                    out.get_or_insert_with(|| block[..start].to_vec());
                    removed = true;
                }
                Verdict::Reindex(index) => {
                    put_reindexed(out.get_or_insert_with(|| block[..start].to_vec()), &field, index);
                }
            }
        }
        if let Some(out) = &mut out {
            out.extend_from_slice(&block[end..]);
        }
        out
    }

    /// `again`: one was taken out of this block already. A second one is left for h2 to refuse.
    fn judge(&mut self, field: &Field<'_>, again: bool) -> Verdict {
        match *field {
            Field::Indexed(AUTHORITY_INDEX) if !again => Verdict::Remove,
            Field::Indexed(index) if self.removed > 0 && index > STATIC_ENTRIES => self.reindex(index),
            Field::Indexed(_) | Field::TableSize => Verdict::Keep,
            Field::Literal { name, value, .. } => {
                let is_authority = self.is_authority(&name);
                let verdict = match name {
                    _ if is_authority && !again && is_refused(&value) => Verdict::Remove,
                    Name::Of(index) if self.removed > 0 && index > STATIC_ENTRIES => match self.reindex(index) {
                        // a good value under a name that h2 does not have there
                        Verdict::Remove => Verdict::Reindex(AUTHORITY_INDEX),
                        verdict => verdict,
                    },
                    _ => Verdict::Keep,
                };
                if field.is_inserted() {
                    self.insert(is_authority, matches!(verdict, Verdict::Remove));
                }
                verdict
            }
        }
    }

    /// Number of the insertion that the client means by an index of the dynamic table.
    fn number_of(&self, index: usize) -> Option<u64> {
        self.inserted.checked_sub((index - STATIC_ENTRIES) as u64)
    }

    /// What becomes of a reference to an entry of the dynamic table.
    fn reindex(&self, index: usize) -> Verdict {
        let Some(number) = self.number_of(index) else { return Verdict::Keep };
        let removed = || self.entries.iter().filter(|entry| entry.removed);
        if removed().any(|entry| entry.number == number) {
            return Verdict::Remove;
        }
        match removed().filter(|entry| entry.number > number).count() {
            0 => Verdict::Keep,
            newer => Verdict::Reindex(index - newer),
        }
    }

    fn is_authority(&self, name: &Name<'_>) -> bool {
        match name {
            Name::Of(index) if *index > STATIC_ENTRIES => {
                let number = self.number_of(*index);
                self.entries.iter().any(|entry| Some(entry.number) == number)
            }
            Name::Of(index) => *index == AUTHORITY_INDEX,
            Name::Text(text) if text.is_huffman && text.coded.len() != AUTHORITY_CODED => false,
            Name::Text(text) => text.decode(AUTHORITY.len()).is_some_and(|name| *name == *AUTHORITY),
        }
    }

    fn insert(&mut self, is_authority: bool, removed: bool) {
        let number = self.inserted;
        self.inserted += 1;
        while self.entries.front().is_some_and(|entry| number - entry.number >= TABLE_ENTRIES) {
            let gone = self.entries.pop_front();
            self.removed -= usize::from(gone.is_some_and(|entry| entry.removed));
        }
        if is_authority {
            self.entries.push_back(Entry { number, removed });
            self.removed += usize::from(removed);
        }
    }
}

/// True for what h2 refuses and gRPC servers take. Control characters are refused by both.
fn is_refused(value: &Text<'_>) -> bool {
    // what decodes to nothing is broken, and h2's to refuse
    let Some(value) = value.decode(usize::MAX) else { return false };
    let control = |b: &u8| b.is_ascii_control() && *b != b'\t';
    Authority::try_from(&*value).is_err() && !value.iter().any(control)
}

fn put_reindexed(out: &mut Vec<u8>, field: &Field<'_>, index: usize) {
    match field {
        Field::Literal { kind, index_bits, value, .. } => {
            put_number(out, *kind, *index_bits, index);
            put_text(out, value);
        }
        Field::Indexed(_) | Field::TableSize => put_number(out, 0x80, 7, index),
    }
}

#[cfg(test)]
mod tests {
    use super::super::huffman;
    use super::*;

    const TMP: &[u8] = b"%2Ftmp%2Fc.sock";

    /// A literal; `first` says which kind, with an index of the name or zero.
    fn literal(first: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        if !name.is_empty() {
            put_text(&mut out, &Text { is_huffman: false, coded: name });
        }
        put_text(&mut out, &Text { is_huffman: false, coded: value });
        out
    }

    /// POST, http, and `/` in front of it, a field of the static table behind it.
    fn block(authority: &[u8]) -> Vec<u8> {
        [b"\x83\x86\x84", authority, b"\x90"].concat()
    }

    #[test]
    fn what_h2_takes_passes_as_it_is() {
        for value in [&b"localhost"[..], b"127.0.0.1:2379", b"[::1]:2379", b"user@host", b"a.b:1", b"etcd-0.etcd"] {
            for field in [literal(0x41, b"", value), literal(0x00, AUTHORITY, value), literal(0x11, b"", value)] {
                assert_eq!(AuthorityFilter::default().filter(&block(&field)), None, "{value:?}");
            }
        }
        assert_eq!(AuthorityFilter::default().filter(&block(b"")), None);
    }

    #[test]
    fn what_h2_refuses_is_taken_out_in_whichever_form() {
        for value in [TMP, b"", b"#initially=[http://127.0.0.1:2379]", b"/tmp/c.sock", b"a b", b"\xff", b"::1"] {
            let mut coded = vec![0x41];
            put_text(&mut coded, &Text { is_huffman: true, coded: &huffman::encode(value) });
            let mut coded_name = vec![0x40];
            put_text(&mut coded_name, &Text { is_huffman: true, coded: &huffman::encode(AUTHORITY) });
            put_text(&mut coded_name, &Text { is_huffman: false, coded: value });
            let literals = [literal(0x41, b"", value), literal(0x40, AUTHORITY, value), literal(0x01, b"", value)];
            for field in literals.into_iter().chain([coded, coded_name]) {
                let seen = AuthorityFilter::default().filter(&block(&field)).expect("changed");
                assert!(seen.starts_with(b"\x83\x86\x84") && seen.len() == 4, "{value:?}: {seen:?}");
            }
        }
        assert_eq!(AuthorityFilter::default().filter(b"\x83\x81\x86"), Some(b"\x83\x86".to_vec()), "static and empty");
    }

    #[test]
    fn control_characters_are_left_to_be_refused() {
        let field = literal(0x41, b"", b"a\0b");
        assert_eq!(AuthorityFilter::default().filter(&block(&field)), None);
    }

    #[test]
    fn a_second_authority_is_left_to_be_refused() {
        let twice = [literal(0x01, b"", TMP), literal(0x01, b"", TMP)].concat();
        assert_eq!(AuthorityFilter::default().filter(&block(&twice)), Some(block(&literal(0x01, b"", TMP))));
    }

    #[test]
    fn entries_that_h2_has_not_seen_are_not_counted() {
        let mut filter = AuthorityFilter::default();
        let first = [literal(0x40, b"older", b"1"), literal(0x41, b"", TMP), literal(0x40, b"newer", b"2")].concat();
        let seen = [literal(0x40, b"older", b"1"), literal(0x40, b"newer", b"2")].concat();
        assert_eq!(filter.filter(&first), Some(seen));
        // 62 is the newest, 63 was taken out, 64 is the oldest
        assert_eq!(filter.filter(b"\xbe\xbf\xc0"), Some(b"\xbe\xbf".to_vec()));
        // a value under each of their names: the last one is a good authority
        let values = [literal(0x0f, b"", b"x"), literal(0x0f, b"", b"y"), literal(0x0f, b"", b"host")];
        let [mut newer, mut older, mut authority] = values;
        newer.insert(1, 62 - 15);
        older.insert(1, 64 - 15);
        authority.insert(1, 63 - 15);
        let seen = filter.filter(&[newer.clone(), older, authority].concat()).expect("changed");
        let mut moved = literal(0x0f, b"", b"y");
        moved.insert(1, 63 - 15);
        assert_eq!(seen, [newer, moved, literal(0x01, b"", b"host")].concat());
    }

    #[test]
    fn a_broken_block_is_left_from_where_it_breaks() {
        let mut filter = AuthorityFilter::default();
        let broken = [literal(0x41, b"", TMP), b"\x83\x41\x20short".to_vec()].concat();
        assert_eq!(filter.filter(&broken), Some(b"\x83\x41\x20short".to_vec()));
        assert_eq!(AuthorityFilter::default().filter(b"\x41\x20short"), None);
    }
}
