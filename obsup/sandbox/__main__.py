"""The command ``python -m obsup.sandbox``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from obsup.sandbox import faults
from obsup.sandbox.command import command_environment, settings
from obsup.sandbox.limits import Limits, parse_limit
from obsup.sandbox.platform import block_signals, export_line, run_command, wait_for_end
from obsup.sandbox.refusals import Refused
from obsup.sandbox.sandbox import Sandbox
from obsup.sandbox.storage.names import check_bucket_name
from obsup.sandbox.vendors import OBS_VENDOR

_DESCRIPTION = """Serve the multipart protocols of OBS, S3 and OSS on 127.0.0.1 and keep objects as plain
files DIR/BUCKET/KEY. With COMMAND: run it with OBSUP_ENDPOINT, AccessKeyID, SecretAccessKey and
OBSUP_ADDRESSING set, pass signals on to it, and exit with its exit code. Without: print these variables for
the shell, and serve until SIGINT or SIGTERM (exit 0)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = _parser()
    own, command = _split(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(own)
    limits = Limits()
    try:
        for rule in arguments.limit:
            limits = parse_limit(rule, limits)
        for rule in arguments.fault:
            faults.parse_fault(rule)
        for bucket in arguments.bucket:
            check_bucket_name(bucket, OBS_VENDOR)
    except (ValueError, Refused) as exc:
        parser.error(str(exc))
    # Before the first thread: they inherit the mask, so that signals reach the wait in the main thread only.
    block_signals()
    try:
        sandbox = Sandbox(
            arguments.dir,
            access_key=arguments.access_key,
            secret_key=_secret_from(os.environ) if arguments.access_key else None,
            port=arguments.port,
            buckets=arguments.bucket,
            faults=arguments.fault,
            limits=limits,
            discard=arguments.discard,
            aws_vendor=arguments.aws_vendor,
            log=arguments.log,
        )
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else f"port {arguments.port}: " if arguments.port else ""
        print(f"obsup sandbox: cannot serve: {where}{exc.strerror or exc}", file=sys.stderr)
        return 1
    with sandbox:
        return _run(sandbox, command) if command else _serve(sandbox, kept=arguments.dir is not None)


def _run(sandbox: Sandbox, command: Sequence[str]) -> int:
    variables = settings(sandbox.endpoint, sandbox.access_key, sandbox.secret_key)
    try:
        return run_command(command, command_environment(os.environ, variables))
    except FileNotFoundError:
        print(f"obsup sandbox: {command[0]}: command not found", file=sys.stderr)
        return 127
    except OSError as exc:
        print(f"obsup sandbox: {command[0]}: cannot be run: {exc.strerror}", file=sys.stderr)
        return 126


def _serve(sandbox: Sandbox, *, kept: bool) -> int:
    for name, value in settings(sandbox.endpoint, sandbox.access_key, sandbox.secret_key).items():
        print(export_line(name, value))
    sys.stdout.flush()
    until = "" if kept else ", until the sandbox ends"
    folder = str(sandbox.directory).removeprefix("\\\\?\\")
    print(f"obsup sandbox: the objects are in {folder}{until}", file=sys.stderr)
    print("obsup sandbox: serving; Ctrl-C or SIGTERM ends it", file=sys.stderr, flush=True)
    wait_for_end()
    return 0


def _secret_from(environment: Mapping[str, str]) -> str | None:
    """Return the secret key of --access-key: an option's value would be visible to every user."""
    return environment.get("OBSUP_SECRET_ACCESS_KEY") or environment.get("SecretAccessKey")


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split at the first ``--``: all words after it belong to COMMAND."""
    if "--" not in argv:
        return list(argv), []
    at = argv.index("--")
    return list(argv[:at]), list(argv[at + 1 :])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="obsup sandbox",
        usage="%(prog)s [OPTIONS] [-- COMMAND ARG…]",
        description=_DESCRIPTION,
        epilog=faults.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, metavar="N", help="TCP port; default: any free one")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="where objects go; default: a temporary folder"
    )
    parser.add_argument(
        "--bucket",
        action="append",
        default=[],
        metavar="NAME",
        help="only these buckets exist, and those that clients create",
    )
    parser.add_argument(
        "--access-key",
        metavar="ID",
        help="access key; its secret key is $OBSUP_SECRET_ACCESS_KEY or $SecretAccessKey",
    )
    parser.add_argument(
        "--fault", action="append", default=[], metavar="RULE", help="what goes wrong, see below"
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="parts=N, min-part=SIZE, max-part=SIZE, page=N, skew=SECONDS",
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="append one JSON object per request")
    parser.add_argument("--discard", action="store_true", help="hash and count bodies, but store none")
    parser.add_argument(
        "--aws-vendor", choices=("s3", "obs"), default="s3", help="whose rules hold under AWS signatures"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
