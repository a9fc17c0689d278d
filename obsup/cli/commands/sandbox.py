"""``obsup sandbox``: hands over to the sandbox's own program, which shares no code with the uploader."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from obsup.cli.arguments.command import F, command, option
from obsup.dialects.vendor_names import AWS_SIGNATURE_PROVIDERS


def _option(name: str, *names: str, **settings: Any) -> Callable[[F], F]:
    """Return an option whose environment variable is the sandbox's own: COMMAND's obsup must not read it."""
    variable = "OBSUP_SANDBOX_" + name.removeprefix("--").upper().replace("-", "_")
    return option(name, *names, envvar=variable, **settings)


@command(
    context_settings={"allow_interspersed_args": False},
    short_help="A local store to rehearse against.",
)
@_option(
    "--port", type=click.IntRange(0, 65535), help="Listen on this port of 127.0.0.1. Default: a free one."
)
@_option(
    "--dir", "folder", type=click.Path(path_type=Path), help="Keep objects in this folder as DIR/BUCKET/KEY."
)
@_option("--bucket", "buckets", multiple=True, metavar="NAME", help="Only these buckets exist. Default: any.")
@_option(
    "--fault", "faults", multiple=True, metavar="RULE", help="Go wrong: error=503:SlowDown,op=part,times=2"
)
@_option("--limit", "limits", multiple=True, metavar="NAME=VALUE", help="Another limit: parts=40, page=10.")
@_option("--log", type=click.Path(path_type=Path), help="Append one JSON object a request to this file.")
@_option(
    "--aws-vendor",
    type=click.Choice(AWS_SIGNATURE_PROVIDERS),
    help="Whose rules hold under AWS signatures, which S3 and OBS share. Default: s3.",
)
@_option("--discard", is_flag=True, help="Count and hash what is sent, but do not keep it.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def sandbox(
    port: int | None,
    folder: Path | None,
    buckets: tuple[str, ...],
    faults: tuple[str, ...],
    limits: tuple[str, ...],
    log: Path | None,
    aws_vendor: str | None,
    discard: bool,
    command: tuple[str, ...],
) -> None:
    """Serve a local object store that speaks all dialects, and run COMMAND against it.

    \b
    obsup sandbox -- sh -c 'obsup upload bigfile bucket/key --parts 5'
    obsup sandbox --fault error=503:SlowDown,op=part,times=3 -- ./nightly-backup.sh

    COMMAND finds the endpoint and throw-away credentials in its environment; its exit code is the sandbox's.
    Without COMMAND, export lines are printed and the store serves until Ctrl-C.
    """
    given: list[tuple[str, object]] = [("--port", port), ("--dir", folder), ("--log", log)]
    given.append(("--aws-vendor", aws_vendor))
    given += [("--bucket", one) for one in buckets]
    given += [("--fault", one) for one in faults]
    given += [("--limit", one) for one in limits]
    words = [word for name, value in given if value is not None for word in (name, str(value))]
    if discard:
        words.append("--discard")
    if command:
        words += ["--", *command]
    # -P: import nothing from the current directory.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "obsup.sandbox", *words])
