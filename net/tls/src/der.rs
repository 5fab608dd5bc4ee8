//! Just enough DER to find serial numbers in certificates and revocation lists.
//!
//! etcd matches revoked certificates by serial number alone. Every read is bounds-checked; what does not parse is an error,
//! never an empty list.

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, constructed: the version of a certificate.
const VERSION: u8 = 0xa0;

/// Not the structure that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not valid DER")]
pub(super) struct Malformed;

struct Element<'a> {
    tag: u8,
    body: &'a [u8],
}

/// Takes one element off the front.
fn next<'a>(input: &mut &'a [u8]) -> Result<Element<'a>, Malformed> {
    let (&tag, rest) = input.split_first().ok_or(Malformed)?;
    let (&first, mut rest) = rest.split_first().ok_or(Malformed)?;
    let mut len = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return Err(Malformed);
        }
        len = rest[..count].iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
        rest = &rest[count..];
    }
    if rest.len() < len {
        return Err(Malformed);
    }
    let (body, rest) = rest.split_at(len);
    *input = rest;
    Ok(Element { tag, body })
}

fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Result<&'a [u8], Malformed> {
    let element = next(input)?;
    if element.tag == tag { Ok(element.body) } else { Err(Malformed) }
}

fn peek(input: &[u8]) -> Option<u8> {
    input.first().copied()
}

/// The serial number of a certificate, leading zeros dropped.
pub(super) fn serial(certificate: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut outer = expect(&mut &certificate[..], SEQUENCE)?;
    let mut body = expect(&mut outer, SEQUENCE)?;
    if peek(body) == Some(VERSION) {
        next(&mut body)?;
    }
    Ok(bare(expect(&mut body, INTEGER)?))
}

/// The serial numbers a revocation list names.
pub(super) fn revoked(list: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut outer = expect(&mut &list[..], SEQUENCE)?;
    let mut body = expect(&mut outer, SEQUENCE)?;
    if peek(body) == Some(INTEGER) {
        next(&mut body)?;
    }
    // signature algorithm, issuer, this update, maybe the next one
    expect(&mut body, SEQUENCE)?;
    expect(&mut body, SEQUENCE)?;
    next(&mut body)?;
    if matches!(peek(body), Some(UTC_TIME | GENERALIZED_TIME)) {
        next(&mut body)?;
    }
    let mut serials = Vec::new();
    if peek(body) == Some(SEQUENCE) {
        let mut entries = expect(&mut body, SEQUENCE)?;
        while !entries.is_empty() {
            let mut entry = expect(&mut entries, SEQUENCE)?;
            serials.push(bare(expect(&mut entry, INTEGER)?));
        }
    }
    Ok(serials)
}

fn bare(integer: &[u8]) -> Vec<u8> {
    let zeros = integer.iter().take_while(|b| **b == 0).count();
    integer[zeros..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match u8::try_from(body.len()) {
            Ok(len) if len < 0x80 => out.push(len),
            _ => out.extend([0x82, (body.len() >> 8) as u8, body.len() as u8]),
        }
        out.extend_from_slice(body);
        out
    }

    fn list(serials: &[&[u8]]) -> Vec<u8> {
        let entries: Vec<u8> = serials
            .iter()
            .flat_map(|s| element(SEQUENCE, &[element(INTEGER, s), element(UTC_TIME, b"260101000000Z")].concat()))
            .collect();
        let body = [
            element(INTEGER, &[1]),
            element(SEQUENCE, &[]),
            element(SEQUENCE, &[]),
            element(UTC_TIME, b"260101000000Z"),
            element(UTC_TIME, b"270101000000Z"),
            element(SEQUENCE, &entries),
        ]
        .concat();
        element(SEQUENCE, &element(SEQUENCE, &body))
    }

    #[test]
    fn serials_of_lists_long_and_short() {
        assert_eq!(revoked(&list(&[&[0, 0x81], &[7]])), Ok(vec![vec![0x81], vec![7]]));
        let many: Vec<Vec<u8>> = (1..200u8).map(|n| vec![n, 1]).collect();
        let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        assert_eq!(revoked(&list(&many)).unwrap().len(), 199);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let good = list(&[&[1], &[2]]);
        for cut in 0..good.len() {
            assert!(revoked(&good[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                // must return, with either result
                let _ = revoked(&bad);
                let _ = serial(&bad);
            }
        }
    }
}
