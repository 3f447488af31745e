#!/usr/bin/env bash
# All figures in one run: packets as multiples of a floor, then calls, memory and round trips of the daemon.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-target/release}
ulimit -n "$(ulimit -Hn)"
echo "== packets: CPU of the media thread, and its multiple of a bare echo loop in the same run"
"$bin/examples/media_bench"
# On a virtual machine the first wake-up of an idle core costs more than a whole request. Loops of the lowest priority keep
# the cores awake and yield at once.
awake=()
for _ in $(seq "$(nproc)"); do
  nice -n 19 sh -c 'while :; do :; done' &
  awake+=($!)
done
trap 'kill "${awake[@]}" 2>/dev/null' EXIT
echo "== the daemon"
"$bin/tapi-bench" --tapid "$bin/tapid"
echo "== modems joined to SIP"
"$bin/tapi-bench-modems" --tapid "$bin/tapid"
