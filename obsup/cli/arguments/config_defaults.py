"""The configuration file behind the options of a command."""

from __future__ import annotations

from typing import Any

import click


def defaults_from_config(ctx: click.Context) -> None:
    """Set what the file says, for this command, as the defaults of its options. Raises BadConfiguration."""
    import os

    from obsup.local.config.file import load_config

    config = load_config(ctx.params.get("config_path"), os.environ)
    profile_name = ctx.params.get("profile") or config.defaults.get("profile")
    layers: dict[str, Any] = dict(config.defaults)
    if profile_name:
        layers.update(config.find_profile(str(profile_name)).options)
        # --profile was read before the file that names it: credentials are looked for in it all the same.
        ctx.params["profile"] = str(profile_name)
    parameters = {key_of(parameter): parameter.name for parameter in ctx.command.params}
    ctx.default_map = {
        str(parameters[key]): value for key, value in layers.items() if parameters.get(key) is not None
    }


def key_of(parameter: click.Parameter) -> str:
    """Return the parameter's key in the file: its longest option, - written as _."""
    names = [name.removeprefix("--") for name in parameter.opts if name.startswith("--")]
    return names[0].replace("-", "_") if names else str(parameter.name)
