"""Generate the man pages of section 1 from the commands: obsup(1), and one page per command."""

from __future__ import annotations

from collections.abc import Iterator

import click

from obsup.cli.arguments.command import Command, Commands
from obsup.exit_status import EXIT_STATUSES
from obsup.value import Value
from obsup.version import __version__
from tests.tools.roff import Page, bold, escape, italic

# The pages of section 7, generated from man/pages.
LONGER_PAGES = (
    "obsup-benchmarks",
    "obsup-checkpoint",
    "obsup-container",
    "obsup-cron",
    "obsup-failures",
    "obsup-faq",
    "obsup-fleets",
    "obsup-guarantees",
    "obsup-monitoring",
    "obsup-parameters",
    "obsup-python",
    "obsup-stores",
    "obsup-streams",
    "obsup-tutorial",
)
SOURCE = f"obsup {__version__}"
PLACEHOLDERS = (
    ("SOURCE", "a local file, or - for standard input"),
    (
        "TARGET",
        "BUCKET/KEY, or obs://BUCKET/KEY, s3://BUCKET/KEY, oss://BUCKET/KEY: the scheme selects the provider. A TARGET "
        "that ends in / gets the file name of SOURCE appended",
    ),
    ("SIZE", "bytes, or 100K 9M 5G (binary, as the vendors count), or 9MiB, 9MB (decimal)"),
    ("DURATION", "30s 15m 7h 2d"),
    ("RATE", "bytes per second, written like SIZE: 10M"),
)
ENVIRONMENT = (
    ("AccessKeyID, SecretAccessKey, SecurityToken", "Credentials; they take precedence over all others."),
    ("OBSUP_ACCESS_KEY_ID, OBSUP_SECRET_ACCESS_KEY, OBSUP_SECURITY_TOKEN", "The same."),
    (
        "OBS_*, AWS_*, OSS_*, ALIBABA_CLOUD_*",
        "Credentials, endpoint and region, with the names that the provider's own tools use; see obsup-faq(7).",
    ),
    ("OBSUP_STATE_DIR", "Folder for locks, and for checkpoints that cannot be written next to SOURCE."),
    ("XDG_CONFIG_HOME, XDG_STATE_HOME", "Default folders of configuration and state."),
    ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY", "URL of the proxy, with its login, if --proxy is not given."),
    ("NO_PROXY", "Hosts, domains and networks to reach without any proxy, separated by commas."),
    (
        "AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE",
        "Trusted CA certificates, if --ca-bundle is not given; the first that is set.",
    ),
    ("NO_COLOR, TERM", "Disable colours; TERM=dumb also disables the progress bar."),
)
FILES = (
    ("~/.config/obsup/config.toml", "Defaults and profiles; obsup config init creates it."),
    (
        "SOURCE.XXXXXXXX.obsup.json",
        "The checkpoint of an upload, next to SOURCE; removed once the object is verified.",
    ),
    (
        "~/.local/state/obsup/",
        "Locks, checkpoints that cannot be written next to SOURCE, and the record of started uploads.",
    ),
    (
        "~/.aws/credentials, ~/.aws/config, ~/.ossutilconfig",
        "Credentials, endpoints and regions of the providers' own tools, if readable.",
    ),
)


class Node(Value):
    """A command and the words that run it, for example ``obsup upload``."""

    words: tuple[str, ...]
    command: Command | Commands

    @property
    def name(self) -> str:
        """The name of its man page."""
        return "-".join(self.words)


def walk(group: Commands, *words: str) -> Iterator[Node]:
    """Yield *group* and every visible command below it."""
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
    """Return the text of every page of section 1 by file name."""
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
        _write_placeholders(page)
    _write_options(page, node.command, ctx)
    _write_common(page, help_text.examples)
    near = [other for other in nodes if other.words[:-1] == node.words or node.words[:-1] == other.words]
    names = sorted({other.name for other in (*near, *nodes[:1]) if other.name != node.name})
    page.see_also([*((name, 1) for name in names), *((name, 7) for name in LONGER_PAGES)])
    return page.text()


def _context(node: Node, root: Command | Commands) -> click.Context:
    """Return a context like that of a run: the settings of the group, such as -h, apply to every command."""
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


def _write_placeholders(page: Page) -> None:
    page.section("PLACEHOLDERS")
    for placeholder, meaning in PLACEHOLDERS:
        page.item(italic(placeholder), f"{meaning}.")


def _write_options(page: Page, command: Command | Commands, ctx: click.Context) -> None:
    if not any(isinstance(param, click.Option) and not param.hidden for param in command.params):
        return
    page.section("OPTIONS")
    if isinstance(command, Commands):
        for param in command.get_params(ctx):
            if isinstance(param, click.Option) and not param.hidden:
                _write_option(page, param, ctx)
        return
    for title, options in command.groups().items():
        page.subsection(title)
        for option in options:
            _write_option(page, option, ctx)


def _write_option(page: Page, option: click.Option, ctx: click.Context) -> None:
    names = ", ".join(bold(name) for name in sorted(option.opts, key=len))
    if option.secondary_opts:
        names += " / " + ", ".join(bold(name) for name in option.secondary_opts)
    if not option.is_flag:
        names += f" {italic(option.make_metavar(ctx))}"
    extra = option.get_help_extra(ctx)
    sentences = [option.help or ""]
    if "default" in extra:
        sentences.append(f"Default: {extra['default']}.")
    if "range" in extra:
        sentences.append(f"Range: {extra['range'].replace('<=x<=', ' to ').replace('x>=', 'at least ')}.")
    if extra.get("envvars"):
        sentences.append(f"Environment: {', '.join(extra['envvars'])}.")
    page.item(names, " ".join(sentences))


def _write_common(page: Page, examples: tuple[str, ...]) -> None:
    page.section("EXIT STATUS")
    for row in EXIT_STATUSES:
        page.item(bold(row.codes), f"{row.meaning}. What cron should do: {row.action}.")
    page.section("ENVIRONMENT")
    page.paragraph("The variable of each option is shown in its description. In addition:")
    for name, meaning in ENVIRONMENT:
        page.item(bold(name), meaning)
    page.section("FILES")
    for name, meaning in FILES:
        page.item(italic(name), meaning)
    page.section("EXAMPLES")
    page.example(examples)
