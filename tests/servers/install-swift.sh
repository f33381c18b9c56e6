#!/usr/bin/env bash
# Installs OpenStack Swift from Debian's or Ubuntu's packages, where it is missing; as root. Nothing is started: tests
# start it themselves, on ports of their own (tests/servers/swift.py).
set -euo pipefail

packages=(swift-proxy swift-account swift-container swift-object python3-swift memcached)
missing=()
for package in "${packages[@]}"; do
  # one that was removed may still be known, by its configuration
  [[ "$(dpkg-query --show --showformat='${db:Status-Abbrev}' "$package" 2>/dev/null)" == ii* ]] || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
  echo "already installed: ${packages[*]}"
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}; installing them wants root and apt-get (sudo $0)" >&2
  exit 2
fi

# The packages start their services where nothing forbids it: they would take ports and disks of this machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install --yes --no-install-recommends "${missing[@]}"
