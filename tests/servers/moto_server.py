"""moto's server as it is meant: a V2 signature is no V4 scope, even where four slashes happen to stand in it.

moto tells the service by the third of five words between slashes, and answers 500 to one it has never heard of: about
one request in a thousand that carries a V2 signature, which is base64.
"""

from __future__ import annotations

from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import main

infer = DomainDispatcherApplication.infer_service_region_host


def infer_of_v4(self: Any, environ: dict[str, Any], path: str) -> Any:
    """Return the host of the service that a V4 signature names, and None, which is S3, for a V2 signature."""
    is_v2 = environ.get("HTTP_AUTHORIZATION", "").startswith("AWS ")
    return None if is_v2 else infer(self, environ, path)


DomainDispatcherApplication.infer_service_region_host = infer_of_v4

if __name__ == "__main__":
    main()
