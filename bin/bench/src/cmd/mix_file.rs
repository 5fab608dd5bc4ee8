//! The file of a mix: key sets with their distributions, and operations with their weights.
//!
//! Must refuse what it does not know: a misspelt field would silently measure something else.

use crate::load::keys::{Draw, Zipf};
use crate::load::rng::Rng;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A mix, checked.
#[derive(Debug)]
pub(super) struct Mix {
    pub(super) sets: Vec<KeySet>,
    pub(super) operations: Vec<Operation>,
    total_weight: f64,
}

/// Keys `prefix0 … prefixN`.
#[derive(Debug)]
pub(super) struct KeySet {
    pub(super) prefix: String,
    pub(super) count: u64,
    pub(super) size: usize,
    pub(super) value_size: (usize, usize),
    pub(super) draw: Draw,
    /// Write every key before the clock starts.
    pub(super) load: bool,
}

/// One kind of request.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) action: Action,
    weight: f64,
    /// Index of its key set.
    pub(super) set: usize,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Put,
    Delete,
    /// One key.
    Get {
        serializable: bool,
    },
    /// Up to `limit` keys from a drawn key on.
    List {
        limit: i64,
        serializable: bool,
        keys_only: bool,
        stream: bool,
    },
    /// The number of keys of the set.
    Count {
        serializable: bool,
    },
    /// Reads `reads` keys and writes `writes` keys.
    Txn {
        reads: usize,
        writes: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MixText {
    keys: BTreeMap<String, KeysText>,
    operations: Vec<OperationText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct KeysText {
    prefix: Option<String>,
    count: u64,
    #[serde(default)]
    size: usize,
    #[serde(default)]
    value_size: ValueSize,
    #[serde(default)]
    distribution: Distribution,
    exponent: Option<f64>,
    hot_keys: Option<u64>,
    hot_share: Option<f64>,
    #[serde(default = "yes")]
    load: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ValueSize {
    Fixed(usize),
    Between([usize; 2]),
}

impl Default for ValueSize {
    fn default() -> Self {
        Self::Fixed(8)
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum Distribution {
    #[default]
    Uniform,
    Sequential,
    Zipf,
    Hotspot,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct OperationText {
    op: Verb,
    keys: String,
    #[serde(default = "one")]
    weight: f64,
    name: Option<String>,
    limit: Option<i64>,
    #[serde(default)]
    serializable: bool,
    #[serde(default)]
    keys_only: bool,
    #[serde(default)]
    stream: bool,
    reads: Option<usize>,
    writes: Option<usize>,
}

fn one() -> f64 {
    1.0
}

#[derive(Clone, Copy, Deserialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Verb {
    Put,
    Delete,
    Get,
    List,
    Count,
    Txn,
}

/// Reads a mix.
///
/// # Errors
/// What is wrong with the file, in words for the user.
pub(super) fn parse(text: &str) -> Result<Mix, String> {
    let text: MixText = serde_yaml_ng::from_str(text).map_err(|why| why.to_string())?;
    let names: Vec<String> = text.keys.keys().cloned().collect();
    let sets = text.keys.into_iter().map(|(name, keys)| key_set(&name, keys)).collect::<Result<Vec<_>, _>>()?;
    let operations =
        text.operations.into_iter().map(|operation| checked(operation, &names)).collect::<Result<Vec<_>, _>>()?;
    let total_weight: f64 = operations.iter().map(|operation| operation.weight).sum();
    if total_weight <= 0.0 {
        return Err("no operation has a weight above zero".into());
    }
    Ok(Mix { sets, operations, total_weight })
}

fn key_set(name: &str, keys: KeysText) -> Result<KeySet, String> {
    let wrong = |what: &str| format!("keys {name:?}: {what}");
    if keys.count == 0 {
        return Err(wrong("count is zero"));
    }
    let value_size = match keys.value_size {
        ValueSize::Fixed(size) => (size, size),
        ValueSize::Between([low, high]) if low <= high => (low, high),
        ValueSize::Between(_) => return Err(wrong("value-size is [least, most]")),
    };
    let (zipf, hotspot) =
        (matches!(keys.distribution, Distribution::Zipf), matches!(keys.distribution, Distribution::Hotspot));
    if keys.exponent.is_some() && !zipf || (keys.hot_keys.is_some() || keys.hot_share.is_some()) && !hotspot {
        return Err(wrong("exponent belongs to zipf, hot-keys and hot-share belong to hotspot"));
    }
    let draw = match keys.distribution {
        Distribution::Uniform => Draw::Uniform,
        Distribution::Sequential => Draw::Sequential,
        Distribution::Zipf => match keys.exponent.unwrap_or(0.99) {
            exponent if exponent > 0.0 => Draw::Zipf(Zipf::new(keys.count, exponent)),
            _ => return Err(wrong("exponent must be above zero")),
        },
        Distribution::Hotspot => {
            match (keys.hot_keys.unwrap_or((keys.count / 5).max(1)), keys.hot_share.unwrap_or(0.8)) {
                (hot, share) if (0.0..=1.0).contains(&share) && hot > 0 => Draw::Hotspot { keys: hot, share },
                _ => return Err(wrong("hot-keys must be above zero and hot-share between 0 and 1")),
            }
        }
    };
    let prefix = keys.prefix.unwrap_or_else(|| format!("{name}/"));
    Ok(KeySet { prefix, count: keys.count, size: keys.size, value_size, draw, load: keys.load })
}

fn checked(text: OperationText, names: &[String]) -> Result<Operation, String> {
    let name = text.name.clone().unwrap_or_else(|| format!("{:?}-{}", text.op, text.keys).to_lowercase());
    let wrong = |what: String| format!("operation {name:?}: {what}");
    let set = names.iter().position(|known| *known == text.keys);
    let set = set.ok_or_else(|| wrong(format!("there are no keys named {:?}", text.keys)))?;
    if !(text.weight.is_finite() && text.weight >= 0.0) {
        return Err(wrong("weight must not be negative".into()));
    }
    let list = text.op == Verb::List;
    if (text.limit.is_some() || text.keys_only || text.stream) && !list {
        return Err(wrong("limit, keys-only and stream belong to list".into()));
    }
    if (text.reads.is_some() || text.writes.is_some()) && text.op != Verb::Txn {
        return Err(wrong("reads and writes belong to txn".into()));
    }
    let serializable = text.serializable;
    let action = match text.op {
        Verb::Put => Action::Put,
        Verb::Delete => Action::Delete,
        Verb::Get => Action::Get { serializable },
        Verb::List => Action::List {
            limit: text.limit.unwrap_or(100),
            serializable,
            keys_only: text.keys_only,
            stream: text.stream,
        },
        Verb::Count => Action::Count { serializable },
        Verb::Txn => Action::Txn { reads: text.reads.unwrap_or(1), writes: text.writes.unwrap_or(1) },
    };
    if serializable && matches!(action, Action::Put | Action::Delete | Action::Txn { .. }) {
        return Err(wrong("serializable belongs to get, list and count".into()));
    }
    Ok(Operation { name, action, weight: text.weight, set })
}

impl Mix {
    /// Draws an operation by weight.
    pub(super) fn pick(&self, rng: &mut Rng) -> usize {
        let mut at = rng.unit() * self.total_weight;
        for (i, operation) in self.operations.iter().enumerate() {
            at -= operation.weight;
            if at < 0.0 {
                return i;
            }
        }
        self.operations.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
keys:
  hot: { count: 100, distribution: zipf, value-size: [10, 20] }
  cold: { prefix: c/, count: 1000, size: 32, distribution: hotspot, hot-keys: 5, hot-share: 0.5, load: false }
operations:
  - { op: get, keys: hot, weight: 3 }
  - { op: put, keys: cold, weight: 1, name: write }
  - { op: list, keys: hot, weight: 0, limit: 7, keys-only: true }
";

    #[test]
    fn a_good_file() {
        let mix = parse(GOOD).unwrap();
        assert_eq!(mix.sets.len(), 2);
        // sets are in the order of their names
        assert_eq!((mix.sets[0].prefix.as_str(), mix.sets[0].load), ("c/", false));
        assert_eq!((mix.sets[1].prefix.as_str(), mix.sets[1].value_size), ("hot/", (10, 20)));
        assert_eq!(mix.operations[0].name, "get-hot");
        assert_eq!((mix.operations[1].name.as_str(), mix.operations[1].set), ("write", 0));
        let mut rng = Rng::new(3);
        let mut counts = [0; 3];
        (0..4000).for_each(|_| counts[mix.pick(&mut rng)] += 1);
        assert!((2900..3100).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, words) in [
            ("count: 100,", "count: 0,", "count is zero"),
            ("distribution: zipf", "distribution: zapf", "zapf"),
            ("weight: 3", "wait: 3", "wait"),
            ("keys: hot, weight: 3", "keys: none", "no keys named \"none\""),
            ("limit: 7", "reads: 7", "belong to txn"),
            ("op: get", "op: get, limit: 3", "belong to list"),
            ("hot-share: 0.5", "hot-share: 1.5", "between 0 and 1"),
            ("[10, 20]", "[30, 20]", "[least, most]"),
            ("op: put", "op: put, serializable: true", "get, list and count"),
        ] {
            let said = parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(said.contains(words), "{to}: {said}");
        }
        assert!(parse("keys: {}\noperations: []").unwrap_err().contains("weight"));
    }
}
