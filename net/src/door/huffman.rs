//! Decoding of HPACK's Huffman code (RFC 7541, appendix B).
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their symbols, so that the lengths
//! alone say everything. Must not allocate more than `most` bytes.

/// Bits of each symbol; the last one is the end of the string, which may only appear as padding.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];
const LONGEST: usize = 30;
const END: u16 = 256;

/// The code by length.
struct Codes {
    /// First code of each length.
    first: [u32; LONGEST + 1],
    /// How many codes have that length.
    count: [u32; LONGEST + 1],
    /// Where the symbols of that length begin in `symbols`.
    start: [usize; LONGEST + 1],
    /// Symbols by length, then by value.
    symbols: [u16; 257],
}

static CODES: Codes = codes();

const fn codes() -> Codes {
    let mut codes =
        Codes { first: [0; LONGEST + 1], count: [0; LONGEST + 1], start: [0; LONGEST + 1], symbols: [0; 257] };
    let mut code = 0;
    let mut at = 0;
    let mut length = 1;
    while length <= LONGEST {
        code <<= 1;
        codes.first[length] = code;
        codes.start[length] = at;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                codes.symbols[at] = symbol as u16;
                codes.count[length] += 1;
                at += 1;
                code += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    codes
}

/// The bytes that `coded` stands for; `None` when it is no valid code or stands for more than `most` bytes.
pub(super) fn decode(coded: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity((coded.len() * 8 / 5).min(most));
    let mut code = 0u32;
    let mut length = 0;
    for byte in coded {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            length += 1;
            if length > LONGEST {
                return None;
            }
            // a code below the first of its length is the start of a longer one
            let nth = code.wrapping_sub(CODES.first[length]);
            if nth < CODES.count[length] {
                let symbol = CODES.symbols[CODES.start[length] + nth as usize];
                if symbol == END || out.len() == most {
                    return None;
                }
                out.push(symbol as u8);
                code = 0;
                length = 0;
            }
        }
    }
    // padding: fewer than eight bits, all of them set
    (length < 8 && code == (1 << length) - 1).then_some(out)
}

/// The code of some bytes.
#[cfg(test)]
pub(super) fn encode(text: &[u8]) -> Vec<u8> {
    let mut bits = String::new();
    for &byte in text {
        let length = usize::from(LENGTHS[usize::from(byte)]);
        let symbols = &CODES.symbols[CODES.start[length]..];
        let nth = symbols.iter().position(|&symbol| symbol == u16::from(byte)).expect("every byte has a code");
        bits += &format!("{:0length$b}", CODES.first[length] as usize + nth);
    }
    bits += &"1".repeat(bits.len().next_multiple_of(8) - bits.len());
    (0..bits.len()).step_by(8).map(|at| u8::from_str_radix(&bits[at..at + 8], 2).expect("bits")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }

    #[test]
    fn the_examples_of_the_rfc_are_decoded() {
        let examples = [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("25a849e95bb8e8b4bf", "custom-value"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com"),
        ];
        for (coded, text) in examples {
            assert_eq!(decode(&hex(coded), 100).as_deref(), Some(text.as_bytes()), "{text}");
            assert_eq!(encode(text.as_bytes()), hex(coded), "{text}");
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff], 100), None, "the end of the string");
        assert_eq!(decode(&[0xff], 100), None, "eight bits of padding");
        assert_eq!(decode(&[0x00], 100), None, "padding that is not set");
        assert_eq!(decode(&hex("a8eb10649cbf"), 7), None, "more than was allowed");
        assert_eq!(decode(&[], 100), Some(Vec::new()));
    }

    #[test]
    fn every_byte_survives_the_round() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all), 256), Some(all));
    }
}
