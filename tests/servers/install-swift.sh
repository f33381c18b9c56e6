#!/usr/bin/env bash
# Installs OpenStack Swift from Debian's or Ubuntu's packages, where it is missing; as root. Nothing is started: tests
# start it themselves, on ports of their own (tests/servers/swift.py).
set -euo pipefail

packages=(swift-proxy swift-account swift-container swift-object python3-swift memcached)
if dpkg --status "${packages[@]}" >/dev/null 2>&1; then
  echo "already installed: ${packages[*]}"
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: some of ${packages[*]}; installing them wants root and apt-get (sudo $0)" >&2
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
apt-get install --yes --no-install-recommends "${packages[@]}"
