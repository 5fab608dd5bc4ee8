//! What a configuration file holds, read as etcd's YAML library reads it: the first document, keys of any case, a key that stands
//! twice counts by its last value, YAML 1.1 words for booleans.
//!
//! Must never know what a key means.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order of the file.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The first document of a file.
    ///
    /// # Errors
    /// The reader's words, with the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        match serde_yaml_ng::Deserializer::from_str(text).next() {
            Some(_) if text.trim().is_empty() => Ok(Self::Null),
            Some(document) => Self::deserialize(document).map_err(|why| why.to_string()),
            None => Ok(Self::Null),
        }
    }

    /// A value as the text of a flag; nothing for maps and null.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Null | Self::Map(_) => None,
            Self::Bool(on) => Some(on.to_string()),
            Self::Int(number) => Some(number.to_string()),
            // 8.0e9 is a whole number in the JSON that etcd makes of it
            Self::Float(number) if number.fract() == 0.0 && number.abs() < 1e21 => Some(format!("{number:.0}")),
            Self::Float(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.clone()),
            Self::List(parts) => {
                let parts: Option<Vec<String>> = parts.iter().map(Self::text).collect();
                parts.map(|parts| parts.join(","))
            }
        }
    }

    /// A number, whole or not.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Float(_))
    }

    /// A boolean as the text of a flag: YAML 1.1 has more words for it than Go's flags.
    pub fn boolean(&self) -> Option<String> {
        match self {
            Self::Text(text) => match text.as_str() {
                "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some("true".into()),
                "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some("false".into()),
                _ => Some(text.clone()),
            },
            other => other.text(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a list, or keys and values")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        Node::deserialize(from)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = from.next_element()? {
            parts.push(part);
        }
        Ok(Node::List(parts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = from.next_entry()? {
            pairs.push(pair);
        }
        Ok(Node::Map(merged(pairs)))
    }
}

/// Puts what `<<` refers to before the keys of the map, which count more.
fn merged(pairs: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
    let is_merge = |pair: &(Node, Node)| matches!(&pair.0, Node::Text(key) if key == "<<");
    let (merges, own): (Vec<_>, Vec<_>) = pairs.into_iter().partition(is_merge);
    let mut all = Vec::new();
    for (_, from) in merges {
        let maps = if let Node::List(maps) = from { maps } else { vec![from] };
        for map in maps {
            if let Node::Map(inherited) = map {
                all.extend(inherited);
            }
        }
    }
    all.retain(|(key, _)| own.iter().all(|(known, _)| known != key));
    all.extend(own);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_as_gos_library_reads_them() {
        assert_eq!(Node::parse(""), Ok(Node::Null));
        assert_eq!(Node::parse("# only a comment\n"), Ok(Node::Null));
        let Ok(Node::Map(first)) = Node::parse("a: 1\n---\nb: 2\n") else { panic!("the first document") };
        assert_eq!(first, [(Node::Text("a".into()), Node::Int(1))]);
        let Ok(Node::Map(twice)) = Node::parse("a: 1\na: 2\n") else { panic!("a key twice") };
        assert_eq!(twice.len(), 2);
        let text = |yaml: &str| match Node::parse(yaml) {
            Ok(Node::Map(pairs)) => pairs[0].1.text().unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text("a: 8.0e9"), "8000000000");
        assert_eq!(text("a: 1e4"), "10000");
        assert_eq!(text("a: 0.5"), "0.5");
        assert_eq!(text("a: [x, 1]"), "x,1");
        let Ok(Node::Map(merged)) = Node::parse("x: {a: 1, b: 1}\ny: &y {a: 2}\nz: {<<: *y, b: 3}") else { panic!() };
        let pair = |key: &str, value| (Node::Text(key.into()), Node::Int(value));
        assert_eq!(merged[2].1, Node::Map(vec![pair("a", 2), pair("b", 3)]));
    }
}
