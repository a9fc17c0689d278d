"""A mapping of command names to commands that imports each command on first use, to start faster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from importlib import import_module

import click


class LazyCommands(MutableMapping[str, click.Command]):
    """A command ``NAME`` is the attribute of that name in the module ``obsup.cli.commands.NAME``."""

    def __init__(self, names: Iterable[str]) -> None:
        self._commands: dict[str, click.Command | None] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        """Return the command, importing it on first use. Raises KeyError."""
        command = self._commands[name]
        if command is None:
            command = self._commands[name] = getattr(import_module(f"obsup.cli.commands.{name}"), name)
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        """Add an imported command."""
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        """Remove a command."""
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names without importing anything."""
        return iter(self._commands)

    def __len__(self) -> int:
        """Return the number of commands."""
        return len(self._commands)

    def __contains__(self, name: object) -> bool:
        """Return whether the command exists, without importing it."""
        return name in self._commands
