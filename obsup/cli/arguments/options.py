"""Options that several commands share, each with its environment variable. Groups are decorators, applied whole."""

from __future__ import annotations

from pathlib import Path

import click

from obsup.cli.arguments import completed_words, types
from obsup.cli.arguments.command import option, together
from obsup.dialects.vendor_names import PROVIDERS, SIGNATURES


def _read_config(ctx: click.Context, _param: click.Parameter, _value: object) -> None:
    """Make the profile's options, then [defaults], the defaults of the command: nearest wins."""
    from obsup.cli.arguments.config_defaults import defaults_from_config

    if not ctx.resilient_parsing:
        defaults_from_config(ctx)


FILE = click.Path(path_type=Path)
# What a TAB offers; the store, or the engine, knows what else there is.
EXECUTOR = completed_words.words("threads", "inline", "processes", "dask:", "mpi")
ACL = completed_words.words("private", "public-read", "public-read-write", "bucket-owner-full-control")
STORAGE_CLASS = completed_words.words(
    "STANDARD", "WARM", "COLD", "DEEP_ARCHIVE", "INTELLIGENT_TIERING", "IA", "ARCHIVE"
)
FOLDER = click.Path(path_type=Path, file_okay=False)

plan_options = together(
    "Transfer",
    option(
        "--parts", type=int, metavar="N", help="Split into N parts of equal size (the last may be smaller)."
    ),
    option(
        "--max-parts",
        type=click.IntRange(1, 10_000),
        metavar="N",
        help="The most parts that the store takes, where that is less than the vendor's 10,000.",
    ),
    option(
        "-ps",
        "--part-size",
        type=types.SIZE,
        help="Or this size a part: 16M, 5G. Default 9M, and larger where 10,000 parts would not do; "
        "the parts of a stream begin at 9M and double every 110 parts.",
    ),
)

retry_options = together(
    "Transfer",
    option(
        "--retry-for",
        type=types.DURATION,
        default="15m",
        show_default=True,
        help="How long one failing part is tried.",
    ),
)

sending_options = together(
    "Transfer",
    option("--content-md5", is_flag=True, help="Send Content-MD5 with each part (reads each part twice)."),
    option(
        "--digest",
        type=click.Choice(["auto", "md5", "crc64", "none"]),
        default="auto",
        show_default=True,
        help="What each part is proved with; auto is the best that the store answers with.",
    ),
    option("--limit-rate", type=types.RATE, help="Bytes a second, all parts together: 500K, 10M."),
    retry_options,
)

transfer_options = together(
    "Transfer",
    option(
        "-j",
        "-p",
        "--jobs",
        type=types.JOBS,
        default="auto",
        show_default=True,
        help="Parts in flight at once; auto begins with 5 and grows to 32 while that pays (a stream: 5).",
    ),
    option(
        "--executor",
        default="threads",
        show_default=True,
        metavar="SPEC",
        type=EXECUTOR,
        help="Where parts are sent from: threads (of one interpreter, and for hundreds of very small files of one a "
        "core), inline, processes, dask:ADDRESS or mpi.",
    ),
    option(
        "--presign",
        is_flag=True,
        help="Sign each part's URL here, so that workers in other processes hold no secret.",
    ),
    sending_options,
)

checkpoint_options = together(
    "Resume",
    option("--checkpoint", type=FILE, help="The file that keeps the progress. Default beside SOURCE."),
    option(
        "--checkpoint-dir", type=FOLDER, help="The folder where the progress is kept, under its usual name."
    ),
)

restart_options = together(
    "Resume",
    option("--restart", is_flag=True, help="Abort the recorded upload and begin again."),
)

running_options = together(
    "Resume",
    option(
        "--if-running",
        type=click.Choice(["fail", "wait", "skip"]),
        default="fail",
        show_default=True,
        help="Where another obsup holds this upload: exit 75, wait for it, or exit 0.",
    ),
)

token_options = together(
    "Resume",
    option(
        "--token/--no-token",
        default=True,
        help="Mark the object with a random token in its metadata where the store has nothing better to prove "
        "that it is this upload's.",
    ),
)

resume_options = together(
    "Resume",
    checkpoint_options,
    option("--no-checkpoint", is_flag=True, help="Keep no state here; resume by asking the server."),
    restart_options,
    option(
        "--verify-source",
        is_flag=True,
        help="On resume, compare every stored part with the file as it is now.",
    ),
    option(
        "--on-change",
        type=click.Choice(["fail", "resend"]),
        default="fail",
        show_default=True,
        help="When SOURCE changes meanwhile: stop, or send the changed parts again and then finish.",
    ),
    running_options,
    option("--max-time", type=types.DURATION, help="Stop after this time, keep everything, exit 75."),
    option("--until", metavar="HH:MM", help="Stop at this time of day, keep everything, exit 75."),
    token_options,
)

object_options = together(
    "Object",
    option("--content-type", help="MIME type. Default from the key's suffix."),
    option("--content-encoding", help="For example gzip."),
    option("--content-disposition", help="For example attachment."),
    option("--content-language", help="For example de."),
    option("--cache-control", help="For example no-cache."),
    option("--expires-header", help="The Expires header, as HTTP writes dates."),
    option("--metadata", type=types.KEY_VALUE, multiple=True, help="User metadata, ASCII; repeatable."),
    option("--tag", "tags", type=types.KEY_VALUE, multiple=True, help="Object tag; repeatable."),
    option("--acl", metavar="NAME", type=ACL, help="Canned ACL: private, public-read, …"),
    option(
        "--grant",
        "grants",
        type=types.GRANT,
        multiple=True,
        help="Grant PERMISSION to the account ID; repeatable.",
    ),
    option(
        "--storage-class",
        metavar="NAME",
        type=STORAGE_CLASS,
        help="STANDARD, WARM, COLD, or the provider's own name.",
    ),
    option("--website-redirect", metavar="URL", help="Where a website bucket sends visitors of this key."),
    option(
        "--success-redirect",
        metavar="URL",
        help="successActionRedirect of OBS, for a file that fits one request; refused in parts.",
    ),
    option("--expires-days", type=click.IntRange(min=0), help="Delete the object this many days after."),
    option("--no-overwrite", is_flag=True, help="Never replace an object."),
    option(
        "--header",
        "headers",
        type=types.HEADER,
        multiple=True,
        help="Any other header, where the object is described; who pays, on every request; repeatable.",
    ),
)

skip_option = together(
    "Object",
    option(
        "--skip-identical",
        is_flag=True,
        help="Send nothing where the object is there already, with this content.",
    ),
)

_customer_key = option(
    "--sse-c-key-file", type=FILE, help="Encrypted with the 32 bytes in this file (SSE-C)."
)

customer_key_options = together("Encryption", _customer_key)

encryption_options = together(
    "Encryption",
    option(
        "--sse", type=click.Choice(["AES256", "kms"]), help="Encrypt at the server with its key, or with KMS."
    ),
    option("--sse-kms-key-id", metavar="ID", help="Which KMS key."),
    _customer_key,
)

request_options = together(
    "Connection",
    option(
        "--header",
        "request_headers",
        type=types.HEADER,
        multiple=True,
        help="A header that every request is to carry, such as who pays; repeatable. What describes the object is for "
        "upload and init.",
    ),
)

connection_options = together(
    "Connection",
    option("--endpoint", metavar="URL", help="The store, for example https://obs.eu-de.otc.t-systems.com."),
    option(
        "--provider",
        type=click.Choice(["auto", *PROVIDERS]),
        default="auto",
        show_default=True,
        help="Whose store it is; auto tells by TARGET's scheme or the endpoint.",
    ),
    option(
        "--signature",
        type=click.Choice(["auto", *SIGNATURES]),
        default="auto",
        show_default=True,
        help="How requests are signed.",
    ),
    option("--region", help="The bucket's region, where the endpoint does not tell."),
    option(
        "--addressing",
        type=click.Choice(["auto", "virtual", "path", "cname"]),
        default="auto",
        show_default=True,
        help="Where the bucket's name goes: host, path, or a domain of its own.",
    ),
    option(
        "--profile",
        metavar="NAME",
        type=completed_words.PROFILE,
        is_eager=True,
        help="A profile of the configuration file.",
    ),
    option(
        "--config",
        "config_path",
        type=FILE,
        is_eager=True,
        help="The configuration file. Default ~/.config/obsup/config.toml.",
    ),
    # Eager and never given: Click comes to it once --profile and --config are known, before all the others.
    click.option(
        "--read-config", hidden=True, is_flag=True, is_eager=True, expose_value=False, callback=_read_config
    ),
    option("--ca-bundle", type=FILE, help="Certificates to trust, in PEM."),
    option("--no-verify-tls", is_flag=True, help="Trust any server. Never over a line that is not yours."),
    option("--proxy", metavar="URL", help="Default from HTTPS_PROXY and HTTP_PROXY."),
    option(
        "--connect-timeout", type=types.DURATION, default="15s", show_default=True, help="For a connection."
    ),
    option(
        "--stall-timeout",
        type=types.DURATION,
        default="60s",
        show_default=True,
        help="How long no byte may move, either way; ten times as long while the store assembles or copies. A slow "
        "line that moves is never cut.",
    ),
)

json_option = option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")

report_options = together(
    "Output",
    json_option,
    option("-q", "--quiet", is_flag=True, help="Errors only."),
    option("-v", "--verbose", is_flag=True, help="Say every request, never a secret."),
    option(
        "--log-file",
        type=FILE,
        help="Append every request to this file, mode 0600; 10 MiB, then PATH.1 to .5.",
    ),
)

dry_run_option = together(
    "Output", option("-n", "--dry-run", is_flag=True, help="Print the plan, send nothing.")
)

progress_option = together(
    "Output",
    option(
        "--progress",
        type=click.Choice(["auto", "bar", "lines", "json", "none"]),
        default="auto",
        show_default=True,
        help="A bar on a terminal; otherwise a line every 30 s.",
    ),
)

output_options = together(
    "Output",
    progress_option,
    option(
        "--receipt",
        type=FILE,
        help="Write what is known of the finished object: plan, digests, version id, request ids.",
    ),
    report_options,
)
