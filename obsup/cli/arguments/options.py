"""Click options made from the rows of the table of options."""

from __future__ import annotations

from typing import Any

import click

from obsup.cli.arguments import types
from obsup.options.kinds import Kind
from obsup.options.row import OptionRow

_TYPES: dict[str, Any] = {
    "jobs": types.JOBS,
    "size": types.SIZE,
    "rate": types.RATE,
    "duration": types.DURATION,
    "file": types.FILE,
    "folder": types.FOLDER,
    "text-file": click.File("r"),
    "byte-range": types.BYTE_RANGE,
    "key-values": types.KEY_VALUE,
    "grants": types.GRANT,
    "headers": types.HEADER,
    "part-etags": types.PART_ETAG,
    "shard": types.SHARD,
    "profile": types.WORD,
    "upload-id": types.WORD,
}


class Option(click.Option):
    """An option with its row, and the title of its group in ``--help``."""

    def __init__(self, row: OptionRow, group: str) -> None:
        settings: dict[str, Any] = {}
        if row.kind.name == "flag":
            settings = {"is_flag": True, "default": bool(row.default)}
        else:
            settings = {"type": _click_type(row.kind), "multiple": row.kind.is_list}
            if row.default is not None:
                settings |= {"default": row.default, "show_default": True}
        metavar = row.metavar or ("N" if row.kind.name == "number" else "")
        super().__init__(
            [*row.spellings, row.parameter],
            help=row.help,
            metavar=metavar or None,
            required=row.is_required,
            envvar=row.environment or None,
            show_envvar=bool(row.environment),
            # The settings of the configuration file become defaults before any other option is converted.
            is_eager=row.option in ("--profile", "--config"),
            **settings,
        )
        self.row = row
        self.group = group

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Convert the value. An empty text is an error: a variable that is not set must not mean another request."""
        kind, given = self.row.kind, value if isinstance(value, list | tuple) else [value]
        if "" in given and not (kind.may_be_empty or kind.is_path):
            raise click.BadParameter("the value is empty", ctx, self)
        return super().type_cast_value(ctx, value)

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """Return the value of the environment variable; in a path, ``~`` and ``$NAME`` are expanded."""
        value = super().value_from_envvar(ctx)
        if not value or not self.row.kind.is_path:
            return value
        from obsup.local.files.user_folders import expanded  # --help does not need it

        return expanded(value)


def _click_type(kind: Kind) -> Any:
    if kind.choices:
        return click.Choice(kind.choices)
    if kind.suggestions:
        return types.WORD
    if kind.name == "number":
        is_limited = kind.minimum is not None or kind.maximum is not None
        return click.IntRange(kind.minimum, kind.maximum) if is_limited else click.INT
    return _TYPES.get(kind.name, click.STRING)
