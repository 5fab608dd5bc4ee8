#!/bin/bash
# Runs the same command lines through etcdutl (on files of etcd's) and conclaveutl (on the same data saved from Conclave) and compares stdout,
# stderr and exit code. Files differ by nature, so hashes, sizes and paths are normalised; hashkv must be equal to the last digit.
#
#   compare-etcdutl.sh <folder with etcd, etcdctl, etcdutl> <conclave> <conclaveutl>
set -euo pipefail
ref=$1 server=$2 ours=$3
work=$(mktemp -d) port=$((20000 + RANDOM % 20000)) pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait || true; rm -rf "$work"; }
trap finish EXIT
cd "$work"

start() { # name binary: a member with the same twelve writes, its snapshot, and its stopped folder
    port=$((port + 2))
    local url=http://127.0.0.1:$port peer=http://127.0.0.1:$((port + 1))
    "$2" --name default --data-dir "$1.data" --listen-client-urls "$url" --advertise-client-urls "$url" --listen-peer-urls "$peer" \
        --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer" --log-level error >"$1.log" 2>&1 &
    local pid=$!
    pids+=("$pid")
    local ctl=("$ref/etcdctl" --endpoints "127.0.0.1:$port")
    for _ in $(seq 100); do "${ctl[@]}" endpoint health >/dev/null 2>&1 && break; sleep 0.1; done
    for i in 1 2 3 4 5; do "${ctl[@]}" put "k$i" "v$i" >/dev/null; done
    "${ctl[@]}" put k1 again >/dev/null
    "${ctl[@]}" del k2 >/dev/null
    printf 'value("k3") = "v3"\n\nput k6 v6\nput k7 v7\n\n\n' | "${ctl[@]}" txn >/dev/null
    "${ctl[@]}" snapshot save "$1.before.db" >/dev/null 2>&1
    cp "$1.before.db" "$1.kept.db" # etcdutl hashkv changes the file it reads
    "${ctl[@]}" compact 5 >/dev/null
    sleep 0.5
    "${ctl[@]}" snapshot save "$1.db" >/dev/null 2>&1
    cp "$1.db" "$1.bad.db"; printf x >>"$1.bad.db"; : >"$1.empty.db"
    kill "$pid"; wait "$pid" || true
}
start etcd "$ref/etcd"
start conclave "$server"

# What differs by nature: hash and size of a file, names and paths.
normalise() {
    sed -E -e 's/etcdutl|conclaveutl/utl/g' -e 's/(etcd|conclave)(\.before|\.bad|\.empty)?\.(db|data)/FILE\2/g' -e 's#FILE/member/snap/db#FILE#g' \
        -e '/^[0-9]{4}-[0-9]{2}-[0-9]{2}T/d' -e '/^Usage:$/,$d' -e "/^Run '/d" -e '/^$/d'
}
status() { # only the layout of what a snapshot's status says can be equal
    sed -E -e 's/^[0-9a-f]{1,8}, /HASH, /' -e 's/[0-9.]+ [kMG]?B/SIZE/' -e 's/("hash"|"Hash" ):? ?:? ?[0-9]+/\1 HASH/' \
        -e 's/("totalSize"|"Size" ):? ?:? ?[0-9]+/\1 SIZE/' -e 's/│ +[0-9a-f]{1,8} │( +[0-9]+ │ +[0-9]+ │) +SIZE/│ HASH │\1 SIZE/' -e 's/─+/─/g' -e 's/ +/ /g'
}
same=0 different=0 expected=0
declare -A known=(
    ["status without format"]="the flag is named in full, not by the letter it was given with"
    ["defrag"]="says what was gained; etcd's log lines are left out here"
    ["migrate to 3.7"]="says that nothing had to be done; etcd's log lines are left out here"
)
compare() { # name filter args…; FILE, DATA, BAD, BEFORE and EMPTY stand for each side's own
    local name=$1 filter=$2 side tool
    shift 2
    for side in etcd conclave; do
        local args=() data=$side.data
        [ $side = etcd ] && tool=$ref/etcdutl || tool=$ours
        [ $side = etcd ] && data=etcd.data/member/snap/db
        for arg in "$@"; do
            case $arg in
            FILE) arg=$side.db ;; BAD) arg=$side.bad.db ;; BEFORE) arg=$side.before.db ;; EMPTY) arg=$side.empty.db ;;
            DATA) arg=$data ;; FOLDER) arg=$side.data ;; esac
            args+=("$arg")
        done
        local code=0
        "$tool" "${args[@]}" >"$side.out" 2>"$side.err" || code=$?
        { echo "exit $code"; echo "-- stdout"; normalise <"$side.out" | $filter; echo "-- stderr"; normalise <"$side.err" | sort -u; } >"$side.said"
    done
    if diff -u etcd.said conclave.said >diff.txt; then same=$((same + 1))
    elif [ -n "${known[$name]:-}" ]; then
        expected=$((expected + 1)); echo "known difference: $name: ${known[$name]}"
    else
        different=$((different + 1)); echo "== DIFFERENT: $name"; tail -n +3 diff.txt; fi
}

for format in simple json fields table protobuf bad; do
    compare "snapshot status -w $format" status snapshot status FILE -w $format
    compare "hashkv of a snapshot -w $format" cat hashkv FILE -w $format
    compare "hashkv of a stopped member -w $format" cat hashkv DATA --write-out=$format
done
for rev in 0 1 4 5 6 7 8 9 10 99 -5; do
    compare "hashkv --rev $rev before the compaction" cat hashkv BEFORE --rev=$rev
    compare "hashkv --rev $rev after it" cat hashkv FILE --rev=$rev
    compare "hashkv --rev $rev of the member" cat hashkv DATA --rev=$rev
done
compare "status without file" cat snapshot status
compare "status of two files" cat snapshot status a b
compare "status of nothing" cat snapshot status nofile
compare "status of nothing, bad format" cat snapshot status nofile -w bad
compare "status without format" cat snapshot status FILE -w
compare "abbreviated" status snap stat FILE
compare "hashkv without file" cat hashkv
compare "hashkv of two files" cat hashkv a b
compare "hashkv of nothing" cat hashkv nofile
compare "hashkv --rev x" cat hashkv --rev x f
compare "defrag without folder" cat defrag
compare "defrag" cat defrag --data-dir FOLDER
compare "migrate without flags" cat migrate
compare "migrate to 3" cat migrate --data-dir FOLDER --target-version 3
compare "migrate to 3.4" cat migrate --data-dir FOLDER --target-version 3.4
compare "migrate to 3.7" cat migrate --data-dir FOLDER --target-version 3.7
compare "restore without file" cat snapshot restore
compare "restore of nothing" cat snapshot restore nofile
compare "restore --bump-revision alone" cat snapshot restore FILE --bump-revision 5
compare "restore --mark-compacted alone" cat snapshot restore FILE --mark-compacted
compare "restore, other name" cat snapshot restore FILE --data-dir r0 --name zz
compare "restore, bad URL" cat snapshot restore FILE --data-dir r0 --initial-cluster default=foo:12
compare "restore, two with one URL" cat snapshot restore FILE --data-dir r0 --initial-cluster 'default=http://localhost:2380,b=http://localhost:2380'
compare "unknown flag" cat --nosuch
compare "unknown command" cat nosuch
compare "bad duration" cat --timeout x version
compare "completion without shell" cat completion
compare "completion zz" cat completion zz
# what is restored has the same hash on both sides
for side in etcd conclave; do
    [ $side = etcd ] && tool=$ref/etcdutl || tool=$ours
    "$tool" snapshot restore $side.kept.db --data-dir $side.restored >/dev/null 2>&1
done
for rev in 0 4 8; do
    theirs=$("$ref/etcdutl" hashkv etcd.restored/member/snap/db --rev $rev 2>/dev/null)
    mine=$("$ours" hashkv conclave.restored --rev $rev)
    if [ "$theirs" = "$mine" ]; then same=$((same + 1)); else
        different=$((different + 1)); echo "== DIFFERENT: hash of the restored member at $rev: $theirs, $mine"; fi
done
echo "$same command lines say the same, $expected differ for a known reason, $different otherwise"
[ $different = 0 ]
