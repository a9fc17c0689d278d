"""The options of ``upload`` that are about many files."""

from __future__ import annotations

from pathlib import Path

import click

from obsup.cli.arguments import types
from obsup.cli.arguments.command import option, together

FILE = click.Path(path_type=Path)

many_options = together(
    "Many files",
    option("-r", "--recursive", is_flag=True, help="Send folders with all that is in them."),
    option(
        "--from-list",
        type=FILE,
        metavar="FILE",
        help="Send the files that FILE names, one a line; - is standard input. Keys are the paths; /./ in one marks "
        "where its key begins.",
    ),
    option(
        "-0",
        "--null",
        is_flag=True,
        help="In lists of files, NUL stands between names, as find -print0 writes.",
    ),
    option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Send nothing else; a pattern as in .gitignore, relative to each SOURCE; repeatable.",
    ),
    option("--exclude", multiple=True, metavar="PATTERN", help="Leave these out; repeatable."),
    option(
        "--links",
        type=click.Choice(["follow", "skip", "refuse"]),
        default="follow",
        show_default=True,
        help="What to do with symbolic links in folders.",
    ),
    option("--fail-fast", is_flag=True, help="Let the first file that fails stop the others."),
    option(
        "--failed-list",
        type=FILE,
        metavar="FILE",
        help="Write the files that failed to FILE, for --from-list.",
    ),
)


stream_options = together(
    "Stream",
    option(
        "--from-command",
        is_flag=True,
        envvar=None,
        help="The source is what CMD writes (no shell): obsup upload --from-command TARGET -- CMD ARG… It is "
        "published only if CMD exits 0.",
    ),
    option(
        "--abort-on-failure",
        is_flag=True,
        help="Where the upload of a stream fails, abort it: nothing stays in the store, and nothing to replay.",
    ),
    option(
        "--expect-size",
        type=types.SIZE,
        help="Publish nothing of another size. Of a stream it also decides the part size.",
    ),
    option("--expect-md5", metavar="HEX", help="Publish nothing with another MD5."),
    option("--expect-sha256", metavar="HEX", help="Publish nothing with another SHA-256."),
)
