"""Upload a tree with boto3: many_driver.py JSON. Runs in the environment of boto3 and does not import obsup."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

MAX_PUT_BYTES = 8 * 1024 * 1024
THREADS = 10  # the default of its transfer manager


@dataclass(frozen=True)
class ManyJob:
    """The task of each tool: upload the files below *tree* to the prefix ``p/``. *home* is an empty folder."""

    endpoint: str
    tree: str
    home: str


def upload(client: Any, path: str, key: str) -> None:
    """Upload one file as the documentation recommends: in one request, or with the transfer manager."""
    if os.path.getsize(path) <= MAX_PUT_BYTES:  # noqa: PTH202 - measured, so it avoids overhead
        with open(path, "rb") as file:  # noqa: PTH123
            client.put_object(Bucket="bucket", Key=key, Body=file)
    else:
        client.upload_file(path, "bucket", key)


def main() -> None:
    """Upload the tree with a pool of threads."""
    import boto3
    from botocore.config import Config

    job = ManyJob(**json.loads(sys.argv[1]))
    client = boto3.client(
        "s3",
        endpoint_url=job.endpoint,
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=THREADS),
        aws_access_key_id="access",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    with ThreadPoolExecutor(THREADS) as pool:
        futures = []
        for folder, _, names in os.walk(job.tree):
            for name in names:
                path = f"{folder}/{name}"
                futures.append(pool.submit(upload, client, path, f"p/{os.path.relpath(path, job.tree)}"))
        for future in futures:
            future.result()


if __name__ == "__main__":
    main()
