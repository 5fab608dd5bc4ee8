//! Checks what a compiler does not: crate edges, file and function sizes, headers. Prints every offence and exits with 1.
//!
//! Run by `make test`. Must never change a file.

mod edges;
mod sizes;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".into()));
    let mut offences = edges::check(&root);
    offences.extend(sizes::check(&root));
    for offence in &offences {
        eprintln!("tidy: {offence}");
    }
    if offences.is_empty() {
        println!("tidy: crate edges, sizes and headers are as they should be");
        return ExitCode::SUCCESS;
    }
    eprintln!("tidy: {} offences", offences.len());
    ExitCode::FAILURE
}
