"""Run a program of the user that prints credentials, in the format that AWS defined for such programs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping

from obsup.dialects.vendor import KeyNames
from obsup.errors import Denied, run_again
from obsup.local.config.credential_fields import pair_keys, parse_expiry, parse_json_object
from obsup.local.platform.processes import split_command
from obsup.model import Credentials

# Long enough for a person to touch a security key or enter a second factor.
TIMEOUT_S = 60.0
_NAMES = KeyNames("AccessKeyId", "SecretAccessKey", ("SessionToken",))
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f]")
_WORD = re.compile(r"[A-Za-z0-9/+=_~-]{8,}")


def run_process(
    command: str, *, environ: Mapping[str, str], origin: str, timeout_s: float = TIMEOUT_S
) -> Credentials:
    """Run *command* without a shell and return the credentials it prints.

    Raises Denied if it cannot be started, fails, takes longer than *timeout_s* seconds, or prints anything else. The
    error contains neither its arguments nor its standard output.
    Source: AWS SDKs and Tools Reference Guide, "Process credential provider".
    """
    words = split_command(command)
    why = output = ""
    try:
        done = subprocess.run(
            words,
            # Standard input may be the source of the upload.
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(environ),
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        why = f"It did not finish within {timeout_s:g} s"
    except (OSError, ValueError) as exc:
        why = f"It cannot be started: {getattr(exc, 'strerror', None) or 'invalid command'}"
    else:
        output = done.stdout.decode(errors="replace")
        if done.returncode:
            why = _explain_failure(done.returncode, done.stderr.decode(errors="replace"), output)
    if why:
        # Raised here, unchained: TimeoutExpired contains the arguments and the output.
        raise _failed(words[0], why, origin)
    return _parse_output(output, words[0], origin)


def _parse_output(output: str, program: str, origin: str) -> Credentials:
    printed = parse_json_object(output)
    if printed is None:
        raise _failed(program, "It did not print a JSON object", origin)
    if printed.get("Version") != 1:
        raise _failed(program, 'Its output lacks "Version": 1', origin)
    expires = parse_expiry(printed.get("Expiration"))
    if expires is None and printed.get("Expiration") is not None:
        raise _failed(program, "Its Expiration is not an ISO 8601 time", origin)
    found = pair_keys(printed, names=_NAMES, origin=f"credential_process of {origin}", expires=expires)
    if found is None:
        raise _failed(program, "Its output has neither AccessKeyId nor SecretAccessKey", origin)
    return found


def _failed(program: str, why: str, origin: str) -> Denied:
    return Denied(
        f"the credential_process {program!r} returned no credentials",
        why,
        run_again(f"fix the credential_process of {origin}"),
    )


def _explain_failure(code: int, stderr: str, stdout: str) -> str:
    how = f"It was killed by signal {-code}" if code < 0 else f"It exited with {code}"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return f"{how}: {sanitise(lines[-1], stdout)}" if lines else f"{how} and printed nothing to stderr"


def sanitise(line: str, secret_text: str) -> str:
    """Return *line* for a message: no control characters, at most 200 characters, and no secrets.

    A word is masked if *secret_text* contains it, or if it is as long and mixed as a key.
    """

    def mask(match: re.Match[str]) -> str:
        word = match[0]
        is_keylike = len(word) >= 30 and any(c.isdigit() for c in word) and any(c.isalpha() for c in word)
        return "***" if is_keylike or word in secret_text else word

    return _WORD.sub(mask, _CONTROL.sub(" ", line))[:200].strip()
