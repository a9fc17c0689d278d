"""The rows of options that decide how to reach the store and what to print, and those of the local test server."""

from __future__ import annotations

from obsup.options.kinds import DURATION, FILE, FLAG, FOLDER, HEADERS, PROFILE, TEXT, WORDS, choice, number
from obsup.options.row import STORE, UPLOAD, OptionRow
from obsup.vendor_names import AWS_SIGNATURE_PROVIDERS, PROVIDERS, SIGNATURES

_REPORTING = (*STORE, "status")
_SANDBOX = ("sandbox",)

CONNECTION = (
    OptionRow(
        "--endpoint",
        TEXT,
        STORE,
        "URL of the store, for example https://obs.eu-de.otc.t-systems.com.",
        metavar="URL",
        sample='"https://obs.eu-de.otc.t-systems.com"',
    ),
    OptionRow(
        "--provider",
        choice("auto", *PROVIDERS),
        STORE,
        "Provider of the store; auto uses the scheme of TARGET or the endpoint.",
        default="auto",
    ),
    OptionRow(
        "--signature",
        choice("auto", *SIGNATURES),
        STORE,
        "Signature of requests; auto is the provider's best.",
        default="auto",
    ),
    OptionRow(
        "--region",
        TEXT,
        STORE,
        "Region of the bucket, if the endpoint does not contain it.",
        sample='"eu-de"',
    ),
    OptionRow(
        "--addressing",
        choice("auto", "virtual", "path", "cname"),
        STORE,
        "Put the bucket's name into the host (virtual), the path, or neither (cname).",
        default="auto",
    ),
    OptionRow(
        "--profile", PROFILE, (*STORE, "config-show"), "Profile of the configuration file.", metavar="NAME"
    ),
    OptionRow(
        "--config",
        FILE,
        (*STORE, "config-init", "config-show"),
        "Configuration file. Default: ~/.config/obsup/config.toml.",
        field="config_path",
    ),
    OptionRow("--ca-bundle", FILE, STORE, "File of trusted CA certificates in PEM format."),
    OptionRow("--no-verify-tls", FLAG, STORE, "Do not verify the server's TLS certificate (insecure)."),
    OptionRow("--proxy", TEXT, STORE, "URL of the proxy. Default: HTTPS_PROXY or HTTP_PROXY.", metavar="URL"),
    OptionRow("--connect-timeout", DURATION, STORE, "Time limit for opening a connection.", default="15s"),
    OptionRow(
        "--stall-timeout",
        DURATION,
        STORE,
        "Abort a connection idle for this long (10 times that on complete and copy).",
        default="60s",
    ),
    OptionRow(
        "--header",
        HEADERS,
        ("part", "complete", "abort", "parts", "uploads", "gc", "verify", "doctor"),
        "Header of every request, for example who pays (repeatable).",
        field="request_headers",
    ),
)

OUTPUT = (
    OptionRow(
        "--progress",
        choice("auto", "bar", "lines", "json", "none"),
        ("upload", "part"),
        "Progress on stderr; auto is a bar on a terminal, else a line every 30 s.",
        default="auto",
    ),
    OptionRow(
        "--receipt",
        FILE,
        UPLOAD,
        "Write plan, digests, version id and request ids of the object to this file.",
    ),
    OptionRow(
        "--json",
        FLAG,
        (*_REPORTING, "config-show"),
        "Print the result as one JSON object on stdout.",
        field="as_json",
    ),
    OptionRow("-q --quiet", FLAG, _REPORTING, "Print errors only."),
    OptionRow("-v --verbose", FLAG, _REPORTING, "Log every request (secrets are redacted)."),
    OptionRow(
        "--log-file",
        FILE,
        _REPORTING,
        "Append every request to this file (mode 0600); rotated at 10 MiB, 5 files.",
    ),
    OptionRow("-n --dry-run", FLAG, UPLOAD, "Print the plan, send nothing."),
)

SANDBOX = (
    OptionRow("--port", number(0, 65535), _SANDBOX, "Port of 127.0.0.1. Default: a free one."),
    OptionRow("--dir", FOLDER, _SANDBOX, "Keep objects in this directory, as DIR/BUCKET/KEY."),
    OptionRow(
        "--bucket", WORDS, _SANDBOX, "Serve only this bucket (repeatable). Default: any.", metavar="NAME"
    ),
    OptionRow(
        "--fault",
        WORDS,
        _SANDBOX,
        "Inject a fault (repeatable): error=503:SlowDown,op=part,times=2.",
        metavar="RULE",
    ),
    OptionRow(
        "--limit", WORDS, _SANDBOX, "Change a limit (repeatable): parts=40, page=10.", metavar="NAME=VALUE"
    ),
    OptionRow("--log", FILE, _SANDBOX, "Append one JSON object per request to this file."),
    OptionRow(
        "--aws-vendor",
        choice(*AWS_SIGNATURE_PROVIDERS),
        _SANDBOX,
        "Vendor whose rules apply to AWS signatures, which both use. Default: s3.",
    ),
    OptionRow("--discard", FLAG, _SANDBOX, "Count and hash the data received, but do not store it."),
)
