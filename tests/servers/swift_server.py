"""Run OpenStack Swift with its S3 interface on 127.0.0.1, in one process, from Debian's python3-swift.

    /usr/bin/python3 swift_server.py FOLDER ACCESS_KEY SECRET_KEY

It has one replica on one device, which is a folder in FOLDER, and the default settings of the S3 interface. Prints
"ready at ENDPOINT". A dictionary takes the place of memcached.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import eventlet
from eventlet import wsgi
from swift.common import utils
from swift.common.ring import RingBuilder
from swift.common.wsgi import SwiftHttpProtocol, loadapp

DEVICE = "device"
PARTITIONS = 2  # as a power of two
PROXY = """
[DEFAULT]
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors gatekeeper proxy-logging listing_formats s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {secret} .admin .reseller_admin
"""
FILTER = "[filter:{name}]\nuse = egg:swift#{egg}\n"
FILTERS = {
    "catch_errors": "catch_errors",
    "gatekeeper": "gatekeeper",
    "proxy-logging": "proxy_logging",
    "listing_formats": "listing_formats",
    "copy": "copy",
    "slo": "slo",
    "dlo": "dlo",
}
BACKEND = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""


class Cache:
    """What Swift calls of its memcached client. Nothing expires: the process lives for minutes."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def set(self, key: str, value: Any, **_: Any) -> None:
        """Store the value as JSON, as memcached would."""
        self._values[key] = json.dumps(value)

    def get(self, key: str, *_: Any, **__: Any) -> Any:
        """Return the value, or None."""
        return json.loads(self._values.get(key, "null"))

    def delete(self, key: str, *_: Any) -> None:
        """Forget the value."""
        self._values.pop(key, None)


def serve(conf: Path, text: str, listener: Any) -> None:
    """Serve the application that *text* configures."""
    conf.write_text(text)
    loaded, cache = loadapp(str(conf)), Cache()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        return loaded({**environ, "swift.cache": cache}, start_response)

    eventlet.spawn(
        wsgi.server,
        listener,
        app,
        utils.NullLogger(),
        protocol=SwiftHttpProtocol,
        capitalize_response_headers=False,
        socket_timeout=60,
    )


def write_ring(folder: Path, name: str, port: int) -> None:
    """Write the ring with the only device."""
    builder = RingBuilder(PARTITIONS, replicas=1, min_part_hours=0)
    builder.add_dev(
        {
            "region": 1,
            "zone": 1,
            "weight": 1,
            "ip": "127.0.0.1",
            "port": port,
            "device": DEVICE,
            "replication_ip": "127.0.0.1",
            "replication_port": port,
        }
    )
    builder.rebalance()
    builder.get_ring().save(str(folder / f"{name}.ring.gz"))


def main() -> None:
    """Start the storage servers, then the proxy."""
    folder, access_key, secret = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    account, user = access_key.split(":")
    (folder / "devices" / DEVICE).mkdir(parents=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = suffix\n")
    utils.eventlet_monkey_patch()
    utils.set_swift_dir(str(folder))
    for kind in ("account", "container", "object"):
        listener = eventlet.listen(("127.0.0.1", 0))
        write_ring(folder, kind, listener.getsockname()[1])
        serve(folder / f"{kind}.conf", BACKEND.format(kind=kind, folder=folder), listener)
    proxy = PROXY.format(folder=folder, account=account, user=user, secret=secret)
    proxy += "".join(FILTER.format(name=name, egg=egg) for name, egg in FILTERS.items())
    listener = eventlet.listen(("127.0.0.1", 0))
    serve(folder / "proxy.conf", proxy, listener)
    print(f"ready at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        eventlet.sleep(3600)


if __name__ == "__main__":
    main()
