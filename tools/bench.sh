#!/usr/bin/env bash
# All figures in one run: packets as multiples of a floor, then calls, memory and round trips of the daemon.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
echo "== packets: CPU of the media thread, and its multiple of a bare echo loop in the same run"
target/release/examples/media_bench
echo "== the daemon"
target/release/tapi-bench
