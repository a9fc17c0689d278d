"""The words that a TAB completes from what this machine knows: sources, targets, buckets, upload ids, profiles."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from obsup.cli.arguments.known_words import known_buckets, known_profiles, known_targets, known_uploads
from obsup.cli.arguments.types import TextType
from obsup.vendor_names import PROVIDERS

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    Items = list[CompletionItem[str]]

SCHEMES = tuple(f"{provider}://" for provider in PROVIDERS)


class Word(TextType):
    """A word that is taken as it stands; *offer* gives what a TAB offers for its beginning."""

    def __init__(self, name: str, offer: Callable[[click.Context, str], Items]) -> None:
        self.name = name
        self._offer = offer

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        """Return what is known that begins like *incomplete*."""
        return self._offer(ctx, incomplete)


def words(*known: str) -> Word:
    """Return a word of which some values are *known*: others are taken too."""
    return Word("text", lambda _ctx, incomplete: _beginning(known, incomplete))


def _beginning(values: Iterable[str] | Mapping[str, str], incomplete: str) -> Items:
    """Return those of *values* that begin like *incomplete*; of a mapping the values are their help."""
    from click.shell_completion import CompletionItem

    helps = values if isinstance(values, Mapping) else {}
    return [CompletionItem(one, help=helps.get(one)) for one in values if one.startswith(incomplete)]


def _files(incomplete: str) -> Items:
    """Leave the rest to the shell, which knows files best."""
    from click.shell_completion import CompletionItem

    return [] if _scheme(incomplete) else [CompletionItem(incomplete, type="file")]


def _targets(_ctx: click.Context, incomplete: str) -> Items:
    """Known targets and, until one is begun, their buckets; behind a scheme the same."""
    scheme = _scheme(incomplete)
    known = known_targets(os.environ, Path.cwd())
    if "/" not in incomplete.removeprefix(scheme):
        known += [f"{one}/" for one in known_buckets(os.environ, Path.cwd())]
    return _beginning([f"{scheme}{one}" for one in known], incomplete)


def _scheme(incomplete: str) -> str:
    return next((one for one in SCHEMES if incomplete.startswith(one)), "")


def _prefixes(_ctx: click.Context, incomplete: str) -> Items:
    scheme = _scheme(incomplete)
    return _beginning([f"{scheme}{one}" for one in known_buckets(os.environ, Path.cwd())], incomplete)


def _sources(ctx: click.Context, incomplete: str) -> Items:
    """Files; once a source is given the target may be next, and comes from what is known."""
    given = ctx.params.get("sources") or ctx.params.get("source_target") or ctx.params.get("target")
    if ctx.params.get("from_command"):
        return [] if given else _targets(ctx, incomplete)
    return [*_targets(ctx, incomplete), *_files(incomplete)] if given else _files(incomplete)


def _either(ctx: click.Context, incomplete: str) -> Items:
    """``[SOURCE] TARGET``: the first word may be either."""
    return [*_targets(ctx, incomplete), *_files(incomplete)]


def _uploads(_ctx: click.Context, incomplete: str) -> Items:
    return _beginning(known_uploads(os.environ, Path.cwd()), incomplete)


def _profiles(ctx: click.Context, incomplete: str) -> Items:
    return _beginning(known_profiles(os.environ, ctx.params.get("config_path")), incomplete)


SOURCES = Word("path", _sources)
SOURCE_OR_TARGET = Word("text", _either)
TARGET = Word("text", _targets)
PREFIX = Word("text", _prefixes)
UPLOAD_ID = Word("text", _uploads)
PROFILE = Word("text", _profiles)
