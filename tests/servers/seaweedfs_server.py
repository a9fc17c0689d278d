"""Run SeaweedFS with its S3 gateway on free ports of 127.0.0.1: the program ``weed`` must be in PATH.

    python -m tests.servers.seaweedfs_server FOLDER ACCESS_KEY SECRET_KEY

Prints "ready at ENDPOINT", and ends the program when it is ended by SIGTERM.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.servers.free_ports import find_ports

SERVICES = ("master", "volume", "filer", "s3")


def assign_ports() -> dict[str, int]:
    """Return a free port for each service, and one for its gRPC."""
    names = [f"{service}.port{kind}" for service in SERVICES for kind in ("", ".grpc")]
    return dict(zip(names, find_ports(len(names)), strict=True))


def responds(port: int) -> bool:
    """Whether the server at the port of 127.0.0.1 responds: at first it accepts connections and resets them."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return True


def main() -> int:
    """Start the program, and wait for it."""
    folder, access_key, secret = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    keys = {"accessKey": access_key, "secretKey": secret}
    identity = {"name": "test", "credentials": [keys], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    ports = assign_ports()
    options = {
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "volume.max": 8,
        "master.volumeSizeLimitMB": 1024,
        "master.telemetry": "false",
        "filer.localSocket": folder / "filer.sock",
        "s3.localSocket": folder / "s3.sock",
        "s3.config": folder / "s3.json",
        "s3.autoCreateBucket": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        **ports,
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    with subprocess.Popen(["weed", "-logtostderr=true", "server", "-s3", *arguments]) as weed:
        signal.signal(signal.SIGTERM, lambda *_: weed.kill())
        while not responds(ports["s3.port"]):
            if weed.poll() is not None:
                return 1
            time.sleep(0.05)
        print(f"ready at http://127.0.0.1:{ports['s3.port']}", flush=True)
        weed.wait()
    for service in SERVICES:  # no option moves these
        Path(tempfile.gettempdir(), f"seaweedfs-{service}-grpc-{ports[f'{service}.port.grpc']}.sock").unlink(
            missing_ok=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
