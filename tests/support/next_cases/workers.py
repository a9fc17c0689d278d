"""Worker processes, and other clients that use the same store."""

from __future__ import annotations

from tests.support.next_lines import Case

_WORKERS = "obsup upload bigfile bucket/key --parts 2 --executor processes -j 1"
_END_WORKERS = (
    'for p in /proc/[0-9]*; do test "$(readlink $p/cwd)" = $PWD && grep -qs [s]erve_calls $p/cmdline '
    "&& kill -9 ${p#/proc/}; done; true"
).replace("; ", "\n")
_BROKEN = (
    "mkdir copy && cp -r $PACKAGE copy/obsup; export PYTHONPATH=$PWD/copy; sed -i "
    '\'0,/annotations$/s//annotations\\nimport sys\\nif any("serve_calls" in one for one in sys.orig_argv)'
    ": raise RuntimeError/' copy/obsup/engine/send/part.py"
)

CASES = (
    Case(
        "store/presigned: find_presigned",
        2,
        before="fault require-md5",
        command=f"{_WORKERS} --presign",
    ),
    Case(
        "engine/send/content: module 2",
        65,
        before="fault flip-bit,op=part,times=always",
        command=f"{_WORKERS} --presign",
    ),
    Case(
        "engine/send/worker_failures: as_obsup_error",
        75,
        before=f"whenever part {_END_WORKERS}",
        command=_WORKERS,
        fix="direct",
    ),
    Case(
        "engine/send/worker_failures: as_obsup_error 3",
        78,
        before=_BROKEN,
        command=_WORKERS,
        fix="cp $PACKAGE/engine/send/part.py copy/obsup/engine/send/",
        is_real=True,
    ),
    Case(
        "engine/job/connection: customer_key_of",
        78,
        before="head -c 32 /dev/urandom > KEY && chmod 600 KEY; cp -p KEY saved; "
        "when initiate head -c 32 /dev/urandom > KEY",
        command=f"{_WORKERS} --sse-c-key-file KEY",
        fix="cp -p saved KEY; direct",
    ),
    Case(
        "engine/upload/initiate: check_is_new",
        69,
        before="obsup init bucket/key; answer initiate 200 - <InitiateMultipartUploadResult><Bucket>bucket</Bucket>"
        "<Key>key</Key><UploadId>$id</UploadId></InitiateMultipartUploadResult>",
        command="obsup upload bigfile bucket/key --parts 2",
        fix="direct",
    ),
    Case(
        "engine/verify/object_probe: ObjectProbe._foreign_object",
        65,
        before="fault reset,op=initiate,after=1; when uploads obsup init bucket/key --no-token",
        command="obsup upload bigfile bucket/key --parts 2 --token --retry-for 20s",
        fix="direct",
    ),
)
