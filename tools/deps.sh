#!/usr/bin/env bash
# Installs the Debian packages that building and testing need, and says what is missing that it cannot install.
# `deps.sh deb`, `deps.sh system` and `deps.sh vm` name what packages, and the tests under a real systemd and in a virtual
# machine, need beside.
set -euo pipefail

declare -A package=(
  [cc]=gcc [make]=make [pkg-config]=pkg-config [cmake]=cmake [python3]=python3 [sipp]=sip-tester [baresip]=baresip-core [kamailio]=kamailio [openssl]=openssl
  [ModemManager]=modemmanager [ofonod]=ofono [vm]=mgetty-voice [dbus-daemon]=dbus-daemon [gdbus]=libglib2.0-bin [busctl]=systemd [unshare]=util-linux
  [udevadm]=udev [systemd-hwdb]=udev [umockdev-run]=umockdev
)
case "${1:-}" in
  "") ;;
  deb) package+=([dpkg-buildpackage]=dpkg-dev [dh]=debhelper [lintian]=lintian [lowdown]=lowdown [git]=git) ;;
  system) package+=([systemd-nspawn]=systemd-container [mmdebstrap]=mmdebstrap [nsenter]=util-linux [ip]=iproute2) ;;
  vm) package+=([qemu-system-x86_64]=qemu-system-x86 [mmdebstrap]=mmdebstrap [mkfs.ext4]=e2fsprogs [dpkg-deb]=dpkg) ;;
  *) echo "deps: unknown set ${1}" >&2; exit 2 ;;
esac
declare -A server=([kamailio]=kamailio.service [modemmanager]=ModemManager.service [ofono]="ofono.service dundee.service")
missing=()
for tool in "${!package[@]}"; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null 2>&1 || missing+=("${package[$tool]}")
done
# Kamailio's TLS is a package of its own.
compgen -G '/usr/lib/*/kamailio/modules/tls.so' >/dev/null || missing+=(kamailio-tls-modules)
# ModemManager asks polkit, which is no program of the path.
[ -e /usr/lib/polkit-1/polkitd ] || [ -e /usr/libexec/polkitd ] || missing+=(polkitd)
# The linker needs libc's headers beside the compiler.
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
# The client of the bus in the tests is in the Python that has GLib.
python3 -c 'import gi' 2>/dev/null || /usr/bin/python3 -c 'import gi' 2>/dev/null || missing+=(python3-gi)

if [ ${#missing[@]} -gt 0 ]; then
  echo "deps: installing ${missing[*]}"
  sudo=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "deps: not root and no sudo: run 'apt-get install ${missing[*]}' as root" >&2; exit 1; }
    sudo=sudo
  fi
  # Tests start these servers themselves. Debian would start them now and at every boot: a proxy on port 5060, and two that take
  # every modem. While apt runs nothing is started (unless a policy of the machine's own says what is), and what was not there before is
  # left disabled.
  guard=/usr/sbin/policy-rc.d
  if [ ! -e "$guard" ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$guard" >/dev/null
    $sudo chmod 755 "$guard"
    trap '$sudo rm -f "$guard"' EXIT
  fi
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  for name in "${missing[@]}"; do
    units=${server[$name]:-}
    if [ -n "$units" ] && command -v systemctl >/dev/null 2>&1; then
      # shellcheck disable=SC2086
      $sudo systemctl disable --quiet $units 2>/dev/null || true
      echo "deps: $name was installed for the tests and neither runs nor is enabled: 'systemctl enable --now $units' changes that"
    fi
  done
fi

if ! command -v cargo >/dev/null 2>&1; then
  echo "deps: Rust is missing: install the stable toolchain as https://rustup.rs says, then run make again" >&2
  exit 1
fi
need=1.90
have=$(rustc --version | sed -E 's/rustc ([0-9]+\.[0-9]+).*/\1/')
if [ "$(printf '%s\n%s\n' "$need" "$have" | sort -V | head -n 1)" != "$need" ]; then
  echo "deps: Rust $need or newer is needed, this is $have: run 'rustup update stable'" >&2
  exit 1
fi
for component in cargo-fmt cargo-clippy; do
  command -v "$component" >/dev/null 2>&1 || { echo "deps: $component is missing: run 'rustup component add rustfmt clippy'" >&2; exit 1; }
done
