"""The long options of upload as keys of config.toml, and what each takes.

The command line checks its own words; here a value is checked so that the error can name the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from obsup.dialects.vendor_names import METADATA_SERVICES, PROVIDERS, SIGNATURES
from obsup.units import parse_duration, parse_size
from obsup.value import Value

OptionValue = str | int | float | bool | tuple[str, ...]


class Kind(Value):
    """What a key takes: *wanted* in words, for messages, and *accepts*, given the value as TOML read it."""

    wanted: str
    accepts: Callable[[object], bool]


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_jobs(value: object) -> bool:
    return value == "auto" or _is_number(value)


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_size(value: object) -> bool:
    return _parses(value, parse_size)


def _is_duration(value: object) -> bool:
    return _parses(value, parse_duration)


def _parses(value: object, parse: Callable[[str], object]) -> bool:
    if not (isinstance(value, str) or _is_number(value)):
        return False
    try:
        parse(str(value))
    except ValueError:
        return False
    return True


def _one_of(*words: str) -> Kind:
    return Kind("one of " + ", ".join(words), lambda value: value in words)


TEXT = Kind("text in quotes", _is_text)
FLAG = Kind("true or false", _is_flag)
NUMBER = Kind("a whole number", _is_number)
JOBS = Kind('a whole number or "auto"', _is_jobs)
SIZE = Kind('a size such as "16M" or 16777216', _is_size)
DURATION = Kind('a duration such as "15m" or 900 (seconds)', _is_duration)
LIST = Kind('a list of texts such as ["K=V"]', _is_list)
SERVICE = _one_of(*METADATA_SERVICES)

#: Not here: --config (it is how the file was found), --profile (in [defaults] only) and --from-command,
#: which is nothing without the command after it.
OPTIONS: Mapping[str, Kind] = {
    **dict.fromkeys(("part_size", "limit_rate", "expect_size"), SIZE),
    **dict.fromkeys(("retry_for", "max_time", "connect_timeout", "stall_timeout"), DURATION),
    **dict.fromkeys(("parts", "max_parts", "expires_days"), NUMBER),
    **dict.fromkeys(("metadata", "tag", "grant", "header", "include", "exclude"), LIST),
    **dict.fromkeys(
        (
            *("presign", "no_checkpoint", "restart", "verify_source", "content_md5", "skip_identical"),
            *("abort_on_failure", "token"),
            *(
                "no_overwrite",
                "dry_run",
                "json",
                "quiet",
                "verbose",
                "no_verify_tls",
                "recursive",
                "null",
                "fail_fast",
            ),
        ),
        FLAG,
    ),
    **dict.fromkeys(
        (
            *(
                "endpoint",
                "region",
                "ca_bundle",
                "proxy",
                "executor",
                "checkpoint",
                "checkpoint_dir",
                "receipt",
                "until",
                "from_list",
                "failed_list",
            ),
            *("expect_md5", "expect_sha256", "log_file", "content_type", "content_encoding"),
            *("content_disposition", "content_language", "cache_control", "expires_header", "acl"),
            *("storage_class", "website_redirect", "success_redirect", "sse_kms_key_id", "sse_c_key_file"),
        ),
        TEXT,
    ),
    "jobs": JOBS,
    "provider": _one_of("auto", *PROVIDERS),
    "signature": _one_of("auto", *SIGNATURES),
    "addressing": _one_of("auto", "virtual", "path", "cname"),
    "digest": _one_of("auto", "md5", "crc64", "none"),
    "on_change": _one_of("fail", "resend"),
    "links": _one_of("follow", "skip", "refuse"),
    "if_running": _one_of("fail", "wait", "skip"),
    "progress": _one_of("auto", "bar", "lines", "json", "none"),
    "sse": _one_of("AES256", "kms"),
}
