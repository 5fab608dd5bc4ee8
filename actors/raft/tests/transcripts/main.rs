//! Replays the public transcripts of etcd's raft library, byte for byte.
//!
//! Runs over the copies in `tests/data`, or over any directory with the same sub-folders named by `RAFT_TRANSCRIPTS`.
//! Prints how many files and directives were run. There is no raft logic in here: it moves and prints what the core
//! hands out.

mod confchange;
mod datadriven;
mod deliver;
mod describe;
mod env;
mod flight;
mod inspect;
mod log_lines;
mod output;
mod process;
mod quorum;
mod setup;

use std::path::PathBuf;

use datadriven::Directive;

fn root() -> PathBuf {
    // Asked when it runs: a build folder shared by two clones keeps the binary of the other one.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let default = || here.join("tests/data");
    std::env::var_os("RAFT_TRANSCRIPTS").map_or_else(default, PathBuf::from)
}

/// Files of a sub-folder, also where etcd's own tree has them.
fn files(folder: &str) -> Vec<PathBuf> {
    let upstream = if folder == "interaction" { "testdata".to_owned() } else { format!("{folder}/testdata") };
    let mut files: Vec<PathBuf> = [folder, &upstream]
        .iter()
        .filter_map(|sub| std::fs::read_dir(root().join(sub)).ok())
        .flat_map(|listing| listing.map(|file| file.expect("a directory entry").path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let anywhere = ["interaction", "testdata", "confchange", "quorum"].iter().any(|sub| root().join(sub).is_dir());
    assert!(anywhere, "{} has no transcripts", root().display());
    files
}

/// Runs every file of a sub-folder with a fresh handler and compares all outputs.
fn run_folder<H: FnMut(&Directive) -> String>(folder: &str, mut fresh: impl FnMut() -> H) {
    let files = files(folder);
    let (mut directives, mut failures) = (0, Vec::new());
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut handle = fresh();
        for directive in datadriven::parse(&name, &text) {
            let mut actual = handle(&directive);
            if !actual.is_empty() && !actual.ends_with('\n') {
                actual.push('\n');
            }
            directives += 1;
            if actual != directive.expected {
                failures.push(difference(&directive, &actual));
                break;
            }
        }
    }
    println!("{folder}: {} files, {directives} directives, {} files differ", files.len(), failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn difference(d: &Directive, actual: &str) -> String {
    let same = d.expected.lines().zip(actual.lines()).take_while(|(e, a)| e == a).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("<end>").to_owned();
    format!(
        "{} {}: differs in line {} of its output\nexpected: {}\nactual:   {}\n--- whole output ---\n{actual}",
        d.place,
        d.command,
        same + 1,
        line(&d.expected),
        line(actual)
    )
}

#[test]
fn interaction() {
    run_folder("interaction", || {
        let mut env = env::Env::default();
        move |d: &Directive| env.handle(d)
    });
}

#[test]
fn confchange() {
    run_folder("confchange", || {
        let mut env = confchange::ConfChangeEnv::default();
        move |d: &Directive| env.handle(d)
    });
}

#[test]
fn quorum() {
    run_folder("quorum", || quorum::handle);
}
