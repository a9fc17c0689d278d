"""The structure of obsup: imports run one way, package by package, and each library has its place."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeGuard

import pytest

from tests.support.next_cases.all_cases import CASES, NOT_RUN, RUN_ELSEWHERE
from tests.support.next_sites import find_sites

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "obsup"
MODULES = sorted(PACKAGE.rglob("*.py"))

# The layers from bottom to top. A package imports itself and packages of lower layers. Packages of one layer never
# import each other.
LAYERS = (
    ("local.platform",),
    (
        "version",
        "units",
        "dates",
        "rate",
        "shard",
        "value",
        "text",
        "exit_status",
        "vendor_names",
        "errors",
        "model",
        "events",
    ),
    ("options",),
    ("local.files",),
    ("dialects",),
    ("dialects.objects",),
    ("store.http", "local.processes", "local.source", "local.state", "local.config"),
    ("store.answers", "local.walk"),
    ("store",),
    ("engine.plan",),
    ("engine.proof",),
    ("engine.job",),
    ("engine.verify",),
    ("engine.send",),
    ("engine.upload",),
    ("engine.steps", "engine.stream", "engine.inspect", "engine.batch"),
    ("api",),
    ("compat",),
    ("cli.arguments",),
    ("cli.completion",),
    ("cli.report",),
    ("cli.display",),
    ("cli.run",),
    ("cli.actions",),
    ("cli.commands",),
    ("cli",),
    ("__main__",),
)
RANK = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}
# The store and the local files are independent of each other; both run on the same systems.
APART = {("store", "local"), ("local", "store")}
SANDBOX_LAYERS = ("sandbox.wire", "sandbox.signatures", "sandbox.storage", "sandbox.operations")

# Which module or package may import which library.
LIBRARIES = {
    "click": ("cli/",),
    "rich": ("cli/display/bar.py",),
    "requests": ("store/http/library_internals.py",),
    "urllib3": ("store/http/library_internals.py",),
    "defusedxml": ("store/answers/xml.py",),
    "pathspec": ("local/walk/filters.py",),
    "truststore": ("store/http/tls_files.py",),
}
MAX_MODULE_LINES = 350
MAX_FOLDER_MODULES = 12
MAX_FUNCTION_LINES = 40


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(path.read_text())


def imports_of(path: Path) -> Iterator[str]:
    """Yield the full name of every module that *path* imports, at any place in it."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            if node.module.partition(".")[0] == "obsup":  # the imported name may be a module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    """Return the dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in MODULES}


def package_of(name: str) -> str:
    """Return the package of a module without ``obsup.``; a module at the top is its own package."""
    parts = name.split(".")[1:]
    if not parts:
        return ""
    return parts[0] if len(parts) == 1 else ".".join(parts[:-1])


def edges() -> Iterator[tuple[str, str]]:
    """Yield each import of one module of obsup by another."""
    for name, path in NAMES.items():
        for imported in set(imports_of(path)) & NAMES.keys():
            if path.name != "__init__.py" and NAMES[imported].name != "__init__.py":
                yield name, imported


def is_allowed(importer: str, imported: str) -> bool:
    """Return whether the package *importer* may import the package *imported*."""
    if importer == imported:
        return True
    is_apart = (importer.partition(".")[0], imported.partition(".")[0]) in APART
    if is_apart and imported != "local.platform":
        return False
    if RANK[importer] == RANK[imported] == RANK["text"]:
        return True
    return RANK[imported] < RANK[importer]


def test_imports_run_one_way() -> None:
    """Every package imports only what is below it; steps, stream, inspect and batch never import each other."""
    wrong = [
        f"{importer} imports {imported}"
        for importer, imported in edges()
        if not importer.startswith("obsup.sandbox")
        and not is_allowed(package_of(importer), package_of(imported))
    ]
    assert not wrong


def test_the_sandbox_is_independent() -> None:
    """It checks obsup, so it uses no code of obsup; obsup does not use it."""
    wrong = [
        f"{importer} imports {imported}"
        for importer, imported in edges()
        if importer.startswith("obsup.sandbox") != imported.startswith("obsup.sandbox")
    ]
    assert not wrong
    upwards = [
        f"{importer} imports {imported}"
        for importer, imported in edges()
        if package_of(importer) in SANDBOX_LAYERS
        and package_of(imported) in SANDBOX_LAYERS
        and SANDBOX_LAYERS.index(package_of(imported)) > SANDBOX_LAYERS.index(package_of(importer))
    ]
    assert not upwards


def test_there_are_no_import_cycles() -> None:
    """Lazy imports count too, and imports for type checking."""
    left: dict[str, set[str]] = {name: set() for name, path in NAMES.items() if path.name != "__init__.py"}
    for importer, imported in edges():
        left[importer].add(imported)
    while free := {name for name, above in left.items() if not above & left.keys()}:
        left = {name: above for name, above in left.items() if name not in free}
    assert left == {}


def test_each_library_has_its_place() -> None:
    """Click only in cli, Rich in one module, requests in one module."""
    wrong = [
        f"{library} in {path.relative_to(PACKAGE)}"
        for path in MODULES
        for library in {name.split(".")[0] for name in imports_of(path)} & LIBRARIES.keys()
        if not path.relative_to(PACKAGE).as_posix().startswith(LIBRARIES[library])
    ]
    assert not wrong


def test_modules_and_folders_stay_small() -> None:
    """At most 350 lines per module, and 12 modules per folder; the commands have one module each."""
    long = [str(path) for path in MODULES if len(path.read_text().splitlines()) > MAX_MODULE_LINES]
    folders = {path.parent for path in MODULES} - {PACKAGE / "cli" / "commands"}
    wide = [
        str(folder)
        for folder in folders
        if len([path for path in folder.glob("*.py") if not path.name.startswith("__")]) > MAX_FOLDER_MODULES
    ]
    assert not long + wide


def test_functions_stay_short() -> None:
    """At most 40 lines per function, docstring included."""
    long = [
        f"{path.relative_to(PACKAGE)}: {node.name}"
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert not long


def classes() -> Iterator[tuple[str, list[str]]]:
    """Yield each class of obsup with the names of its bases."""
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                yield node.name, [ast.unparse(base).rpartition(".")[2] for base in node.bases]


def test_no_class_inherits_for_reuse() -> None:
    """A base class is a value, an error, a protocol, a set of keywords, or what a library asks to be extended."""
    bare = {name for name, bases in classes() if not bases} - {name for name, bases in classes() if bases}
    wrong = [name for name, bases in classes() if bare.intersection(bases)]
    assert not wrong


def test_the_ways_through_the_packages_exist() -> None:
    """Each ``name`` and each step of a way (a → b) in the docstring of a package is a module, class or function."""
    known = {name.removeprefix("obsup.") for name in NAMES}
    known |= {node.name for path in MODULES for node in ast.walk(tree_of(path)) if is_definition(node)}
    wrong = [
        f"{package}: {named}"
        for package, path in NAMES.items()
        if path.name == "__init__.py"
        for named in names_in(ast.get_docstring(tree_of(path)) or "")
        if not known & {named, f"{package}.{named}".removeprefix("obsup.")}
    ]
    assert not wrong


def is_definition(node: ast.AST) -> TypeGuard[ast.ClassDef | ast.FunctionDef]:
    """Return whether *node* defines a class or a function."""
    return isinstance(node, ast.ClassDef | ast.FunctionDef)


def names_in(docstring: str) -> list[str]:
    """Return the names of code in *docstring*, with periods."""
    steps = re.split(r"\s+(?:→|->)\s+", docstring.replace("``", "`"))
    named = [step.split()[-1] for step in steps[:-1]] + [step.split()[0] for step in steps[1:]]
    named += re.findall(r"`([\w/.]+)`", docstring)
    return [name.strip("`,.;()").replace("/", ".") for name in named if not name.endswith(")")]


def test_no_vendor_is_named_outside_the_dialects() -> None:
    """A new vendor is one data file and its names: no other module contains "obs", "s3" or "oss" as a string."""
    wrong = [
        f"{path}:{node.lineno}"
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0] not in ("dialects", "sandbox", "vendor_names.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and node.value in ("obs", "s3", "oss")
    ]
    assert not wrong


def test_questions_about_paths_are_asked_by_os_path() -> None:
    """Path.exists(), is_file() and is_dir() raise PermissionError for a folder that may not be entered."""
    asked = re.compile(r"(?<!entry)(?<!\bone)\.(exists|is_file|is_dir)\(\)")
    wrong = [
        name
        for name, path in NAMES.items()
        if not name.startswith("obsup.sandbox") and asked.search(path.read_text())
    ]
    assert not wrong


def test_every_next_command_is_run() -> None:
    """Each place that makes a "Next:" line with a command has a case in next_cases, or a test elsewhere."""
    named = [*{case.site for case in CASES}, *NOT_RUN, *RUN_ELSEWHERE]
    assert sorted(named) == sorted(find_sites())
    assert len({case.name for case in CASES}) == len(CASES)
    for test in RUN_ELSEWHERE.values():
        path, _, function = test.partition("::")
        assert f"\ndef {function}(" in (ROOT / path).read_text(), test


def test_the_project_stands_alone() -> None:
    """No file of the project refers to a path outside of it."""
    for path in [*MODULES, *(ROOT / "tests").rglob("*.py"), ROOT / "README.md", *(ROOT / ".ci").rglob("*")]:
        if path.is_file() and path != Path(__file__):
            assert "../shared" not in path.read_text(), path


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["upload", "--help"]], ids=" ".join)
def test_help_loads_click_only(words: list[str]) -> None:
    """``--help``, ``--version`` and completion do not load requests or Rich."""
    program = (
        "import sys, obsup.cli.main as m\n"
        "try: m.cli.main(sys.argv[1:], standalone_mode=True)\n"
        "except SystemExit: pass\n"
        "heavy = {'msgspec', 'requests'}\n"
        "heavy |= {'urllib3', 'rich', 'obsup.engine', 'obsup.store', 'obsup.dialects.registry'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_importing_obsup_costs_nothing() -> None:
    """``import obsup`` loads no other module; the API loads on first use."""
    program = "import sys, obsup; print([name for name in sys.modules if name.startswith('obsup.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
