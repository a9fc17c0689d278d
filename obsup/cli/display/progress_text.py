"""Write a reading of a transfer as text: the fields of the bar and of the lines, and the JSON objects."""

from __future__ import annotations

import json
from collections.abc import Callable

from obsup.cli.display.meter import Reading
from obsup.units import format_clock, format_size


def progress_fields(
    reading: Reading, *, size: Callable[[float], str] = format_size, has_words: bool = True
) -> dict[str, str]:
    """Return the fields that describe *reading*, in the order in which they are shown, with sizes written by *size*."""
    fields: dict[str, str] = {}
    if reading.is_begun:
        share, of = reading.share, "" if reading.total is None else f"/{size(reading.total)}"
        fields["percent"] = "" if share is None else f"{int(share * 100)}%"
        fields["confirmed"] = f"{size(reading.confirmed)}{of}{' confirmed' if has_words else ''}"
    if reading.in_flight:
        sent = size(reading.in_flight)
        fields["in_flight"] = f"{sent} in flight" if has_words else f"+{sent}"
    if reading.rate is not None and not reading.is_completing:
        fields["rate"] = f"{size(reading.rate)}/s"
    fields["elapsed"] = f"{format_clock(reading.elapsed_s)}{' elapsed' if has_words else ''}"
    fields["status"] = _status(reading)
    if reading.is_begun:
        fields["parts"] = _count(reading, has_words=has_words)
    for name in ("failed", "waiting", "retrying"):
        if count := getattr(reading, name):
            fields[name] = f"{count} {name}"
    if reading.resumed:
        fields["resumed"] = f"{size(reading.resumed)} resumed"
    return {name: text for name, text in fields.items() if text}


def compact_size(size: float) -> str:
    """Return *size* bytes in a short form: ``523``, ``9.0M``, ``711M``."""
    number, _, unit = format_size(size).partition(" ")
    return f"{number[:-2] if len(number) > 4 else number}{unit.removesuffix('B').removesuffix('i')}"


def _status(reading: Reading) -> str:
    """Return the time that is left, or what the transfer waits for; nothing if neither is known."""
    if reading.trouble:
        return f"{reading.trouble}; retrying"
    if not reading.is_begun:
        return "checking what is stored"
    if reading.is_completing:
        return "completing"
    if reading.noun == "part" and reading.total is not None and reading.transferred >= reading.total:
        return "confirming"
    return "" if reading.eta_s is None else f"ETA {format_clock(reading.eta_s)}"


def _count(reading: Reading, *, has_words: bool) -> str:
    of = "" if reading.parts is None else f"/{reading.parts}{'' if reading.is_counted else '+'}"
    is_one = (reading.parts or reading.parts_done) == 1
    noun = "" if of and not has_words else f" {reading.noun}{'' if is_one else 's'}"
    return f"{reading.parts_done}{of}{noun}"


def progress_line(name: str, reading: Reading) -> str:
    """Return one line for logs about the transfer called *name*."""
    fields = progress_fields(reading)
    if reading.reason:
        fields["reason"] = f"last failure: {reading.reason}"
    return f"{name}: {', '.join(fields.values())}"


def progress_json(reading: Reading) -> str:
    """Return the JSON object of ``--progress json``: bytes, seconds, and the parts or files that are done."""
    fields = {
        "format": 1,
        "event": "progress",
        "transferred": reading.transferred,
        "total": reading.total,
        "seconds": round(reading.elapsed_s, 3),
    }
    if reading.noun == "file":
        fields |= {"filesDone": reading.parts_done, "filesFailed": reading.failed}
        fields |= {"files": reading.parts, "counted": reading.is_counted}
    else:
        fields |= {"partsDone": reading.parts_done, "parts": reading.parts}
    fields |= {"confirmed": reading.confirmed, "waiting": reading.waiting, "retrying": reading.retrying}
    return json.dumps(fields)
