#!/usr/bin/env bash
# Looks at what is linked (deny.toml): licences, doubles and sources always; advisories where their database can be fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
"$cargo" deny check licenses bans sources
if "$cargo" deny fetch db; then
  "$cargo" deny --offline check advisories
else
  echo "deny: advisories were NOT CHECKED: their database cannot be fetched from here" >&2
fi
