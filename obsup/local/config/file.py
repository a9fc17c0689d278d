"""config.toml: defaults and profiles, and which of several places a setting comes from."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from msgspec import field

from obsup.errors import BadConfiguration
from obsup.local.config.keys import OPTIONS, SERVICE, TEXT, Kind, OptionValue
from obsup.value import Value

CREDENTIAL_KEYS: Mapping[str, Kind] = {
    "access_key_id": TEXT,
    "secret_access_key": TEXT,
    "security_token": TEXT,
    "credential_process": TEXT,
    "metadata_service": SERVICE,
}
DEFAULTS_KEYS: Mapping[str, Kind] = {**OPTIONS, "profile": TEXT}
PROFILE_KEYS: Mapping[str, Kind] = {**OPTIONS, **CREDENTIAL_KEYS}


class Profile(Value):
    """One ``[profiles.NAME]``: its options (endpoint, provider, region, part_size, …) and where its keys are.

    Credentials are its own, or what ``credential_process`` prints, or those of the cloud's metadata service
    (``obs``, ``aws``, ``oss``). Secrets show in no repr and travel in no pickle.
    """

    _hidden = ("secret_access_key", "security_token", "credential_process")

    name: str
    options: Mapping[str, OptionValue]
    access_key_id: str | None = None
    secret_access_key: str | None = None
    security_token: str | None = None
    credential_process: str | None = None
    metadata_service: str | None = None

    def __reduce__(self) -> Any:
        raise TypeError("a profile is never pickled: it may hold secrets")


class Config(Value):
    """What config.toml said; *path* is where it was looked for, whether or not it was there."""

    path: Path
    defaults: Mapping[str, OptionValue] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)

    def find_profile(self, name: str) -> Profile:
        """Return the profile *name*. Raises BadConfiguration, naming those there are."""
        if name in self.profiles:
            return self.profiles[name]
        known = ", ".join(sorted(self.profiles))
        raise BadConfiguration(
            f"there is no profile {name!r} in {self.path}",
            f"It has: {known}." if known else "It has no profiles, or is not there.",
            f"name one with --profile, or write [profiles.{name}] into {self.path}",
        )


class EffectiveSetting(Value):
    """A setting's value and the place it came from, in words."""

    value: object
    origin: str


def default_config_path(environ: Mapping[str, str]) -> Path:
    """Return ``$XDG_CONFIG_HOME/obsup/config.toml``, by default under ``~/.config``.

    Source: XDG Base Directory Specification, which has relative paths ignored.
    """
    named = Path(environ.get("XDG_CONFIG_HOME", ""))
    if named.is_absolute():
        return named / "obsup" / "config.toml"
    if environ.get("HOME"):
        return Path(environ["HOME"]) / ".config" / "obsup" / "config.toml"
    import platformdirs

    return platformdirs.user_config_path("obsup") / "config.toml"


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read config.toml from *path*, or from the default place, where a missing file is an empty one.

    Raises BadConfiguration: a named file that is missing, bad TOML, unknown keys, wrong types, or secrets in
    a file that is not the caller's alone. No message shows a value of a secret.
    """
    place = path or default_config_path(environ)
    try:
        with place.open("rb") as file:
            status = os.fstat(file.fileno())
            raw = file.read()
    except FileNotFoundError as exc:
        if path is None:
            return Config(place)
        raise BadConfiguration(
            f"the config file {place} is missing", "", "check --config and OBSUP_CONFIG"
        ) from exc
    except OSError as exc:
        raise BadConfiguration(
            f"the config file {place} cannot be read", f"{exc.strerror}.", "mend its permissions"
        ) from exc
    config = _build(_parse(raw, place), place)
    if any(profile.secret_access_key or profile.security_token for profile in config.profiles.values()):
        _demand_private(status, place)
    return config


def resolve_setting(
    name: str,
    *,
    option: object,
    environ: Mapping[str, str],
    profile: Profile | None,
    defaults: Mapping[str, OptionValue],
    builtin: object,
) -> EffectiveSetting:
    """Return the setting *name* from the nearest place that has it.

    The order is option, environment, profile, [defaults], built-in. An *option* of None or () was not given;
    an empty environment variable counts as unset. What the environment says is text, whatever the option is.
    """
    key = name.replace("-", "_")
    variable = f"OBSUP_{key.upper()}"
    if option is not None and option != ():
        return EffectiveSetting(option, f"option --{key.replace('_', '-')}")
    if environ.get(variable):
        return EffectiveSetting(environ[variable], f"environment variable {variable}")
    if profile is not None and key in profile.options:
        return EffectiveSetting(profile.options[key], f"profile {profile.name}")
    if key in defaults:
        return EffectiveSetting(defaults[key], "[defaults]")
    return EffectiveSetting(builtin, "built-in")


def _parse(raw: bytes, place: Path) -> dict[str, Any]:
    # Here, and not above: most machines have no such file, and no upload should wait for what reads it.
    import tomllib

    try:
        return tomllib.loads(raw.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        problem = f"Not UTF-8 text (at line {line})"
    except RecursionError:
        problem = "It is nested too deeply"
    except ValueError as exc:
        problem = str(exc)
    # Raised out here, unchained: both exceptions carry the whole file, secrets included.
    raise BadConfiguration(
        f"{place} is not TOML", f"{problem}.", "mend that line (text stands in double quotes)"
    )


def _build(document: Mapping[str, object], place: Path) -> Config:
    _refuse_unknown(document, ("defaults", "profiles"), where="", place=place)
    defaults = _table(document.get("defaults", {}), where="[defaults]", place=place)
    profiles = _table(document.get("profiles", {}), where="[profiles]", place=place)
    return Config(
        place,
        _check(defaults, DEFAULTS_KEYS, where="[defaults]", place=place),
        {name: _build_profile(name, table, place) for name, table in profiles.items()},
    )


def _build_profile(name: str, table: object, place: Path) -> Profile:
    where = f"[profiles.{name}]"
    values = _check(_table(table, where=where, place=place), PROFILE_KEYS, where=where, place=place)
    options = {key: value for key, value in values.items() if key in OPTIONS}
    secrets = {key: str(value) for key, value in values.items() if key in CREDENTIAL_KEYS}
    sources = [
        key for key in ("secret_access_key", "credential_process", "metadata_service") if key in secrets
    ]
    if len(sources) > 1:
        raise BadConfiguration(
            f"{where} of {place} has both {sources[0]} and {sources[1]}",
            "A profile has one source of credentials, or nobody knows which one signs.",
            "remove one of them",
        )
    process = secrets.get("credential_process")
    if process is not None and not _is_command(process):
        raise BadConfiguration(
            f"credential_process in {where} of {place} is no command line",
            "It is empty, or a quote is not closed.",
            'write it as credential_process = "PROGRAM ARGUMENT"',
        )
    return Profile(name, options, **secrets)


def _is_command(text: str) -> bool:
    try:
        return bool(shlex.split(text))
    except ValueError:
        return False


def _table(value: object, *, where: str, place: Path) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    raise BadConfiguration(
        f"{where.strip('[]')} in {place} is no table",
        "",
        f"write {where} on a line of its own, its keys below",
    )


def _check(
    table: Mapping[str, object], kinds: Mapping[str, Kind], *, where: str, place: Path
) -> dict[str, OptionValue]:
    _refuse_unknown(table, kinds, where=where, place=place)
    for key, value in table.items():
        if not kinds[key].accepts(value):
            # The value stays out of the message: it may be a secret, or one in the wrong line.
            raise BadConfiguration(
                f"{key} in {where} of {place} cannot be used",
                f"It takes {kinds[key].wanted}.",
                f"mend that line of {place}",
            )
    return {key: _freeze(value) for key, value in table.items()}


def _freeze(value: Any) -> OptionValue:
    frozen: OptionValue = tuple(value) if isinstance(value, list) else value
    return frozen


def _refuse_unknown(table: Mapping[str, object], known: Collection[str], *, where: str, place: Path) -> None:
    for key in table:
        if key in known:
            continue
        from difflib import get_close_matches

        near = get_close_matches(key.replace("-", "_").lower(), known, n=1)
        if key in CREDENTIAL_KEYS:
            why = "Credentials belong to a profile."
        elif near:
            why = f"Did you mean {near[0]}?"
        else:
            why = "It takes the long options of upload, - written as _." if where else "It takes tables only."
        inside = f"{where} of {place}" if where else str(place)
        raise BadConfiguration(f"{key!r} in {inside} is unknown", why, f"mend or remove it in {place}")


def _demand_private(status: os.stat_result, place: Path) -> None:
    mode = stat.S_IMODE(status.st_mode)
    quoted = shlex.quote(str(place))
    if status.st_uid not in (os.geteuid(), 0):
        raise BadConfiguration(
            f"{place} holds secrets and belongs to another user (uid {status.st_uid})",
            "Its owner could read them, or change whose keys sign.",
            f"run: sudo chown $(id -u) {quoted} && chmod 600 {quoted}",
        )
    if mode & 0o077:
        raise BadConfiguration(
            f"{place} holds secrets that others on this computer can read (mode {mode:04o})",
            "Whoever reads them can write to your buckets.",
            f"run: chmod 600 {quoted}",
        )
