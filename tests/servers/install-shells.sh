#!/usr/bin/env bash
# bash-completion, zsh, fish, mandoc, groff, man and systemd-analyze from Debian's packages, where they are missing.
set -euo pipefail

missing=()
for package in bash-completion zsh fish mandoc groff man-db systemd; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
as_root=(env DEBIAN_FRONTEND=noninteractive)
[ "$(id -u)" = 0 ] || as_root=(sudo "${as_root[@]}")
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -qy --no-install-recommends "${missing[@]}"
