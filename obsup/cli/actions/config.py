"""Write a configuration file that explains every setting, and show the effective settings."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

from obsup.cli.arguments.command import Command
from obsup.cli.arguments.options import Option
from obsup.cli.arguments.settings import EffectiveSetting, effective_profile, effective_settings
from obsup.cli.arguments.store_defaults import (
    endpoint_form,
    own_values,
    place_of_targets,
    with_defaults_of_store,
)
from obsup.cli.report import output
from obsup.dialects.endpoints import normalise_endpoint
from obsup.dialects.registry import STORES, VENDORS
from obsup.engine.job.option_values import connect_options
from obsup.errors import BadConfiguration, Denied, LocalFailure, NextStep, WrongUsage
from obsup.local.config.credentials import (
    OWN_VARIABLES,
    CredentialSettings,
    find_chain,
    find_credentials,
    variable_origin,
)
from obsup.local.config.file import MAX_BYTES, Config, Profile, load_config
from obsup.local.config.saved_table import changed_text, table_lines
from obsup.local.files.content import read_content
from obsup.local.files.existing import exists
from obsup.local.files.user_folders import default_config_path, home_folder
from obsup.local.platform.files import open_file
from obsup.local.platform.paths import CONFIG_PATH_TEXT
from obsup.local.state.atomic_file import write_atomically, writing_advice
from obsup.local.state.folders import create_missing_folders, is_special
from obsup.options.row import OptionRow
from obsup.store.http.proxy import given_proxies
from obsup.text import names_secret, one_line, quoted, without_password
from obsup.vendor_names import DEFAULT_PROVIDER

HEAD = """\
# Configuration of obsup. The nearest setting wins: option, environment, profile, [defaults], built-in.
# Every long option of `obsup upload` is a key here, with _ for -. `obsup config show` prints the effective settings.
"""
PROFILE = """\
# Select a profile with --profile NAME, OBSUP_PROFILE, or profile = "NAME" in [defaults]. It takes the same keys and
# one source of credentials. Only you may be able to read a file with secrets, as obsup creates this one.
#[profiles.nightly]
#endpoint = "https://obs.eu-de.otc.t-systems.com"
#access_key_id = "…"
#secret_access_key = "…"
#security_token = "…"
# or: a program that prints {"Version":1,"AccessKeyId":…,"SecretAccessKey":…,"SessionToken":…,"Expiration":…}; it runs
# again before the credentials expire, and when the store rejects them.
#credential_process = "vault-helper --role backup"
# or: the metadata service of this cloud host: obs, aws or oss.
#metadata_service = "obs"
# or: the credential chain of AWS's library (pip install 'obsup[aws]'): roles, SSO, web identity, ~/.aws/config.
#aws_profile = "backup"
# or: that of AWS, Alibaba Cloud (obsup[oss]) or Huawei Cloud (obsup[obs]), whatever it finds: aws, oss or obs.
#credentials = "oss"
"""
MASK = "…"
_OTHER_FILE = "name another file with --config"


def run_init(
    path: Path | None, upload: Command, given: Mapping[str, str], examine: Callable[[Path, str, str], int]
) -> int:
    """Write the configuration file, print its path, and return the exit code.

    With a provider in *given*, the file has a profile for it, and an existing file gets it; what is missing is asked
    for on a terminal, where *examine*, which gets the path, the profile and a bucket, can run at the end.
    """
    config_path = path or default_config_path(os.environ)
    if config_path is None:
        raise BadConfiguration(
            "this user has no home directory for the configuration file",
            "HOME is not an absolute path, and the account has no home directory",
            NextStep("name the file with --config"),
        )
    present = _extensible(config_path, given) if exists(config_path) else None
    profile = new_profile(given)
    if present is None:
        _create(config_path, template(upload, profile))
    else:
        _add_profile(present, profile)
    output.print_result(str(config_path))
    name = profile.get("profile", "")
    selected = name if present is None else present.defaults.get("profile")
    if selected != name:
        what = f"the profile {selected}, not this one" if selected else "no profile"
        output.print_message(f"Note:  [defaults] selects {what}: use --profile {name}.")
    bucket = ""
    if profile and _can_ask():
        bucket = click.prompt(
            "Bucket to examine with obsup doctor (empty: none)", "", show_default=False, err=True
        )
    return examine(config_path, name, bucket.strip()) if bucket.strip() else 0


def _create(path: Path, text: str) -> None:
    """Write *text* into a new file. Raises BadConfiguration, LocalFailure."""
    try:
        create_missing_folders(path.parent)
        descriptor = open_file(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, private=True)
    except FileExistsError as exc:
        raise _existing(path) from exc
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as exc:
        path.unlink(missing_ok=True)
        raise _unwritable(path, exc) from exc


def _extensible(path: Path, given: Mapping[str, str]) -> Config:
    """Return the content of the file, which can get the profile. Raises BadConfiguration, if it has it already, too."""
    if "provider" not in given or is_special(path):
        raise _existing(path)
    config, name = load_config(path, os.environ), given.get("profile", given["provider"])
    if name in config.profiles:
        raise BadConfiguration(
            f"the profile {name} of {quoted(path)} already exists",
            "It may contain the only copy of your keys",
            NextStep("edit it, or name another profile with --profile"),
        )
    return config


def _add_profile(present: Config, profile: Mapping[str, str]) -> None:
    """Add the *profile*, with own values for those of the defaults. Raises BadConfiguration, LocalFailure."""
    path, name = present.path, profile["profile"]
    keys = {key: value for key, value in profile.items() if key != "profile"}
    keys = {**keys, **own_values(present.defaults, keys)}
    try:
        text = changed_text(read_content(path, MAX_BYTES).data.decode(), name, keys)
        if text is None:
            why = "Its tables are not of the form [NAME] and KEY = VALUE"
            raise BadConfiguration(f"cannot write {quoted(path)}", why, NextStep(_OTHER_FILE))
        # A link stays, and so does the mode of the file, unless it has secrets now.
        write_atomically(path.resolve(), text.encode(), is_private="secret_access_key" in keys)
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _existing(path: Path) -> BadConfiguration:
    return BadConfiguration(
        f"{quoted(path)} already exists",
        "It may contain the only copy of your keys",
        NextStep("edit it, or name another file with --config"),
    )


def _unwritable(path: Path, exc: OSError) -> LocalFailure:
    step = NextStep(f"{writing_advice(exc)}, or {_OTHER_FILE}")
    return LocalFailure(f"cannot write {quoted(path)}", exc.strerror or "", step)


def new_profile(given: Mapping[str, str]) -> dict[str, str]:
    """Return name and keys of the profile that *given* describes; empty without a provider.

    Raises WrongUsage for an option without --provider, and, without a terminal, for a missing one.
    """
    if "provider" not in given:
        if given:
            raise WrongUsage(
                f"--{next(iter(given))} needs --provider",
                "Only a profile for a store has values",
                NextStep("add --provider NAME"),
            )
        return {}
    provider = given["provider"]
    profile = {"profile": given.get("profile", provider), **given}
    for name, example in _missing(provider, given):
        if not _can_ask():
            raise WrongUsage(
                f"the profile of {provider} needs --{name}",
                "Each server has its own endpoint" if name == "endpoint" else f"Its endpoint is {example}",
                NextStep(f"give it with --{name}"),
            )
        check = _valid_endpoint if name == "endpoint" else str.strip
        profile[name] = click.prompt(f"{name.capitalize()} ({example})", err=True, value_proc=check)
    if "endpoint" in profile:
        normalise_endpoint(profile["endpoint"])
    if _can_ask():
        key = click.prompt(
            "Access key id (empty: from the environment, files or a role)",
            default="",
            show_default=False,
            err=True,
        )
        if key.strip():
            secret = click.prompt("Secret access key", hide_input=True, err=True)
            profile |= {"access_key_id": key.strip(), "secret_access_key": secret.strip()}
    return profile


def _valid_endpoint(text: str) -> str:
    """Return the endpoint that was typed. Raises UsageError, after which Click asks again."""
    try:
        normalise_endpoint(text)
    except WrongUsage as exc:
        raise click.UsageError(exc.what) from exc
    return text.strip()


def _missing(provider: str, given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the options that the endpoint of *provider* needs beyond *given*, with the form of the endpoint."""
    if "endpoint" in given or provider == "auto":
        return
    form = endpoint_form(provider)
    if not form:
        yield "endpoint", "https://HOST"
        return
    example = form.format(region="REGION", account="ACCOUNT")
    yield from (
        (name, example) for name in ("region", "account") if f"{{{name}}}" in form and name not in given
    )


def template(upload: Command, profile: Mapping[str, str] | None = None) -> str:
    """Return a configuration file that explains every key; it sets only what *profile* contains."""
    name = json.dumps(profile["profile"], ensure_ascii=False) if profile else ""
    lines = [HEAD, "[defaults]", f"profile = {name}" if profile else '#profile = "nightly"']
    for title, options in upload.groups().items():
        rows = [one.row for one in options if isinstance(one, Option) and one.row.is_setting]
        lines += ["", f"## {title}"] if rows else []
        for row in rows:
            lines += textwrap.wrap(row.help, 100, initial_indent="# ", subsequent_indent="# ")
            lines.append(f"#{row.key} = {_sample(row)}")
    keys = {key: value for key, value in (profile or {}).items() if key != "profile"}
    table = [*table_lines(profile["profile"], keys), ""] if profile else []
    return "\n".join([*lines, "", *table, PROFILE])


def _sample(row: OptionRow) -> str:
    """Return a valid value: the built-in one if there is one."""
    if row.sample:
        return row.sample
    if isinstance(row.default, bool):
        return str(not row.default).lower()
    return row.kind.sample if row.default is None else f'"{row.default}"'


def run_show(upload: click.Context, *, as_json: bool) -> int:
    """Print every setting of the *upload* command with its source, and return the exit code."""
    path: Path = upload.params["config_path"] or default_config_path(os.environ) or Path(CONFIG_PATH_TEXT)
    settings = list(effective_settings(upload))
    rows = [EffectiveSetting("config", str(path), "found" if exists(path) else "not found")]
    rows.append(effective_profile(upload))
    connecting = connect_options(upload.params)
    place = place_of_targets(connecting)
    shown = with_defaults_of_store(settings, connecting, place)
    proxies = _proxies(has_own=bool(upload.params["proxy"]))
    rows += [one._replace(value=_masked(one.name, one.value)) for one in (*shown, *proxies)]
    named = STORES[connecting.provider].provider if connecting.provider in STORES else connecting.provider
    provider = place.provider if place is not None else named
    rows += _credentials(upload, provider if provider in VENDORS else DEFAULT_PROVIDER)
    if as_json:
        fields = [one._asdict() for one in rows]
        output.print_json({"command": "config show", "status": "listed", "settings": fields})
        return 0
    for one in rows:
        output.print_result(f"{one.name}\t{_shown(one.value)}\t{one.origin}")
    return 0


def _shown(value: object) -> str:
    """Return *value* as the configuration file spells it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else one_line(str(value))


def _proxies(*, has_own: bool) -> Iterator[EffectiveSetting]:
    """Yield the proxies of the environment. *has_own*: a setting of obsup names the proxy; NO_PROXY applies to it."""
    for name, value, origin in given_proxies():
        is_overridden = has_own and name != "no_proxy"
        shown = (None, "overridden by proxy") if is_overridden else (value, origin)
        yield EffectiveSetting(name, *shown)


def _credentials(upload: click.Context, provider: str) -> Iterator[EffectiveSetting]:
    """Yield the credentials that would sign. A credential process or a metadata service is named, but not used."""
    path, name = upload.params["config_path"], upload.params["profile"]
    profile = load_config(path, os.environ).find_profile(name) if name else None
    helper = _helper(profile)
    settings = CredentialSettings(provider, None if helper else name, str(path) if path else None)
    try:
        found = find_credentials(settings, environ=os.environ, home=home_folder(), may_ask=False).credentials
    except Denied:
        helper = helper or _chain(provider)
        origin = f"{helper}, which is run when needed" if helper else "not found"
        yield EffectiveSetting("credentials", MASK if helper else None, origin)
        return
    secret = token = found.origin
    for names in (*OWN_VARIABLES, *VENDORS[provider].credential_variables):
        if found.origin == variable_origin(names.access):  # each has its own variable
            secret = variable_origin(names.secret)
            token = variable_origin(next((one for one in names.tokens if os.environ.get(one)), ""))
            break
    yield EffectiveSetting("access_key_id", f"{found.access_key[:4]}{MASK}", found.origin)
    yield EffectiveSetting("secret_access_key", MASK, secret)
    if found.token is not None:
        yield EffectiveSetting("security_token", MASK, token)


def _helper(profile: Profile | None) -> str | None:
    """Return what would provide the credentials: a credential process, a metadata service, or a vendor's library."""
    if profile is None:
        return None
    chain = find_chain(profile.chain)
    if chain is not None:
        return chain.title
    return "credential_process" if profile.credential_process else profile.metadata_service


def _chain(provider: str) -> str | None:
    """Return the chain of the vendor's library if it is asked for targets of *provider*."""
    chain = find_chain(VENDORS[provider].credential_chain)
    return chain.title if chain is not None and chain.is_installed() else None


def _masked(key: str, value: object) -> object:
    """Return *value* without secrets: passwords in URLs, and headers whose name suggests a secret."""
    if isinstance(value, tuple):
        return ", ".join(str(_masked(key, one)) for one in value)
    if not isinstance(value, str):
        return value
    if key == "header":
        name, separator, _ = value.partition(":")
        return f"{name}{separator} {MASK}" if names_secret(name.strip()) else value
    return without_password(value, MASK) if key.endswith("proxy") or "://" in value else value
