"""The commands by name, each loaded when it is first asked for: ``--version`` and ``upload`` wait for no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from importlib import import_module

import click


class LazyCommands(MutableMapping[str, click.Command]):
    """A command ``NAME`` is the attribute of that name in the module ``obsup.cli.commands.NAME``."""

    def __init__(self, names: Iterable[str]) -> None:
        self._commands: dict[str, click.Command | None] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        """Return the command, loaded now where it is not yet. Raises KeyError."""
        found = self._commands[name]
        if found is None:
            found = self._commands[name] = getattr(import_module(f"obsup.cli.commands.{name}"), name)
        return found

    def __setitem__(self, name: str, command: click.Command) -> None:
        """Add a command that is loaded already."""
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        """Forget a command."""
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names, and load nothing."""
        return iter(self._commands)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._commands)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such a command, and load nothing."""
        return name in self._commands
