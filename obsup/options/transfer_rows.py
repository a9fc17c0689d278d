"""The rows of options that decide how a source is sent and resumed, and of the single steps."""

from __future__ import annotations

from obsup.options.kinds import (
    BYTE_RANGE,
    DURATION,
    FILE,
    FLAG,
    FOLDER,
    JOBS,
    NUMBER,
    PART_ETAGS,
    PATTERNS,
    RATE,
    SIZE,
    TEXT,
    TEXT_FILE,
    UPLOAD_ID,
    choice,
    number,
    text,
)
from obsup.options.row import PLANNED, UPLOAD, OptionRow

_CHECKPOINT = ("upload", "init", "part", "complete", "abort", "parts", "status")
_SENDING = ("upload", "part")
# What a TAB offers; the engine knows which others exist.
_EXECUTOR = text("words", suggestions=("threads", "inline", "processes", "dask:", "mpi"))

OWN = (
    OptionRow(
        "--older-than",
        DURATION,
        ("gc",),
        "Abort uploads that were initiated longer ago than this, for example 7d.",
        is_required=True,
    ),
    OptionRow("-n --dry-run", FLAG, ("gc",), "Print what would be aborted, and abort nothing."),
    OptionRow("--foreign", FLAG, ("gc",), "Also abort uploads that this machine did not initiate."),
    OptionRow(
        "-l --long",
        FLAG,
        ("uploads",),
        "Also print owner, live or not, age in seconds, parts, bytes and checkpoint.",
    ),
    OptionRow(
        "--upload-id",
        UPLOAD_ID,
        ("part", "complete", "abort", "parts"),
        "ID of the upload. Default: the one in the checkpoint.",
        metavar="ID",
    ),
)

PART = (
    OptionRow("--part-number", NUMBER, ("part",), "Number of the part, from 1.", is_required=True),
    OptionRow("--offset", SIZE, ("part",), "First byte of the part in SOURCE; --part-size is its length."),
    OptionRow(
        "--copy-source",
        TEXT,
        ("part",),
        "Copy the part from this object inside the store.",
        metavar="BUCKET/KEY",
        header="copy_source",
    ),
    OptionRow(
        "--copy-range",
        BYTE_RANGE,
        ("part",),
        "First and last byte of --copy-source, for example 0-1048575.",
        header="copy_source_range",
    ),
)

CHECKS = (
    OptionRow("--parts", number(1), ("complete",), "Refuse any other number of parts."),
    OptionRow("--expect-size", SIZE, ("complete",), "Refuse any other size of the object."),
    OptionRow(
        "--etag",
        PART_ETAGS,
        ("complete",),
        "Require part N to have this ETag, and allow no other parts (repeatable).",
        field="etags",
    ),
    OptionRow(
        "--etags-from",
        TEXT_FILE,
        ("complete",),
        "Read part numbers and ETags from FILE, or - for standard input: one part per line.",
        metavar="FILE",
    ),
    OptionRow("--verify-source", FLAG, ("complete",), "Compare every stored part with SOURCE."),
    OptionRow(
        "--acl", TEXT, ("complete",), "Canned ACL, if the provider sets it here (OSS).", metavar="NAME"
    ),
    OptionRow("--no-overwrite", FLAG, ("complete",), "Never replace an existing object."),
)

COMPARISON = (
    OptionRow("--parts", NUMBER, ("verify",), "The object was sent in N parts of equal size."),
    OptionRow("-ps --part-size", SIZE, ("verify",), "The object was sent in parts of this size."),
    OptionRow(
        "--receipt",
        FILE,
        ("verify",),
        "Compare with this receipt of upload --receipt; needed for SSE-KMS and SSE-C.",
    ),
)

TRANSFER = (
    OptionRow("--parts", NUMBER, PLANNED, "Split into N parts of equal size; the last may be smaller."),
    OptionRow(
        "--max-parts", number(1, 10_000), PLANNED, "Most parts that the store accepts, if fewer than 10,000."
    ),
    OptionRow(
        "-ps --part-size",
        SIZE,
        PLANNED,
        "Part size, for example 16M. Default: 9M, more if 10,000 parts do not suffice.",
    ),
    OptionRow(
        "-j -p --jobs",
        JOBS,
        UPLOAD,
        "Parts in flight; auto starts at 5 and grows to 32 while it gets faster.",
        default="auto",
    ),
    OptionRow(
        "--executor",
        _EXECUTOR,
        UPLOAD,
        "Send parts from threads, inline, processes, dask:ADDRESS or mpi.",
        default="threads",
        metavar="SPEC",
    ),
    OptionRow("--presign", FLAG, UPLOAD, "Sign the URL of each part here, so that workers need no secret."),
    OptionRow(
        "--content-md5",
        FLAG,
        _SENDING,
        "Send Content-MD5 with each part (reads each part twice).",
        header="Content-MD5",
    ),
    OptionRow(
        "--digest",
        choice("auto", "md5", "crc64", "none"),
        _SENDING,
        "Digest that verifies each part; auto is the best that the store returns.",
        default="auto",
    ),
    OptionRow(
        "--limit-rate", RATE, _SENDING, "Bandwidth limit in bytes per second, shared by all parts: 500K, 10M."
    ),
    OptionRow(
        "--retry-for",
        DURATION,
        ("upload", "init", "part", "complete", "abort", "parts", "uploads", "gc"),
        "Time for which a failing request is retried.",
        default="15m",
    ),
)

MANY = (
    OptionRow("-r --recursive", FLAG, UPLOAD, "Send directories with all their files."),
    OptionRow(
        "--from-list",
        FILE,
        UPLOAD,
        "Send the files listed in FILE, one per line; - is standard input. Keys are the paths.",
        metavar="FILE",
    ),
    OptionRow("-0 --null", FLAG, UPLOAD, "Separate names in lists with NUL, as find -print0 does."),
    OptionRow(
        "--include",
        PATTERNS,
        UPLOAD,
        "Send only files that match, as in .gitignore, relative to SOURCE (repeatable).",
        metavar="PATTERN",
        sample='["*.iso"]',
    ),
    OptionRow("--exclude", PATTERNS, UPLOAD, "Skip files that match (repeatable).", metavar="PATTERN"),
    OptionRow(
        "--links",
        choice("follow", "skip", "refuse"),
        UPLOAD,
        "What to do with symbolic links in directories.",
        default="follow",
    ),
    OptionRow("--fail-fast", FLAG, UPLOAD, "Stop all files when the first one fails."),
    OptionRow(
        "--failed-list",
        FILE,
        UPLOAD,
        "Write the names of failed files to FILE, for --from-list.",
        metavar="FILE",
    ),
)

STREAM = (
    OptionRow(
        "--from-command",
        FLAG,
        UPLOAD,
        "Upload the output of CMD, if CMD exits 0 (no shell): TARGET -- CMD ARG…",
        has_variable=False,
    ),
    OptionRow("--abort-on-failure", FLAG, UPLOAD, "Abort the upload of a stream if it fails."),
    OptionRow(
        "--expect-size", SIZE, UPLOAD, "Publish only an object of this size; sets the part size of a stream."
    ),
    OptionRow(
        "--expect-md5",
        TEXT,
        UPLOAD,
        "Publish only an object with this MD5.",
        metavar="HEX",
        sample=f'"{"0" * 32}"',
    ),
    OptionRow(
        "--expect-sha256",
        TEXT,
        UPLOAD,
        "Publish only an object with this SHA-256.",
        metavar="HEX",
        sample=f'"{"0" * 64}"',
    ),
)

RESUME = (
    OptionRow("--checkpoint", FILE, _CHECKPOINT, "File that records the progress. Default: beside SOURCE."),
    OptionRow("--checkpoint-dir", FOLDER, _CHECKPOINT, "Directory for checkpoints with their default names."),
    OptionRow("--no-checkpoint", FLAG, UPLOAD, "Record no progress here; resume by asking the store."),
    OptionRow("--restart", FLAG, ("upload", "init"), "Abort the recorded upload and start over."),
    OptionRow("--verify-source", FLAG, UPLOAD, "On resume, compare every stored part with the current file."),
    OptionRow(
        "--on-change",
        choice("fail", "resend"),
        UPLOAD,
        "If SOURCE changes during the upload: stop, or send the changed parts again.",
        default="fail",
    ),
    OptionRow(
        "--if-running",
        choice("fail", "wait", "skip"),
        ("upload", "init", "part", "complete", "abort"),
        "If another obsup runs this upload: exit 75, wait for it, or exit 0.",
        default="fail",
    ),
    OptionRow("--max-time", DURATION, UPLOAD, "Stop after this time, keep all progress, exit 75."),
    OptionRow(
        "--until",
        TEXT,
        UPLOAD,
        "Stop at this local time, keep all progress, exit 75.",
        metavar="HH:MM",
        sample='"06:30"',
    ),
    OptionRow(
        "--token/--no-token",
        FLAG,
        ("upload", "init"),
        "Mark the object with a random token, if the store cannot identify its upload.",
        default=True,
    ),
)
