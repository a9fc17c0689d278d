"""The configuration file config.toml: [defaults] and profiles."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

from msgspec import field

from obsup.errors import BadConfiguration, NextStep, run_again
from obsup.local.files.content import FileContent, read_content
from obsup.local.files.user_folders import default_config_path
from obsup.local.platform.owners import exposure, is_own, protect_command
from obsup.local.platform.paths import CONFIG_PATH_TEXT
from obsup.local.platform.processes import split_command
from obsup.options import kinds
from obsup.options.kinds import Kind
from obsup.options.table import EXCLUSIVE, SETTINGS, is_set
from obsup.units import MIB
from obsup.value import Value
from obsup.vendor_names import CREDENTIAL_CHAINS

CREDENTIAL_KEYS: Mapping[str, Kind] = {
    "access_key_id": kinds.TEXT,
    "secret_access_key": kinds.TEXT,
    "security_token": kinds.TEXT,
    "credential_process": kinds.TEXT,
    "metadata_service": kinds.METADATA_SERVICE,
    "credentials": kinds.CREDENTIAL_CHAIN,
    "aws_profile": kinds.TEXT,
}
OPTION_KEYS: Mapping[str, Kind] = {key: row.kind for key, row in SETTINGS.items()}
DEFAULTS_KEYS: Mapping[str, Kind] = {**OPTION_KEYS, "profile": kinds.TEXT}
PROFILE_KEYS: Mapping[str, Kind] = {**OPTION_KEYS, **CREDENTIAL_KEYS}
MAX_BYTES = 4 * MIB
AWS_CHAIN_NAME = CREDENTIAL_CHAINS[0]

# A pipe such as <(…) can be read only once, but the file is read again for each renewal of the credentials.
_pipes: dict[Path, FileContent] = {}


class Profile(Value):
    """One ``[profiles.NAME]``: its options, and where its credentials come from.

    The credentials are its own keys, or what ``credential_process`` prints, or those of the metadata service, or of the
    chain of a vendor's library (``credentials``; ``aws_profile`` is a profile of AWS). It cannot be pickled, and its
    repr omits secrets.
    """

    _hidden: ClassVar[tuple[str, ...]] = ("secret_access_key", "security_token", "credential_process")

    name: str
    options: Mapping[str, kinds.OptionValue]
    access_key_id: str | None = None
    secret_access_key: str | None = None
    security_token: str | None = None
    credential_process: str | None = None
    metadata_service: str | None = None
    credentials: str | None = None
    aws_profile: str | None = None

    @property
    def chain(self) -> str:
        """The name of the chain that it asks for, or an empty text."""
        return self.credentials or (AWS_CHAIN_NAME if self.aws_profile else "")

    def __reduce__(self) -> Any:
        raise TypeError("a profile is never pickled: it may contain secrets")


class Config(Value):
    """The content of config.toml. *path* is its path, whether or not the file exists."""

    path: Path
    defaults: Mapping[str, kinds.OptionValue] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)

    def find_profile(self, name: str) -> Profile:
        """Return the profile *name*. Raises BadConfiguration, which lists the existing profiles."""
        if name in self.profiles:
            return self.profiles[name]
        known = ", ".join(sorted(self.profiles))
        raise BadConfiguration(
            f"profile {name!r} not found in {self.path}",
            f"The profiles are: {known}" if known else "It has no profiles, or does not exist",
            run_again(f"name an existing profile with --profile, or add [profiles.{name}] to {self.path}"),
        )


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read config.toml from *path*, or from the default path, where the file may be missing.

    Raises BadConfiguration if *path* is missing, and for invalid TOML, unknown keys, invalid values, settings that
    exclude each other, for a file that another user can have written, and for secrets that others can read. No message
    contains a secret.
    """
    config_path = path or default_config_path(environ)
    if config_path is None:
        return Config(Path(CONFIG_PATH_TEXT))
    try:
        content = _pipes.get(config_path) or read_content(config_path, MAX_BYTES, allow_pipe=True)
    except (FileNotFoundError, NotADirectoryError) as exc:  # HOME of some services is /dev/null
        if path is None:
            return Config(config_path)
        raise BadConfiguration(
            f"the configuration file {config_path} is missing",
            "--config, or OBSUP_CONFIG, names a file that does not exist",
            NextStep("create it", command=("obsup", "config", "init", "--config", str(config_path))),
        ) from exc
    except OSError as exc:
        raise BadConfiguration(
            f"cannot read the configuration file {config_path}",
            exc.strerror or "",
            run_again("name a file that you can read", add=("--config", "FILE"), drop=("--config",))
            if path
            else run_again("fix its permissions, or set HOME to a folder of yours"),
        ) from exc
    if not content.is_regular:
        _pipes[config_path] = content
    _require_own(content, config_path)
    config = _build(_parse(content.data, config_path), config_path)
    if any(one.secret_access_key or one.security_token for one in config.profiles.values()):
        _require_secret(content.status, config_path)
    return config


def _parse(raw: bytes, path: Path) -> dict[str, Any]:
    # Imported here because most machines have no such file, and tomllib takes time to load.
    import tomllib

    try:
        return tomllib.loads(raw.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        problem = f"The text is not UTF-8 (at line {line})"
    except RecursionError:
        problem = "It is nested too deeply"
    except ValueError as exc:
        problem = str(exc)
    # Raised here, unchained: both exceptions contain the whole file, secrets included.
    raise BadConfiguration(
        f"{path} is not valid TOML", problem, run_again("fix that line (text needs double quotes)")
    )


def _build(document: Mapping[str, object], path: Path) -> Config:
    _refuse_unknown(document, ("defaults", "profiles"), table="", path=path)
    defaults = _table(document.get("defaults", {}), table="[defaults]", path=path)
    profiles = _table(document.get("profiles", {}), table="[profiles]", path=path)
    return Config(
        path,
        _check(defaults, DEFAULTS_KEYS, table="[defaults]", path=path),
        {name: _build_profile(name, values, path) for name, values in profiles.items()},
    )


def _build_profile(name: str, content: object, path: Path) -> Profile:
    table = f"[profiles.{name}]"
    values = _check(_table(content, table=table, path=path), PROFILE_KEYS, table=table, path=path)
    options = {key: value for key, value in values.items() if key in OPTION_KEYS}
    secrets = {key: str(value) for key, value in values.items() if key in CREDENTIAL_KEYS}
    sources: list[str] = [
        key
        for key in ("secret_access_key", "credential_process", "metadata_service", "credentials")
        if key in secrets or (key == "credentials" and "aws_profile" in secrets)
    ]
    if "aws_profile" in secrets and secrets.get("credentials", AWS_CHAIN_NAME) != AWS_CHAIN_NAME:
        sources = ["credentials", "aws_profile"]
    if len(sources) > 1:
        raise BadConfiguration(
            f"{table} of {path} has both {sources[0]} and {sources[1]}",
            "A profile can have only one source of credentials",
            run_again("remove one of them"),
        )
    process = secrets.get("credential_process")
    if process is not None and not _is_command(process):
        raise BadConfiguration(
            f"credential_process in {table} of {path} is not a valid command line",
            "It is empty, or a quote is not closed",
            run_again('write it as credential_process = "PROGRAM ARGUMENT"'),
        )
    return Profile(name, options, **secrets)


def _is_command(text: str) -> bool:
    try:
        return bool(split_command(text))
    except ValueError:
        return False


def _table(value: object, *, table: str, path: Path) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    raise BadConfiguration(
        f"{table.strip('[]')} in {path} is not a table",
        "It has a value instead of keys",
        run_again(f"write {table} on a separate line, and its keys below"),
    )


def _check(
    values: Mapping[str, object], known: Mapping[str, Kind], *, table: str, path: Path
) -> dict[str, kinds.OptionValue]:
    _refuse_unknown(values, known, table=table, path=path)
    for key, value in values.items():
        if not known[key].accepts(value):
            # The value stays out of the message: it may be a secret.
            raise BadConfiguration(
                f"invalid value of {key} in {table} of {path}",
                f"It takes {known[key].wanted}",
                run_again(f"fix {key} in {path}"),
            )
    _refuse_exclusive(values, table=table, path=path)
    return {key: _freeze(value) for key, value in values.items()}


def _refuse_exclusive(values: Mapping[str, object], *, table: str, path: Path) -> None:
    for group in EXCLUSIVE:
        both = [key for key in group if is_set(values.get(key))]
        if len(both) > 1:
            raise BadConfiguration(
                f"{table} of {path} has both {both[0]} and {both[1]}",
                "They exclude each other",
                run_again("remove one of them"),
            )


def _freeze(value: Any) -> kinds.OptionValue:
    frozen: kinds.OptionValue = tuple(value) if isinstance(value, list) else value
    return frozen


def _refuse_unknown(values: Mapping[str, object], known: Collection[str], *, table: str, path: Path) -> None:
    for key in values:
        if key in known:
            continue
        from difflib import get_close_matches

        near = get_close_matches(key.replace("-", "_").lower(), known, n=1)
        if key in CREDENTIAL_KEYS:
            why = "Credentials are only valid in a profile"
        elif near:
            why = f"Did you mean {near[0]}?"
        elif table:
            why = "The keys are the long options of upload, with _ for -"
        else:
            why = "The file contains only tables"
        raise BadConfiguration(
            f"unknown key {key!r} in {f'{table} of ' if table else ''}{path}",
            why,
            run_again("fix or remove it"),
        )


def _require_own(content: FileContent, path: Path) -> None:
    """Raise BadConfiguration if another user can have written the file."""
    reason = content.distrust(path)
    if not reason:
        return
    is_ours = is_own(content.status.st_uid)
    raise BadConfiguration(
        f"the configuration file {path} is not used: {reason}",
        "Anyone who can change it decides where your data goes, and which programs run",
        NextStep("read it, and if it is right, run", command=protect_command(str(path)))
        if is_ours
        else NextStep("read it; if it is right, copy it to a file of your own, and name that with --config"),
    )


def _require_secret(status: os.stat_result, path: Path) -> None:
    """Raise BadConfiguration if another user can read the file."""
    reason = exposure(status, str(path))
    if reason:
        raise BadConfiguration(
            f"{path} contains secrets, and {reason}",
            "Then they can write to your buckets",
            NextStep("run", command=protect_command(str(path))),
        )
