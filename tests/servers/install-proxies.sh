#!/usr/bin/env bash
# Debian's Squid, stunnel, microsocks, nginx and nss_wrapper, where they are missing. Their services are not started: the
# tests run their own.
set -euo pipefail

missing=()
for package in squid stunnel4 microsocks nginx-light libnss-wrapper openssl; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
as_root=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1)
[ "$(id -u)" = 0 ] || as_root=(sudo "${as_root[@]}")
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -qy --no-install-recommends "${missing[@]}"
