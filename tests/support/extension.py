"""The optional extension module: compiled for the tests, used by the code under test or kept from it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

import obsup.local.source
from hatch_build import compile_module
from obsup.local.source.digest import fast_digests

NAME = "obsup.local.source._fast_digest"


def load_module(folder: Path) -> ModuleType | None:
    """Compile the module in *folder* and return it; None without a C compiler."""
    path = compile_module(folder)
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
