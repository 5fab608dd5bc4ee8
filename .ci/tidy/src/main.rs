//! Checks what a compiler does not: crate edges, circles of imports, sizes and headers, rows of owners, cited files.
//! Prints every offence and exits with 1.
//!
//! Run by `make test`. Must never change a file.

mod circles;
mod citations;
mod edges;
mod owners;
mod sizes;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".into()));
    let mut offences = edges::check(&root);
    offences.extend(sizes::check(&root));
    offences.extend(circles::check(&root));
    offences.extend(owners::check(&root));
    offences.extend(citations::check(&root));
    for offence in &offences {
        eprintln!("tidy: {offence}");
    }
    if offences.is_empty() {
        println!("tidy: crate edges, imports, sizes, headers, owners and citations are as they should be");
        return ExitCode::SUCCESS;
    }
    eprintln!("tidy: {} offences", offences.len());
    ExitCode::FAILURE
}
