"""``obsup doctor``: test credentials, permissions and limits with a tiny upload."""

from __future__ import annotations

from typing import Any

import click

from obsup.cli.arguments import types
from obsup.cli.arguments.command import command


@command("doctor")
@click.argument("prefix", metavar="BUCKET[/PREFIX]", type=types.PREFIX)
def doctor(prefix: str, *, save: bool, **values: Any) -> int:
    """Test the access to a bucket: name, network, TLS, keys, permissions, clock, ETags and limits.

    \b
    obsup doctor bucket
    obsup doctor obs://bucket/2026/ --profile nightly --save

    Initiates an upload under PREFIX, sends two tiny parts, and aborts it; no object is created, so nothing shows
    whether the store keeps objects. At the end it prints the settings that work and what the store is capable of, as
    lines for the configuration file; --save writes them into the profile, or into [defaults], and leaves everything
    else in the file as it is.
    """
    from obsup.cli.actions.doctor import run_doctor
    from obsup.cli.run.requests import options_from

    return run_doctor(prefix, options_from(values), save=save)
