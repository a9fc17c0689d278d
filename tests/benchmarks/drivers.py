"""Upload a file with a library as its documentation recommends: drivers.py LIBRARY JSON.

Runs in the environment of the library, which has no other library and not obsup.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Job:
    """The task of each library: the same file, part size, and number of parts in flight."""

    endpoint: str
    file: str
    part_size: int
    jobs: int
    hashed: bool
    ca: str | None


def boto3(job: Job) -> None:
    """Amazon's SDK, with its transfer manager."""
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    config = Config(
        s3={"addressing_style": "path", "payload_signing_enabled": False},
        request_checksum_calculation="when_supported" if job.hashed else "when_required",
    )
    keys = {"aws_access_key_id": "access", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=job.endpoint, verify=job.ca, config=config, **keys)
    transfer = TransferConfig(
        multipart_threshold=job.part_size, multipart_chunksize=job.part_size, max_concurrency=job.jobs
    )
    client.upload_file(job.file, "bucket", "key", Config=transfer)


def esdk_obs_python(job: Job) -> None:
    """Huawei's SDK: uploadFile."""
    from obs import ObsClient

    client = ObsClient(
        access_key_id="access",
        secret_access_key="secret",
        server=job.endpoint,
        path_style=True,
        ssl_verify=job.ca or False,
    )
    response = client.uploadFile(
        "bucket",
        "key",
        job.file,
        partSize=job.part_size,
        taskNum=job.jobs,
        enableCheckpoint=False,
        isAttachCrc64=job.hashed,
    )
    assert response.status < 300, response


def oss2(job: Job) -> None:
    """Alibaba's first SDK: resumable_upload."""
    import oss2

    bucket = oss2.Bucket(
        oss2.Auth("access", "secret"), job.endpoint, "bucket", is_path_style=True, enable_crc=job.hashed
    )
    with tempfile.TemporaryDirectory() as folder:
        oss2.resumable_upload(
            bucket,
            "key",
            job.file,
            store=oss2.ResumableStore(root=folder),
            multipart_threshold=job.part_size,
            part_size=job.part_size,
            num_threads=job.jobs,
        )


def alibabacloud_oss_v2(job: Job) -> None:
    """Alibaba's second SDK: Uploader."""
    import alibabacloud_oss_v2 as oss

    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider("access", "secret")
    config.region = "cn-hangzhou"
    config.endpoint = job.endpoint
    config.use_path_style = True
    config.disable_upload_crc64_check = not job.hashed
    uploader = oss.Client(config).uploader(part_size=job.part_size, parallel_num=job.jobs)
    uploader.upload_file(oss.PutObjectRequest(bucket="bucket", key="key"), filepath=job.file)


def obstore(job: Job) -> None:
    """Python bindings of the Rust crate object_store."""
    import obstore
    from obstore.store import S3Store

    options = {"allow_http": True, "allow_invalid_certificates": True}
    store = S3Store(
        "bucket",
        endpoint=job.endpoint,
        access_key_id="access",
        secret_access_key="secret",
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options=options,
        unsigned_payload=not job.hashed,
    )
    file = Path(job.file)
    obstore.put(store, "key", file, use_multipart=True, chunk_size=job.part_size, max_concurrency=job.jobs)


def minio(job: Job) -> None:
    """MinIO's SDK: fput_object."""
    from minio import Minio

    where = urlsplit(job.endpoint)
    client = Minio(
        where.netloc,
        access_key="access",
        secret_key="secret",
        secure=where.scheme == "https",
        region="us-east-1",
        cert_check=False,
    )
    client.fput_object("bucket", "key", job.file, part_size=job.part_size, num_parallel_uploads=job.jobs)


def bare(job: Job) -> None:
    """No library: minimal requests over one socket per job.

    With *hashed* the file is read in blocks of 1 MiB and sent, without hashing; otherwise the kernel sends it.
    """
    where = urlsplit(job.endpoint)
    size = Path(job.file).stat().st_size
    secure = ssl.create_default_context(cafile=job.ca) if job.ca else None

    def connect() -> socket.socket:
        connection = socket.create_connection((where.hostname, where.port))
        return secure.wrap_socket(connection, server_hostname=where.hostname) if secure else connection

    def send(first: int) -> None:
        block = memoryview(bytearray(1 << 20))
        with (
            connect() as connection,
            Path(job.file).open("rb", buffering=0) as file,
        ):
            for begin in range(first * job.part_size, size, job.jobs * job.part_size):
                left = min(job.part_size, size - begin)
                connection.sendall(
                    b"PUT /bucket/key?partNumber=1 HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % left
                )
                file.seek(begin)
                while left:
                    if job.hashed:
                        count = file.readinto(block[: min(left, len(block))])
                        connection.sendall(block[:count])
                    else:
                        count = os.sendfile(connection.fileno(), file.fileno(), begin, left)
                        begin += count
                    left -= count
                connection.recv(4096)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(job.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


LIBRARIES = {
    one.__name__: one for one in (boto3, esdk_obs_python, oss2, alibabacloud_oss_v2, obstore, minio, bare)
}

if __name__ == "__main__":
    LIBRARIES[sys.argv[1]](Job(**json.loads(sys.argv[2])))
