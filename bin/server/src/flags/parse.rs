//! The command line, in the syntax of Go's flag package and with its error texts.

use super::given::{self, Given};
use super::spec::Kind;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve.
    Run(Given),
    /// Show the help text.
    Help,
    /// Show versions.
    Version,
}

/// Why a command line cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Not understood: exit code 2, with the usage.
    #[error("{0}")]
    Usage(String),
    /// Understood, and wrong: exit code 1.
    #[error("{0}")]
    Wrong(String),
    /// A variable and a flag say two things.
    #[error(
        "conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))"
    )]
    Conflict(String),
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// [`FlagError`] in the words of Go and etcd.
pub fn parse(args: &[String]) -> Result<Command, FlagError> {
    let mut given = Given::default();
    let mut rest = args.iter().map(String::as_str);
    while let Some(arg) = rest.next() {
        if arg == "--" {
            return match rest.next() {
                Some(extra) => Err(stray(extra)),
                None => Ok(finish(given)),
            };
        }
        let Some(body) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|_| arg.len() > 1) else {
            return Err(stray(arg));
        };
        if body.is_empty() || body.starts_with(['-', '=']) {
            return Err(FlagError::Usage(format!("bad flag syntax: {arg}")));
        }
        let (name, mut text) = body.split_once('=').map_or((body, None), |(name, text)| (name, Some(text)));
        let kind = match given::kind(name) {
            Some(kind) => kind,
            None if matches!(name, "h" | "help") => return Ok(Command::Help),
            None => return Err(FlagError::Usage(format!("flag provided but not defined: -{name}"))),
        };
        if text.is_none() && matches!(kind, Kind::Bool | Kind::Ignored) {
            text = Some("true");
        }
        let text = text.or_else(|| rest.next());
        let text = text.ok_or_else(|| FlagError::Usage(format!("flag needs an argument: -{name}")))?;
        given.set(name, text).map_err(|why| {
            FlagError::Usage(match kind {
                Kind::Bool => format!("invalid boolean value {text:?} for -{name}: {why}"),
                _ => format!("invalid value {text:?} for flag -{name}: {why}"),
            })
        })?;
    }
    Ok(finish(given))
}

fn finish(given: Given) -> Command {
    if given.flag("version") { Command::Version } else { Command::Run(given) }
}

fn stray(arg: &str) -> FlagError {
    FlagError::Wrong(format!("{arg:?} is not a valid flag"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, FlagError> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn given(line: &str) -> Given {
        match parsed(line) {
            Ok(Command::Run(given)) => given,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn usage(line: &str) -> String {
        match parsed(line) {
            Err(FlagError::Usage(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_way_to_write_a_flag() {
        for line in ["--name a", "-name a", "--name=a", "-name=a", "--name b --name=a"] {
            assert_eq!(given(line).text("name"), "a", "{line}");
        }
        for line in ["--client-cert-auth", "-client-cert-auth=true", "--client-cert-auth=false --client-cert-auth=T"] {
            assert!(given(line).flag("client-cert-auth"), "{line}");
        }
        let all =
            given("--heartbeat-interval 50 --grpc-keepalive-interval=1m30s --quota-backend-bytes=-1 --pre-vote=false");
        assert_eq!(all.number::<u64>("heartbeat-interval"), 50);
        assert_eq!(all.duration("grpc-keepalive-interval").as_secs(), 90);
        assert_eq!(all.number::<i64>("quota-backend-bytes"), -1);
        assert!(all.is_changed("pre-vote") && !all.is_changed("name"));
        assert!(!given("--discovery-dial-timeout=2000ms").is_changed("discovery-dial-timeout"));
    }

    #[test]
    fn what_go_says() {
        assert_eq!(usage("--bogus"), "flag provided but not defined: -bogus");
        assert_eq!(usage("--name"), "flag needs an argument: -name");
        assert_eq!(usage("---name"), "bad flag syntax: ---name");
        assert_eq!(
            usage("--heartbeat-interval=abc"),
            "invalid value \"abc\" for flag -heartbeat-interval: parse error"
        );
        let boolean = "invalid boolean value \"foo\" for -strict-reconfig-check: parse error";
        assert_eq!(usage("--strict-reconfig-check=foo"), boolean);
        let not_yet = "invalid value \"not-yet\" for flag -v2-deprecation: invalid value \"not-yet\"";
        assert_eq!(usage("--v2-deprecation=not-yet"), not_yet);
        let gate = "invalid value \"Foo=true\" for flag -feature-gates: unrecognized feature gate: Foo";
        assert_eq!(usage("--feature-gates=Foo=true"), gate);
    }

    #[test]
    fn strays_help_and_version() {
        assert_eq!(parsed("foo"), Err(FlagError::Wrong("\"foo\" is not a valid flag".into())));
        assert_eq!(parsed("--name a --pre-vote false"), Err(FlagError::Wrong("\"false\" is not a valid flag".into())));
        assert_eq!(parsed("--name a -- x"), Err(FlagError::Wrong("\"x\" is not a valid flag".into())));
        assert_eq!(parsed("-h"), Ok(Command::Help));
        assert_eq!(parsed("--help"), Ok(Command::Help));
        assert_eq!(parsed("--name x --version"), Ok(Command::Version));
    }

    #[test]
    fn old_names_set_what_they_are_called_now() {
        let all = given(
            "--experimental-watch-progress-notify-interval=5s --experimental-initial-corrupt-check -vv --snapshot",
        );
        assert_eq!(all.duration("watch-progress-notify-interval").as_secs(), 5);
        assert_eq!(all.gates().get("InitialCorruptCheck"), Some(&true));
        assert_eq!(all.warnings.len(), 4, "{:?}", all.warnings);
    }
}
