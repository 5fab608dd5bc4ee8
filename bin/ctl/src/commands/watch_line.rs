//! What a watch is asked for: keys, options, and the command behind `--`.

use crate::cli::Input;
use crate::cli::spec::Flag;
use crate::cli::value::Values;

/// Flags of the command; lines of `watch -i` read them as well.
pub const FLAGS: &[Flag] = &[
    Flag::switch("interactive", "read watch requests from standard input").letter('i'),
    Flag::switch("prefix", "watch all keys with the prefix <key>"),
    Flag::int("rev", "revision to start watching from"),
    Flag::switch("prev-kv", "print the key-value pair before each event"),
    Flag::switch("progress-notify", "print the progress notifications of the server"),
];

/// Said when a key is missing.
pub const BAD_NUMBER: &str = "bad number of arguments";
const CONFLICT: &str = "bad number of arguments (found conflicting environment key)";
const NO_COMMAND: &str = "bad number of arguments (found separator --, but no commands)";

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The key, and the end of a range.
    pub keys: Vec<Vec<u8>>,
    /// Every key that begins with it.
    pub prefix: bool,
    /// First revision.
    pub revision: i64,
    /// What was before.
    pub prev_kv: bool,
    /// How far the server is.
    pub progress: bool,
    /// What to run at every event.
    pub command: Vec<Vec<u8>>,
}

/// From the arguments of the program and the environment.
///
/// # Errors
/// What does not go together.
pub fn from_arguments(input: &Input, key: &[u8], end: &[u8]) -> Result<Asked, String> {
    let command = split(&input.raw)?.map(<[Vec<u8>]>::to_vec);
    // the parser keeps what is behind `--` as the last arguments
    let behind = command.as_ref().map_or(0, Vec::len);
    let keys = input.args[..input.args.len().saturating_sub(behind)].to_vec();
    asked(&input.values, keys, command, key, end)
}

/// From the words of a line, and the environment.
///
/// # Errors
/// What does not go together.
pub fn from_words(words: &[Vec<u8>], key: &[u8], end: &[u8]) -> Result<Asked, String> {
    let command = split(words)?.map(<[Vec<u8>]>::to_vec);
    let known: Vec<&'static Flag> = FLAGS.iter().collect();
    let (values, args) = super::txn_line::flags(&known, words)?;
    let behind = command.as_ref().map_or(0, Vec::len);
    let keys = args[..args.len().saturating_sub(behind)].to_vec();
    asked(&values, keys, command, key, end)
}

/// What stands behind the first `--`.
fn split(line: &[Vec<u8>]) -> Result<Option<&[Vec<u8>]>, String> {
    match line.iter().position(|word| word == b"--") {
        Some(at) if at + 1 == line.len() => Err(NO_COMMAND.into()),
        Some(at) => Ok(Some(&line[at + 1..])),
        None => Ok(None),
    }
}

fn asked(
    values: &Values,
    mut keys: Vec<Vec<u8>>,
    command: Option<Vec<Vec<u8>>>,
    key: &[u8],
    end: &[u8],
) -> Result<Asked, String> {
    if !key.is_empty() {
        if !keys.is_empty() {
            return Err(CONFLICT.into());
        }
        keys = [key, end].into_iter().filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect();
    }
    if keys.is_empty() {
        return Err(BAD_NUMBER.into());
    }
    Ok(Asked {
        keys,
        prefix: values.on("prefix"),
        revision: values.int("rev"),
        prev_kv: values.on("prev-kv"),
        progress: values.on("progress-notify"),
        command: command.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::read;
    use crate::commands::root::ROOT;

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn line(text: &str, key: &str, end: &str) -> Result<Asked, String> {
        let input = read(&ROOT, &words(text)).map_err(|_| "not read".to_owned())?;
        from_arguments(&input, key.as_bytes(), end.as_bytes())
    }

    #[test]
    fn keys_and_commands() {
        let asked = line("watch foo --rev 1 bar -- echo --prefix foo", "", "").unwrap();
        assert_eq!(asked.keys, words("foo bar"));
        assert_eq!(asked.command, words("echo --prefix foo"));
        assert_eq!((asked.revision, asked.prefix), (1, false));
        assert_eq!(line("watch --prefix -- echo hi", "k", "z").unwrap().keys, words("k z"));
        assert_eq!(line("watch foo -- foo", "", "").unwrap().keys, words("foo"));
    }

    #[test]
    fn words_of_refusal() {
        assert_eq!(line("watch", "", "").unwrap_err(), BAD_NUMBER);
        assert_eq!(line("watch foo --", "", "").unwrap_err(), NO_COMMAND);
        assert_eq!(line("watch foo", "k", "").unwrap_err(), CONFLICT);
        assert_eq!(line("watch foo -- echo", "k", "").unwrap_err(), CONFLICT);
        assert_eq!(from_words(&words("--nosuch a"), b"", b"").unwrap_err(), "unknown flag: --nosuch");
    }
}
