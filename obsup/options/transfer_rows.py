"""The rows of options that decide how a source is sent and resumed, and of the single steps."""

from __future__ import annotations

from obsup.options.kinds import (
    ANY_TEXT,
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
    SHARD,
    SIZE,
    TEXT,
    TEXT_FILE,
    UPLOAD_ID,
    choice,
    number,
    text,
)
from obsup.options.row import PLANNED, STORE, UPLOAD, OptionRow, group

_CHECKPOINT = ("upload", "init", "part", "complete", "abort", "parts", "status")
_SENDING = ("upload", "part")
# What a TAB offers; the engine knows which others exist.
_EXECUTOR = text("words", suggestions=("threads", "inline", "processes", "dask:", "mpi"))

OWN = group(
    ("gc",),
    OptionRow(
        "--older-than",
        DURATION,
        "Abort uploads that were initiated longer ago than this, for example 7d.",
        is_required=True,
    ),
    OptionRow("-n --dry-run", FLAG, "Print what would be aborted, and abort nothing."),
    OptionRow("--foreign", FLAG, "Also abort uploads that this machine did not initiate."),
    OptionRow(
        "-l --long",
        FLAG,
        "Also print owner, live or not, age in seconds, parts, bytes and checkpoint.",
        commands=("uploads",),
    ),
    OptionRow(
        "--delimiter", ANY_TEXT, "List keys that are equal up to this text once.", commands=("uploads",)
    ),
    OptionRow(
        "--key-marker", ANY_TEXT, "List only keys after this one.", commands=("uploads",), metavar="KEY"
    ),
    OptionRow(
        "--upload-id-marker",
        ANY_TEXT,
        "Also list uploads of --key-marker after this one.",
        commands=("uploads",),
        metavar="ID",
    ),
    OptionRow("--max-uploads", number(1), "List at most N uploads. Default: all.", commands=("uploads",)),
    OptionRow(
        "--part-number-marker",
        number(0),
        "List only parts with higher numbers.",
        commands=("parts",),
        default=0,
    ),
    OptionRow("--max-parts-listed", number(1), "List at most N parts. Default: all.", commands=("parts",)),
    OptionRow(
        "--upload-id",
        UPLOAD_ID,
        "ID of the upload. Default: the one in the checkpoint.",
        commands=("part", "complete", "abort", "parts"),
        metavar="ID",
    ),
)

PART = group(
    ("part",),
    OptionRow("--part-number", NUMBER, "Number of the part, from 1.", is_required=True),
    OptionRow(
        "--offset", SIZE, "First byte of the part in SOURCE; it ends after --part-size, or with SOURCE."
    ),
    OptionRow(
        "--md5", TEXT, "Send the part only if it has this MD5 (hex); the store checks it, too.", metavar="HEX"
    ),
    OptionRow(
        "--copy-source",
        TEXT,
        "Copy the part from this object inside the store, with ?versionId=ID from a version.",
        metavar="BUCKET/KEY",
        header="copy_source",
    ),
    OptionRow(
        "--copy-range",
        BYTE_RANGE,
        "First and last byte of --copy-source, for example 0-1048575.",
        header="copy_source_range",
    ),
    OptionRow(
        "--copy-source-sse-c-key-file",
        FILE,
        "Decrypt --copy-source with the customer key in this file (SSE-C).",
        header="copy_source_sse_c",
    ),
)

CHECKS = group(
    ("complete",),
    OptionRow("--parts", number(1), "Refuse any other number of parts, and parts of unequal size."),
    OptionRow("--expect-size", SIZE, "Refuse any other size of the object."),
    OptionRow(
        "--etag",
        PART_ETAGS,
        "Require part N to have this ETag, and allow no other parts (repeatable).",
        field="etags",
    ),
    OptionRow(
        "--etags-from",
        TEXT_FILE,
        "Read part numbers and ETags from FILE, or - for standard input: one part per line.",
        metavar="FILE",
    ),
    OptionRow("--verify-source", FLAG, "Fail if a part cannot be compared with SOURCE (encrypted objects)."),
    OptionRow("--acl", TEXT, "Canned ACL, if the provider sets it here (OSS).", metavar="NAME"),
    OptionRow(
        "--no-overwrite",
        FLAG,
        "Never replace an object (a short race remains at stores without If-None-Match).",
    ),
)

COMPARISON = group(
    ("verify",),
    OptionRow("--parts", NUMBER, "The object was sent in N parts of equal size."),
    OptionRow("-ps --part-size", SIZE, "The object was sent in parts of this size."),
    OptionRow(
        "--receipt", FILE, "Compare with this receipt of upload --receipt; needed for SSE-KMS and SSE-C."
    ),
    OptionRow(
        "--download", FLAG, "Download the object and compare its bytes if nothing else can be compared."
    ),
)

TRANSFER = group(
    PLANNED,
    OptionRow("--parts", NUMBER, "Split into N parts of equal size; the last may be smaller."),
    OptionRow(
        "--max-parts", number(1, 10000), "Maximum number of parts that the store accepts, if below 10,000."
    ),
    OptionRow(
        "-ps --part-size",
        SIZE,
        "Part size, for example 16M. Default: 9M, more if 10,000 parts do not suffice.",
    ),
    OptionRow(
        "-j -p --jobs",
        JOBS,
        "Parts in flight; auto starts at 5 and grows to 32 while it gets faster.",
        commands=UPLOAD,
        default="auto",
    ),
    OptionRow(
        "--executor",
        _EXECUTOR,
        "Send parts from threads, inline, processes, dask:ADDRESS[,workers=N][,wait=5m] or mpi.",
        commands=UPLOAD,
        default="threads",
        metavar="SPEC",
    ),
    OptionRow(
        "--presign",
        FLAG,
        "Sign the URLs of parts and small files here, so that workers need no secret.",
        commands=UPLOAD,
    ),
    OptionRow(
        "--content-md5",
        FLAG,
        "Send Content-MD5 with each part (reads each part twice).",
        commands=_SENDING,
        header="Content-MD5",
    ),
    OptionRow(
        "--digest",
        choice("auto", "crc64nvme", "crc32c", "crc64", "sha256", "md5", "none"),
        "Digest that verifies parts and object; auto is the best one of the store.",
        commands=_SENDING,
        default="auto",
    ),
    OptionRow(
        "--limit-rate",
        RATE,
        'Bandwidth limit, shared by all parts: 10M per second, or "08:00,2M 18:00,off".',
        commands=_SENDING,
    ),
    OptionRow(
        "--retry-for",
        DURATION,
        "Time for which a failing request is retried.",
        commands=tuple(name for name in STORE if name != "doctor"),
        default="15m",
    ),
    # Diagnosing a broken connection must not take the 15 minutes of an upload.
    OptionRow(
        "--retry-for",
        DURATION,
        "Time for which a failing request is retried.",
        commands=("doctor",),
        default="5s",
    ),
)

MANY = group(
    ("upload", "verify"),
    OptionRow("-r --recursive", FLAG, "Include all files of directories."),
    OptionRow(
        "--from-list",
        FILE,
        "The files listed in FILE, one per line; - is standard input. Keys are the paths.",
        metavar="FILE",
    ),
    OptionRow("-0 --null", FLAG, "End names in lists with NUL, as find -print0 does."),
    OptionRow(
        "--include",
        PATTERNS,
        "Only files that match, as in .gitignore, relative to SOURCE (repeatable).",
        metavar="PATTERN",
        sample='["*.iso"]',
    ),
    OptionRow("--exclude", PATTERNS, "Skip files that match (repeatable).", metavar="PATTERN"),
    OptionRow(
        "--links",
        choice("follow", "skip", "refuse"),
        "What to do with symbolic links in directories.",
        default="follow",
    ),
    OptionRow("--fail-fast", FLAG, "Stop all files when the first one fails."),
    OptionRow("--fail-if-empty", FLAG, "Exit 66 if a SOURCE or list has no files, instead of a note."),
    OptionRow(
        "--failed-list",
        FILE,
        "Write the names of files that failed or were not started to FILE, for --from-list.",
        metavar="FILE",
    ),
    OptionRow(
        "--shard",
        SHARD,
        "Only share I of N of the files, I from 1 to N, chosen by a hash of the key.",
        metavar="I/N",
    ),
)

STREAM = group(
    UPLOAD,
    OptionRow(
        "--from-command",
        FLAG,
        "Upload the output of CMD, if CMD exits 0 (no shell): TARGET -- CMD ARG…",
        has_variable=False,
    ),
    OptionRow("--abort-on-failure", FLAG, "Abort the upload of a stream if it fails."),
    OptionRow("--expect-size", SIZE, "Publish only an object of this size; sets the part size of a stream."),
    OptionRow(
        "--expect-md5",
        TEXT,
        "Publish only an object with this MD5.",
        metavar="HEX",
        sample=f'''"{"0" * 32}"''',
    ),
    OptionRow(
        "--expect-sha256",
        TEXT,
        "Publish only an object with this SHA-256.",
        metavar="HEX",
        sample=f'''"{"0" * 64}"''',
    ),
)

RESUME = group(
    UPLOAD,
    OptionRow(
        "--checkpoint", FILE, "File that records the progress. Default: beside SOURCE.", commands=_CHECKPOINT
    ),
    OptionRow(
        "--checkpoint-dir",
        FOLDER,
        "Directory for checkpoints with their default names.",
        commands=_CHECKPOINT,
    ),
    OptionRow("--no-checkpoint", FLAG, "Record no progress here; resume by asking the store."),
    OptionRow("--restart", FLAG, "Abort the recorded upload and start over.", commands=("upload", "init")),
    OptionRow(
        "--verify-source", FLAG, "Hash SOURCE first; publish only what has this hash (memory-mapped files)."
    ),
    OptionRow(
        "--on-change",
        choice("fail", "resend"),
        "If SOURCE changes during the upload: stop, or send the changed parts again.",
        default="fail",
    ),
    OptionRow(
        "--if-running",
        choice("fail", "wait", "skip"),
        "If another obsup runs this upload anywhere: exit 75, wait, or exit 0 (upload, part).",
        commands=("upload", "init", "part", "complete", "abort"),
        default="fail",
    ),
    OptionRow("--max-time", DURATION, "Stop after this time, keep all progress, exit 75.", commands=STORE),
    OptionRow(
        "--until",
        TEXT,
        "Stop at this local time, keep all progress, exit 75.",
        commands=STORE,
        metavar="HH:MM",
        sample='"06:30"',
    ),
    OptionRow(
        "--token/--no-token",
        FLAG,
        "Mark the object with a random token in its metadata, which identifies its upload.",
        commands=("upload", "init"),
        default=True,
    ),
)
