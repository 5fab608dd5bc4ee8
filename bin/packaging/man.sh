#!/usr/bin/env bash
# A man page out of what a program says with --help, commands within commands included.
#
#   man.sh PROGRAM SECTION VERSION > PROGRAM.SECTION
#
# Reads the layout all our programs share: headings start at the first column, entries are indented, two spaces divide an entry from
# its text. Needs nothing but bash and awk.
set -euo pipefail

[ $# = 3 ] || { echo "usage: $0 PROGRAM SECTION VERSION" >&2; exit 2; }
program=$1 section=$2 version=$3
name=$(basename "$program")
# the date of the sources, so that the same sources give the same page
date=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y-%m-%d)

# Names of the commands that a help text lists.
commands() {
    awk '/^([A-Za-z].*)?[Cc]ommands:?$/ {inside = 1; next} /^[^ ]/ {inside = 0} inside && /^  [a-z]/ && $1 != "help" {print $1}'
}

# One help text as roff. With depth 0 its headings are sections, deeper ones are bold words within the section of their command.
roff() {
    awk -v depth="$1" '
    function text(s) { gsub(/\\/, "\\e", s); gsub(/-/, "\\-", s); if (s ~ /^[.\x27]/) s = "\\&" s; return s }
    function heading(s) {
        sub(/:$/, "", s); begun = 1
        if (depth == 0) printf ".SH %s\n", text(toupper(s)); else printf ".PP\n\\fB%s\\fR\n", text(s)
    }
    /^[[:space:]]*$/ { blank = 1; next }
    # the way of calling it on the line of its heading
    /^Usage: / {
        heading("Usage:"); usage = 1; blank = 0; entry = 1
        printf ".TP\n\\fB%s\\fR\n", text(substr($0, 8)); next
    }
    /^[A-Za-z][^.]*:$/ || /^[A-Z][a-z -]* [Cc]ommands:?$/ {
        heading($0); usage = ($0 ~ /^Usage/); list = ($0 ~ /ommands:?$/); blank = entry = 0; next
    }
    depth == 0 && !begun { print ".SH DESCRIPTION"; begun = 1 }
    # a way of calling it, as it stands; what it does may follow below
    usage && /^  [^ ]/ { printf ".TP\n\\fB%s\\fR\n", text(substr($0, 3)); blank = 0; entry = 1; next }
    usage && /^    / { sub(/^ +/, ""); print text($0); blank = 0; next }
    {
        usage = 0
        indent = match($0, /[^ ]/) - 1
        line = substr($0, indent + 1)
        # an entry: words, two spaces or more (one behind the name of a command), its text
        if (indent > 0 && (match(line, /  +/) || (list && match(line, / /))) && indent <= 8) {
            entry = 1
            printf ".TP\n\\fB%s\\fR\n%s\n", text(substr(line, 1, RSTART - 1)), text(substr(line, RSTART + RLENGTH))
        } else if (indent > 0 && indent <= 8 && line ~ /^-/) {
            entry = 1
            printf ".TP\n\\fB%s\\fR\n", text(line)
        } else {
            if (blank || (entry && indent == 0)) print ".PP"
            if (indent == 0) entry = 0
            print text(line)
        }
        blank = 0
    }'
}

# A command and those below it, each as a subsection.
tree() {
    local help sub
    help=$("$program" "$@" --help)
    printf '.SS "%s"\n' "$name $*"
    roff 1 <<<"$help"
    for sub in $(commands <<<"$help"); do
        tree "$@" "$sub"
    done
}

help=$("$program" --help)
summary=$(bash "$(dirname "$0")/summary.sh" "$name")
printf '.\\" Made from --help by bin/packaging/man.sh; not to be edited.\n'
printf '.TH %s %s %s "conclave %s" "Conclave"\n' "$(tr '[:lower:]' '[:upper:]' <<<"$name")" "$section" "$date" "$version"
printf '.SH NAME\n%s \\- %s\n' "${name//-/\\-}" "$summary"
roff 0 <<<"$help"
subs=$(commands <<<"$help")
if [ -n "$subs" ]; then
    echo '.SH "COMMANDS IN DETAIL"'
    for sub in $subs; do
        tree "$sub"
    done
fi
printf '.SH "SEE ALSO"\n'
case $name in
conclave) printf '.BR conclavectl (1),\n.BR conclaveutl (1),\n.BR conclave\\-bench (1)\n' ;;
*) printf '.BR conclave (8)\n' ;;
esac
