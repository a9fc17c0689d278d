"""The table of options, and what is derived from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from obsup.options.connection_rows import CONNECTION, OUTPUT, SANDBOX
from obsup.options.kinds import KEY_VALUES
from obsup.options.object_rows import ENCRYPTION, OBJECT, RETENTION
from obsup.options.row import OptionRow
from obsup.options.transfer_rows import CHECKS, COMPARISON, MANY, OWN, PART, RESUME, STREAM, TRANSFER

# The groups in the order of --help.
GROUPS: tuple[tuple[str, tuple[OptionRow, ...]], ...] = (
    ("Options", (*OWN, *SANDBOX)),
    ("Part", PART),
    ("Checks", CHECKS),
    ("Plan", COMPARISON),
    ("Transfer", TRANSFER),
    ("Many files", MANY),
    ("Stream", STREAM),
    ("Resume", RESUME),
    ("Object", OBJECT),
    ("Retention", RETENTION),
    ("Encryption", ENCRYPTION),
    ("Connection", CONNECTION),
    ("Output", OUTPUT),
)

# Settings, as parameters in code, of which at most one applies. The nearest one wins; two from one source conflict.
EXCLUSIVE: tuple[tuple[str, ...], ...] = (
    ("parts", "part_size"),
    ("checkpoint", "checkpoint_dir", "no_checkpoint"),
    ("sse", "sse_c_key_file"),
    ("sse_kms_key_id", "sse_c_key_file"),
    ("ca_bundle", "no_verify_tls"),
    ("quiet", "verbose"),
)

# Options of upload that are keys of the configuration file, by key.
SETTINGS: Mapping[str, OptionRow] = {row.key: row for _, rows in GROUPS for row in rows if row.is_setting}

# Options that describe the object: each sets the field of ObjectOptions with its parameter's name.
OBJECT_OPTIONS = tuple(
    row
    for row in (*OBJECT, *RETENTION, *ENCRYPTION)
    if row.option not in ("--skip-identical", "--strict-options", "--sse-c-key-file")
)

# Options that become a header of some request.
HEADER_OPTIONS = tuple(row for _, rows in GROUPS for row in rows if row.header)


def rows_of(command: str) -> Iterator[tuple[str, OptionRow]]:
    """Yield each option of *command* with the title of its group, in the order of --help."""
    for title, rows in GROUPS:
        for row in rows:
            if command in row.commands:
                yield title, row


def object_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of ObjectOptions that parsed *values* have; pairs become a mapping.

    Raises WrongUsage for a name with two values.
    """
    rows = [row for row in OBJECT_OPTIONS if row.parameter in values]
    given = {row.parameter: values[row.parameter] for row in rows}
    return given | {
        row.parameter: unique_values(row.option, given[row.parameter])
        for row in rows
        if row.kind is KEY_VALUES
    }


def unique_values(option: str, pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the *pairs* of an option as a mapping. Raises WrongUsage for a name with two values."""
    mapping: dict[str, str] = {}
    for name, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
        if mapping.setdefault(name, value) != value:
            from obsup.errors import NextStep, WrongUsage  # --help does not need them

            raise WrongUsage(
                f"{option} gives {name!r} twice",
                "Only one of the values would reach the store",
                NextStep("give each name once", option=option),
            )
    return mapping


def rivals_of(parameter: str) -> set[str]:
    """Return the settings that exclude *parameter*."""
    return {one for group in EXCLUSIVE if parameter in group for one in group} - {parameter}


def rows_named(option: str) -> list[OptionRow]:
    """Return the rows of *option*, given by its long name; several commands may have options with that name."""
    return [row for _, rows in GROUPS for row in rows if row.option == option]


def exclusive_options(option: str) -> set[str]:
    """Return the long names of the options that exclude *option*."""
    rivals = {rival for row in rows_named(option) for rival in rivals_of(row.parameter)}
    return {row.option for _, rows in GROUPS for row in rows if row.parameter in rivals}


def is_set(value: object) -> bool:
    """Return whether *value* asks for something: 0 does; None, False and an empty list do not."""
    return value is not None and value is not False and value != ()
