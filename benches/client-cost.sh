#!/bin/bash
# CPU that the client needs for one put, and the p50 and p99 it reports: conclave-bench against etcd's benchmark, in turn, on one server.
#
#   benches/client-cost.sh ENDPOINT CONCLAVE_BENCH ETCD_BENCHMARK [ROUNDS]
#
# Loopback only. Writes keys; use an empty server.
set -euo pipefail
endpoint=$1 ours=$2 theirs=$3 rounds=${4:-3}
out=$(mktemp)
trap 'rm -f "$out" "$out.cpu"' EXIT
TIMEFORMAT='%U %S'

one() { # NAME BINARY CLIENTS CONNS TOTAL
    { time "$2" put --endpoints="$endpoint" --clients="$3" --conns="$4" --total="$5" --key-size=16 --val-size=256 \
        --sequential-keys --key-space-size=1000000 --precise >"$out" 2>/dev/null; } 2>"$out.cpu"
    awk -v name="$1" -v clients="$3" -v total="$5" '
        FNR == NR { cpu = $1 + $2; next }
        /Requests\/sec:/ { rate = $2 }
        /^ *50% in/ { p50 = $3 }
        /^ *99% in/ { p99 = $3 }
        END { printf "| %s | %s | %.1f | %.0f | %.3f | %.3f |\n", clients, name, cpu * 1e6 / total, rate, p50 * 1e3, p99 * 1e3 }
    ' "$out.cpu" "$out"
}

echo "| clients | tool | client CPU µs/put | puts/s | p50 ms | p99 ms |"
echo "|---|---|---|---|---|---|"
for load in "1 1 4000" "64 8 60000" "1000 100 100000"; do
    read -r clients conns total <<<"$load"
    for _ in $(seq "$rounds"); do
        one conclave-bench "$ours" "$clients" "$conns" "$total"
        one benchmark "$theirs" "$clients" "$conns" "$total"
    done
done
