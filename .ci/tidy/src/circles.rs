//! Imports between the files of one crate run one way: no circle. Must never change a file.
//!
//! An arrow goes from a file to each file whose items it names by `use` or by a path that begins with `crate`, `super` or
//! `self`. What a `mod.rs` re-exports leads to the file that defines it; the re-export itself and `mod` lines are
//! signposts, not arrows. Code of test builds does not count.

use crate::source;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One sentence for every group of files that import each other in a circle.
pub fn check(root: &Path) -> Vec<String> {
    let roots = source::files(root, &["toml"]);
    let roots = roots.iter().filter(|path| path.file_name().is_some_and(|name| name == "Cargo.toml"));
    let mut out = Vec::new();
    for package in roots.filter_map(|path| path.parent()) {
        for entry in ["src/lib.rs", "src/main.rs"] {
            let entry = package.join(entry);
            if entry.is_file() {
                let krate = Crate::read(&entry);
                out.extend(krate.circles().into_iter().map(|circle| sentence(root, &circle)));
            }
        }
    }
    out
}

fn sentence(root: &Path, circle: &[PathBuf]) -> String {
    let names: Vec<_> =
        circle.iter().map(|path| path.strip_prefix(root).unwrap_or(path).display().to_string()).collect();
    format!("imports run in a circle through {}", names.join(", "))
}

type ModulePath = Vec<String>;

struct Module {
    file: PathBuf,
    /// Paths named in it, from the root of the crate.
    uses: Vec<ModulePath>,
    /// Names that it re-exports, and what they stand for. An empty name stands for a glob.
    exports: Vec<(String, ModulePath)>,
}

/// The modules of a crate that have files of their own.
struct Crate(BTreeMap<ModulePath, Module>);

impl Crate {
    fn read(entry: &Path) -> Self {
        let mut modules = BTreeMap::new();
        let folder = entry.parent().map(Path::to_path_buf).unwrap_or_default();
        read_module(entry.to_path_buf(), &folder, Vec::new(), &mut modules);
        Self(modules)
    }

    /// The module that defines what `path` names, following re-exports.
    fn definition(&self, path: &[String], depth: usize) -> Option<&ModulePath> {
        let length = (0..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
        let (at, module) = self.0.get_key_value(&path[..length])?;
        let Some(name) = path.get(length).filter(|_| depth < 8) else { return Some(at) };
        let export = module.exports.iter().find(|(exported, _)| exported == name);
        match export {
            Some((_, to)) if to != path => self.definition(to, depth + 1),
            _ => Some(at),
        }
    }

    fn arrows(&self) -> BTreeMap<&ModulePath, BTreeSet<&ModulePath>> {
        let to = |from: &ModulePath, module: &Module| {
            let named = module.uses.iter().filter_map(|path| self.definition(path, 0));
            named.filter(|to| *to != from).collect()
        };
        self.0.iter().map(|(at, module)| (at, to(at, module))).collect()
    }

    /// Groups of files in which each reaches each other.
    fn circles(&self) -> Vec<Vec<PathBuf>> {
        let arrows = self.arrows();
        let reach: BTreeMap<_, _> = arrows.keys().map(|from| (*from, reachable(&arrows, from))).collect();
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for (from, reached) in &reach {
            if !reached.contains(from) || seen.contains(from) {
                continue;
            }
            let circle: Vec<_> = reached.iter().filter(|to| reach[*to].contains(from)).collect();
            seen.extend(circle.iter().copied().copied());
            circles.push(circle.into_iter().map(|at| self.0[*at].file.clone()).collect());
        }
        circles
    }
}

fn reachable<'a>(
    arrows: &BTreeMap<&'a ModulePath, BTreeSet<&'a ModulePath>>,
    from: &ModulePath,
) -> BTreeSet<&'a ModulePath> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&ModulePath> = arrows[from].iter().copied().collect();
    while let Some(at) = open.pop() {
        if reached.insert(at) {
            open.extend(arrows[at].iter().copied());
        }
    }
    reached
}

fn read_module(file: PathBuf, folder: &Path, at: ModulePath, modules: &mut BTreeMap<ModulePath, Module>) {
    let Ok(text) = fs::read_to_string(&file) else { return };
    let code = source::without_tests(&source::code_only(&text));
    let mut uses = Vec::new();
    let mut exports = Vec::new();
    for (path, name, public) in named_paths(&code, &at) {
        match public {
            true => exports.push((name, path)),
            false => uses.push(path),
        }
    }
    for child in child_modules(&code) {
        let plain = folder.join(format!("{child}.rs"));
        let nested = folder.join(&child).join("mod.rs");
        let file = if plain.is_file() { plain } else { nested };
        let path: ModulePath = at.iter().cloned().chain([child.clone()]).collect();
        read_module(file, &folder.join(&child), path, modules);
    }
    modules.insert(at, Module { file, uses, exports });
}

/// Names behind `mod` that end with a semicolon.
fn child_modules(code: &str) -> Vec<String> {
    let words: Vec<_> = code.split_whitespace().collect();
    let pairs = words.windows(2).filter(|pair| pair[0] == "mod");
    pairs.filter_map(|pair| pair[1].strip_suffix(';')).map(str::to_owned).collect()
}

/// Paths from the root of the crate that `code` of module `at` names, with their last name (or alias) and whether it is a
/// re-export.
fn named_paths(code: &str, at: &[String]) -> Vec<(ModulePath, String, bool)> {
    let mut out = Vec::new();
    let mut plain = String::new();
    let mut rest = code;
    while let Some(found) = find_use(rest) {
        let (before, public, tree, after) = found;
        plain.push_str(before);
        expand(tree, &mut Vec::new(), &mut |path, name| {
            if let Some(path) = from_root(path, at) {
                out.push((path, name.to_owned(), public));
            }
        });
        rest = after;
    }
    plain.push_str(rest);
    for path in inline_paths(&plain) {
        out.extend(from_root(&path, at).map(|path| (path, String::new(), false)));
    }
    out
}

/// The next `use` item: what stands before it, whether it is public, its tree, and what stands behind it.
fn find_use(code: &str) -> Option<(&str, bool, &str, &str)> {
    let mut from = 0;
    loop {
        let at = from + code[from..].find("use ")?;
        let line = code[..at].rfind(['\n', ';', '}', '{']).map_or(0, |p| p + 1);
        let before = code[line..at].trim();
        let is_item = before.is_empty() || before == "pub" || (before.starts_with("pub(") && before.ends_with(')'));
        if is_item {
            let end = at + code[at..].find(';')?;
            return Some((&code[..line], !before.is_empty(), &code[at + 4..end], &code[end + 1..]));
        }
        from = at + 4;
    }
}

/// Calls `each` with every path of a `use` tree.
fn expand(tree: &str, prefix: &mut Vec<String>, each: &mut impl FnMut(&[String], &str)) {
    let tree = tree.trim();
    let depth = prefix.len();
    let mut rest = tree;
    while let Some((segment, after)) = rest.split_once("::").filter(|(segment, _)| !segment.contains('{')) {
        prefix.push(segment.trim().to_owned());
        rest = after;
    }
    if let Some(inner) = rest.trim().strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
        for part in split_list(inner) {
            expand(part, prefix, each);
        }
    } else if !rest.trim().is_empty() {
        let (name, alias) = rest.trim().split_once(" as ").unwrap_or((rest.trim(), rest.trim()));
        if name != "self" && name != "*" {
            prefix.push(name.trim().to_owned());
        }
        each(prefix, if name == "*" { "" } else { alias.trim() });
    }
    prefix.truncate(depth);
}

/// Parts of a list, split at the commas of its own level.
fn split_list(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

/// Paths in expressions and types that begin with `crate`, `super` or `self`.
fn inline_paths(code: &str) -> Vec<ModulePath> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c| !is_path(c));
    let starts = |word: &&str| ["crate::", "super::", "self::"].iter().any(|start| word.starts_with(start));
    words.filter(starts).map(|word| word.split("::").filter(|s| !s.is_empty()).map(str::to_owned).collect()).collect()
}

/// The path from the root of the crate, `None` for one that leads to another crate.
fn from_root(path: &[String], at: &[String]) -> Option<ModulePath> {
    let first = path.first()?.as_str();
    let mut base = match first {
        "crate" => Vec::new(),
        "self" | "super" => at.to_vec(),
        _ => return None,
    };
    let mut rest = &path[1..];
    if first == "super" {
        base.pop();
        while rest.first().is_some_and(|segment| segment == "super") {
            base.pop();
            rest = &rest[1..];
        }
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of(name: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<Vec<String>>) {
        let folder = tempfile::Builder::new().prefix(name).tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("inside")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let circles = Crate::read(&folder.path().join("lib.rs")).circles();
        let names = |circle: &Vec<PathBuf>| {
            let name = |path: &PathBuf| path.strip_prefix(folder.path()).expect("inside").display().to_string();
            circle.iter().map(name).collect()
        };
        let circles = circles.iter().map(names).collect();
        (folder, circles)
    }

    #[test]
    fn two_files_that_name_each_other_are_a_circle() {
        let lib = "mod a; mod b; mod c;";
        let files =
            [("lib.rs", lib), ("a.rs", "use crate::{c, b::B};"), ("b.rs", "fn f() { super::a::g() }"), ("c.rs", "")];
        assert_eq!(crate_of("circle", &files).1, [["a.rs", "b.rs"]]);
    }

    #[test]
    fn a_re_export_leads_to_the_file_that_defines_it() {
        let files = [
            ("lib.rs", "mod m;"),
            ("m/mod.rs", "mod inner; mod other; pub use inner::X; pub use self::other::Y;"),
            ("m/inner.rs", "use super::Y;"),
            ("m/other.rs", "#[cfg(test)]\nmod tests { use crate::m::X; }"),
        ];
        assert!(crate_of("export", &files).1.is_empty());
    }

    #[test]
    fn a_child_that_needs_its_parent_which_needs_it_is_a_circle() {
        let files = [
            ("lib.rs", "mod m;"),
            ("m/mod.rs", "mod inner; use self::inner::X; pub struct P(X);"),
            ("m/inner.rs", "use super::P;"),
        ];
        assert_eq!(crate_of("parent", &files).1, [["m/mod.rs", "m/inner.rs"]]);
    }
}
