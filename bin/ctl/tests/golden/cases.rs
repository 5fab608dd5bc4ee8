//! Reads `cases.txt`; its first lines say how it is written.

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run and look.
    Run,
    /// Start, and go on.
    Start,
    /// End what was started with a signal and look.
    End,
    /// Remember what the last output said, under a name.
    Keep(String, String),
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Arguments, names in braces not yet replaced.
    pub args: Vec<String>,
    /// Whether the server's endpoint is put before them.
    pub endpoint: bool,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// Standard input.
    pub input: String,
    /// Why another tool may do something else.
    pub reason: Option<String>,
}

const FORMATS: [&str; 5] = ["simple", "fields", "json", "table", "protobuf"];

/// Reads all steps.
pub fn read(text: &str) -> Vec<Step> {
    let mut steps = Vec::<Step>::new();
    let mut next = PendingStep::default();
    for line in text.lines() {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            "" | "#" | "##" => {}
            "%" => {
                let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
                next.env.push((name.to_owned(), value.to_owned()));
            }
            "<" => steps.last_mut().expect("< behind a line").input.push_str(&format!("{rest}\n")),
            "~" => next.reason = Some(rest.to_owned()),
            "$" => steps.push(next.step(Action::Run, rest, true)),
            "$-" => steps.push(next.step(Action::Run, rest, false)),
            "&" => steps.push(next.step(Action::Start, rest, true)),
            "." => steps.push(next.step(Action::End, rest, false)),
            "*" => {
                for format in FORMATS {
                    let step = next.clone().step(Action::Run, &format!("{rest} -w {format}"), true);
                    steps.push(step);
                }
                next = PendingStep::default();
            }
            ">" => {
                let (name, pattern) = rest.split_once(' ').expect("> NAME pattern");
                steps.push(next.step(Action::Keep(name.to_owned(), pattern.to_owned()), "", false));
            }
            other => panic!("cases.txt: what is {other:?} in {line:?}?"),
        }
    }
    steps
}

#[derive(Clone, Default)]
struct PendingStep {
    env: Vec<(String, String)>,
    reason: Option<String>,
}

impl PendingStep {
    fn step(&mut self, action: Action, args: &str, endpoint: bool) -> Step {
        let next = std::mem::take(self);
        Step { action, args: words(args), endpoint, env: next.env, input: String::new(), reason: next.reason }
    }
}

/// Words as a shell splits them: `'…'` as it stands, `"…"` too, `\xff`, `\n`, `\\` outside of quotes.
fn words(line: &str) -> Vec<String> {
    let (mut out, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => out.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word);
    out
}

/// What is recorded: everything before the section that compares only.
pub fn recorded(text: &str) -> &str {
    text.split("\n## compare only\n").next().unwrap_or(text)
}
