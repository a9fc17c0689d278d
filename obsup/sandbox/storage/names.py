"""Map keys to paths: plain keys stay plain paths, others are escaped, and none leaves its bucket's folder.

An object key is any string; a file name is not. In each ``/``-separated segment of a key

* ``%``, control characters and a segment ``.`` or ``..`` are percent-encoded;
* an empty segment (``dir//x``, a leading or trailing ``/``) is written ``%``, a run of N of them ``%xN``;
* a segment of more than 200 bytes is cut into nested folders that end in ``%-``;
* a trailing ``%`` marks a file or folder whose name is taken by a folder or file (the keys ``a`` and ``a/b``),
  or, if the file system ignores case, by one that differs only in case (``A``); see disk.py.

A literal ``%`` is always escaped, so the markers are unambiguous and every path determines its key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from urllib.parse import unquote

from obsup.sandbox.platform import INVALID_IN_NAMES, possible_name
from obsup.sandbox.refusals import Refused
from obsup.sandbox.vendors import Vendor

_MAX_SEGMENT = 200
# The vendors require three characters; the sandbox also accepts shorter names such as b.
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
_ADDRESS = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_EMPTY_RUN = re.compile(r"%x([0-9]+)")
_S3_RESERVED = re.compile(r"(?:xn--|sthree-|amzn-s3-demo-).*|.*(?:-s3alias|--ol-s3|--x-s3)")


def check_bucket_name(bucket: str, vendor: Vendor) -> None:
    """Raise Refused (400 InvalidBucketName) if *bucket* violates the vendor's naming rules."""
    wrong = not _BUCKET.fullmatch(bucket) or ".." in bucket or bool(_ADDRESS.fullmatch(bucket))
    wrong = wrong or "-." in bucket or ".-" in bucket
    if vendor.name == "s3":
        wrong = wrong or bool(_S3_RESERVED.fullmatch(bucket))
    elif vendor.name == "oss":
        wrong = wrong or "." in bucket
    if wrong:
        message = "The specified bucket is not valid."
        raise Refused(400, "InvalidBucketName", message, details={"BucketName": bucket})


def check_key(key: str, vendor: Vendor) -> None:
    """Raise Refused if *key* is too long for the vendor or has a prefix that OSS forbids."""
    size = len(key if vendor.name == "obs" else key.encode("utf-8"))
    if size > vendor.max_key:
        message = f"Your key is too long: {size}, at most {vendor.max_key}."
        raise Refused(400, vendor.key_too_long, message)
    if vendor.name == "oss" and key.startswith(("/", "\\")):
        raise Refused(400, "InvalidObjectName", "The object name must not begin with / or \\.")


def path_of_key(key: str) -> list[str]:
    """Return the names of the folders and the file that hold *key*."""
    names: list[str] = []
    for segment, run in groupby(key.split("/")):
        count = len(list(run))
        if not segment:
            names.append("%" if count == 1 else f"%x{count}")
        else:
            names += _names_of_segment(segment) * count
    return names


def key_of_path(names: Sequence[str]) -> str:
    """Return the key that *names* hold: the inverse of path_of_key, collision markers included."""
    segments: list[str] = []
    begun = ""
    for name in names:
        if name.endswith("%-"):
            begun += unquote(name.removesuffix("%-"))
            continue
        bare = name.rstrip("%")
        run = _EMPTY_RUN.fullmatch(bare)
        segments += [""] * int(run[1]) if run else [begun + unquote(bare)]
        begun = ""
    return "/".join(segments)


def _names_of_segment(segment: str) -> list[str]:
    if segment in (".", ".."):
        return [segment.replace(".", "%2E")]
    names = [""]
    for character in segment:
        escaped = _escape(character)
        if len((names[-1] + escaped).encode("utf-8")) > _MAX_SEGMENT:
            names.append("")
        names[-1] += escaped
    return [name + "%-" for name in names[:-1]] + [possible_name(names[-1])]


def _escape(character: str) -> str:
    is_control = ord(character) < 0x20 or ord(character) == 0x7F
    if character == "%" or is_control or character in INVALID_IN_NAMES:
        return f"%{ord(character):02X}"
    return character
