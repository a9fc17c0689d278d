"""One row of the table of options."""

from __future__ import annotations

from typing import NamedTuple

from obsup.options.kinds import Kind, OptionValue

STORE = ("upload", "init", "part", "complete", "abort", "parts", "uploads", "gc", "verify", "doctor")
UPLOAD = ("upload",)
INIT = ("upload", "init")
PLANNED = ("upload", "init", "part")
# What is in the table, and yet not a key of the configuration file: the file itself, a profile (which only
# [defaults] may name), and an option that is meaningless without the command after it.
_NO_SETTINGS = ("--config", "--profile", "--from-command")


class OptionRow(NamedTuple):
    """One option.

    ``names`` are the short and long names, the long one last; ``--on/--off`` is a flag with its opposite. ``commands``
    are the commands that take it, by default those of its group. ``field`` is its name in code, by default the long
    name. ``default`` is the built-in value; None means not set. ``header`` is for options that become a header: the
    header's name if all vendors share it, otherwise the attribute of the dialects' HeaderNames. ``sample`` is a value
    for the configuration file, as TOML spells it. ``has_variable``: the option has an environment variable.
    """

    names: str
    kind: Kind
    help: str
    commands: tuple[str, ...] = ()
    field: str = ""
    default: OptionValue | None = None
    metavar: str = ""
    header: str = ""
    sample: str = ""
    has_variable: bool = True
    is_required: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """The names as they are written on the command line; a flag and its opposite are one."""
        return tuple(self.names.split())

    @property
    def option(self) -> str:
        """The long name: ``--part-size``."""
        return self.spellings[-1].partition("/")[0]

    @property
    def key(self) -> str:
        """The key in the configuration file: the long name, with ``_`` for ``-``."""
        return self.option.removeprefix("--").replace("-", "_")

    @property
    def parameter(self) -> str:
        """The name in code."""
        return self.field or self.key

    @property
    def environment(self) -> str:
        """The environment variable: ``OBSUP_PART_SIZE``, or an empty text.

        Those of the sandbox have another prefix, because the COMMAND that it runs must not read them.
        """
        prefix = "OBSUP_SANDBOX_" if self.commands == ("sandbox",) else "OBSUP_"
        return f"{prefix}{self.key.upper()}" if self.has_variable else ""

    @property
    def is_setting(self) -> bool:
        """Whether it is a key of the configuration file."""
        return "upload" in self.commands and self.option not in _NO_SETTINGS

    @property
    def unset(self) -> OptionValue | None:
        """The value that it has if it is not given anywhere."""
        if self.kind.is_list:
            return ()
        return False if self.kind.name == "flag" and self.default is None else self.default


def group(commands: tuple[str, ...], *rows: OptionRow) -> tuple[OptionRow, ...]:
    """Return the *rows*; those that name no commands get *commands*."""
    return tuple(row if row.commands else row._replace(commands=commands) for row in rows)
