"""Calls of pyarrow on ENDPOINT with the file that is given; another interpreter than that of the tests runs this."""

import os
import sys
from pathlib import Path

import pyarrow
import pyarrow.fs
import pyarrow.parquet

content = Path(sys.argv[1]).read_bytes()
scheme, _, address = os.environ["ENDPOINT"].partition("://")
fs = pyarrow.fs.S3FileSystem(endpoint_override=address, scheme=scheme, allow_bucket_creation=True)
fs.create_dir("bucket")
with fs.open_output_stream("bucket/folder/written") as stream:
    stream.write(content)
assert fs.open_input_stream("bucket/folder/written").read() == content
assert fs.open_input_file("bucket/folder/written").read_at(2000, 1000) == content[1000:3000]
fs.move("bucket/folder/written", "bucket/moved")
fs.copy_file("bucket/moved", "bucket/other/copy")
table = pyarrow.table({"number": list(range(1000))})
pyarrow.parquet.write_table(table, "bucket/other/table", filesystem=fs)
assert pyarrow.parquet.read_table("bucket/other/table", filesystem=fs) == table
names = {info.path for info in fs.get_file_info(pyarrow.fs.FileSelector("bucket", recursive=True))}
assert {"bucket/moved", "bucket/other/copy", "bucket/other/table"} <= names, names
fs.delete_dir_contents("bucket/other")
