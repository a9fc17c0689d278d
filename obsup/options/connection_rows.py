"""The rows of options that decide how to reach the store and what to print, and those of the local test server."""

from __future__ import annotations

from obsup.local.platform.paths import CONFIG_PATH_TEXT
from obsup.options.kinds import (
    ANY_TEXT,
    DURATION,
    FILE,
    FLAG,
    FOLDER,
    HEADERS,
    PROFILE,
    TEXT,
    WORDS,
    choice,
    number,
)
from obsup.options.row import STORE, UPLOAD, OptionRow, group
from obsup.vendor_names import AWS_SIGNATURE_PROVIDERS, PROVIDERS, SIGNATURES, STORES

_REPORTING = (*STORE, "status")
_SANDBOX = ("sandbox",)
# What config init can write.
_PLACE = (*STORE, "config-init")

CONNECTION = group(
    STORE,
    OptionRow(
        "--endpoint",
        TEXT,
        "URL of the store, for example https://obs.eu-de.otc.t-systems.com.",
        commands=_PLACE,
        metavar="URL",
        sample='"https://obs.eu-de.otc.t-systems.com"',
    ),
    OptionRow(
        "--provider",
        choice("auto", *PROVIDERS, *STORES),
        "Protocol, or service of obsup-stores(7); auto: from TARGET or endpoint.",
        commands=_PLACE,
        metavar="NAME",
        default="auto",
    ),
    OptionRow(
        "--account",
        TEXT,
        "Account id in the endpoint of a service (r2).",
        commands=_PLACE,
        metavar="ID",
        sample='"0123abcd…"',
    ),
    OptionRow(
        "--signature",
        choice("auto", *SIGNATURES),
        "Signature of requests; auto is the provider's best.",
        default="auto",
    ),
    OptionRow(
        "--region",
        TEXT,
        "Region of the bucket, if the endpoint does not contain it.",
        commands=_PLACE,
        sample='"eu-de"',
    ),
    OptionRow(
        "--addressing",
        choice("auto", "virtual", "path", "cname"),
        "Put the bucket's name into the host (virtual), the path, or neither (cname).",
        default="auto",
    ),
    OptionRow(
        "--profile",
        PROFILE,
        "Profile of the configuration file.",
        commands=(*_PLACE, "config-show"),
        metavar="NAME",
    ),
    OptionRow(
        "--config",
        FILE,
        f"Configuration file. Default: {CONFIG_PATH_TEXT}.",
        commands=(*STORE, "config-init", "config-show"),
        field="config_path",
    ),
    OptionRow("--ca-bundle", FILE, "File of trusted CA certificates in PEM format."),
    OptionRow(
        "--client-cert", FILE, "Client certificate in PEM format, if the server or the proxy asks for one."
    ),
    OptionRow("--client-key", FILE, "Private key of --client-cert, if that file does not contain it."),
    OptionRow("--no-verify-tls", FLAG, "Do not verify the server's TLS certificate (insecure)."),
    OptionRow("--proxy", ANY_TEXT, "URL of the proxy. Default: HTTPS_PROXY or HTTP_PROXY.", metavar="URL"),
    OptionRow(
        "--connect-timeout",
        DURATION,
        "Time limit for opening a connection: name servers and all addresses of the host.",
        default="15s",
    ),
    OptionRow(
        "--stall-timeout",
        DURATION,
        "Abort a connection idle for this long (10 times that on complete and copy).",
        default="60s",
    ),
    OptionRow(
        "--header",
        HEADERS,
        "Header of every request, such as x-amz-request-payer (repeatable).",
        commands=("part", "complete", "abort", "parts", "uploads", "gc", "verify", "doctor"),
        field="request_headers",
    ),
)

OUTPUT = group(
    _REPORTING,
    OptionRow(
        "--progress",
        choice("auto", "bar", "lines", "json", "none"),
        "Progress on stderr; auto is a bar on a terminal, else a line every 30 s.",
        commands=("upload", "part"),
        default="auto",
    ),
    OptionRow(
        "--progress-interval",
        DURATION,
        "Time between two progress lines (default 30s) or JSON objects (0.5s).",
        commands=("upload", "part"),
    ),
    OptionRow(
        "--metrics",
        FILE,
        "Write metrics of the run to this file, for Prometheus (node_exporter).",
        commands=("upload",),
    ),
    OptionRow(
        "--receipt",
        FILE,
        "Write plan, digests, version id and request ids of the object to this file.",
        commands=UPLOAD,
    ),
    OptionRow(
        "--json",
        FLAG,
        "Print the result as one JSON object on stdout.",
        commands=(*_REPORTING, "config-show"),
        field="as_json",
    ),
    OptionRow(
        "--save", FLAG, "Write the settings that work into the configuration file.", commands=("doctor",)
    ),
    OptionRow("-q --quiet", FLAG, "Print errors only."),
    OptionRow("-v --verbose", FLAG, "Log every request (secrets are redacted)."),
    OptionRow(
        "--log-file", FILE, "Append every request to this file (mode 0600); rotated at 10 MiB, 5 files."
    ),
    OptionRow("-n --dry-run", FLAG, "Print the plan, send nothing.", commands=UPLOAD),
)

SANDBOX = group(
    _SANDBOX,
    OptionRow("--port", number(0, 65535), "Port of 127.0.0.1. Default: a free one."),
    OptionRow("--dir", FOLDER, "Keep objects in this directory, as DIR/BUCKET/KEY."),
    OptionRow("--bucket", WORDS, "Serve only this bucket (repeatable). Default: any.", metavar="NAME"),
    OptionRow(
        "--access-key",
        TEXT,
        "Access key; its secret: $SecretAccessKey. Default: random, kept in --dir.",
        metavar="ID",
    ),
    OptionRow(
        "--fault", WORDS, "Inject a fault (repeatable): error=503:SlowDown,op=part,times=2.", metavar="RULE"
    ),
    OptionRow("--limit", WORDS, "Change a limit (repeatable): parts=40, page=10.", metavar="NAME=VALUE"),
    OptionRow("--log", FILE, "Append one JSON object per request to this file."),
    OptionRow(
        "--aws-vendor",
        choice(*AWS_SIGNATURE_PROVIDERS),
        "Vendor whose rules apply to AWS signatures, which both use. Default: s3.",
    ),
    OptionRow("--discard", FLAG, "Count and hash the data received, but do not store it."),
)
