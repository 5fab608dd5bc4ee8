#!/usr/bin/env bash
# Puts everything a package holds into a folder: programs, man pages, completions, service files, texts.
#
#   stage.sh PROGRAMS_DIR VERSION PROGRAM...
#
# Where to, by variables: DESTDIR (in front of everything, empty), PREFIX (/usr/local), SYSCONFDIR ($PREFIX/etc, or /etc below /usr),
# and ENVFILE and BINDIR as the service will see them. A settings file that is there already is kept.
set -euo pipefail

[ $# -ge 3 ] || { echo "usage: $0 PROGRAMS_DIR VERSION PROGRAM..." >&2; exit 2; }
from=$1 version=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

PREFIX=${PREFIX-/usr/local}
if [ -z "${SYSCONFDIR-}" ]; then
    case $PREFIX in /usr) SYSCONFDIR=/etc ;; *) SYSCONFDIR=$PREFIX/etc ;; esac
fi
BINDIR=${BINDIR-$PREFIX/bin}
ENVFILE=${ENVFILE-$SYSCONFDIR/default/conclave}
dest=${DESTDIR-}

section_of() { case $1 in conclave) echo 8 ;; *) echo 1 ;; esac; }

# the text of a man page or a completion is written when the program has run to its end, or not at all
made() {
    local target=$1 mode=644 text
    shift
    text=$("$@")
    install -d "$(dirname "$target")"
    printf '%s\n' "$text" >"$target"
    chmod "$mode" "$target"
}

for program in "$@"; do
    binary=$from/$program
    [ -x "$binary" ] || { echo "$0: $binary is not built" >&2; exit 1; }
    install -D -m 755 "$binary" "$dest$PREFIX/bin/$program"
    section=$(section_of "$program")
    page=$dest$PREFIX/share/man/man$section/$program.$section
    made "$page" "$here/man.sh" "$binary" "$section" "$version"
    gzip -9nf "$page"
    made "$dest$PREFIX/share/bash-completion/completions/$program" "$here/completions.sh" "$binary" bash
    made "$dest$PREFIX/share/zsh/site-functions/_$program" "$here/completions.sh" "$binary" zsh
    made "$dest$PREFIX/share/fish/vendor_completions.d/$program.fish" "$here/completions.sh" "$binary" fish
done

install -d "$dest$PREFIX/lib/systemd/system" "$dest$PREFIX/lib/sysusers.d" "$dest$SYSCONFDIR/default"
sed -e "s|@BINDIR@|$BINDIR|" -e "s|@ENVFILE@|$ENVFILE|" "$here/conclave.service" >"$dest$PREFIX/lib/systemd/system/conclave.service"
chmod 644 "$dest$PREFIX/lib/systemd/system/conclave.service"
install -m 644 "$here/conclave.sysusers" "$dest$PREFIX/lib/sysusers.d/conclave.conf"
settings=$dest$SYSCONFDIR/default/conclave
[ -e "$settings" ] || install -m 644 "$here/conclave.env" "$settings"
install -D -m 644 -t "$dest$PREFIX/share/doc/conclave" "$root/LICENSE" "$root/README.md" "$root/CHANGELOG.md" \
    "$root/docs/configuration.md" "$root/docs/compat.md"
install -D -m 644 -t "$dest$PREFIX/share/doc/conclave" "$here"/monitoring/*
