//! `migrate`: checks that the data folder is one that the wanted version reads. There is nothing to change yet.

use crate::failure::Failure;
use crate::target::{Target, open};
use std::path::Path;
use std::time::Duration;
use storage::apply::{FORMAT_VERSION, State};

/// Oldest version whose API the format serves.
const OLDEST: (u64, u64) = (3, 5);
/// Newest one.
const NEWEST: (u64, u64) = (3, 7);

/// Carries out the command.
///
/// # Errors
/// [`Failure`] for a version that this build does not know, and for a folder that is no sound store.
pub fn run(data_dir: &Path, target: &str, force: bool, timeout: Duration) -> Result<(), Failure> {
    let version = parse(target)?;
    let opened = open(&Target::Member(Target::member(data_dir, None)?), timeout)?;
    State::read(&opened.rows)?;
    if version > NEWEST && !force {
        let (major, minor) = NEWEST;
        return Err(Failure::new(format!(
            "target version {target:?} is newer than {major}.{minor}, the newest this build knows; use the conclaveutl of that version"
        )));
    }
    eprintln!("storage version up-to-date: format {FORMAT_VERSION} serves version {target}, nothing was changed");
    Ok(())
}

fn parse(target: &str) -> Result<(u64, u64), Failure> {
    let format = || Failure::bad_args(format!("wrong target version format, expected \"X.Y\", got {target:?}"));
    let (major, minor) = target.split_once('.').filter(|(_, minor)| !minor.contains('.')).ok_or_else(format)?;
    let number = |text: &str| text.parse::<u64>().ok();
    let (Some(major), Some(minor)) = (number(major), number(minor)) else {
        return Err(Failure::bad_args(format!("failed to parse target version: {target:?} is no version")));
    };
    if (major, minor) < OLDEST {
        return Err(Failure::bad_args(format!("target version {target:?} not supported. Minimal \"3.5\"")));
    }
    Ok((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_etcdutl_reads_them() {
        assert_eq!(parse("3.6").unwrap(), (3, 6));
        for (text, words) in [
            ("3", "wrong target version format, expected \"X.Y\", got \"3\""),
            ("3.6.1", "wrong target version format, expected \"X.Y\", got \"3.6.1\""),
            ("3.4", "target version \"3.4\" not supported. Minimal \"3.5\""),
            ("3.x", "failed to parse target version: \"3.x\" is no version"),
        ] {
            let failure = parse(text).unwrap_err();
            assert_eq!((failure.code, failure.text()), (128, words));
        }
    }
}
