#!/usr/bin/env bash
# Lays out what each Debian package holds: stage.sh BIN STAGE. Run from the top of the source.
set -euo pipefail
bin=$1
stage=$2
rm -rf "$stage"
into() { # into PACKAGE DIRECTORY MODE FILE…
  local target="$stage/$1/$2" mode=$3
  shift 3
  mkdir -p "$target"
  install -m "$mode" "$@" "$target"
}

packaging/man.sh "$bin" "$stage/man"

into tapid usr/sbin 755 "$bin/tapid"
into tapid etc/tapid 644 packaging/tapid.toml
# The service pulls it in and takes it along: the package's scripts have nothing to do with it.
into tapid lib/systemd/system 644 systemd/tapid-udev.socket
into tapid usr/lib/udev/rules.d 644 udev/*.rules
if compgen -G 'udev/*.hwdb' >/dev/null; then into tapid usr/lib/udev/hwdb.d 644 udev/*.hwdb; fi
into tapid usr/share/tapid/modems.d 644 crates/tsp-modem/profiles/*.toml
into tapid usr/share/doc/tapid 644 docs/tapid.toml.example docs/operations.md docs/sip.md docs/tapi-map.md
if [ -e docs/trunks.md ]; then into tapid usr/share/doc/tapid 644 docs/trunks.md; fi
if [ -e dbus/org.tapid.Telephony1.conf ]; then
  into tapid usr/share/dbus-1/system.d 644 dbus/org.tapid.Telephony1.conf
  into tapid usr/share/dbus-1/system-services 644 dbus/org.tapid.Telephony1.service
  into tapid usr/share/polkit-1/actions 644 dbus/org.tapid.Telephony1.policy
  into tapid usr/share/dbus-1/system.d 644 dbus/org.tapid.ModemManager1.conf
  into tapid usr/share/polkit-1/rules.d 644 dbus/org.tapid.ModemManager1.rules
  into tapid-dev usr/share/dbus-1/interfaces 644 dbus/interfaces/*.xml
fi
into tapid usr/share/man/man8 644 "$stage/man/tapid.8"
into tapid usr/share/man/man5 644 "$stage/man/tapid.toml.5"
into tapid usr/share/man/man7 644 "$stage/man/tapid-api.7" "$stage/man/tapid-tspi.7"

into tapictl usr/bin 755 "$bin/tapictl"
into tapictl usr/share/man/man1 644 "$stage"/man/tapictl*.1
mkdir -p "$stage"/tapictl/usr/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
"$bin/tapictl" completions bash > "$stage/tapictl/usr/share/bash-completion/completions/tapictl"
"$bin/tapictl" completions zsh > "$stage/tapictl/usr/share/zsh/vendor-completions/_tapictl"
"$bin/tapictl" completions fish > "$stage/tapictl/usr/share/fish/vendor_completions.d/tapictl.fish"

into tapi-exchange usr/bin 755 "$bin/tapi-exchange"
into tapi-exchange usr/share/man/man1 644 "$stage/man/tapi-exchange.1"

if [ -e docs/protocol.schema.json ]; then into tapid-dev usr/share/tapid 644 docs/protocol.schema.json; fi
into tapid-dev usr/share/doc/tapid-dev 644 docs/api.md

packaging/sbom.py > "$stage/sbom.cdx.json"
for package in tapid tapictl tapi-exchange; do into "$package" "usr/share/doc/$package" 644 "$stage/sbom.cdx.json"; done
