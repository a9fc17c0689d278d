"""Word errors and notes for callers of the Python API: keywords and functions in place of options and commands."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec.structs import replace

from obsup import events
from obsup.api.values import keyword_of
from obsup.errors import NextStep, ObsupError
from obsup.options.table import GROUPS

FUNCTIONS = {
    "upload": "upload_file",
    "init": "initiate_upload",
    "part": "upload_part",
    "complete": "complete_upload",
    "abort": "abort_upload",
    "parts": "list_parts",
    "uploads": "list_uploads",
    "verify": "verify_file",
}
# The functions that take the source after the target, as a keyword.
_SOURCE_LAST = ("initiate_upload", "complete_upload", "abort_upload", "list_parts")
_ROWS = [row for _, rows in GROUPS for row in rows]
_KEYWORDS = {row.option: keyword_of(row) for row in _ROWS} | {
    row.names.partition("/")[2]: f"{keyword_of(row)}=False" for row in _ROWS if "/" in row.names
}
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_COMMAND = re.compile(rf"\b(?:obsup )({'|'.join(FUNCTIONS)})\b")
_PLACE = re.compile(r"\b(SOURCE|TARGET)\b")


def in_python(text: str) -> str:
    """Return *text* with keywords in place of options, and functions in place of commands."""
    text = _OPTION.sub(lambda found: _keyword(found[0]), text)
    text = _COMMAND.sub(lambda found: FUNCTIONS[found[1]], text)
    return _PLACE.sub(lambda found: found[1].lower(), text)


def reword(error: ObsupError) -> None:
    """Word *error* for a caller of the API."""
    error.what, error.why = in_python(error.what), in_python(error.why)
    if error.next_step is not None:
        error.next_step = _step(error.next_step)
    error.args = (error.what, error.why, error.next_step, error.refusal)


def reworded_to(observer: events.Observer) -> events.Observer:
    """Return an observer that passes every event on to *observer*, and words notes for a caller of the API."""

    def observe(event: events.Event) -> None:
        if isinstance(event, events.Noted):
            call = f" {_call(event.command)}" if event.command else ""
            event = replace(event, text=in_python(event.text) + call, command=())
        observer(event)

    return observe


def _step(step: NextStep) -> NextStep:
    """Return *step* as a text: the keywords to add and to leave out, or the function to call."""
    parts = [in_python(step.text)]
    parts += [_arguments(step.add)] if step.add else []
    unnamed = [name for name in map(_keyword, step.drop) if name not in parts[0]]
    parts += [f"without {', '.join(unnamed)}"] if unnamed else []
    parts += [_call(step.command)] if step.command else []
    text = ": ".join(filter(None, parts))
    return NextStep(", then ".join(filter(None, (text, "call it again" if step.rerun else ""))))


def _keyword(option: str) -> str:
    return _KEYWORDS.get(option, option)


def _call(words: Sequence[str]) -> str:
    """Return the call of the API that does what the command *words* does; a command without one stays as it is."""
    if words[0] != "obsup":
        return _arguments(words)
    function = FUNCTIONS.get(words[1]) if len(words) > 1 else None
    if function is None or "-r" in words:
        return " ".join(words)
    places = [word for word in words[2:] if not word.startswith("--")]
    options = [word for word in words[2:] if word.startswith("--")]
    values = {words[words.index(option) + 1] for option in options if words.index(option) + 1 < len(words)}
    places = [word for word in places if word not in values]
    if len(places) == 2 and function in _SOURCE_LAST:
        arguments = [repr(places[1]), f"source={places[0]!r}"]
    else:
        arguments = [repr(word) for word in places]
    rest = _arguments([word for word in words[2:] if word in options or word in values])
    return f"{function}({', '.join([*arguments, *([rest] if rest else [])])})"


def _arguments(words: Sequence[str]) -> str:
    """Return options and their values as keyword arguments: ``parts=5``; a flag is True."""
    arguments: list[str] = []
    for word in words:
        if word.startswith("--"):
            arguments.append(f"{_keyword(word)}=True")
        elif arguments:
            name = arguments[-1].partition("=")[0]
            arguments[-1] = f"{name}={_value(name, word)}"
    return ", ".join(arguments)


def _value(name: str, word: str) -> str:
    """Return the value of an option as Python writes it: an upload id of digits is a text."""
    is_number = word.isdecimal() and name in (
        "parts",
        "part_number",
        "part_size",
        "jobs",
        "max_parts",
        "offset",
    )
    return word if is_number else repr(word)
