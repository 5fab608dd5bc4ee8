//! What a client sends on an HTTP/2 connection, on its way to `h2`: header blocks are shown to the [`AuthorityFilter`].
//!
//! Usual bytes are walked over where they lie, frame by frame, and stay there. Only a header block that came in part is held
//! back, within bounds, and only one that must change is copied. Frames that break the rules are left for h2 to refuse.

use super::authority::AuthorityFilter;
use std::ops::Range;

/// Bytes every HTTP/2 client starts with.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length, kind, flags and stream.
const HEAD: usize = 9;
/// Longest payload that h2 takes; we announce no other.
const LONGEST_FRAME: usize = 16_384;
/// What is held of a header block at most. A longer one is beyond every bound of h2, which is left to say so.
const MOST_HELD: usize = 3 * LONGEST_FRAME;
/// Frames of a header block at most, which is more than h2 takes.
const MOST_FRAMES: usize = 16;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// Bytes of a stream's priority.
const PRIORITY_LEN: usize = 5;

/// What h2 is to see of some input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// So many of its first bytes, as they are. The others are held back.
    Same(usize),
    /// These bytes in place of it and of all that was held back before.
    Instead(Vec<u8>),
}

/// The input of one connection.
pub(super) struct H2Input {
    authorities: AuthorityFilter,
    /// Bytes to come that are no header block.
    skip: usize,
    /// A header block, or the head of a frame, that has not come as a whole.
    held: Vec<u8>,
    /// A header block went beyond the bounds: h2 will end the connection.
    gave_up: bool,
}

impl H2Input {
    /// Input whose first `skip` bytes are no frames.
    pub(super) fn new(skip: usize) -> Self {
        Self { authorities: AuthorityFilter::default(), skip, held: Vec::new(), gave_up: false }
    }

    /// More bytes have come.
    pub(super) fn pass(&mut self, input: &[u8]) -> Passed {
        if self.held.is_empty() {
            let mut changed = None;
            let passed = self.walk(input, &mut changed);
            self.held.extend_from_slice(&input[passed..]);
            return changed.map_or(Passed::Same(passed), Passed::Instead);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(input);
        let mut changed = None;
        let passed = self.walk(&all, &mut changed);
        self.held = all.split_off(passed);
        Passed::Instead(changed.unwrap_or(all))
    }

    /// The client has ended its side: what was held back is h2's, to say what is missing.
    pub(super) fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Walks over whole frames; returns how far it came. What h2 is to see of that is in `changed`, unless it is the same.
    fn walk(&mut self, input: &[u8], changed: &mut Option<Vec<u8>>) -> usize {
        let mut at = 0;
        loop {
            let left = &input[at..];
            let step = if self.gave_up {
                left.len()
            } else if self.skip > 0 {
                let step = self.skip.min(left.len());
                self.skip -= step;
                step
            } else {
                match frames_of_block(left) {
                    Block::Other(length) => {
                        self.skip = length;
                        0
                    }
                    Block::Beyond => {
                        self.gave_up = true;
                        0
                    }
                    Block::Partial => return at,
                    Block::Whole(length) => {
                        let block = &left[..length];
                        if let Some(instead) = filtered(&mut self.authorities, block) {
                            changed.get_or_insert_with(|| input[..at].to_vec()).extend_from_slice(&instead);
                            at += length;
                            continue;
                        }
                        length
                    }
                }
            };
            if let Some(changed) = changed {
                changed.extend_from_slice(&left[..step]);
            }
            at += step;
            if at == input.len() {
                return at;
            }
        }
    }
}

/// What stands at the start of some bytes.
enum Block {
    /// Frames of so many bytes, from HEADERS to the one that ends the block.
    Whole(usize),
    /// The start of these, or of any frame.
    Partial,
    /// Another frame, of so many bytes with its head.
    Other(usize),
    /// More than is held back of any block.
    Beyond,
}

fn frames_of_block(bytes: &[u8]) -> Block {
    let mut at = 0;
    for nth in 0..MOST_FRAMES {
        let Some(head) = Head::read(&bytes[at..]) else {
            return if at > MOST_HELD { Block::Beyond } else { Block::Partial };
        };
        let expected = if nth == 0 { HEADERS } else { CONTINUATION };
        if head.kind != expected || head.length > LONGEST_FRAME {
            return match nth {
                0 => Block::Other(HEAD + head.length),
                // the block is broken off, and h2 ends the connection for it
                _ => Block::Beyond,
            };
        }
        let end = at + HEAD + head.length;
        if end > MOST_HELD {
            return Block::Beyond;
        }
        if bytes.len() < end {
            return Block::Partial;
        }
        if head.flags & END_HEADERS != 0 {
            return Block::Whole(end);
        }
        at = end;
    }
    Block::Beyond
}

/// The head of a frame.
#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: [u8; 4],
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        let [high, middle, low, kind, flags, stream @ ..] = *head;
        Some(Self { length: u32::from_be_bytes([0, high, middle, low]) as usize, kind, flags, stream })
    }

    fn put(self, out: &mut Vec<u8>) {
        // the length of a frame has three bytes
        let [_, length @ ..] = (self.length as u32).to_be_bytes();
        out.extend_from_slice(&length);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream);
    }
}

/// Where the block's bytes lie in a HEADERS payload; `None` when padding or priority do not fit.
fn fragment(payload: &[u8], flags: u8) -> Option<Range<usize>> {
    let mut start = 0;
    let mut padding = 0;
    if flags & PADDED != 0 {
        padding = usize::from(*payload.first()?);
        start = 1;
    }
    if flags & PRIORITY != 0 {
        start += PRIORITY_LEN;
    }
    let end = payload.len().checked_sub(padding)?;
    (start <= end).then_some(start..end)
}

/// The frames of a whole header block as h2 is to see them; `None` when it may see them as they are.
fn filtered(authorities: &mut AuthorityFilter, frames: &[u8]) -> Option<Vec<u8>> {
    let head = Head::read(frames)?;
    let first = &frames[HEAD..HEAD + head.length];
    let range = fragment(first, head.flags)?;
    if HEAD + head.length == frames.len() {
        let block = authorities.filter(&first[range.clone()])?;
        return Some(put_frames(head, &first[..range.start], &block, &first[range.end..]));
    }
    let mut block = first[range.clone()].to_vec();
    let mut at = HEAD + head.length;
    while let Some(next) = Head::read(&frames[at..]) {
        at += HEAD;
        block.extend_from_slice(&frames[at..at + next.length]);
        at += next.length;
    }
    let block = authorities.filter(&block)?;
    Some(put_frames(head, &first[..range.start], &block, &first[range.end..]))
}

/// A HEADERS frame with `before` and `after` around the block, and as many CONTINUATION frames as the rest of it needs.
fn put_frames(head: Head, before: &[u8], block: &[u8], after: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() + 300);
    let around = before.len() + after.len();
    let (part, mut rest) = block.split_at(block.len().min(LONGEST_FRAME - around));
    let ends = |rest: &[u8], flags: u8| if rest.is_empty() { flags | END_HEADERS } else { flags & !END_HEADERS };
    Head { length: around + part.len(), flags: ends(rest, head.flags), ..head }.put(&mut out);
    out.extend_from_slice(before);
    out.extend_from_slice(part);
    out.extend_from_slice(after);
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.len().min(LONGEST_FRAME));
        rest = after;
        Head { length: part.len(), kind: CONTINUATION, flags: ends(rest, 0), ..head }.put(&mut out);
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Head { length: payload.len(), kind, flags, stream: [0, 0, 0, 1] }.put(&mut out);
        out.extend_from_slice(payload);
        out
    }

    /// What h2 sees when the input comes in pieces of so many bytes.
    fn seen(input: &[u8], piece: usize) -> Vec<u8> {
        let mut filter = H2Input::new(PREFACE.len());
        let mut out = Vec::new();
        for piece in input.chunks(piece) {
            match filter.pass(piece) {
                Passed::Same(bytes) => out.extend_from_slice(&piece[..bytes]),
                Passed::Instead(bytes) => out.extend(bytes),
            }
        }
        out.extend(filter.end());
        out
    }

    const GOOD: &[u8] = b"\x83\x86\x84\x41\x04host";
    const BAD: &[u8] = b"\x83\x86\x84\x41\x04/tmp";
    const WITHOUT: &[u8] = b"\x83\x86\x84";

    #[test]
    fn every_cut_gives_the_same() {
        let data = frame(0, 0, &[HEADERS; 40]);
        let input = [
            PREFACE.to_vec(),
            frame(4, 0, b""),
            frame(HEADERS, END_HEADERS, GOOD),
            data.clone(),
            frame(HEADERS, END_HEADERS | 1, BAD),
            frame(HEADERS, END_HEADERS | PADDED | PRIORITY, &[&b"\x02prior"[..], BAD, b"\0\0"].concat()),
            frame(HEADERS, PADDED, &[&b"\x01"[..], &BAD[..5], b"\0"].concat()),
            frame(CONTINUATION, 0, b""),
            frame(CONTINUATION, END_HEADERS, &BAD[5..]),
            data.clone(),
        ]
        .concat();
        let expected = [
            PREFACE.to_vec(),
            frame(4, 0, b""),
            frame(HEADERS, END_HEADERS, GOOD),
            data.clone(),
            frame(HEADERS, END_HEADERS | 1, WITHOUT),
            frame(HEADERS, END_HEADERS | PADDED | PRIORITY, &[&b"\x02prior"[..], WITHOUT, b"\0\0"].concat()),
            frame(HEADERS, END_HEADERS | PADDED, &[&b"\x01"[..], WITHOUT, b"\0"].concat()),
            data,
        ]
        .concat();
        for piece in 1..=input.len() {
            assert_eq!(seen(&input, piece), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn usual_input_stays_where_it_lies() {
        let mut filter = H2Input::new(0);
        let input = [frame(HEADERS, END_HEADERS, GOOD), frame(0, 1, b"\0\0\0\0\0")].concat();
        assert_eq!(filter.pass(&input), Passed::Same(input.len()));
        assert_eq!(filter.held.capacity(), 0);
    }

    #[test]
    fn a_block_beyond_the_bounds_goes_to_h2() {
        let endless = [frame(HEADERS, 0, BAD), frame(CONTINUATION, 0, b"").repeat(MOST_FRAMES)].concat();
        let large = [frame(HEADERS, 0, BAD), frame(CONTINUATION, 0, &vec![0; LONGEST_FRAME]).repeat(3)].concat();
        let cut = [frame(HEADERS, 0, BAD), frame(0, 0, b"x")].concat();
        for input in [endless, large, cut] {
            let mut filter = H2Input::new(0);
            assert_eq!(filter.pass(&input), Passed::Same(input.len()));
            assert!(filter.held.is_empty());
        }
    }

    #[test]
    fn a_rewritten_block_is_cut_into_frames_that_h2_takes() {
        let rest = vec![0x83; 2 * LONGEST_FRAME];
        let block = [BAD, &rest].concat();
        let (first, more) = block.split_at(100);
        let input = [
            frame(HEADERS, 0, first),
            frame(CONTINUATION, 0, &more[..LONGEST_FRAME]),
            frame(CONTINUATION, END_HEADERS, &more[LONGEST_FRAME..LONGEST_FRAME * 2 - 100]),
        ]
        .concat();
        let Passed::Instead(seen) = H2Input::new(0).pass(&input) else { panic!("unchanged") };
        let mut at = 0;
        let mut got = Vec::new();
        while at < seen.len() {
            let head = Head::read(&seen[at..]).expect("a head");
            assert!(head.length <= LONGEST_FRAME);
            got.extend_from_slice(&seen[at + HEAD..at + HEAD + head.length]);
            at += HEAD + head.length;
            assert_eq!(head.flags & END_HEADERS != 0, at == seen.len());
        }
        assert_eq!(got[..3], *WITHOUT);
        assert_eq!(got.len(), 2 * LONGEST_FRAME - 6);
    }

    #[test]
    fn any_bytes_pass_without_a_panic() {
        let mut state = 1u64;
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            for _ in 0..40 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                bytes.push((state >> 33) as u8 & if state >> 60 < 8 { 0x0f } else { 0xff });
            }
            let mut filter = H2Input::new(0);
            let block = frame(HEADERS, bytes[0] | END_HEADERS, &bytes[1..]);
            filter.pass(&[block, bytes.clone()].concat());
            filter.pass(&bytes);
            filter.end();
        }
    }
}
