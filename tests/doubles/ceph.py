"""A Ceph RADOS Gateway whose daemons can be killed and restarted with their data on disk."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config

SCRIPT = Path(__file__).parents[1] / "servers" / "ceph.sh"
BUCKET = "killed"


class Ceph:
    """One monitor, one OSD with a disk, one gateway, with the bucket ``killed``; state is in *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        started = subprocess.run(
            [SCRIPT, "start", self._folder, "bluestore"], check=True, stdout=subprocess.PIPE, text=True
        )
        settings = dict(line.split("=", 1) for line in started.stdout.splitlines())
        self.endpoint = settings["ENDPOINT"]
        self.environment = {
            "AccessKeyID": settings["ACCESS_KEY"],
            "SecretAccessKey": settings["SECRET_KEY"],
            "OBSUP_PROVIDER": "s3",
            "OBSUP_REGION": "us-east-1",
            "OBSUP_ADDRESSING": "path",
        }
        self._s3: Any = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=settings["ACCESS_KEY"],
            aws_secret_access_key=settings["SECRET_KEY"],
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )
        self._s3.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, *_: object) -> None:
        self._s3.close()
        subprocess.run([SCRIPT, "stop", self._folder], check=True)

    def kill(self, *names: str) -> None:
        """Send SIGKILL to these daemons: mon, osd, rgw."""
        subprocess.run([SCRIPT, "kill", self._folder, *names], check=True)

    def revive(self, *names: str) -> None:
        """Restart these daemons in this order, and wait until they serve."""
        subprocess.run([SCRIPT, "revive", self._folder, *names], check=True)

    def sha256(self, key: str) -> str:
        """Return the SHA-256 of the object, downloaded."""
        body = self._s3.get_object(Bucket=BUCKET, Key=key)["Body"]
        digest = hashlib.sha256()
        for block in body.iter_chunks(1 << 20):
            digest.update(block)
        return digest.hexdigest()

    def open_uploads(self, key: str) -> list[str]:
        """Return the ids of the open uploads of *key*."""
        listed = self._s3.list_multipart_uploads(Bucket=BUCKET, Prefix=key)
        return [one["UploadId"] for one in listed.get("Uploads", []) if one["Key"] == key]
