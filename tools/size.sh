#!/usr/bin/env bash
# A file has up to 500 lines: tests do not count (a tests folder, a tests.rs, what follows #[cfg(test)]).
set -euo pipefail
cd "$(dirname "$0")/.."
status=0
while IFS= read -r file; do
  lines=$(awk '/^#\[cfg\(test\)\]/ {exit} {n++} END {print n + 0}' "$file")
  if [ "$lines" -gt 500 ]; then
    echo "size: $file has $lines lines; split it" >&2
    status=1
  fi
done < <(find crates demo tools tests -type f \( -name '*.rs' -o -name '*.py' -o -name '*.sh' \) \
           -not -path "crates/*/tests/*" -not -name tests.rs -not -path '*/benches/*' -not -path '*/target/*')
[ $status -eq 0 ] && echo "size: every file has up to 500 lines"
exit $status
