"""The house stands as drawn: imports run one way, and each library has its room."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "obsup"
MODULES = sorted(HOUSE.rglob("*.py"))

# What each floor may import of the house. The words import only words.
WORDS = {"model", "errors", "units", "events", "frozen", "quoting", "__version__"}
FLOORS = {
    "dialects": WORDS | {"dialects"},
    "store": WORDS | {"dialects", "store"},
    "local": WORDS | {"dialects", "local"},
    "engine": WORDS | {"dialects", "store", "local", "engine"},
    "api": WORDS | {"dialects", "store", "local", "engine"},
    "cli": WORDS | {"dialects", "store", "local", "engine", "api", "cli"},
    "sandbox": {"sandbox"},
    "__main__": {"cli"},
    "__init__": WORDS | {"api"},
    **dict.fromkeys(("model", "errors", "units", "events", "frozen", "quoting"), WORDS),
}
# Which rooms may hold which library.
ROOMS = {
    "click": ("cli/",),
    "rich": ("cli/bar.py",),
    "requests": ("store/transport.py",),
    "urllib3": ("store/",),
    "defusedxml": ("store/xml.py",),
    "filelock": ("local/lock.py",),
    "platformdirs": ("local/",),
    "pathspec": ("local/selection.py",),
}


def imports_of(path: Path) -> Iterator[str]:
    """Yield the full name of every module that *path* imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            if node.module.partition(".")[0] == "obsup":  # what is imported from it may be a module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor_of(path: Path) -> str:
    """Return the floor of a module: its folder in the house, or its own name."""
    parts = path.relative_to(HOUSE).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_run_one_way(path: Path) -> None:
    """cli → engine → {store, local} → dialects → words; the sandbox stands alone."""
    allowed = FLOORS[floor_of(path)]
    rooms = {name.split(".")[1] for name in imports_of(path) if name.startswith("obsup.")}
    assert rooms <= allowed


def test_no_imports_run_in_a_circle() -> None:
    """Within a floor too, and where an import waits for its moment: what is below never knows what is above."""
    modules = [path for path in MODULES if path.name != "__init__.py"]  # a folder's own name is no step down
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules}
    left = {name: set(imports_of(path)) & set(names.values()) for path, name in names.items()}
    while free := {name for name, above in left.items() if not above & left.keys()}:
        left = {name: above for name, above in left.items() if name not in free}
    assert left == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_each_library_has_its_room(path: Path) -> None:
    """Click only in the shell, Rich in one file, requests in one file."""
    place = path.relative_to(HOUSE).as_posix()
    for library in {name.split(".")[0] for name in imports_of(path)} & ROOMS.keys():
        assert place.startswith(ROOMS[library]), f"{library} has no business in {place}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_modules_stay_small(path: Path) -> None:
    """A module that grows past 350 lines is two."""
    assert len(path.read_text().splitlines()) <= 350


def test_no_vendor_is_asked_for_by_name_outside_the_dialects() -> None:
    """A new vendor is one data file: no ``if provider ==`` anywhere else."""
    for path in MODULES:
        if floor_of(path) in ("dialects", "sandbox"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and "provider" in ast.unparse(node.left):
                compared = {c.value for c in node.comparators if isinstance(c, ast.Constant)}
                assert not compared & {"obs", "s3", "oss"}, f"{path}:{node.lineno}"


def test_the_project_stands_alone() -> None:
    """Nothing in the project points outside of it."""
    for path in [*MODULES, *(ROOT / "tests").rglob("*.py"), ROOT / "README.md", *(ROOT / ".ci").rglob("*")]:
        if path.is_file() and path != Path(__file__):
            assert "../shared" not in path.read_text(), path


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["upload", "--help"]], ids=" ".join)
def test_help_loads_click_only(words: list[str]) -> None:
    """``--help``, ``--version`` and a TAB must not wait for requests or Rich."""
    program = (
        "import sys, obsup.cli.main as m\n"
        "try: m.cli.main(sys.argv[1:], standalone_mode=True)\n"
        "except SystemExit: pass\n"
        "heavy = {'requests', 'urllib3', 'rich', 'obsup.engine', 'obsup.store', 'obsup.dialects', 'filelock'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_importing_obsup_costs_nothing() -> None:
    """``import obsup`` loads no floor; the API loads on first use."""
    program = "import sys, obsup; print([name for name in sys.modules if name.startswith('obsup.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
