#!/usr/bin/env bash
# Installs what the mpi lane needs where it is missing: Debian's Open MPI, and mpi4py into the given Python.
#
#     tests/servers/install-mpi.sh .venv/bin/python && .venv/bin/python -m pytest -m mpi -n 0
set -euo pipefail

python=${1:?PYTHON}
missing=()
for package in openmpi-bin libopenmpi-dev; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    as_root=(env DEBIAN_FRONTEND=noninteractive)
    [ "$(id -u)" = 0 ] || as_root=(sudo "${as_root[@]}")
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" apt-get install -qy --no-install-recommends "${missing[@]}"
fi
"$python" -c 'import mpi4py' 2>/dev/null || "$python" -m pip install -q 'mpi4py>=4.0'
