#!/usr/bin/env bash
# Runs members of one cluster on this machine, with one log in which each has its colour; Ctrl-C stops them together.
#
# usage: cluster.sh PROGRAM [FLAG…]     MEMBERS=3 (number) DATA=./cluster.etcd (folder; removed by nobody)
#
# Clients are served on 2379, 22379, 32379 …, members on 2380, 22380, 32380 …
set -euo pipefail

program=${1:?usage: cluster.sh PROGRAM [FLAG…]}
shift
members=${MEMBERS:-3}
data=${DATA:-./cluster.etcd}

port() { # number of the member, port of the first one
    if [ "$1" = 1 ]; then echo "$2"; else echo "$1$2"; fi
}
peer() { echo "http://127.0.0.1:$(port "$1" 2380)"; }
client() { echo "http://127.0.0.1:$(port "$1" 2379)"; }

cluster=
endpoints=
for number in $(seq "$members"); do
    cluster+="${cluster:+,}m$number=$(peer "$number")"
    endpoints+="${endpoints:+,}$(client "$number")"
done

pids=()
stop() {
    trap - INT TERM
    kill -TERM "${pids[@]}" 2>/dev/null || true
}
trap stop INT TERM

mkdir -p "$data"
echo "endpoints: $endpoints"
for number in $(seq "$members"); do
    colour=$((31 + number % 6))
    # a process of its own group, so that Ctrl-C reaches this script alone, which then stops them in order
    setsid "$program" --name "m$number" --data-dir "$data/m$number" --log-format console \
        --listen-client-urls "$(client "$number")" --advertise-client-urls "$(client "$number")" \
        --listen-peer-urls "$(peer "$number")" --initial-advertise-peer-urls "$(peer "$number")" \
        --initial-cluster "$cluster" "$@" \
        > >(sed -u "s/^/$(printf '\033[%sm' "$colour")m$number |$(printf '\033[0m') /") 2>&1 &
    pids+=($!)
done

status=0
for pid in "${pids[@]}"; do
    wait "$pid" || status=$?
    while kill -0 "$pid" 2>/dev/null; do wait "$pid" || status=$?; done
done
exit "$status"
