#!/usr/bin/env bash
# Man pages: man.sh BIN DIRECTORY. Those of the command line come from its own definitions, the others from docs/, so that
# they say what the documentation says.
set -euo pipefail
bin=$1
out=$2
mkdir -p "$out"
# Ragged lines: between long names adjusted ones have more holes than text.
page() { # page NAME SECTION ONE-LINE < markdown
  { printf '# NAME\n\n%s - %s\n\n' "$1" "$3"; cat; } |
    lowdown -s -tman -M "title=$1" -M "section=$2" -M "source=tapid" -M "date=$(date -u -d "@${SOURCE_DATE_EPOCH:-0}" +%Y-%m-%d)" |
    sed '/^\.TH /a .ad l' > "$out/$1.$2"
}
# The body of a page of docs/: without its first heading; links to other pages of docs/ lose their target, the text becomes what a man page is made of.
body() { sed -E -e '1{/^# /d}' -e 's/\[([^]]*)\]\([^)]*\)/\1/g' "$1" | packaging/man_text.py; }

page tapid 8 "telephony server for modems, dongles and SIP trunks" < packaging/man/tapid.8.md
{
  cat packaging/man/tapid.toml.5.md
  printf '\n# EVERY KEY\n\n'
  sed 's/^/    /' docs/tapid.toml.example
  printf '\n# SEE ALSO\n\ntapid(8), tapictl(1)\n'
} | page tapid.toml 5 "configuration of the telephony server"
{ body docs/api.md; printf '\n# SEE ALSO\n\ntapid(8), tapictl(1), tapid-tspi(7)\n'; } |
  page tapid-api 7 "API of the telephony server for applications"
{ body docs/adding-a-provider.md; printf '\n# SEE ALSO\n\ntapid(8), tapid-api(7)\n'; } |
  page tapid-tspi 7 "what the telephony server and its service providers say to each other"
page tapi-exchange 1 "simulated telephone exchange with modems" < packaging/man/tapi-exchange.1.md
"$bin/tapictl" manual "$out"
