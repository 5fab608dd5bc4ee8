//! Reads flags out of a line, wherever they stand.

use super::spec::{Flag, Kind};
use super::value::Values;
use super::{Misuse, text};

/// A line with its flags taken out.
#[derive(Debug)]
pub struct Parsed {
    /// The flags.
    pub values: Values,
    /// The rest.
    pub args: Vec<Vec<u8>>,
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it, in the words of etcdctl's parser.
pub fn parse(flags: &[&'static Flag], line: &[Vec<u8>]) -> Result<Parsed, Misuse> {
    let mut reader = Reader { flags, values: Values::defaults(flags), rest: line, args: Vec::new() };
    while let Some((first, rest)) = reader.rest.split_first() {
        reader.rest = rest;
        match first.as_slice() {
            b"--" => {
                reader.args.extend_from_slice(rest);
                break;
            }
            [b'-', b'-', long @ ..] => reader.long(first, long)?,
            [b'-', letters @ ..] if !letters.is_empty() => reader.letters(letters)?,
            _ => reader.args.push(first.clone()),
        }
    }
    Ok(Parsed { values: reader.values, args: reader.args })
}

struct Reader<'a> {
    flags: &'a [&'static Flag],
    values: Values,
    rest: &'a [Vec<u8>],
    args: Vec<Vec<u8>>,
}

impl<'a> Reader<'a> {
    fn long(&mut self, whole: &[u8], long: &'a [u8]) -> Result<(), Misuse> {
        if matches!(long.first(), None | Some(b'-' | b'=')) {
            return Err(Misuse::Usage(format!("bad flag syntax: {}", text(whole))));
        }
        let (name, value) = match long.iter().position(|b| *b == b'=') {
            Some(at) => (&long[..at], Some(&long[at + 1..])),
            None => (long, None),
        };
        let Some(flag) = self.flags.iter().find(|flag| flag.name.as_bytes() == name) else {
            return Err(Misuse::Usage(format!("unknown flag: --{}", text(name))));
        };
        let value = match value {
            Some(value) => value,
            None if flag.kind == Kind::Bool => b"true",
            None => self.next().ok_or_else(|| Misuse::Usage(format!("flag needs an argument: --{}", flag.name)))?,
        };
        self.set(flag, value)
    }

    fn letters(&mut self, letters: &'a [u8]) -> Result<(), Misuse> {
        let mut left = letters;
        while let Some((letter, rest)) = left.split_first() {
            let letter = char::from(*letter);
            let Some(flag) = self.flags.iter().find(|flag| flag.short == Some(letter)) else {
                return Err(Misuse::Usage(format!("unknown shorthand flag: {letter:?} in -{}", text(left))));
            };
            let value: &[u8] = match rest {
                [b'=', value @ ..] if !value.is_empty() => {
                    left = &[];
                    value
                }
                _ if flag.kind == Kind::Bool => {
                    left = rest;
                    b"true"
                }
                [_, ..] => {
                    left = &[];
                    rest
                }
                [] => {
                    let shown = text(left);
                    left = &[];
                    let missing = || Misuse::Usage(format!("flag needs an argument: {letter:?} in -{shown}"));
                    self.next().ok_or_else(missing)?
                }
            };
            self.set(flag, value)?;
        }
        Ok(())
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn set(&mut self, flag: &Flag, value: &[u8]) -> Result<(), Misuse> {
        self.values.set(flag.name, value).map_err(|why| {
            let name = match flag.short {
                Some(letter) => format!("-{letter}, --{}", flag.name),
                None => format!("--{}", flag.name),
            };
            Misuse::Usage(format!("invalid argument {:?} for {name:?} flag: {why}", text(value)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: [&Flag; 5] = [
        &Flag::switch("prefix", ""),
        &Flag::int("rev", ""),
        &Flag::text("write-out", "").letter('w'),
        &Flag::switch("interactive", "").letter('i'),
        &Flag::new("endpoints", Kind::List, "a", ""),
    ];

    fn read(line: &str) -> Result<Parsed, Misuse> {
        let line: Vec<Vec<u8>> = line.split(' ').map(|part| part.as_bytes().to_vec()).collect();
        parse(&FLAGS, &line)
    }

    fn refused(line: &str) -> String {
        match read(line) {
            Err(Misuse::Usage(why)) => why,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn flags_stand_anywhere() {
        let parsed = read("k --prefix --rev 3 -wjson v -- --rev").unwrap();
        assert_eq!(parsed.args, [b"k".to_vec(), b"v".to_vec(), b"--rev".to_vec()]);
        assert!(parsed.values.on("prefix"));
        assert_eq!(parsed.values.int("rev"), 3);
        assert_eq!(parsed.values.bytes("write-out"), b"json");
    }

    #[test]
    fn the_last_one_wins_and_lists_grow() {
        let parsed = read("--rev=1 --rev=2 --prefix=false --endpoints=b,c --endpoints d -i -w=table -").unwrap();
        assert_eq!(parsed.values.int("rev"), 2);
        assert!(!parsed.values.on("prefix"));
        assert_eq!(parsed.values.list("endpoints"), ["b", "c", "d"]);
        assert!(parsed.values.on("interactive"));
        assert_eq!(parsed.values.bytes("write-out"), b"table");
        assert_eq!(parsed.args, [b"-".to_vec()]);
    }

    #[test]
    fn words_of_refusal() {
        assert_eq!(refused("--nosuch"), "unknown flag: --nosuch");
        assert_eq!(refused("--rev"), "flag needs an argument: --rev");
        assert_eq!(refused("-w"), "flag needs an argument: 'w' in -w");
        assert_eq!(refused("-ix"), "unknown shorthand flag: 'x' in -x");
        assert_eq!(refused("---x"), "bad flag syntax: ---x");
        assert_eq!(
            refused("--rev x"),
            "invalid argument \"x\" for \"--rev\" flag: strconv.ParseInt: parsing \"x\": invalid syntax"
        );
        assert_eq!(
            refused("--interactive=maybe"),
            "invalid argument \"maybe\" for \"-i, --interactive\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax"
        );
    }
}
