"""Turn the values of options, from the command line or from keywords of the API, into typed values."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from obsup.dialects.vendor import VendorSetting
from obsup.engine.job.executor_spec import check_spec
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.target_settings import ConnectOptions
from obsup.errors import WrongUsage, run_again
from obsup.local.config.credentials import credential_files
from obsup.local.config.file import load_config
from obsup.local.config.vendor_settings import find_vendor_settings
from obsup.local.files.user_folders import default_config_path, home_folder
from obsup.model import ObjectOptions, Target
from obsup.options.table import object_values
from obsup.rate import Rate
from obsup.store.http.proxy import check_proxy
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.tls_files import CA_VARIABLES, check_tls_files
from obsup.value import Value

# poll(2) cannot wait much longer than ten times as long.
MAX_TIMEOUT_S = 86400.0
# The fields of ConnectOptions that are paths, by option.
_PATHS = {
    "config_path": "config_path",
    "sse_c_key_file": "customer_key_file",
    "copy_source_sse_c_key_file": "copy_source_key_file",
}


class Limits(Value):
    """What limits a run: a rate, a duration in seconds, a local time of day (``HH:MM``)."""

    rate: Rate | None = None
    max_time_s: float | None = None
    until: str | None = None

    def deadline_s(self, *, now: datetime, monotonic_s: float) -> float | None:
        """Return the earlier of --max-time and --until on the monotonic clock, or None. Raises WrongUsage."""
        ends = []
        if self.max_time_s is not None:
            if self.max_time_s <= 0:
                raise WrongUsage(
                    "--max-time must be more than 0s",
                    "The run would end before it sends anything",
                    run_again("use a longer time", add=("--max-time", "1h"), option="--max-time"),
                )
            ends.append(monotonic_s + self.max_time_s)
        if self.until is not None:
            try:
                moment = datetime.strptime(self.until, "%H:%M")
            except ValueError:
                raise WrongUsage(
                    f"--until {self.until!r} is not a valid time of day",
                    "A time of day is written as HH:MM",
                    run_again(
                        "use a valid time, for example 06:30", add=("--until", "06:30"), option="--until"
                    ),
                ) from None
            end = now.replace(hour=moment.hour, minute=moment.minute, second=0, microsecond=0)
            if end <= now:
                end += timedelta(days=1)
            ends.append(monotonic_s + (end - now).total_seconds())
        return min(ends, default=None)


def _text(path: Path | None) -> str | None:
    return str(path) if path else None


def _same(value: Any) -> Any:
    return value


# Options with their fields of ConnectionSettings, and how each value becomes that of the field.
_NETWORK: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("connect_timeout", "connect_timeout_s", _same),
    ("stall_timeout", "stall_timeout_s", _same),
    ("ca_bundle", "ca_bundle", _text),
    ("client_cert", "client_cert", _text),
    ("client_key", "client_key", _text),
    ("no_verify_tls", "verify_tls", operator.not_),
    ("proxy", "proxy", _same),
)


def fields_of(kind: type[Value], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the *values* that have the name of a field of *kind*."""
    return {name: values[name] for name in kind.__struct_fields__ if name in values}


def connect_options(values: Mapping[str, Any], base: ConnectOptions | None = None) -> ConnectOptions:
    """Return how to reach the store; an option without a value is as in *base*, or as the vendors' tools have it."""
    base = base or ConnectOptions(
        vendor_settings=vendor_settings_of(values.get("profile"), values.get("config_path"))
    )
    paths = {name: _text(values[option]) for option, name in _PATHS.items() if option in values}
    network = {name: convert(values[option]) for option, name, convert in _NETWORK if option in values}
    retry_for_s = values.get("retry_for", base.retry_for_s)
    return replace(
        base,
        **fields_of(ConnectOptions, values) | paths,
        retry_for_s=retry_for_s,
        network=replace(base.network, **network),
    )


def vendor_settings_of(profile: str | None, config_path: Path | None) -> tuple[VendorSetting, ...]:
    """Return what the vendors' tools use here; the profile of AWS is that of *profile*. Raises BadConfiguration."""
    named = load_config(config_path, os.environ).find_profile(profile) if profile is not None else None
    aws_profile = named.aws_profile if named is not None else None
    return find_vendor_settings(os.environ, home_folder(), aws_profile=aws_profile)


def files_of_environment(environ: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """Return the files that are read without an option, each with its name in messages."""
    config_path = default_config_path(environ)
    files = {"the configuration file": config_path} if config_path is not None else {}
    files |= {f"the file of {name}": Path(environ[name]) for name in CA_VARIABLES if environ.get(name)}
    return files | credential_files(environ, home_folder(environ))


def upload_request(values: Mapping[str, Any], source: Path, target: Target) -> UploadRequest:
    """Return the request to upload *source* to *target*, without a checkpoint path."""
    template: dict[str, Any] = {
        "source": source,
        "target": target,
        "options": ObjectOptions(**object_values(values)),
        "checkpoint": None,
        "keep_checkpoint": not values.get("no_checkpoint"),
        "use_token": values.get("token", True),
        "encrypted_by_customer": values.get("sse_c_key_file") is not None,
    }
    return UploadRequest(**fields_of(UploadRequest, values) | template)


def check_local_mistakes(network: ConnectionSettings, executor: str) -> None:
    """Raise for options that are wrong whatever the store is. Raises WrongUsage, BadConfiguration."""
    _check_timeouts(network)
    check_tls_files(network, os.environ)
    if network.proxy is not None:
        check_proxy(network.proxy)
    check_spec(executor)


def _check_timeouts(connection: ConnectionSettings) -> None:
    """Raise WrongUsage for a timeout that no socket supports."""
    for name, seconds in (
        ("--connect-timeout", connection.connect_timeout_s),
        ("--stall-timeout", connection.stall_timeout_s),
    ):
        if not 0 < seconds <= MAX_TIMEOUT_S:
            raise WrongUsage(
                f"{name} must be more than 0s and at most 1d, not {seconds:.15g}s",
                "A timeout of 0 would end every connection, and sockets do not support very long timeouts",
                run_again("use a valid timeout", add=(name, "60s"), option=name),
            )
