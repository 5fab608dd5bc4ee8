//! Random requests of the keys API, over few paths and values, so that they meet.
//!
//! Must never depend on anything but its seed and the indices that were seen.

/// A random number generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// An index in a request: each server has it from its own origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// Name of the field.
    pub field: &'static str,
    /// From the origin on.
    pub value: u64,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Method.
    pub method: &'static str,
    /// Path, escaped.
    pub path: String,
    /// Query without indices.
    pub query: Vec<String>,
    /// Indices.
    pub indices: Vec<Index>,
    /// It may wait for ever.
    pub waits: bool,
}

impl Planned {
    /// The target of the request for a server whose indices begin at `origin`.
    pub fn target(&self, origin: u64) -> String {
        let indices = self.indices.iter().map(|index| format!("{}={}", index.field, index.value + origin));
        let query: Vec<_> = self.query.iter().cloned().chain(indices).collect();
        if query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, query.join("&")) }
    }
}

const PATHS: &[&str] = &[
    "/a", "/b", "/a/b", "/a/c", "/a/b/c", "/a/b/d", "/b/a", "/b/_h", "/_h", "/_h/a", "/_h/_i", "/c/d/e/f", "/c/d",
    "/c", "/%3Cx%3E", "/a%20b", "/ab", "/a/b/", "/", "", "/%C3%A4", "/%FF", "/a+b", "/q", "/q/r",
];
const VALUES: &[&str] =
    &["x", "y", "x%20y", "", "%3C%26%3E", "%22%5C%0A%09%01", "%FF%FE", "%E2%80%A8", "1", "z%2Bz", "a+b"];
/// What is no truth value, number or escape.
const ODD: &[&str] = &[
    "recursive=maybe",
    "sorted=",
    "wait",
    "dir=2",
    "quorum=x",
    "stream=no",
    "prevExist=x",
    "prevExist=",
    "refresh=q",
    "prevIndex=-1",
    "prevIndex=x",
    "waitIndex=1.5",
    "ttl=x",
    "ttl=-1",
    "ttl=%20",
    "prevValue=",
    "noValueOnSuccess=?",
    "value=%zz",
    "a;b",
    "prevIndex=18446744073709551616",
    "x",
    "value=1&value=2",
    "dir=t",
    "dir=FALSE",
    "ttl=",
];

/// The next request. `index` is where the tree stands, counted from the origin.
pub fn next(chance: &mut Chance, index: u64) -> Planned {
    let method = match chance.below(100) {
        0..38 => "PUT",
        38..46 => "POST",
        46..64 => "DELETE",
        64..96 => "GET",
        96..98 => "HEAD",
        _ => chance.pick(&["PATCH", "OPTIONS2", "PUT"]),
    };
    let mut planned = Planned {
        method,
        path: format!("/v2/keys{}", chance.pick(PATHS)),
        query: Vec::new(),
        indices: Vec::new(),
        waits: false,
    };
    match method {
        "PUT" | "POST" => write(chance, &mut planned, index),
        "DELETE" => delete(chance, &mut planned, index),
        "GET" if chance.one_in(40) => watch(chance, &mut planned, index),
        _ => read(chance, &mut planned),
    }
    if chance.one_in(25) {
        planned.query.push(chance.pick(ODD).into());
    }
    planned
}

fn index_near(chance: &mut Chance, index: u64) -> u64 {
    match chance.below(4) {
        0 => index,
        1 => index.saturating_sub(chance.below(6)).max(1),
        _ => index.saturating_sub(chance.below(40)).max(1),
    }
}

fn write(chance: &mut Chance, planned: &mut Planned, index: u64) {
    let refresh = chance.one_in(14);
    if !refresh || chance.one_in(5) {
        planned.query.push(format!("value={}", chance.pick(VALUES)));
    }
    if chance.one_in(7) {
        planned.query.push(format!("dir={}", chance.pick(&["true", "1", "false"])));
    }
    if chance.one_in(4) {
        planned.query.push(format!("prevExist={}", chance.pick(&["true", "false"])));
    }
    if chance.one_in(6) {
        planned.query.push(format!("prevValue={}", chance.pick(VALUES)));
    }
    if chance.one_in(6) {
        planned.indices.push(Index { field: "prevIndex", value: index_near(chance, index) });
    }
    if refresh || chance.one_in(8) {
        planned.query.push(format!("ttl={}", 1_000 + chance.below(9_000)));
    }
    if refresh {
        planned.query.push("refresh=true".into());
    }
    if chance.one_in(12) {
        planned.query.push("noValueOnSuccess=true".into());
    }
}

fn delete(chance: &mut Chance, planned: &mut Planned, index: u64) {
    if chance.one_in(3) {
        planned.query.push(format!("dir={}", chance.pick(&["true", "false"])));
    }
    if chance.one_in(3) {
        planned.query.push("recursive=true".into());
    }
    if chance.one_in(6) {
        planned.query.push(format!("prevValue={}", chance.pick(VALUES)));
    }
    if chance.one_in(6) {
        planned.indices.push(Index { field: "prevIndex", value: index_near(chance, index) });
    }
}

fn read(chance: &mut Chance, planned: &mut Planned) {
    for (field, n) in [("recursive=true", 2), ("sorted=true", 3), ("quorum=true", 4)] {
        if chance.one_in(n) {
            planned.query.push(field.into());
        }
    }
}

fn watch(chance: &mut Chance, planned: &mut Planned, index: u64) {
    planned.query.push("wait=true".into());
    if chance.one_in(2) {
        planned.query.push("recursive=true".into());
    }
    let value = if chance.one_in(4) { chance.below(index + 1).max(1) } else { index_near(chance, index) };
    planned.indices.push(Index { field: "waitIndex", value });
    planned.waits = true;
}
