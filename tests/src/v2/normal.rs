//! Answers in a form in which equal ones are equal.
//!
//! - Indices count from the server's origin: etcd keeps its members in the same tree, so that a new one begins at a few.
//! - Nodes of a listing are in order: without `sorted` etcd has them in that of a hash table.
//! - Moments are left out, and a TTL may be one second apart: two clocks were read.
//! - A control character is `\u0008` where Go before 1.22 wrote it so: JSON is compared as what it says.

use crate::http::Answer;
use serde_json::Value;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Normal {
    /// Status.
    pub code: u16,
    /// Content type.
    pub kind: Option<String>,
    /// `Allow`, `Location`.
    pub headers: Vec<Option<String>>,
    /// `X-Etcd-Index`, from the origin.
    pub index: Option<i64>,
    /// Whether the headers of the log and the cluster are there.
    pub has: [bool; 3],
    /// JSON, or text.
    pub body: Result<Value, String>,
}

/// Length of the names that the server gives to keys.
const NAME: usize = 20;

/// An answer of a server whose indices begin at `origin`.
pub fn normal(answer: &Answer, origin: u64) -> Normal {
    let has = |name: &str| answer.header(name).is_some();
    let body = serde_json::from_slice::<Value>(&answer.bytes);
    let body = match body {
        Ok(mut value) => {
            ordered(&mut value, origin);
            Ok(value)
        }
        Err(_) => Err(String::from_utf8_lossy(&answer.bytes).into_owned()),
    };
    let index = answer.header("x-etcd-index").and_then(|index| index.parse().ok());
    Normal {
        code: answer.code,
        kind: answer.header("content-type").map(str::to_owned),
        headers: ["allow", "location"].iter().map(|name| answer.header(name).map(str::to_owned)).collect(),
        index: index.map(|index: u64| from(index, origin)),
        has: [has("x-raft-index"), has("x-raft-term"), has("x-etcd-cluster-id")],
        body,
    }
}

/// An index from the origin; what is older counts backwards. Zero is no index.
fn from(index: u64, origin: u64) -> i64 {
    if index == 0 { 0 } else { index as i64 - origin as i64 }
}

fn ordered(value: &mut Value, origin: u64) {
    match value {
        Value::Object(fields) => {
            fields.remove("expiration");
            for (name, value) in fields.iter_mut() {
                match (name.as_str(), &mut *value) {
                    ("index" | "modifiedIndex" | "createdIndex", Value::Number(number)) => {
                        *value = from(number.as_u64().unwrap_or_default(), origin).into();
                    }
                    ("key", Value::String(text)) => *text = named(text, origin),
                    ("cause", Value::String(text)) => *text = numbered(&named(text, origin), origin),
                    _ => ordered(value, origin),
                }
            }
        }
        Value::Array(list) => {
            list.iter_mut().for_each(|value| ordered(value, origin));
            list.sort_by_key(|value| value["key"].as_str().unwrap_or_default().to_owned());
        }
        _ => {}
    }
}

/// A path in which names of the server's count from the origin.
fn named(path: &str, origin: u64) -> String {
    let part = |part: &str| match part.parse::<u64>() {
        Ok(number) if part.len() == NAME => format!("{:0NAME$}", from(number, origin)),
        _ => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// A cause like `[9 != 4]` or `[5/2]` with its indices from the origin. A value of digits is one digit here: indices are more.
fn numbered(cause: &str, origin: u64) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    let bracketed = cause.contains('[');
    for c in cause.chars().chain(['\0']) {
        if bracketed && c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            let number: u64 = digits.parse().unwrap_or_default();
            let is_index = digits != "1" || !cause.contains(" != ");
            out.push_str(&if is_index { from(number, origin).to_string() } else { digits.clone() });
            digits.clear();
        }
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

/// Whether two answers say the same, but for TTLs that are a second apart.
pub fn same(one: &Normal, other: &Normal) -> bool {
    let without = |normal: &Normal| Normal { body: Ok(Value::Null), ..normal.clone() };
    let bodies = match (&one.body, &other.body) {
        (Ok(one), Ok(other)) => alike(one, other),
        (one, other) => one == other,
    };
    without(one) == without(other) && bodies
}

fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| match (name.as_str(), other.get(name)) {
                    ("ttl", Some(other)) => {
                        value.as_i64().unwrap_or_default().abs_diff(other.as_i64().unwrap_or_default()) <= 1
                    }
                    (_, Some(other)) => alike(value, other),
                    (_, None) => false,
                })
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_count_from_the_origin() {
        let answer = |index: u64| {
            Answer {
            code: 404,
            headers: format!("x-etcd-index: {index}"),
            body: String::new(),
            bytes: format!(
                "{{\"errorCode\":101,\"cause\":\"[{} != {index}]\",\"index\":{index},\"nodes\":[{{\"key\":\"/b/{index:020}\"}},{{\"key\":\"/a\"}}]}}",
                index - 1
            )
            .into_bytes(),
        }
        };
        assert!(same(&normal(&answer(9), 2), &normal(&answer(12), 5)));
        assert!(!same(&normal(&answer(9), 2), &normal(&answer(12), 6)));
    }
}
