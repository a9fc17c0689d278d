"""Shell completion of sources, targets, buckets, upload ids and profiles, from files of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from obsup.cli.arguments.known_words import known_buckets, known_profiles, known_targets, known_uploads
from obsup.cli.arguments.types import TextType
from obsup.text import utf8_name
from obsup.vendor_names import PROVIDERS

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    Items = list[CompletionItem[str]]

SCHEMES = tuple(f"{provider}://" for provider in PROVIDERS)


class Word(TextType):
    """A word. *complete* returns the completions of its beginning; *is_key*: its bytes are UTF-8 in every locale."""

    def __init__(
        self, name: str, complete: Callable[[click.Context, str], Items], *, is_key: bool = False
    ) -> None:
        self.name = name
        self._complete = complete
        self._is_key = is_key

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word. An empty argument is an error: an unset variable must not mean another source."""
        if value == "" and isinstance(param, click.Argument):
            self.fail("it is empty", param, ctx)
        return utf8_name(value) if self._is_key else str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        """Return the completions of *incomplete*."""
        return self._complete(ctx, incomplete)


def words(*known: str) -> Word:
    """Return a word that completes the *known* values; other values are valid, too."""
    return Word("text", lambda _ctx, incomplete: _completions(known, incomplete))


def _completions(values: Iterable[str] | Mapping[str, str], incomplete: str) -> Items:
    """Return the *values* that start with *incomplete*; the values of a mapping are their help texts."""
    from click.shell_completion import CompletionItem

    helps = values if isinstance(values, Mapping) else {}
    return [CompletionItem(one, help=helps.get(one)) for one in values if one.startswith(incomplete)]


def _files(incomplete: str) -> Items:
    """Let the shell complete files."""
    from click.shell_completion import CompletionItem

    return [] if _scheme(incomplete) else [CompletionItem(incomplete, type="file")]


def _targets(_ctx: click.Context, incomplete: str) -> Items:
    """Complete known targets and, before the first slash, their buckets; with or without a scheme."""
    scheme = _scheme(incomplete)
    known = known_targets(os.environ, Path.cwd())
    if "/" not in incomplete.removeprefix(scheme):
        known += [f"{one}/" for one in known_buckets(os.environ, Path.cwd())]
    return _completions([f"{scheme}{one}" for one in known], incomplete)


def _scheme(incomplete: str) -> str:
    return next((one for one in SCHEMES if incomplete.startswith(one)), "")


def _prefixes(_ctx: click.Context, incomplete: str) -> Items:
    scheme = _scheme(incomplete)
    return _completions([f"{scheme}{one}" for one in known_buckets(os.environ, Path.cwd())], incomplete)


def _sources(ctx: click.Context, incomplete: str) -> Items:
    """Complete files; after the first source also known targets."""
    given = ctx.params.get("sources") or ctx.params.get("source_target") or ctx.params.get("target")
    if ctx.params.get("from_command"):
        return [] if given else _targets(ctx, incomplete)
    return [*_targets(ctx, incomplete), *_files(incomplete)] if given else _files(incomplete)


def _source_or_target(ctx: click.Context, incomplete: str) -> Items:
    """Complete ``[SOURCE] TARGET``, where the first word may be either."""
    return [*_targets(ctx, incomplete), *_files(incomplete)]


def _uploads(_ctx: click.Context, incomplete: str) -> Items:
    return _completions(known_uploads(os.environ, Path.cwd()), incomplete)


def _profiles(ctx: click.Context, incomplete: str) -> Items:
    return _completions(known_profiles(os.environ, ctx.params.get("config_path")), incomplete)


SOURCES = Word("path", _sources)
SOURCE_OR_TARGET = Word("text", _source_or_target)
TARGET = Word("text", _targets, is_key=True)
PREFIX = Word("text", _prefixes, is_key=True)
UPLOAD_ID = Word("text", _uploads)
PROFILE = Word("text", _profiles)
