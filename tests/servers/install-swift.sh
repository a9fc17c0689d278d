#!/usr/bin/env bash
# Debian's python3-swift, where it is missing: no server is started by it.
set -euo pipefail

dpkg-query -W -f='${Status}' python3-swift 2>/dev/null | grep -q 'ok installed' && exit 0
as_root=(env DEBIAN_FRONTEND=noninteractive)
[ "$(id -u)" = 0 ] || as_root=(sudo "${as_root[@]}")
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -qy --no-install-recommends python3-swift
