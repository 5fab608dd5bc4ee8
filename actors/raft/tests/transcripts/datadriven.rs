//! Reader of datadriven files: directives with arguments, input, and expected output.
//!
//! Knows the format only. Malformed files are a bug of the test data and panic with file and line.

/// One directive.
#[derive(Debug)]
pub(crate) struct Directive {
    /// File and line.
    pub(crate) place: String,
    /// First word.
    pub(crate) command: String,
    /// The rest of the line.
    pub(crate) args: Vec<Arg>,
    /// Lines before the separator, trimmed.
    pub(crate) input: String,
    /// Lines after it.
    pub(crate) expected: String,
}

/// `key`, `key=value` or `key=(value, value)`.
#[derive(Debug)]
pub(crate) struct Arg {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
}

impl Directive {
    /// Values of the argument `key`, none if it is absent.
    pub(crate) fn values(&self, key: &str) -> &[String] {
        self.args.iter().find(|arg| arg.key == key).map_or(&[], |arg| &arg.values)
    }

    /// Arguments without values, as numbers.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let plain = self.args.iter().filter(|arg| arg.values.is_empty());
        plain.map(|arg| self.number(&arg.key)).collect()
    }

    /// The first argument, as a number.
    pub(crate) fn first_number(&self) -> u64 {
        self.number(&self.args[0].key)
    }

    /// `text` as a number.
    pub(crate) fn number(&self, text: &str) -> u64 {
        text.parse().unwrap_or_else(|_| panic!("{}: {text:?} is not a number", self.place))
    }
}

const SEPARATOR: &str = "----";

/// All directives of a file.
pub(crate) fn parse(name: &str, text: &str) -> Vec<Directive> {
    let mut lines = text.lines().enumerate();
    let mut directives = Vec::new();
    while let Some((number, line)) = lines.next() {
        let mut line = line.trim().to_owned();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        while line.ends_with('\\') {
            line.pop();
            let (_, next) = lines.next().unwrap_or_default();
            line = format!("{line} {}", next.trim());
        }
        let place = format!("{name}:{}", number + 1);
        let (command, args) = parse_line(&place, &line);
        let mut rest = lines.by_ref().map(|(_, line)| line);
        let input: Vec<&str> = rest.by_ref().take_while(|line| *line != SEPARATOR).collect();
        let expected = read_expected(&mut rest);
        directives.push(Directive { place, command, args, input: input.join("\n").trim().to_owned(), expected });
    }
    directives
}

/// Up to a blank line, or, if a second separator opens it, up to two separators in a row.
fn read_expected<'a>(lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut expected = String::new();
    let mut push = |line: &str| {
        expected.push_str(line);
        expected.push('\n');
    };
    match lines.next() {
        Some(SEPARATOR) => {
            while let Some(line) = lines.next() {
                if line == SEPARATOR {
                    match lines.next() {
                        Some(SEPARATOR) | None => break,
                        Some(other) => {
                            push(line);
                            push(other);
                        }
                    }
                } else {
                    push(line);
                }
            }
        }
        Some(first) if !first.trim().is_empty() => {
            push(first);
            lines.take_while(|line| !line.trim().is_empty()).for_each(push);
        }
        _ => {}
    }
    expected
}

fn parse_line(place: &str, line: &str) -> (String, Vec<Arg>) {
    let (command, mut rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut args = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return (command.to_owned(), args);
        }
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let key = rest[..end].to_owned();
        assert!(!key.is_empty(), "{place}: an argument without a name");
        rest = &rest[end..];
        let mut values = Vec::new();
        if let Some(after) = rest.strip_prefix("=(") {
            let close = after.find(')').unwrap_or_else(|| panic!("{place}: a parenthesis is not closed"));
            values.extend(after[..close].split(',').map(|value| value.trim().to_owned()));
            rest = &after[close + 1..];
        } else if let Some(after) = rest.strip_prefix('=') {
            let end = after.find(' ').unwrap_or(after.len());
            values.push(after[..end].to_owned());
            rest = &after[end..];
        }
        args.push(Arg { key, values });
    }
}
