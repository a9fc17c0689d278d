"""The optional extension module: compiled for the tests, used by the code under test or kept from it."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import obsup.local.source
from hatch_build import compile_module
from obsup.local.source.digest import fast_digests

NAME = "obsup.local.source._fast_digest"


@cache
def load_module() -> ModuleType | None:
    """Compile the module and return it; None on a machine without a C compiler."""
    with tempfile.TemporaryDirectory() as folder:
        path = compile_module(Path(folder))
        if path is None:
            return None
        spec = importlib.util.spec_from_file_location(NAME, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


@contextmanager
def installed(module: ModuleType | None) -> Iterator[None]:
    """Let the code under test find *module*, or none, whether or not one is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, NAME, module)
        patch.delattr(obsup.local.source, "_fast_digest", raising=False)
        fast_digests.cache_clear()
        yield
    fast_digests.cache_clear()
