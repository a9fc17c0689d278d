#!/usr/bin/env bash
# Installs Debian's packages where they are missing. Needs root, or sudo. Services that belong to them are not started.
#
#     install-packages.sh PACKAGE…
#
# Two of these at the same time wait for each other. The lists of packages are renewed only if a package is not found.
set -euo pipefail

exec 9< "$0"
flock 9
missing=()
for package; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
as_root=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1)
[ "$(id -u)" = 0 ] || as_root=(sudo "${as_root[@]}")
install=("${as_root[@]}" apt-get install -qy --no-install-recommends "${missing[@]}")
# No process that stays may keep the lock.
{ "${install[@]}" || { "${as_root[@]}" apt-get update -q && "${install[@]}"; }; } 9<&-
