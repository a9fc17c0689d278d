"""Find credentials in a fixed order, cache them, and renew them before they expire or when the store rejects them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from obsup.dialects.registry import VENDORS, find_vendor
from obsup.dialects.vendor import KeyNames
from obsup.errors import BadConfiguration, Denied, run_again
from obsup.local.config.credential_fields import pair_keys
from obsup.local.files.user_folders import default_config_path
from obsup.local.platform.paths import CONFIG_PATH_TEXT
from obsup.model import Credentials
from obsup.value import Value
from obsup.vendor_names import CREDENTIAL_CHAINS

if TYPE_CHECKING:
    from obsup.local.config.credential_chain import Chain, Need
    from obsup.local.config.file import Profile
    from obsup.local.config.vendor_files import Section

# Credentials that expire are renewed this long before.
RENEW_BEFORE_S = 5 * 60.0
# The shortest interval between renewals, for a source whose credentials are always about to expire.
MIN_RENEWAL_INTERVAL_S = 30.0

OWN_VARIABLES = (
    KeyNames("AccessKeyID", "SecretAccessKey", ("SecurityToken",)),
    KeyNames("OBSUP_ACCESS_KEY_ID", "OBSUP_SECRET_ACCESS_KEY", ("OBSUP_SECURITY_TOKEN",)),
)
PROFILE_NAMES = KeyNames("access_key_id", "secret_access_key", ("security_token",))


class CredentialSettings(Value):
    """Where to look for credentials. It is sent to remote workers, which find their own credentials."""

    provider: str
    profile: str | None = None
    config_path: str | None = None


class FoundCredentials(Value):
    """Credentials, and how long before their expiry they are renewed."""

    credentials: Credentials
    renew_before_s: float = RENEW_BEFORE_S


class CredentialSource:
    """The credentials of one run, shared by its threads. *find* is called for the first ones and for each renewal."""

    def __init__(self, find: Callable[[], FoundCredentials], clock: Callable[[], float]) -> None:
        self._find = find
        self._clock = clock
        self._lock = threading.Lock()
        self._cached: Credentials | None = None
        self._renew_at: float | None = None
        self._find_count = 0
        self._failure: Denied | BadConfiguration | None = None

    def current(self) -> Credentials:
        """Return the credentials to sign with now; those that expire soon are renewed first.

        If the renewal fails, credentials that have not expired yet are still used. Raises Denied, BadConfiguration.
        """
        cached = self._cached
        if cached is not None and not self._is_renewal_due():
            return cached
        find_count = self._find_count
        with self._lock:
            if self._cached is not None and not self._is_renewal_due():
                return self._cached
            try:
                return self._renew(find_count)
            except (Denied, BadConfiguration):
                if self._cached is None or self._clock() >= (self._cached.expires or 0):
                    raise
                self._renew_at = self._clock() + MIN_RENEWAL_INTERVAL_S
                return self._cached

    def refresh(self, rejected: Credentials | None = None) -> Credentials:
        """Return credentials newer than *rejected*, by default the cached ones, which the store rejected.

        One thread finds them; the others wait and get the same result or failure. Compares by identity: equal
        credentials that were read again are new ones. Raises Denied, BadConfiguration.
        """
        old = self._cached if rejected is None else rejected
        find_count = self._find_count
        with self._lock:
            if self._cached is not None and self._cached is not old:
                return self._cached
            return self._renew(find_count)

    def _is_renewal_due(self) -> bool:
        # Read once: another thread may replace it.
        renew_at = self._renew_at
        return renew_at is not None and self._clock() >= renew_at

    def _renew(self, find_count_before: int) -> Credentials:
        if self._failure is not None and self._find_count != find_count_before:
            # Another thread tried while this one waited: 32 workers must not run a failing program 32 times.
            raise type(self._failure)(*self._failure.args)
        self._failure = None
        try:
            found = self._find()
        except (Denied, BadConfiguration) as exc:
            self._failure = exc
            raise
        finally:
            self._find_count += 1
        self._cached = found.credentials
        expires = found.credentials.expires
        self._renew_at = None
        if expires is not None:
            self._renew_at = max(expires - found.renew_before_s, self._clock() + MIN_RENEWAL_INTERVAL_S)
        return self._cached


def open_credentials(
    settings: CredentialSettings, *, environ: Mapping[str, str], home: Path | None, clock: Callable[[], float]
) -> CredentialSource:
    """Return the source of credentials for *settings*, which reads nothing before its first use.

    *clock* returns seconds since the epoch.
    """
    return CredentialSource(lambda: find_credentials(settings, environ=environ, home=home), clock)


def variable_origin(name: str) -> str:
    """Return the origin of what the environment variable *name* contains."""
    return f"environment variable {name}"


def find_credentials(
    settings: CredentialSettings, *, environ: Mapping[str, str], home: Path | None, may_ask: bool = True
) -> FoundCredentials:
    """Search all sources once and return the first credentials.

    The order: the variables of obsup, those of the vendor, what the profile contains or names (its metadata service
    comes later), the vendor's files (by the vendor's library, if they ask for a role, SSO or the like), the metadata
    service of the profile, the vendor's library. Raises Denied if none has credentials or if a source fails,
    BadConfiguration for an invalid configuration file. Unless *may_ask*, the vendor's library is not used: Denied is
    raised where it would be.
    """
    variables = (*OWN_VARIABLES, *find_vendor(settings.provider).credential_variables)
    for names in variables:
        found = pair_keys(environ, names=names, origin=variable_origin(names.access))
        if found is not None:
            return FoundCredentials(found)
    return _find_in_files(settings, variables, environ=environ, home=home, may_ask=may_ask)


def _find_in_files(
    settings: CredentialSettings,
    variables: tuple[KeyNames, ...],
    *,
    environ: Mapping[str, str],
    home: Path | None,
    may_ask: bool,
) -> FoundCredentials:
    # Imported here because credentials in the environment, as in most scripts, need none of this.
    from obsup.local.config import instance_metadata
    from obsup.local.config.file import load_config
    from obsup.local.config.vendor_files import list_sections, read_section

    config_path = Path(settings.config_path) if settings.config_path else None
    profile = None
    if settings.profile is not None:
        profile = load_config(config_path, environ).find_profile(settings.profile)
        if (found := read_profile(profile, environ)) is not None:
            return FoundCredentials(found)
    chain = find_chain(find_vendor(settings.provider).credential_chain)
    need = chain.find_need(settings.provider, environ=environ, home=home) if chain is not None else None
    search = chain.find_if_installed if chain is not None and may_ask else lambda: None
    found = search() if need is not None else None
    sections = list_sections(settings.provider, environ=environ, home=home)
    if found is None and not _is_other_identity(chain, need, may_ask=may_ask):
        found = next(filter(None, map(read_section, sections)), None)
    if found is None and profile is not None and profile.metadata_service is not None:
        return FoundCredentials(
            instance_metadata.fetch_instance_credentials(profile.metadata_service, environ=environ),
            instance_metadata.RENEW_BEFORE_S,
        )
    if found is None and need is None:
        found = search()
    if found is not None:
        return FoundCredentials(found)
    asked = need.text if need is not None else chain.find_file(home) if chain is not None else None
    path = config_path or default_config_path(environ) or Path(CONFIG_PATH_TEXT)
    raise _not_found(settings, variables, sections, path, chain if asked else None, asked or "")


def _is_other_identity(chain: Chain | None, need: Need | None, *, may_ask: bool) -> bool:
    """Return whether the access key in the vendor's files is not what signs: the chain finds something else."""
    if chain is None or need is None:
        return False
    return not may_ask if chain.is_installed() else need.is_first


def read_profile(profile: Profile, environ: Mapping[str, str]) -> Credentials | None:
    """Return the credentials in *profile*, or those of its credential_process or chain, or None. Raises Denied."""
    from obsup.local.config.credential_process import run_process

    origin = f"profile {profile.name}"
    if profile.credential_process is not None:
        return run_process(profile.credential_process, environ=environ, origin=origin)
    chain = find_chain(profile.chain)
    if chain is not None:
        return chain.find_for_profile(profile.name, profile.aws_profile)
    values = {
        "access_key_id": profile.access_key_id,
        "secret_access_key": profile.secret_access_key,
        "security_token": profile.security_token,
    }
    return pair_keys(values, names=PROFILE_NAMES, origin=origin)


def find_chain(name: str) -> Chain | None:
    """Return the chain of a vendor's library by its *name*, None for an empty one."""
    if not name:
        return None  # imports nothing
    from obsup.local.config.aws_chain import AWS_CHAIN
    from obsup.local.config.obs_chain import OBS_CHAIN
    from obsup.local.config.oss_chain import OSS_CHAIN

    return dict(zip(CREDENTIAL_CHAINS, (AWS_CHAIN, OSS_CHAIN, OBS_CHAIN), strict=True)).get(name)


def credential_files(environ: Mapping[str, str], home: Path | None) -> dict[str, Path]:
    """Return the files in which the vendors' tools and libraries keep credentials, each with its name in messages."""
    from obsup.local.config.vendor_files import list_sections

    paths: set[Path] = set()
    for vendor in VENDORS.values():
        paths.update(one.path for one in list_sections(vendor.name, environ=environ, home=home))
        chain = find_chain(vendor.credential_chain)
        if chain is not None:
            paths.update(chain.list_files(environ, home))
    return {f"the credentials file {path}": path for path in sorted(paths)}


def _not_found(
    settings: CredentialSettings,
    variables: tuple[KeyNames, ...],
    sections: tuple[Section, ...],
    path: Path,
    chain: Chain | None,
    need: str,
) -> Denied:
    pairs = ", ".join(f"{names.access} and {names.secret}" for names in variables)
    searched = [f"environment variables {pairs}"]
    searched.append(f"profile {settings.profile} of {path}" if settings.profile else "no --profile")
    searched.extend(str(section) for section in sections)
    if chain is not None:
        is_asked = chain.is_installed()
        searched.append(
            f"{chain.title}, for {need}" if is_asked else f"not {need}, which needs {chain.extra}"
        )
    names = find_vendor(settings.provider).credential_variables[0]
    add = f"add keys or a credential_process to profile {settings.profile} of {path}"
    if not settings.profile:
        add = f"create a profile with keys ('obsup config init' writes {path}) and select it with --profile"
    return Denied(
        f"no credentials for {settings.provider} found",
        f"Searched: {'; '.join(searched)}",
        run_again(f"set {names.access} and {names.secret}, or {add}"),
    )
