#!/usr/bin/env bash
# Installs what the mpi lane needs where it is missing: Debian's Open MPI, and mpi4py into the given Python.
#
#     tests/servers/install-mpi.sh .venv/bin/python && .venv/bin/python -m pytest -m mpi -n 0
set -euo pipefail

python=${1:?PYTHON}
bash "$(dirname "$0")/install-packages.sh" openmpi-bin libopenmpi-dev
"$python" -c 'import mpi4py' 2>/dev/null || "$python" -m pip install -q 'mpi4py>=4.0'
