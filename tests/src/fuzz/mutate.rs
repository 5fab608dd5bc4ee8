//! Seeded mutations of kept inputs, for runs without a fuzzer.
//!
//! Must never use another source of chance than its seed.

/// A small generator: xorshift, good enough for picking.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`; zero when that is zero.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next_u64() >> 11) as usize % end }
    }
}

/// Values that break arithmetic.
const NASTY: [u64; 8] = [0, 1, 0x7f, 0x80, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// Changes `input` in one to four places; `other` is a second input to take pieces from.
pub fn mutate(random: &mut Random, input: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(8) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.next_u64() as u8,
            2 => input.insert(at, random.next_u64() as u8),
            3 => input.truncate(at),
            4 => {
                let end = (at + random.below(16)).min(input.len());
                input.drain(at..end);
            }
            5 => {
                let value = NASTY[random.below(NASTY.len())].to_le_bytes();
                let width = 1 << random.below(4);
                for (byte, value) in input[at..].iter_mut().zip(&value[..width]) {
                    *byte = *value;
                }
            }
            6 => {
                let from = random.below(other.len() + 1);
                let end = (from + 1 + random.below(64)).min(other.len());
                input.splice(at..at, other[from.min(end)..end].iter().copied());
            }
            _ => {
                let end = (at + 1 + random.below(32)).min(input.len());
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
        }
    }
    input.truncate(MAX_INPUT);
}

/// Longest input that is tried.
pub const MAX_INPUT: usize = 16 << 10;
