"""The configuration file seen from the shell: written with every key explained, and shown with every origin."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click

from obsup.cli.arguments.command import Command
from obsup.cli.arguments.config_defaults import key_of
from obsup.cli.report import output
from obsup.dialects.endpoints import normalise_endpoint, recognise
from obsup.dialects.vendor_names import DEFAULT_PROVIDER
from obsup.errors import BadConfiguration, Denied
from obsup.local.config.credentials import CredentialSettings, find_credentials
from obsup.local.config.file import (
    Config,
    EffectiveSetting,
    Profile,
    default_config_path,
    load_config,
    resolve_setting,
)
from obsup.local.config.keys import DURATION, FLAG, LIST, NUMBER, OPTIONS, SIZE
from obsup.text import one_line, quoted

HEAD = """\
# Configuration of obsup. Nearest wins: option, environment, profile, [defaults], built-in.
# Every long option of `obsup upload` is a key here, - written as _. `obsup config show` says what is in force.
"""
PROFILE = """\
# A profile is chosen with --profile NAME, OBSUP_PROFILE, or profile = "NAME" in [defaults]. It takes the same keys,
# and one source of credentials. A file with secrets in it must be yours alone: chmod 600.
#[profiles.nightly]
#endpoint = "https://obs.eu-de.otc.t-systems.com"
#access_key_id = "…"
#secret_access_key = "…"
#security_token = "…"
# or: a program that prints {"Version":1,"AccessKeyId":…,"SecretAccessKey":…,"SessionToken":…,"Expiration":…}; it is
# asked again before they expire, and when they fail.
#credential_process = "vault-helper --role backup"
# or: the metadata service of this cloud host: obs, aws or oss.
#metadata_service = "obs"
"""
_SAMPLES = {
    "endpoint": "https://obs.eu-de.otc.t-systems.com",
    "region": "eu-de",
    "until": "06:30",
    "expect_md5": "0" * 32,
    "expect_sha256": "0" * 64,
}
_LIST_SAMPLES = {"header": "NAME: VALUE", "grant": "PERMISSION=ID", "include": "*.iso", "exclude": "*.tmp"}
# A header's value is shown unless its name says that nobody is to read it.
_PRIVATE_NAME = re.compile(r"authorization|secret|token|password|key", re.IGNORECASE)
MASK = "…"


def run_init(path: Path | None, upload: Command) -> int:
    """Write the file, print its path, and return the exit code."""
    place = path or default_config_path(os.environ)
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as exc:
        raise BadConfiguration(
            f"{quoted(place)} is there already",
            "what is in it may be all that knows your keys",
            "edit it, or name another file with --config",
        ) from exc
    except OSError as exc:
        raise _unwritable(place, exc) from exc
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(template(upload))
    except OSError as exc:
        place.unlink(missing_ok=True)
        raise _unwritable(place, exc) from exc
    output.print_result(str(place))
    return 0


def _unwritable(place: Path, exc: OSError) -> BadConfiguration:
    return BadConfiguration(
        f"{quoted(place)} cannot be written", exc.strerror or "", "name another file with --config"
    )


def template(upload: Command) -> str:
    """Return a configuration file in which every key stands explained, and none is set."""
    lines = [HEAD, "[defaults]", '#profile = "nightly"']
    for title, options in upload.groups().items():
        known = [one for one in options if key_of(one) in OPTIONS]
        if known:
            lines += ["", f"## {title}"]
        for one in known:
            lines += textwrap.wrap(one.help or "", 100, initial_indent="# ", subsequent_indent="# ")
            lines.append(f"#{key_of(one)} = {_sample(one)}")
    return "\n".join([*lines, "", PROFILE])


def _sample(option: click.Option) -> str:
    """Return what a line of the file may say: the built-in value, or one of the right kind."""
    key, kind = key_of(option), OPTIONS[key_of(option)]
    built_in = option.to_info_dict()["default"]
    if kind is FLAG:
        return "false" if option.secondary_opts else "true"
    if kind is NUMBER:
        return "5"
    if kind is LIST:
        return f'["{_LIST_SAMPLES.get(key, "K=V")}"]'
    if isinstance(built_in, int):
        return str(built_in)
    if isinstance(built_in, str):
        return f'"{built_in}"'
    if isinstance(option.type, click.Choice):
        return f'"{option.type.choices[0]}"'
    if kind is SIZE:
        return '"16M"'
    if kind is DURATION:
        return '"7h"'
    return f'"{_SAMPLES.get(key, MASK)}"'


def run_show(path: Path | None, profile_name: str | None, upload: Command, *, as_json: bool) -> int:
    """Print every setting with its origin, and return the exit code."""
    config = load_config(path, os.environ)
    named = profile_name or os.environ.get("OBSUP_PROFILE") or config.defaults.get("profile")
    profile = config.find_profile(str(named)) if named else None
    settings = dict(_settings(config, profile, upload))
    rows = [("config", EffectiveSetting(str(config.path), "there" if config.path.exists() else "not there"))]
    rows += [("profile", EffectiveSetting(profile.name if profile else None, ""))]
    rows += list(settings.items())
    rows += list(_credentials(profile, settings, str(config.path) if path else None))
    if as_json:
        fields = [{"name": name, "value": one.value, "origin": one.origin} for name, one in rows]
        output.print_json({"command": "config show", "status": "listed", "settings": fields})
        return 0
    for name, one in rows:
        output.print_result(f"{name}\t{_shown(one.value)}\t{one.origin}")
    return 0


def _settings(
    config: Config, profile: Profile | None, upload: Command
) -> Iterator[tuple[str, EffectiveSetting]]:
    """Yield each setting of upload by its key, as it is in force here; what is secret in it is masked."""
    for options in upload.groups().values():
        for one in options:
            key = key_of(one)
            if key not in OPTIONS:
                continue
            built_in = one.to_info_dict()["default"]
            found = resolve_setting(
                key,
                option=None,
                environ=os.environ,
                profile=profile,
                defaults=config.defaults,
                builtin=built_in if built_in not in ((), False) or OPTIONS[key] is FLAG else None,
            )
            yield key, EffectiveSetting(_masked(key, found.value), found.origin)


def _shown(value: object) -> str:
    """Return *value* as the file would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else one_line(str(value))


def _helper(profile: Profile | None) -> str | None:
    """Return who would be asked for credentials: a program, or a metadata service."""
    if profile is None:
        return None
    return "credential_process" if profile.credential_process else profile.metadata_service


def _provider(settings: dict[str, EffectiveSetting]) -> str:
    """Return whose keys are looked for, as an upload would."""
    provider, endpoint = str(settings["provider"].value), settings["endpoint"].value
    if provider != "auto" or not endpoint:
        return provider.replace("auto", DEFAULT_PROVIDER)
    return recognise(normalise_endpoint(str(endpoint))).provider or DEFAULT_PROVIDER


def _credentials(
    profile: Profile | None, settings: dict[str, EffectiveSetting], path: str | None
) -> Iterator[tuple[str, EffectiveSetting]]:
    """Yield whose keys would sign. A helper or a metadata service is named, and not asked."""
    helper = _helper(profile)
    name = profile.name if profile is not None and helper is None else None
    try:
        found = find_credentials(
            CredentialSettings(_provider(settings), name, path), environ=os.environ, home=Path.home()
        ).credentials
    except Denied:
        told = f"{helper} is asked when they are needed" if helper else "none found"
        yield "credentials", EffectiveSetting(MASK if helper else None, told)
        return
    yield "access_key_id", EffectiveSetting(f"{found.access_key[:4]}{MASK}", found.origin)
    yield "secret_access_key", EffectiveSetting(MASK, found.origin)
    if found.token is not None:
        yield "security_token", EffectiveSetting(MASK, found.origin)


def _masked(key: str, value: object) -> object:
    """Return *value* without what nobody is to read: passwords in URLs, headers that carry secrets."""
    if isinstance(value, tuple):
        return ", ".join(str(_masked(key, one)) for one in value)
    if not isinstance(value, str):
        return value
    if key == "header":
        name, separator, _ = value.partition(":")
        return f"{name}{separator} {MASK}" if _PRIVATE_NAME.search(name) else value
    password = urlsplit(value).password if "://" in value else None
    return value.replace(f":{password}@", f":{MASK}@") if password else value
