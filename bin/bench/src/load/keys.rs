//! Which key a request is for: etcd's key layout, and the distributions of a mix.
//!
//! Must not allocate for a number; only for the key's bytes.

use super::rng::Rng;
use bytes::Bytes;

/// A key as etcd's tool makes it: the number as a zigzag varint at the front of `size` zero bytes.
///
/// A number that needs more bytes than `size` makes the key longer (etcd's tool panics there).
pub fn numbered(number: u64, size: usize) -> Bytes {
    let mut key = vec![0; size];
    let mut rest = (number as i64) << 1;
    let mut at = 0;
    loop {
        let byte = (rest & 0x7f) as u8 | if rest > 0x7f { 0x80 } else { 0 };
        match key.get_mut(at) {
            Some(place) => *place = byte,
            None => key.push(byte),
        }
        rest >>= 7;
        at += 1;
        if rest == 0 {
            return key.into();
        }
    }
}

/// A readable key: prefix and number, padded with zeros to `size` bytes when that is more.
pub fn named(prefix: &str, number: u64, size: usize) -> Bytes {
    let width = size.saturating_sub(prefix.len());
    format!("{prefix}{number:0width$}").into_bytes().into()
}

/// The end of the range of all keys with this prefix, as etcd's clients compute it.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    match prefix.iter().rposition(|byte| *byte < 0xff) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end.into()
        }
        None => Bytes::from_static(b"\0"),
    }
}

/// How numbers below a count are drawn.
#[derive(Clone, Debug)]
pub enum Draw {
    /// One after the other, again from the start at the end.
    Sequential,
    /// Each as likely as any other.
    Uniform,
    /// A few take most: rank `k` with weight `1 / k^exponent`.
    Zipf(Zipf),
    /// The first `keys` numbers take `share` of all requests.
    Hotspot {
        /// Hot numbers.
        keys: u64,
        /// Their share of requests, 0 to 1.
        share: f64,
    },
}

impl Draw {
    /// A number below `count` for the request with this ticket.
    pub fn draw(&self, count: u64, ticket: u64, rng: &mut Rng) -> u64 {
        match self {
            Self::Sequential => ticket % count,
            Self::Uniform => rng.below(count),
            Self::Zipf(zipf) => zipf.draw(rng),
            Self::Hotspot { keys, share } if rng.unit() < *share => rng.below((*keys).clamp(1, count)),
            Self::Hotspot { keys, .. } if *keys < count => keys + rng.below(count - keys),
            Self::Hotspot { .. } => rng.below(count),
        }
    }
}

/// Zipf by rejection inversion (W. Hörmann, G. Derflinger 1996): no table, any count.
#[derive(Clone, Debug)]
pub struct Zipf {
    count: f64,
    exponent: f64,
    first: f64,
    last: f64,
    squeeze: f64,
}

impl Zipf {
    /// For numbers below `count`; the exponent must be positive.
    pub fn new(count: u64, exponent: f64) -> Self {
        let mut zipf = Self { count: count.max(1) as f64, exponent, first: 0.0, last: 0.0, squeeze: 0.0 };
        zipf.first = zipf.integral(1.5) - 1.0;
        zipf.last = zipf.integral(zipf.count + 0.5);
        zipf.squeeze = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    fn weight(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        grow((1.0 - self.exponent) * log) * log
    }

    fn inverse(&self, x: f64) -> f64 {
        let t = (x * (1.0 - self.exponent)).max(-1.0);
        (shrink(t) * x).exp()
    }

    fn draw(&self, rng: &mut Rng) -> u64 {
        loop {
            let u = self.last + rng.unit() * (self.first - self.last);
            let x = self.inverse(u);
            let k = x.round().clamp(1.0, self.count);
            if k - x <= self.squeeze || u >= self.integral(k + 0.5) - self.weight(k) {
                return k as u64 - 1;
            }
        }
    }
}

/// `(e^x - 1) / x`, also near zero.
fn grow(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x / 2.0 }
}

/// `ln(1 + x) / x`, also near zero.
fn shrink(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_keys_are_gos_varints() {
        assert_eq!(&numbered(0, 4)[..], [0, 0, 0, 0]);
        assert_eq!(&numbered(1, 4)[..], [2, 0, 0, 0]);
        assert_eq!(&numbered(64, 4)[..], [0x80, 1, 0, 0]);
        // binary.PutVarint(k, 999999) writes fe 88 7a
        assert_eq!(&numbered(999_999, 4)[..], [0xfe, 0x88, 0x7a, 0]);
        assert_eq!(&numbered(999_999, 1)[..], [0xfe, 0x88, 0x7a]);
    }

    #[test]
    fn prefix_ends() {
        assert_eq!(&prefix_end(b"a")[..], b"b");
        assert_eq!(&prefix_end(b"a\xff")[..], b"b");
        assert_eq!(&prefix_end(b"\xff")[..], b"\0");
        assert_eq!(&prefix_end(b"")[..], b"\0");
    }

    #[test]
    fn draws_stay_below_the_count_and_have_their_shape() {
        let mut rng = Rng::new(1);
        let shapes = [
            Draw::Sequential,
            Draw::Uniform,
            Draw::Zipf(Zipf::new(1000, 0.99)),
            Draw::Zipf(Zipf::new(1000, 1.0)),
            Draw::Hotspot { keys: 10, share: 0.9 },
        ];
        let tops: Vec<u64> = shapes
            .iter()
            .map(|shape| {
                let drawn = (0..20_000).map(|ticket| shape.draw(1000, ticket, &mut rng));
                drawn.inspect(|n| assert!(*n < 1000)).filter(|n| *n < 10).count() as u64
            })
            .collect();
        assert_eq!(tops[0], 200);
        assert!((100..320).contains(&tops[1]), "{tops:?}");
        // the ten likeliest of 1000 have 2.93 of 7.49 in all
        assert!((7_300..8_300).contains(&tops[2]) && (7_300..8_300).contains(&tops[3]), "{tops:?}");
        assert!((17_700..18_300).contains(&tops[4]), "{tops:?}");
        assert_eq!(Draw::Hotspot { keys: 5, share: 0.0 }.draw(1, 0, &mut rng), 0);
    }
}
