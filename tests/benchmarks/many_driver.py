"""Upload a tree with boto3: many_driver.py JSON. Runs in boto3's environment, and imports nothing of obsup."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

WHOLE = 8 * 1024 * 1024
THREADS = 10  # as many as its own transfer manager has


@dataclass(frozen=True)
class ManyJob:
    """What is asked of every tool: the files below *tree*, to the bucket's prefix ``p/``; *home* is an empty folder."""

    endpoint: str
    tree: str
    home: str


def upload(client: Any, path: str, key: str) -> None:
    """Send one file as the library's documentation says: whole in one request, or by its transfer manager."""
    if os.path.getsize(path) <= WHOLE:  # noqa: PTH202 - this file runs as lean as it can
        with open(path, "rb") as file:  # noqa: PTH123
            client.put_object(Bucket="bucket", Key=key, Body=file)
    else:
        client.upload_file(path, "bucket", key)


def main() -> None:
    """Walk, and have a pool of threads send."""
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
        sent = []
        for folder, _, names in os.walk(job.tree):
            for name in names:
                path = f"{folder}/{name}"
                sent.append(pool.submit(upload, client, path, f"p/{os.path.relpath(path, job.tree)}"))
        for one in sent:
            one.result()


if __name__ == "__main__":
    main()
