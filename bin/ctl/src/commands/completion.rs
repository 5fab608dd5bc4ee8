//! `completion`: scripts for shells, made from the tree of commands.

use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::cli::{Input, program};
use crate::exit::Exit;
use crate::print::say;
use std::fmt::Write;

/// `completion`.
pub const COMMAND: Command = Command {
    name: "completion",
    usage: "[bash|zsh|fish|powershell]",
    short: "Print a shell completion script",
    long: "Print a script that completes commands and flags in a shell.

Bash:        source <({} completion bash)
             {} completion bash > /etc/bash_completion.d/{}
Zsh:         {} completion zsh > \"${fpath[1]}/_{}\"     (with: autoload -U compinit; compinit)
Fish:        {} completion fish > ~/.config/fish/completions/{}.fish
PowerShell:  {} completion powershell | Out-String | Invoke-Expression
",
    words: Some(&["bash", "zsh", "fish", "powershell"]),
    group: Group::Utility,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(input: Input) -> Result<(), Exit> {
    let root = input.path[0];
    let script = match input.arg(0).as_str() {
        "zsh" => format!("#compdef {0}\nautoload -U +X bashcompinit && bashcompinit\n{1}", program(), bash(root)),
        "fish" => fish(root),
        "powershell" => powershell(root),
        _ => bash(root),
    };
    say(script.as_bytes());
    Ok(())
}

/// A command with everything that may follow it.
struct Node {
    path: String,
    next: Vec<(String, &'static str)>,
}

fn nodes(root: &'static Command) -> Vec<Node> {
    let mut out = Vec::new();
    walk(root, "", Vec::new(), &mut out);
    out
}

fn walk(command: &'static Command, path: &str, above: Vec<&'static Flag>, out: &mut Vec<Node>) {
    let mut shared = above;
    shared.extend(command.shared);
    let mut next: Vec<(String, &'static str)> = command.below.iter().map(|c| (c.name.to_owned(), c.short)).collect();
    next.extend(command.words.unwrap_or_default().iter().map(|word| ((*word).to_owned(), "")));
    let flags = shared.iter().copied().chain(command.flags);
    next.extend(flags.map(|flag| {
        let value = if flag.kind == Kind::Bool { "" } else { "=" };
        (format!("--{}{value}", flag.name), flag.help)
    }));
    out.push(Node { path: path.to_owned(), next });
    for below in command.below {
        walk(below, format!("{path} {}", below.name).trim_start(), shared.clone(), out);
    }
}

fn bash(root: &'static Command) -> String {
    let name = program();
    let mut cases = String::new();
    for node in nodes(root) {
        let words: Vec<&str> = node.next.iter().map(|(word, _)| word.as_str()).collect();
        let _ = writeln!(cases, "        '{}') words='{}' ;;", node.path, words.join(" "));
    }
    format!(
        "# completion of {name} for bash
_{name}_words() {{
    case \"$1\" in
{cases}        *) words='' ;;
    esac
}}
_{name}() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} path='' at word words
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${{COMP_WORDS[at]}}
        [[ $word == -* ]] && continue
        _{name}_words \"${{path:+$path }}$word\"
        [[ -n $words ]] && path=\"${{path:+$path }}$word\"
    done
    _{name}_words \"$path\"
    [[ $current != -* ]] && words=$(tr ' ' '\\n' <<<\"$words\" | grep -v '^--')
    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))
    [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace
}}
complete -F _{name} {name}
"
    )
}

fn fish(root: &'static Command) -> String {
    let name = program();
    let mut out = format!("# completion of {name} for fish\ncomplete -c {name} -f\n");
    for node in nodes(root) {
        let depth = node.path.split(' ').filter(|part| !part.is_empty()).count();
        let seen: Vec<String> = node
            .path
            .split(' ')
            .filter(|p| !p.is_empty())
            .map(|p| format!("__fish_seen_subcommand_from {p}"))
            .collect();
        let condition = if depth == 0 { "__fish_use_subcommand".to_owned() } else { seen.join("; and ") };
        for (word, help) in &node.next {
            let help = help.replace("{}", name).replace('\'', "\\'");
            match word.strip_prefix("--") {
                Some(flag) => {
                    // global flags are listed once, at the root
                    let global = super::global::GLOBAL.iter().any(|known| known.name == flag.trim_end_matches('='));
                    if global && depth > 0 {
                        continue;
                    }
                    let value = if flag.ends_with('=') { " -r" } else { "" };
                    let when = if depth == 0 { String::new() } else { format!(" -n '{condition}'") };
                    let _ =
                        writeln!(out, "complete -c {name}{when} -l {}{value} -d '{help}'", flag.trim_end_matches('='));
                }
                None => {
                    let _ = writeln!(out, "complete -c {name} -n '{condition}' -a {word} -d '{help}'");
                }
            }
        }
    }
    out
}

fn powershell(root: &'static Command) -> String {
    let name = program();
    let mut table = String::new();
    for node in nodes(root) {
        let words: Vec<String> = node.next.iter().map(|(word, _)| format!("'{word}'")).collect();
        let _ = writeln!(table, "        '{}' = @({})", node.path, words.join(", "));
    }
    format!(
        "# completion of {name} for PowerShell
Register-ArgumentCompleter -Native -CommandName '{name}' -ScriptBlock {{
    param($wordToComplete, $commandAst, $cursorPosition)
    $table = @{{
{table}    }}
    $path = ''
    foreach ($element in $commandAst.CommandElements | Select-Object -Skip 1) {{
        $word = $element.ToString()
        $longer = if ($path) {{ \"$path $word\" }} else {{ $word }}
        if ($table.ContainsKey($longer)) {{ $path = $longer }}
    }}
    $table[$path] | Where-Object {{ $_ -like \"$wordToComplete*\" }} | ForEach-Object {{
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_completed() {
        let all = nodes(&crate::commands::root::ROOT);
        let of = |path: &str| all.iter().find(|node| node.path == path).map(|node| &node.next).unwrap();
        assert!(of("").iter().any(|(word, _)| word == "make-mirror"));
        assert!(of("lease").iter().any(|(word, _)| word == "keep-alive"));
        assert!(of("endpoint hashkv").iter().any(|(word, _)| word == "--cluster"));
        assert!(of("get").iter().any(|(word, _)| word == "--write-out="));
        assert!(of("completion").iter().any(|(word, _)| word == "fish"));
    }
}
