//! Answers of the keys API, and how they are printed: simple, extended, JSON as Go's client writes it.
//!
//! Pure: an answer goes in, text comes out.

use super::api::{Failure, Reply};
use super::go_json::go_string;
use serde_json::Value;

/// An answer about a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What was done.
    pub action: String,
    /// The node.
    pub node: Node,
    /// What was there before.
    pub prev: Option<Node>,
    /// `X-Etcd-Index`.
    pub index: u64,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    pub key: String,
    pub value: String,
    pub dir: bool,
    pub created: u64,
    pub modified: u64,
    pub ttl: i64,
    expiration: Option<String>,
    /// `None` where the answer has none.
    pub nodes: Option<Vec<Node>>,
}

impl Node {
    fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Self {
            key: text("key"),
            value: text("value"),
            dir: value["dir"].as_bool().unwrap_or_default(),
            created: value["createdIndex"].as_u64().unwrap_or_default(),
            modified: value["modifiedIndex"].as_u64().unwrap_or_default(),
            ttl: value["ttl"].as_i64().unwrap_or_default(),
            expiration: value["expiration"].as_str().map(str::to_owned),
            nodes: value["nodes"].as_array().map(|nodes| nodes.iter().map(Self::of).collect()),
        }
    }

    /// As Go's client marshals it: fields in its order, nodes always there.
    fn json(&self) -> String {
        let mut out = format!("{{\"key\":{}", go_string(&self.key));
        if self.dir {
            out.push_str(",\"dir\":true");
        }
        out.push_str(&format!(",\"value\":{},\"nodes\":", go_string(&self.value)));
        match &self.nodes {
            Some(nodes) => out.push_str(&format!("[{}]", nodes.iter().map(Self::json).collect::<Vec<_>>().join(","))),
            None => out.push_str("null"),
        }
        out.push_str(&format!(",\"createdIndex\":{},\"modifiedIndex\":{}", self.created, self.modified));
        if let Some(expiration) = &self.expiration {
            out.push_str(&format!(",\"expiration\":{}", go_string(expiration)));
        }
        if self.ttl != 0 {
            out.push_str(&format!(",\"ttl\":{}", self.ttl));
        }
        out.push('}');
        out
    }
}

impl Answer {
    /// Reads a reply.
    ///
    /// # Errors
    /// The error that it is.
    pub fn read(reply: &Reply) -> Result<Self, Failure> {
        let value = reply.json()?;
        if !matches!(reply.status, 200 | 201) {
            return Err(Failure::Keys(value));
        }
        let prev = Some(&value["prevNode"]).filter(|prev| prev.is_object()).map(Node::of);
        let action = value["action"].as_str().unwrap_or_default().to_owned();
        Ok(Self { action, node: Node::of(&value["node"]), prev, index: reply.index })
    }

    /// What is printed in one of the formats; `None` for a format that nobody knows.
    pub fn shown(&self, format: &str) -> Option<String> {
        let previous = self.prev.as_ref().map(|prev| &*prev.value);
        match format {
            "simple" if self.action == "delete" => Some(format!("PrevNode.Value: {}\n", previous.unwrap_or_default())),
            "simple" => Some(format!("{}\n", self.node.value)),
            "extended" => {
                let Node { key, created, modified, ttl, value, .. } = &self.node;
                let mut out = format!("Key: {key}\nCreated-Index: {created}\nModified-Index: {modified}\n");
                if let Some(previous) = previous {
                    out.push_str(&format!("PrevNode.Value: {previous}\n"));
                }
                out.push_str(&format!("TTL: {ttl}\nIndex: {}\n", self.index));
                if self.action != "delete" {
                    out.push_str(&format!("\n{value}\n"));
                }
                Some(out)
            }
            "json" => {
                let prev = self.prev.as_ref().map_or_else(|| "null".to_owned(), Node::json);
                let action = go_string(&self.action);
                Some(format!("{{\"action\":{action},\"node\":{},\"prevNode\":{prev}}}\n", self.node.json()))
            }
            _ => None,
        }
    }

    /// Prints it.
    pub fn print(&self, format: &str) {
        match self.shown(format) {
            Some(text) => crate::print::say(text.as_bytes()),
            None => eprintln!("Unsupported output format: {format}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        let body = br#"{"action":"set","node":{"key":"/a","value":"<x>","ttl":5,"modifiedIndex":7,"createdIndex":7},
                        "prevNode":{"key":"/a","value":"w","modifiedIndex":3,"createdIndex":3}}"#;
        Answer::read(&Reply { status: 200, index: 9, body: body.to_vec().into() }).unwrap()
    }

    #[test]
    fn the_three_formats() {
        assert_eq!(answer().shown("simple").unwrap(), "<x>\n");
        let extended = "Key: /a\nCreated-Index: 7\nModified-Index: 7\nPrevNode.Value: w\nTTL: 5\nIndex: 9\n\n<x>\n";
        assert_eq!(answer().shown("extended").unwrap(), extended);
        let json = concat!(
            r#"{"action":"set","node":{"key":"/a","value":"\u003cx\u003e","nodes":null,"createdIndex":7,"modifiedIndex":7,"ttl":5},"#,
            r#""prevNode":{"key":"/a","value":"w","nodes":null,"createdIndex":3,"modifiedIndex":3}}"#,
            "\n"
        );
        assert_eq!(answer().shown("json").unwrap(), json);
        assert_eq!(answer().shown("yaml"), None);
    }

    #[test]
    fn a_deletion_shows_what_was_there() {
        let deleted = Answer { action: "delete".into(), ..answer() };
        assert_eq!(deleted.shown("simple").unwrap(), "PrevNode.Value: w\n");
        assert!(!deleted.shown("extended").unwrap().ends_with("<x>\n"));
    }
}
