//! `options`: the global flags. `help`: about a command.

use super::global::GLOBAL;
use crate::cli::spec::{Command, Flag, Group};
use crate::cli::{Input, find, help as text};
use crate::exit::Exit;
use crate::print::say;

/// `options`.
pub const COMMAND: Command = Command {
    name: "options",
    short: "List the flags that apply to every command",
    group: Group::Utility,
    run: crate::run!(options),
    ..Command::EMPTY
};

async fn options(_input: Input) -> Result<(), Exit> {
    let flags: Vec<&Flag> = GLOBAL.iter().collect();
    say(format!("The following options can be passed to any command:\n\n{}", text::flags(&flags, "")).as_bytes());
    Ok(())
}

/// `help [command]`.
///
/// # Errors
/// None.
pub async fn help(input: Input) -> Result<(), Exit> {
    let found = find::find(input.path[0], &input.args);
    if let Some(topic) = input.args.first().filter(|_| found.unknown.is_some()) {
        let topic = crate::cli::text(topic);
        eprint!("Unknown help topic [`{topic}`]\n{}", text::usage(&input.path[..1]));
        return Ok(());
    }
    say(text::full(&found.path).as_bytes());
    Ok(())
}
