#!/usr/bin/env bash
# Shell completions of a program: its own where it has the command `completion`, otherwise its flags as --help lists them.
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

# Flags with their texts, one a line, divided by a tab. Those that are refused, or have no effect, are not offered.
flags() {
    awk '/^ +(-[a-z], )?--[a-z]/ && !/\((not offered yet|accepted, no effect)\)/ {
        match($0, /--[a-z0-9-]+/); flag = substr($0, RSTART, RLENGTH)
        text = substr($0, RSTART + RLENGTH)
        if (match(text, /  +/)) text = substr(text, RSTART + RLENGTH); else text = ""
        gsub(/[][\x27"`$\\:]/, "", text)
        printf "%s\t%s\n", flag, text
    }' <<<"$help"
}

case $shell in
bash)
    echo "complete -o default -W '$(flags | cut -f1 | tr '\n' ' ')' $name"
    ;;
zsh)
    echo "#compdef $name"
    echo "_arguments \\"
    flags | while IFS=$'\t' read -r flag text; do printf "  '%s=[%s]:value:_files' \\\\\n" "$flag" "$text"; done
    echo "  '*:file:_files'"
    ;;
fish)
    flags | while IFS=$'\t' read -r flag text; do printf "complete -c %s -l %s -r -d '%s'\n" "$name" "${flag#--}" "$text"; done
    ;;
*)
    echo "$0: unknown shell $shell" >&2
    exit 2
    ;;
esac
