"""Run moto's server with a fix: a V2 signature with four slashes is not parsed as a V4 scope.

moto takes the third of five fields between slashes for the name of the service, and returns 500 if it is unknown. This
affects about one in a thousand V2 signatures, because they are base64.
"""

from __future__ import annotations

from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import main

infer_original_host = DomainDispatcherApplication.infer_service_region_host


def infer_v4_host(self: Any, environ: dict[str, Any], path: str) -> Any:
    """Return the host of the service in a V4 signature; None, which means S3, for a V2 signature."""
    is_v2 = environ.get("HTTP_AUTHORIZATION", "").startswith("AWS ")
    return None if is_v2 else infer_original_host(self, environ, path)


DomainDispatcherApplication.infer_service_region_host = infer_v4_host

if __name__ == "__main__":
    main()
