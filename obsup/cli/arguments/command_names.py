"""The names of the commands and their one-line helps; what other tools call them, and their options."""

from __future__ import annotations

from collections.abc import Mapping

# The main five first, then the single steps of an upload, then what is needed now and then. The list of commands needs
# only what is here: it loads no command.
SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Every day": {
        "upload": "Upload a file or directory; resume if interrupted.",
        "status": "Show local upload progress (no network access).",
        "verify": "Check that objects match local files, without downloading them.",
        "gc": "Abort stale uploads.",
        "doctor": "Test credentials, permissions and limits with a tiny upload.",
    },
    "Step by step": {
        "init": "Initiate an upload, and print its upload id.",
        "part": "Send one part, and print its ETag.",
        "complete": "Check the parts, assemble the object, and print its ETag.",
        "abort": "Discard an upload and its parts.",
        "parts": "List the stored parts of an upload.",
        "uploads": "List the open uploads of a bucket.",
    },
    "Other": {
        "config": "Create a configuration file; show effective settings.",
        "completion": "Print the completion script of a shell.",
        "help": "Print the help of a command, or the exit status table.",
        "version": "Print the versions of obsup and of what it uses.",
        "sandbox": "Run a local test server.",
    },
}
SHORT_HELPS: Mapping[str, str] = {name: text for texts in SECTIONS.values() for name, text in texts.items()}
CONFIG_COMMANDS: Mapping[str, str] = {
    "init": "Create a configuration file with all settings.",
    "show": "Show every setting and its source.",
}
EXIT_STATUS = "exit-status"
"""What ``obsup help`` explains besides the commands."""
SHELLS = ("bash", "zsh", "fish", "powershell")
"""The shells that ``obsup completion`` has a script for."""
# What other tools call the commands.
OTHER_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("cp", "copy", "put", "push", "sync", "mv", "resume"), "upload"),
    **dict.fromkeys(("ls", "list"), "uploads"),
    **dict.fromkeys(("rm", "delete", "cancel"), "abort"),
    **dict.fromkeys(("check", "compare", "diff"), "verify"),
    **dict.fromkeys(("configure", "setup"), "config init"),
    **dict.fromkeys(("clean", "cleanup", "prune"), "gc"),
    **dict.fromkeys(("info", "show", "progress"), "status"),
}
# What obsup does not do.
NOT_OFFERED: Mapping[str, str] = {
    **dict.fromkeys(("get", "download", "fetch", "cat"), "obsup uploads; other tools of the store download"),
    **dict.fromkeys(("mb", "mkbucket", "make-bucket"), "obsup does not create buckets"),
    **dict.fromkeys(
        ("--access-key", "--access-key-id", "--secret-key", "--secret-access-key"),
        "other users can see options; set AccessKeyID and SecretAccessKey, or use a profile",
    ),
}
# What other tools call the options.
OTHER_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(("--threads", "--workers", "--concurrency", "--transfers", "--parallel"), "--jobs"),
    **dict.fromkeys(("--bwlimit", "--bandwidth", "--max-bandwidth"), "--limit-rate"),
    **dict.fromkeys(("--chunk-size", "--block-size", "--multipart-chunk-size"), "--part-size"),
    **dict.fromkeys(("--cacert", "--ca-cert", "--ca-certificate"), "--ca-bundle"),
    **dict.fromkeys(("--insecure", "--no-check-certificate", "--no-verify-ssl"), "--no-verify-tls"),
    **dict.fromkeys(("--retry", "--retries", "--max-retries"), "--retry-for"),
    **dict.fromkeys(("--timeout", "--io-timeout"), "--stall-timeout"),
    "-v": "--version",
}
