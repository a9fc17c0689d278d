"""The rows of options that describe the object: its headers, retention and encryption.

To add an option that becomes a header, add its row here, its field to ObjectOptions, the header's name to the data of
each vendor that has it, and a check to the sandbox.
"""

from __future__ import annotations

from obsup.options.kinds import FILE, FLAG, GRANTS, HEADERS, KEY_VALUES, TEXT, choice, number, text
from obsup.options.row import INIT, UPLOAD, OptionRow, group

ACL = text("words", suggestions=("private", "public-read", "public-read-write", "bucket-owner-full-control"))
STORAGE_CLASS = text(
    "words", suggestions=("STANDARD", "WARM", "COLD", "DEEP_ARCHIVE", "INTELLIGENT_TIERING", "IA", "ARCHIVE")
)

OBJECT = group(
    INIT,
    OptionRow(
        "--content-type",
        TEXT,
        "MIME type. Default: derived from the suffix of the key.",
        header="Content-Type",
    ),
    OptionRow(
        "--content-encoding", TEXT, "Content-Encoding header, for example gzip.", header="Content-Encoding"
    ),
    OptionRow(
        "--content-disposition",
        TEXT,
        "Content-Disposition header, for example attachment.",
        header="Content-Disposition",
    ),
    OptionRow(
        "--content-language", TEXT, "Content-Language header, for example de.", header="Content-Language"
    ),
    OptionRow("--cache-control", TEXT, "Cache-Control header, for example no-cache.", header="Cache-Control"),
    OptionRow("--expires-header", TEXT, "Expires header, as an HTTP date.", header="Expires"),
    OptionRow("--metadata", KEY_VALUES, "User metadata in ASCII (repeatable).", header="meta"),
    OptionRow("--tag", KEY_VALUES, "Object tag (repeatable).", field="tags", header="tagging"),
    OptionRow("--acl", ACL, "Canned ACL, for example private or public-read.", metavar="NAME", header="acl"),
    OptionRow(
        "--grant", GRANTS, "Grant PERMISSION to the account ID (repeatable).", field="grants", header="grant"
    ),
    OptionRow(
        "--storage-class",
        STORAGE_CLASS,
        "Storage class: STANDARD, WARM, COLD or the provider's own name.",
        metavar="NAME",
        header="storage_class",
    ),
    OptionRow(
        "--website-redirect",
        TEXT,
        "Redirect visitors of this key to URL, if the bucket is a website.",
        metavar="URL",
        header="website_redirect",
    ),
    OptionRow(
        "--success-redirect",
        TEXT,
        "OBS successActionRedirect; only for a file that is sent in one request.",
        metavar="URL",
        header="success_redirect",
    ),
    OptionRow(
        "--expires-days",
        number(0),
        "Delete the object this many days after it was last modified.",
        metavar="N",
        header="expires_days",
    ),
    OptionRow(
        "--no-overwrite",
        FLAG,
        "Never replace an object (a short race remains at stores without If-None-Match).",
        header="no_overwrite",
    ),
    OptionRow(
        "--header",
        HEADERS,
        "Header of the object or of every request, as x-amz-request-payer (repeatable).",
        field="headers",
    ),
    OptionRow(
        "--strict-options",
        FLAG,
        "Exit 69 if the store does not show one of these options; otherwise that is a note.",
        commands=(*UPLOAD, "complete"),
    ),
    OptionRow(
        "--skip-identical",
        FLAG,
        "Send nothing if the object already exists with this content and these options.",
        commands=UPLOAD,
    ),
)

RETENTION = group(
    INIT,
    OptionRow(
        "--retention",
        choice("governance", "compliance"),
        "Lock the object against deletion in this mode (OBS: compliance only).",
        header="retention_mode",
    ),
    OptionRow(
        "--retain-until",
        TEXT,
        "End of the lock: a date (2030-12-31, UTC) or a duration from the start (30d).",
        metavar="DATE|DURATION",
        header="retain_until",
        sample='"30d"',
    ),
    OptionRow(
        "--legal-hold",
        FLAG,
        "Lock the object against deletion until the hold is removed (S3 only).",
        header="legal_hold",
    ),
)

ENCRYPTION = group(
    INIT,
    OptionRow(
        "--sse", choice("AES256", "kms"), "Encrypt at the server, with its own key or with KMS.", header="sse"
    ),
    OptionRow(
        "--sse-kms-key-id",
        TEXT,
        "ID of the KMS key. Default: the provider's.",
        metavar="ID",
        header="sse_kms_key_id",
    ),
    OptionRow(
        "--sse-c-key-file",
        FILE,
        "File with the customer key of the object (SSE-C; raw, hex or Base64).",
        commands=(*INIT, "part", "parts", "complete", "verify"),
        header="sse_c",
    ),
)
