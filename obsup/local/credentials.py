"""Whose keys sign: found in one fixed order, kept, and asked for again before they age or when they fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from obsup.errors import BadConfiguration, Denied
from obsup.local.keys import KeyNames, Keys, pair_keys
from obsup.model import Credentials

#: Credentials that expire are asked for again this many seconds before they do.
RENEW_BEFORE_S = 5 * 60.0
#: A source whose answers are always about to expire is asked no more often than this, in seconds.
ASK_AGAIN_AFTER_S = 30.0

OWN_VARIABLES = (
    KeyNames("AccessKeyID", "SecretAccessKey", ("SecurityToken",)),
    KeyNames("OBSUP_ACCESS_KEY_ID", "OBSUP_SECRET_ACCESS_KEY", ("OBSUP_SECURITY_TOKEN",)),
)
VENDOR_VARIABLES: Mapping[str, tuple[KeyNames, ...]] = {
    "obs": (KeyNames("OBS_ACCESS_KEY_ID", "OBS_SECRET_ACCESS_KEY", ("OBS_SECURITY_TOKEN",)),),
    "s3": (
        KeyNames("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")),
    ),
    "oss": (
        KeyNames("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", ("OSS_SESSION_TOKEN",)),
        KeyNames(
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
            ("ALIBABA_CLOUD_SECURITY_TOKEN",),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class CredentialSettings:
    """Where to look, never what is found: this travels to the workers, and each finds its own keys."""

    provider: str
    profile: str | None = None
    config_path: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Credentials, and how many seconds before their expiry they are asked for again."""

    credentials: Credentials
    renew_before_s: float = RENEW_BEFORE_S


class CredentialSource:
    """The credentials of one run, shared by its threads; *find* asks for them anew each time it is called."""

    def __init__(self, find: Callable[[], Found], clock: Callable[[], float]) -> None:
        self._find = find
        self._clock = clock
        self._lock = threading.Lock()
        self._held: Credentials | None = None
        self._renew_at: float | None = None
        self._asked = 0
        self._failure: Denied | BadConfiguration | None = None

    def current(self) -> Credentials:
        """Return the credentials to sign with now; those that expire soon are renewed first.

        Where renewal fails, credentials that have not expired yet serve on. Raises Denied, BadConfiguration.
        """
        held = self._held
        if held is not None and not self._is_due():
            return held
        asked = self._asked
        with self._lock:
            if self._held is not None and not self._is_due():
                return self._held
            try:
                return self._ask(asked)
            except (Denied, BadConfiguration):
                if self._held is None or self._clock() >= (self._held.expires or 0):
                    raise
                self._renew_at = self._clock() + ASK_AGAIN_AFTER_S
                return self._held

    def refresh(self, stale: Credentials | None = None) -> Credentials:
        """Return credentials newer than *stale* (by default: than those held), which the store refused.

        Everything is read again, by one thread; the others wait and share what it found, or its failure.
        Identity counts, not equality: the same key read again is an answer too. Raises Denied and
        BadConfiguration.
        """
        seen = self._held if stale is None else stale
        asked = self._asked
        with self._lock:
            if self._held is not None and self._held is not seen:
                return self._held
            return self._ask(asked)

    def _is_due(self) -> bool:
        return self._renew_at is not None and self._clock() >= self._renew_at

    def _ask(self, asked_before: int) -> Credentials:
        if self._failure is not None and self._asked != asked_before:
            # Another thread asked while this one waited: 32 workers do not run a failing helper 32 times.
            raise type(self._failure)(*self._failure.args)
        self._asked += 1
        self._failure = None
        try:
            found = self._find()
        except (Denied, BadConfiguration) as exc:
            self._failure = exc
            raise
        self._held = found.credentials
        expires = found.credentials.expires
        self._renew_at = None
        if expires is not None:
            self._renew_at = max(expires - found.renew_before_s, self._clock() + ASK_AGAIN_AFTER_S)
        return self._held


def open_credentials(
    settings: CredentialSettings, *, environ: Mapping[str, str], home: Path, clock: Callable[[], float]
) -> CredentialSource:
    """Return the source of credentials for *settings*; nothing is read before it is first asked.

    *clock* returns seconds since the epoch.
    """
    return CredentialSource(lambda: find_credentials(settings, environ=environ, home=home), clock)


def find_credentials(settings: CredentialSettings, *, environ: Mapping[str, str], home: Path) -> Found:  # noqa: ARG001
    """Look everywhere once, in the contract's order, and return the first credentials found.

    Raises Denied where there are none or where a source fails, BadConfiguration for a bad config file.
    """
    for names in (*OWN_VARIABLES, *VENDOR_VARIABLES.get(settings.provider, ())):
        found = read_variables(names, environ)
        if found is not None:
            return Found(found)
    raise Denied(f"no credentials for {settings.provider} were found")


def read_variables(names: KeyNames, environ: Mapping[str, str]) -> Credentials | None:
    """Return the credentials in the environment variables *names*, or None. Raises Denied for half a pair."""
    token = next((environ[name] for name in names.tokens if environ.get(name, "").strip()), None)
    keys = Keys(environ.get(names.access), environ.get(names.secret), token)
    return pair_keys(keys, names=names, origin=f"environment variable {names.access}")
