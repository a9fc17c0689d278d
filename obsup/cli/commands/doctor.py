"""``obsup doctor``: try the whole cycle on two tiny parts, and report."""

from __future__ import annotations

from typing import Any

import click

from obsup.cli.arguments import completed_words, options
from obsup.cli.arguments.command import command


@command(short_help="Try everything on two tiny parts, and report.")
@click.argument("prefix", metavar="BUCKET[/PREFIX]", type=completed_words.PREFIX)
@options.connection_options
@options.request_options
@options.report_options
def doctor(prefix: str, **values: Any) -> int:
    """Examine a bucket: name, line, TLS, keys, each permission, the clock, what an ETag proves, the limits.

    \b
    obsup doctor bucket
    obsup doctor obs://bucket/2026/ --profile nightly

    An upload of two tiny parts is begun under PREFIX and aborted again; no object is made. At its end it prints the
    settings that were found to work, as lines for the configuration file.
    """
    from obsup.cli.actions.doctor import run_doctor
    from obsup.cli.run.requests import options_from

    return run_doctor(prefix, options_from(values))
