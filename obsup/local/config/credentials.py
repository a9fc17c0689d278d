"""Whose keys sign: found in one fixed order, kept, and asked for again before they age or when they fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from obsup.dialects.registry import find_vendor
from obsup.dialects.vendor import KeyNames
from obsup.errors import BadConfiguration, Denied, run_again
from obsup.local.config.credential_fields import pair_keys
from obsup.model import Credentials
from obsup.value import Value

if TYPE_CHECKING:
    from obsup.local.config.file import Profile
    from obsup.local.config.vendor_files import Section

#: Credentials that expire are asked for again this many seconds before they do.
RENEW_BEFORE_S = 5 * 60.0
#: A source whose answers are always about to expire is asked no more often than this, in seconds.
ASK_AGAIN_AFTER_S = 30.0

OWN_VARIABLES = (
    KeyNames("AccessKeyID", "SecretAccessKey", ("SecurityToken",)),
    KeyNames("OBSUP_ACCESS_KEY_ID", "OBSUP_SECRET_ACCESS_KEY", ("OBSUP_SECURITY_TOKEN",)),
)
PROFILE_NAMES = KeyNames("access_key_id", "secret_access_key", ("security_token",))


class CredentialSettings(Value):
    """Where to look, never what is found: this travels to the workers, and each finds its own keys."""

    provider: str
    profile: str | None = None
    config_path: str | None = None


class FoundCredentials(Value):
    """Credentials, and how many seconds before their expiry they are asked for again."""

    credentials: Credentials
    renew_before_s: float = RENEW_BEFORE_S


class CredentialSource:
    """The credentials of one run, shared by its threads; *find* asks for them anew each time it is called."""

    def __init__(self, find: Callable[[], FoundCredentials], clock: Callable[[], float]) -> None:
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
        # Read once: the holder of the lock may replace it meanwhile.
        renew_at = self._renew_at
        return renew_at is not None and self._clock() >= renew_at

    def _ask(self, asked_before: int) -> Credentials:
        if self._failure is not None and self._asked != asked_before:
            # Another thread asked while this one waited: 32 workers do not run a failing helper 32 times.
            raise type(self._failure)(*self._failure.args)
        self._failure = None
        try:
            found = self._find()
        except (Denied, BadConfiguration) as exc:
            self._failure = exc
            raise
        finally:
            self._asked += 1
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


def find_credentials(
    settings: CredentialSettings, *, environ: Mapping[str, str], home: Path
) -> FoundCredentials:
    """Look everywhere once, in the contract's order, and return the first credentials found.

    The order: our own variables, the vendor's, the profile's keys or credential_process, the vendor's file,
    the metadata service that the profile names. Raises Denied where there are none or where a source fails,
    BadConfiguration for a bad config file.
    """
    variables = (*OWN_VARIABLES, *find_vendor(settings.provider).credential_variables)
    for names in variables:
        found = pair_keys(environ, names=names, origin=f"environment variable {names.access}")
        if found is not None:
            return FoundCredentials(found)
    return _find_in_files(settings, variables, environ=environ, home=home)


def _find_in_files(
    settings: CredentialSettings,
    variables: tuple[KeyNames, ...],
    *,
    environ: Mapping[str, str],
    home: Path,
) -> FoundCredentials:
    # Here, and not above: keys in the environment, as in most scripts, need nothing of this.
    from obsup.local.config import instance_metadata
    from obsup.local.config.file import default_config_path, load_config
    from obsup.local.config.vendor_files import list_sections, read_section

    config_path = Path(settings.config_path) if settings.config_path else None
    profile = None
    if settings.profile is not None:
        profile = load_config(config_path, environ).find_profile(settings.profile)
        found = read_profile(profile, environ)
        if found is not None:
            return FoundCredentials(found)
    sections = list_sections(settings.provider, environ=environ, home=home)
    for section in sections:
        found = read_section(section)
        if found is not None:
            return FoundCredentials(found)
    if profile is not None and profile.metadata_service is not None:
        return FoundCredentials(
            instance_metadata.ask_metadata(profile.metadata_service, environ=environ),
            instance_metadata.RENEW_BEFORE_S,
        )
    place = config_path or default_config_path(environ)
    raise _nothing_found(settings, variables, sections, place)


def read_profile(profile: Profile, environ: Mapping[str, str]) -> Credentials | None:
    """Return the credentials that *profile* holds, or its credential_process prints, or None.

    Raises Denied.
    """
    from obsup.local.config.credential_process import run_process

    origin = f"profile {profile.name}"
    if profile.credential_process is not None:
        return run_process(profile.credential_process, environ=environ, origin=origin)
    values = {
        "access_key_id": profile.access_key_id,
        "secret_access_key": profile.secret_access_key,
        "security_token": profile.security_token,
    }
    return pair_keys(values, names=PROFILE_NAMES, origin=origin)


def _nothing_found(
    settings: CredentialSettings,
    variables: tuple[KeyNames, ...],
    sections: tuple[Section, ...],
    place: Path,
) -> Denied:
    pairs = ", ".join(f"{names.access} and {names.secret}" for names in variables)
    looked = [f"environment variables {pairs}"]
    looked.append(f"profile {settings.profile} of {place}" if settings.profile else "no --profile named")
    looked.extend(str(section) for section in sections)
    names = find_vendor(settings.provider).credential_variables[0]
    return Denied(
        f"no credentials found for {settings.provider}",
        f"Looked in: {'; '.join(looked)}",
        run_again(
            f"set {names.access} and {names.secret}, or write keys or a credential_process into a profile of "
            f"{place} and select it with --profile"
        ),
    )
