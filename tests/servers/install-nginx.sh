#!/usr/bin/env bash
# Debian's nginx, where it is missing. What it serves by itself is not begun: the tests run their own.
set -euo pipefail

dpkg-query -W -f='${Status}' nginx-light 2>/dev/null | grep -q 'ok installed' && exit 0
as_root=(env DEBIAN_FRONTEND=noninteractive)
[ "$(id -u)" = 0 ] || as_root=(sudo "${as_root[@]}")
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -qy --no-install-recommends nginx-light
