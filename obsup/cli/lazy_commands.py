"""A mapping of command names to commands that imports each command on first use, to start faster."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import click


class LazyCommands(UserDict[str, click.Command]):
    """A command ``NAME`` is the attribute of that name in the module ``obsup.cli.commands.NAME``."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.data: dict[str, Any] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        """Return the command, importing it on first use. Raises KeyError."""
        if self.data[name] is None:
            self.data[name] = getattr(import_module(f"obsup.cli.commands.{name}"), name)
        command: click.Command = self.data[name]
        return command
