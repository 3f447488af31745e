#!/usr/bin/env bash
# All figures in one run: packets as multiples of a floor, then calls, memory and round trips of the daemon.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-target/release}
ulimit -n "$(ulimit -Hn)"
echo "== packets: CPU of the media thread, and its multiple of a bare echo loop in the same run"
"$bin/examples/media_bench"
# On a virtual machine the first wake-up of an idle core costs more than a whole request. Loops that run only where nothing
# else wants to keep the cores awake.
awake=()
for core in $(seq 0 "$(($(nproc) - 1))"); do
  chrt --idle 0 taskset --cpu-list "$core" sh -c 'while :; do :; done' &
  awake+=($!)
done
trap 'kill "${awake[@]}" 2>/dev/null' EXIT
echo "== the daemon beside SIPp's own callee; what is aimed at, and what is not reached"
"$bin/tapi-bench" --tapid "$bin/tapid"
echo "== modems joined to SIP"
"$bin/tapi-bench-modems" --tapid "$bin/tapid"
