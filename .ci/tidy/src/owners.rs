//! Every owner that `actors/src/lib.rs` lists has a row in the table of `docs/architecture.md`. Must never change a file.

use std::fs;
use std::path::Path;

const LIST: &str = "actors/src/lib.rs";
const PAGE: &str = "docs/architecture.md";

/// One sentence for every owner without a row.
pub fn check(root: &Path) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(root.join(path)).map_err(|why| format!("{path}: {why}"));
    match (read(LIST), read(PAGE)) {
        (Ok(list), Ok(page)) => missing(&list, &page),
        (Err(why), _) | (_, Err(why)) => vec![why],
    }
}

fn missing(list: &str, page: &str) -> Vec<String> {
    let rows: Vec<_> = page.lines().filter_map(|line| first_cell(line.strip_prefix('|')?)).collect();
    let owners = list.lines().filter_map(|line| first_cell(line.strip_prefix("//! |")?));
    let listed = owners.filter(|owner| !["owner", "---"].contains(owner));
    let without = listed.filter(|owner| !rows.contains(owner));
    without.map(|owner| format!("{PAGE}: no row for the owner \"{owner}\" of {LIST}")).collect()
}

fn first_cell(row: &str) -> Option<&str> {
    row.split('|').next().map(str::trim).filter(|cell| !cell.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_without_a_row_is_named() {
        let list = "//! | owner | file |\n//! |---|---|\n//! | applier | [`applier`] |\n//! | ticker | [`ticker`] |";
        let page = "| owner | file |\n|---|---|\n| applier | `actors/src/applier.rs` |";
        let found = missing(list, page);
        assert_eq!(found, ["docs/architecture.md: no row for the owner \"ticker\" of actors/src/lib.rs"]);
    }
}
