"""How obsup starts another process of its Python: what it may import, and which flags it gets."""

from __future__ import annotations

import contextlib
import os
import sys

import obsup

# The import path arrives with the first message.
_WORKER_PROGRAM = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from obsup.local.processes.worker import serve_calls
serve_calls()
"""


def worker_command() -> list[str]:
    """Return the command of a worker process: see ``serve_calls``."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "--worker-process"]
    return interpreter_command(_WORKER_PROGRAM)


def interpreter_command(program: str, *arguments: str) -> list[str]:
    """Return the command that runs *program* in another process of this Python.

    That process imports nothing from the current directory (-P), and ignores PYTHONPATH and the like (-E).
    """
    flags = {"-I": sys.flags.isolated, "-s": sys.flags.no_user_site, "-S": sys.flags.no_site}
    flags["-B"] = sys.flags.dont_write_bytecode
    given = [flag for flag, is_given in flags.items() if is_given]
    # The encoding of file names must be the same in all processes.
    return [
        sys.executable,
        "-E",
        "-P",
        *given,
        "-X",
        f"utf8={sys.flags.utf8_mode}",
        "-c",
        program,
        *arguments,
    ]


def package_root() -> str:
    """Return the directory, or archive, from which this obsup is imported."""
    return os.path.dirname(os.path.abspath(obsup.__path__[0]))  # noqa: PTH100, PTH120


def import_path() -> list[str]:
    """Return where obsup and its worker processes import from: ``sys.path`` without the current directory.

    It remains only if obsup itself, or an installed package of Python, is there.
    """
    root, library = package_root(), os.path.dirname(os.__file__)  # noqa: PTH120
    current = {"", os.curdir}
    with contextlib.suppress(OSError):
        current.add(os.getcwd())  # noqa: PTH109
    end = sys.path.index(library) if library in sys.path else len(sys.path)
    path = [entry for entry in sys.path[:end] if entry not in current - {root}] + sys.path[end:]
    return path if root in path else [*path, root]
