"""The manual, made from the tree of commands: obsup(1), and a page a command."""

from __future__ import annotations

from collections.abc import Iterator

import click

from obsup.cli.arguments.command import Command, Commands
from obsup.exit_status import EXIT_STATUSES
from obsup.value import Value
from obsup.version import __version__
from tests.tools.roff import Page, bold, escape, italic

# Those of section 7, made from man/pages.
LONGER_PAGES = (
    "obsup-checkpoint",
    "obsup-cron",
    "obsup-failures",
    "obsup-fleets",
    "obsup-parameters",
    "obsup-streams",
)
SOURCE = f"obsup {__version__}"
WORDS = (
    ("SOURCE", "a local file, or - for standard input"),
    (
        "TARGET",
        "BUCKET/KEY, or obs://BUCKET/KEY, s3://BUCKET/KEY, oss://BUCKET/KEY: the scheme picks the provider. A TARGET "
        "that ends in / gets the file name of SOURCE appended",
    ),
    ("SIZE", "bytes, or 100K 9M 5G (binary, as the vendors count), or 9MiB, 9MB (decimal)"),
    ("DURATION", "30s 15m 7h 2d"),
    ("RATE", "bytes a second, as SIZE: 10M"),
)
ENVIRONMENT = (
    ("AccessKeyID, SecretAccessKey, SecurityToken", "Credentials, before all others."),
    ("OBSUP_ACCESS_KEY_ID, OBSUP_SECRET_ACCESS_KEY, OBSUP_SECURITY_TOKEN", "The same."),
    ("OBS_*, AWS_*, OSS_*, ALIBABA_CLOUD_*", "Credentials as the provider's own tools name them."),
    ("OBSUP_STATE_DIR", "Where locks, and checkpoints that cannot stand beside SOURCE, are kept."),
    ("XDG_CONFIG_HOME, XDG_STATE_HOME", "Where configuration and state are by default."),
    ("HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "The way to the store, where --proxy does not name one."),
    ("REQUESTS_CA_BUNDLE", "Certificates to trust, where --ca-bundle does not name them."),
    ("NO_COLOR, TERM", "Without colours; with TERM=dumb without the bar too."),
)
FILES = (
    ("~/.config/obsup/config.toml", "Defaults and profiles; obsup config init writes one."),
    (
        "SOURCE.XXXXXXXX.obsup.json",
        "The checkpoint of an upload, beside SOURCE; gone when the object is proved.",
    ),
    (
        "~/.local/state/obsup/",
        "Locks, checkpoints without a place beside SOURCE, and which uploads are ours.",
    ),
    (
        "~/.aws/credentials, ~/.ossutilconfig",
        "Credentials of the providers' own tools, where they can be read.",
    ),
)


class Node(Value):
    """One command in its place: *words* call it, ``obsup upload``."""

    words: tuple[str, ...]
    command: Command | Commands

    @property
    def name(self) -> str:
        """The name of its page."""
        return "-".join(self.words)


def walk(group: Commands, *words: str) -> Iterator[Node]:
    """Yield *group* and every command below it that is shown."""
    yield Node(words, group)
    for _title, names in group.sections():
        for name in names:
            command = group.commands[name]
            if command.hidden:
                continue
            if isinstance(command, Commands):
                yield from walk(command, *words, name)
            elif isinstance(command, Command):
                yield Node((*words, name), command)


def command_pages(cli: Commands) -> dict[str, str]:
    """Return every page of section 1 by its file name."""
    nodes = list(walk(cli, "obsup"))
    return {f"{node.name}.1": _page(node, nodes) for node in nodes}


def _page(node: Node, nodes: list[Node]) -> str:
    help_text = node.command.help_text
    short = node.command.get_short_help_str(limit=100) if node.command.short_help else help_text.sentence
    page = Page(node.name, 1, source=SOURCE, summary=short.rstrip("."))
    ctx = _context(node, nodes[0].command)
    page.section("SYNOPSIS")
    page.raw(f"{bold(' '.join(node.words))} {escape(' '.join(node.command.collect_usage_pieces(ctx)))}")
    page.section("DESCRIPTION")
    page.paragraph(help_text.sentence)
    for paragraph in help_text.details:
        if paragraph.startswith("\b"):
            page.example(paragraph.splitlines()[1:])
        else:
            page.paragraph(paragraph)
    if isinstance(node.command, Commands):
        _write_commands(page, node, node.command)
    if len(node.words) == 1:
        _write_words(page)
    _write_options(page, node.command, ctx)
    _write_common(page, help_text.examples)
    near = [one for one in nodes if one.words[:-1] == node.words or node.words[:-1] == one.words]
    names = sorted({one.name for one in (*near, *nodes[:1]) if one.name != node.name})
    page.see_also([*((name, 1) for name in names), *((name, 7) for name in LONGER_PAGES)])
    return page.text()


def _context(node: Node, root: Command | Commands) -> click.Context:
    """Return a context like that of a run: the group's settings, -h among them, hold for every command."""
    ctx = click.Context(root, info_name=node.words[0], **{**root.context_settings, "terminal_width": 100})
    for word in node.words[1:]:
        ctx = click.Context(node.command, parent=ctx, info_name=word)
    return ctx


def _write_commands(page: Page, node: Node, group: Commands) -> None:
    page.section("COMMANDS")
    for title, names in group.sections():
        shown = [name for name in names if not group.commands[name].hidden]
        if not shown:
            continue
        page.subsection(title)
        for name in shown:
            tag = f"{bold(f'{node.name}-{name}')}(1)"
            page.item(tag, group.commands[name].get_short_help_str(limit=100))


def _write_words(page: Page) -> None:
    page.section("WORDS")
    for word, meaning in WORDS:
        page.item(italic(word), f"{meaning}.")


def _write_options(page: Page, command: Command | Commands, ctx: click.Context) -> None:
    page.section("OPTIONS")
    if isinstance(command, Commands):
        for one in command.get_params(ctx):
            if isinstance(one, click.Option) and not one.hidden:
                _write_option(page, one, ctx)
        return
    for title, options in command.groups().items():
        page.subsection(title)
        for one in options:
            _write_option(page, one, ctx)


def _write_option(page: Page, one: click.Option, ctx: click.Context) -> None:
    spelt = ", ".join(bold(name) for name in sorted(one.opts, key=len))
    if one.secondary_opts:
        spelt += " / " + ", ".join(bold(name) for name in one.secondary_opts)
    if not one.is_flag:
        spelt += f" {italic(one.make_metavar(ctx))}"
    extra = one.get_help_extra(ctx)
    told = [one.help or ""]
    if "default" in extra:
        told.append(f"Default: {extra['default']}.")
    if "range" in extra:
        told.append(f"Range: {extra['range'].replace('<=x<=', ' to ').replace('x>=', 'at least ')}.")
    if extra.get("envvars"):
        told.append(f"Environment: {', '.join(extra['envvars'])}.")
    page.item(spelt, " ".join(told))


def _write_common(page: Page, examples: tuple[str, ...]) -> None:
    page.section("EXIT STATUS")
    for row in EXIT_STATUSES:
        page.item(bold(row.codes), f"{row.meaning}. What cron should do: {row.action}.")
    page.section("ENVIRONMENT")
    page.paragraph("Every option has a variable, which is named with it. Besides:")
    for name, meaning in ENVIRONMENT:
        page.item(bold(name), meaning)
    page.section("FILES")
    for name, meaning in FILES:
        page.item(italic(name), meaning)
    page.section("EXAMPLES")
    page.example(examples)
