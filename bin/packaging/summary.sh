#!/usr/bin/env bash
# What a program is, in one line: for its man page.
set -euo pipefail
case ${1:?usage: $0 PROGRAM} in
conclave) echo "strongly consistent key-value store with the etcd API" ;;
conclavectl) echo "client for Conclave and etcd" ;;
conclaveutl) echo "work on the files of a stopped member, and on snapshots" ;;
conclave-bench) echo "load generator for Conclave and etcd" ;;
*) echo "a part of Conclave" ;;
esac
