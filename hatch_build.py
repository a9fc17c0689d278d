"""Compiles the optional extension module of the wheel. Without a C compiler, the wheel is pure Python."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "obsup" / "local" / "source" / "_fast_digest.c"
# The limited API of Python 3.11: one module for it and all later versions.
MODULE = "_fast_digest.abi3.so"
PYTHON = "cp311-abi3"


def compile_module(folder: Path) -> Path | None:
    """Compile the module into *folder*; return None if this Python, system or machine cannot have it."""
    if sys.implementation.name != "cpython" or sys.platform == "win32":
        return None
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler[0]) is None:  # that of the machine which built Python
        compiler = ["cc"]
    module = folder / MODULE
    link = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    include = f"-I{sysconfig.get_path('include')}"
    command = [*compiler, "-O3", "-fPIC", *link, include, str(SOURCE), "-o", str(module)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return module


def _platform() -> str:
    """Return the platform tag of a wheel that was built on this machine."""
    from packaging.tags import sys_tags

    return next(tag.platform for tag in sys_tags() if not tag.platform.startswith(("manylinux", "musllinux")))


def get_build_hook() -> type:
    """Return the hook: Hatchling calls this function, and nothing else needs Hatchling."""
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class ModuleHook(BuildHookInterface):  # type: ignore[misc]
        """Adds the module to wheels, but not to editable ones, which run the source."""

        _folder: tempfile.TemporaryDirectory[str] | None = None

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            if self.target_name != "wheel" or version != "standard":
                return
            self._folder = tempfile.TemporaryDirectory()
            module = compile_module(Path(self._folder.name))
            if module is None:
                self.app.display_warning("no C compiler: the wheel is without the fast digests")
                return
            inside = SOURCE.with_name(MODULE).relative_to(Path(self.root))
            build_data["force_include"][str(module)] = inside.as_posix()
            build_data["pure_python"] = False
            build_data["tag"] = f"{PYTHON}-{_platform()}"

        def finalize(self, _version: str, _build_data: dict[str, Any], _artifact_path: str) -> None:
            if self._folder is not None:
                self._folder.cleanup()

    return ModuleHook
