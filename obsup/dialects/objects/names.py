"""The rules for names of buckets and keys, by vendor."""

from __future__ import annotations

import re

from obsup.dialects.addressing import is_ip_address
from obsup.dialects.dialect import Dialect
from obsup.errors import NextStep, WrongUsage
from obsup.text import quoted

MIN_BUCKET_CHARACTERS = 3
_MAX_BUCKET_CHARACTERS = 63


def check_bucket(dialect: Dialect, bucket: str, *, shortest: int = MIN_BUCKET_CHARACTERS) -> None:
    """Raise WrongUsage if the provider rejects *bucket* as a name; suggest the nearest valid name.

    *shortest* is the minimum number of characters: private stores allow fewer than the vendors.
    Source: OBS API reference, "Creating a Bucket"; Amazon S3, "General purpose bucket naming rules"; Alibaba
    OSS, "Bucket naming conventions".
    """
    if bucket.startswith("arn:"):
        raise WrongUsage(
            "the target is the ARN of a bucket or of an access point",
            "obsup sends requests to buckets, by their names; access points have other hosts and signatures",
            NextStep("use the name of the bucket: BUCKET/KEY"),
        )
    problem = _bucket_problem(dialect, bucket, shortest)
    if not problem:
        return
    nearest = _nearest_bucket(dialect, bucket)
    raise WrongUsage(
        f"invalid bucket name {bucket!r}",
        f"On {dialect.title} {problem}",
        NextStep(f"did you mean {nearest}?" if nearest else "check the TARGET, which is BUCKET/KEY"),
    )


def check_key(dialect: Dialect, key: str) -> None:
    """Raise WrongUsage if the provider rejects *key* as the name of an object; suggest the nearest valid key.

    Source: OBS API reference, "Uploading an Object - PUT"; Amazon S3, "Naming Amazon S3 objects"; Alibaba
    OSS, "Object naming conventions".
    """
    if not key:
        raise WrongUsage(
            "the key is empty", "An object needs a name", NextStep("use BUCKET/KEY as the TARGET")
        )
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise WrongUsage(
            f"invalid key {quoted(key)}",
            "It is not valid UTF-8, but the stores keep names as UTF-8",
            NextStep("write a key in UTF-8 in the TARGET, which need not be the file name"),
        ) from None
    limits = dialect.limits
    length, unit = (len(key), "characters") if limits.counts_characters else (size, "bytes")
    if length > limits.max_key:
        raise WrongUsage(
            f"the key {key[:40]!r}… is too long",
            f"{dialect.title} accepts {limits.max_key} {unit}{' of UTF-8' * (unit == 'bytes')}, not {length}",
            NextStep(f"shorten it to {limits.max_key} {unit}"),
        )
    refused = dialect.refused_key_starts
    if refused and key[0] in refused:
        bare = key.lstrip(refused)
        raise WrongUsage(
            f"invalid key {key!r}",
            f"On {dialect.title} it must not begin with {' or '.join(refused)}",
            NextStep(f"did you mean {bare}?" if bare else "use BUCKET/KEY as the TARGET"),
        )


def _bucket_problem(dialect: Dialect, bucket: str, shortest: int) -> str:
    """Return what is wrong with *bucket* as the end of a sentence, or an empty string."""
    letters = dialect.bucket_characters
    if not shortest <= len(bucket) <= _MAX_BUCKET_CHARACTERS:
        return f"it must have {shortest} to {_MAX_BUCKET_CHARACTERS} characters, not {len(bucket)}"
    if not re.fullmatch(f"[{letters}]+", bucket):
        return f"it must have only the characters {letters}"
    if bucket[0] in "-." or bucket[-1] in "-.":
        return "it must begin and end with a letter or a digit"
    if re.search(r"\.\.|\.-|-\.", bucket):
        return "a dot must not follow or precede a dot or a hyphen"
    if is_ip_address(bucket):
        return "it must not look like an IP address"
    for start in dialect.reserved_bucket_starts:
        if bucket.startswith(start):
            return f"names that begin with {start} are reserved"
    for end in dialect.reserved_bucket_ends:
        if bucket.endswith(end):
            return f"names that end with {end} are reserved"
    return ""


def _nearest_bucket(dialect: Dialect, bucket: str) -> str:
    """Return the nearest valid name, or an empty string if it would be a guess."""
    lowered = bucket.lower()
    candidates = (lowered, lowered.replace("_", "-"), lowered.replace("_", "-").strip("-."))
    return next(
        (name for name in candidates if not _bucket_problem(dialect, name, MIN_BUCKET_CHARACTERS)), ""
    )
