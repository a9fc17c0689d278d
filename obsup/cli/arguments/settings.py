"""The resolution of settings: option, environment, profile, [defaults], built-in. The nearest one wins.

Every command uses it, and ``config show`` prints what it returns for ``upload``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from obsup.cli.arguments.options import Option
from obsup.errors import BadConfiguration, ObsupError, run_again
from obsup.options.row import OptionRow
from obsup.options.table import EXCLUSIVE, is_set, rivals_of

_SOURCES = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)
# Keys of Context.meta: where each default of the configuration file comes from, and which settings lost.
_ORIGINS, _OVERRIDDEN = "obsup.origins", "obsup.overridden"
_CONFIG_PATH = "obsup.config_path"
# An option in a message that names the origin of the value before it.
_ORIGIN = re.compile(r"\((--[a-z-]+)(?=\)| names it\))")


class EffectiveSetting(NamedTuple):
    """The value of a setting as its source spells it, and its source in words."""

    name: str
    value: object
    origin: str


def apply_config(ctx: click.Context) -> None:
    """Make the settings of the configuration file the defaults of the command's options. Raises BadConfiguration."""
    from obsup.local.config.file import load_config
    from obsup.local.files.user_folders import expanded

    config = load_config(ctx.params.get("config_path"), os.environ)
    layers: list[tuple[str, Mapping[str, Any]]] = [("[defaults]", config.defaults)]
    name = ctx.params.get("profile") or config.defaults.get("profile")
    if name:
        layers.insert(0, (f"profile {name}", config.find_profile(str(name)).options))
        # Click processed --profile before it knew the file. The credentials come from this profile, too.
        ctx.params["profile"] = str(name)
    rows = {one.row.key: one.row for one in ctx.command.params if isinstance(one, Option)}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        nearer = {parameter for parameter, value in values.items() if is_set(value)}
        for key, value in layer.items():
            parameter = rows[key].parameter if key in rows else ""
            if parameter and parameter not in values and not nearer.intersection(rivals_of(parameter)):
                is_path = rows[key].kind.is_path
                values[parameter] = expanded(value) if is_path else value
                origins[parameter] = origin
    ctx.default_map = values
    ctx.meta[_ORIGINS], ctx.meta[_CONFIG_PATH] = origins, config.path


def keep_nearest(ctx: click.Context) -> None:
    """Of settings that exclude each other, keep the nearest. Raises UsageError for two from the same source."""
    overridden = ctx.meta.setdefault(_OVERRIDDEN, {})
    rows = {one.row.parameter: one.row for one in ctx.command.params if isinstance(one, Option)}
    for group in EXCLUSIVE:
        distances = {name: _distance(ctx, name) for name in group if is_set(ctx.params.get(name))}
        nearest = [name for name in distances if distances[name] == min(distances.values())]
        if len(nearest) > 1:
            first, second = (_name(rows[name], distances[name]) for name in nearest[:2])
            raise click.UsageError(f"{first} and {second} exclude each other: leave out one.", ctx)
        for name in distances.keys() - nearest:
            ctx.params[name] = rows[name].unset
            overridden[name] = rows[nearest[0]].key


def effective_settings(ctx: click.Context) -> Iterator[EffectiveSetting]:
    """Yield the effective settings of the command that *ctx* has parsed, in the order of ``--help``."""
    for option in ctx.command.params:
        if isinstance(option, Option) and option.row.is_setting:
            value, origin = _value_and_origin(ctx, option.row)
            yield EffectiveSetting(option.row.key, value, origin)


def configured_options() -> Mapping[str, str]:
    """Return the options that the current command has from the configuration file, each with its place there."""
    ctx = click.get_current_context(silent=True)
    origins: dict[str, str] = ctx.meta.get(_ORIGINS, {}) if ctx is not None else {}
    is_default = ParameterSource.DEFAULT_MAP
    return {
        name: origin
        for name, origin in origins.items()
        if ctx is not None and ctx.get_parameter_source(name) is is_default
    }


def at_its_place(error: ObsupError) -> ObsupError:
    """Return *error*, or, if a variable or the configuration file has the wrong value, the error that names it."""
    ctx = click.get_current_context(silent=True)
    if ctx is not None:
        error.what = _ORIGIN.sub(lambda match: f"({_place_of(ctx, match[1]) or match[1]}", error.what)
    step = error.next_step
    place = _place_of(ctx, step.option) if ctx is not None and step is not None and step.option else ""
    if not place or step is None:
        return error
    example = f", for example to {step.add[1]}" if len(step.add) > 1 else ""
    why = re.sub(rf"{step.option}(?![\w-])", lambda _: place, error.why)
    return BadConfiguration(error.what, why, run_again(f"correct {place}{example}"))


def invalid_setting(error: click.BadParameter, ctx: click.Context) -> BadConfiguration | None:
    """Return the error for a value that Click does not accept; None if it is not that of a variable or of the file."""
    place = _place_of(ctx, error.param.row.option) if isinstance(error.param, Option) else ""
    if not place:
        return None
    return BadConfiguration(f"invalid value of {place}", error.message, run_again(f"correct {place}"))


def _place_of(ctx: click.Context, option: str) -> str:
    """Return the environment variable or the key that sets *option*, or an empty text."""
    for row in (
        one.row for one in ctx.command.params if isinstance(one, Option) and one.row.option == option
    ):
        source = ctx.get_parameter_source(row.parameter)
        if source is ParameterSource.ENVIRONMENT:
            return row.environment
        if source is ParameterSource.DEFAULT_MAP:
            return f"{row.key} in {ctx.meta[_ORIGINS][row.parameter]} of {ctx.meta[_CONFIG_PATH]}"
    return ""


def effective_profile(ctx: click.Context) -> EffectiveSetting:
    """Return the profile that the command uses, with the value None if it uses none."""
    value = ctx.params["profile"]
    source = ctx.get_parameter_source("profile")
    if source is ParameterSource.COMMANDLINE:
        return EffectiveSetting("profile", value, "option --profile")
    if source is ParameterSource.ENVIRONMENT:
        return EffectiveSetting("profile", value, "environment variable OBSUP_PROFILE")
    return EffectiveSetting("profile", value, "built-in" if value is None else "[defaults]")


def _value_and_origin(ctx: click.Context, row: OptionRow) -> tuple[object, str]:
    name = row.parameter
    if name in ctx.meta[_OVERRIDDEN]:
        return row.unset, f"overridden by {ctx.meta[_OVERRIDDEN][name]}"
    source = ctx.get_parameter_source(name)
    if source is ParameterSource.ENVIRONMENT:
        value = ctx.params[name] if row.kind.name == "flag" else os.environ[row.environment]
        return value, f"environment variable {row.environment}"
    if source is ParameterSource.DEFAULT_MAP and ctx.default_map is not None:
        return ctx.default_map[name], ctx.meta[_ORIGINS][name]
    return (None if row.unset == () else row.unset), "built-in"


def _distance(ctx: click.Context, name: str) -> int:
    """Return how far the source of a value is from the command line."""
    source = ctx.get_parameter_source(name)
    return _SOURCES.index(source) if source in _SOURCES else len(_SOURCES)


def _name(row: OptionRow, distance: int) -> str:
    """Return the name of a setting as its source spells it."""
    return (row.option, row.environment, row.key)[distance]
