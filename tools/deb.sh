#!/usr/bin/env bash
# Builds the Debian packages into target/deb from the release build (BIN names another one), and has lintian look at them.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(realpath "${BIN:-${CARGO_TARGET_DIR:-target}/release}")
out=$(realpath -m "${OUT:-target/deb}")
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
[ "$(dpkg-parsechangelog -S Version)" = "$version" ] || { echo "deb: debian/changelog and Cargo.toml name different versions" >&2; exit 1; }
source="$out/tapid-$version"
rm -rf "$out"
mkdir -p "$source"
git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -xf - -C "$source"
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -S Timestamp)
export SOURCE_DATE_EPOCH TAPID_BIN="$bin"
(cd "$source" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps >"$out/build.log" 2>&1) || { tail -n 40 "$out/build.log" >&2; exit 1; }
rm -rf "$source"
ls -1 "$out"/*.deb
# Errors fail; what is only a warning is shown.
lintian --fail-on error --allow-root "$out"/*.deb
