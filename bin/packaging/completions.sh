#!/usr/bin/env bash
# Shell completions of a program: its own where it has the command `completion`, otherwise commands and flags as --help lists them.
#
#   completions.sh PROGRAM bash|zsh|fish
set -euo pipefail

[ $# = 2 ] || { echo "usage: $0 PROGRAM bash|zsh|fish" >&2; exit 2; }
program=$1 shell=$2
name=$(basename "$program")

help=$("$program" --help)
if grep -qE '^  completion( |$)' <<<"$help"; then
    exec "$program" completion "$shell"
fi

# Flags as lines of: name, "value" where it takes one, text; divided by tabs. Those that are refused, or have no effect, are left out.
flags() {
    awk '/^ +(-[a-z], )?--[a-z]/ && !/\[(not offered|no effect)\]/ {
        match($0, /--[a-z0-9-]+/); flag = substr($0, RSTART, RLENGTH)
        rest = substr($0, RSTART + RLENGTH); text = ""; takes = "-"
        if (match(rest, /  +/)) { text = substr(rest, RSTART + RLENGTH); rest = substr(rest, 1, RSTART - 1) }
        if (rest ~ /[^ ]/) takes = "value"
        gsub(/[\x27\t]/, "", text)
        printf "%s\t%s\t%s\n", flag, takes, text
    }' <<<"$help"
}

commands() {
    awk '/^([A-Za-z].*)?[Cc]ommands:?$/ {inside = 1; next} /^[^ ]/ {inside = 0} inside && /^  [a-z]/ {print $1}' <<<"$help"
}

case $shell in
bash)
    echo "complete -o default -W '$( (commands; flags | cut -f1) | tr '\n' ' ')' $name"
    ;;
zsh)
    echo "#compdef $name"
    echo "_arguments \\"
    flags | sed 's/[]\\:[]/\\&/g' | while IFS=$'\t' read -r flag takes text; do
        if [ "$takes" = value ]; then printf "  '%s=[%s]:value:_files' \\\\\n" "$flag" "$text"; else printf "  '%s[%s]' \\\\\n" "$flag" "$text"; fi
    done
    [ -z "$(commands)" ] || echo "  '1:command:($(commands | tr '\n' ' '))' \\"
    echo "  '*:file:_files'"
    ;;
fish)
    for command in $(commands); do echo "complete -c $name -n __fish_use_subcommand -a $command"; done
    flags | while IFS=$'\t' read -r flag takes text; do
        if [ "$takes" = value ]; then more=" -r"; else more=; fi
        printf "complete -c %s -l %s%s -d '%s'\n" "$name" "${flag#--}" "$more" "${text//\\/\\\\}"
    done
    ;;
*)
    echo "$0: unknown shell $shell" >&2
    exit 2
    ;;
esac
