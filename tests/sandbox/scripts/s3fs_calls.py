"""Calls of s3fs on ENDPOINT with the file that is given; another interpreter than that of the tests runs this."""

import os
import sys
from pathlib import Path

import s3fs

content = Path(sys.argv[1]).read_bytes()
fs = s3fs.S3FileSystem(endpoint_url=os.environ["ENDPOINT"])
fs.mkdir("bucket")
fs.put(sys.argv[1], "bucket/put")
with fs.open("bucket/written", "wb", block_size=5 << 20) as file:
    for start in range(0, len(content), 1 << 20):
        file.write(content[start : start + (1 << 20)])
with fs.open("bucket/written", "ab") as file:
    file.write(b"more")
assert fs.cat("bucket/written") == content + b"more"
assert fs.cat_file("bucket/put", start=1000, end=3000) == content[1000:3000]
fs.mv("bucket/put", "bucket/folder/moved")
fs.cp("bucket/folder/moved", "bucket/copy")
fs.touch("bucket/empty")
assert fs.find("bucket") == ["bucket/copy", "bucket/empty", "bucket/folder/moved", "bucket/written"]
assert fs.info("bucket/folder/moved")["size"] == len(content)
fs.rm(["bucket/copy", "bucket/empty"])
