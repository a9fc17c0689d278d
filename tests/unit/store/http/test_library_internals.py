"""The private names of urllib3 and http.client that obsup uses exist, and only one module uses them."""

from __future__ import annotations

import ast
import http.client
import importlib
import socket
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import requests.adapters
import urllib3.connection
import urllib3.connectionpool

import obsup.store
from obsup.store.http import library_internals
from obsup.store.http.network_errors import KINDS, PROXY_ERROR

STORE = Path(obsup.store.__file__).parent
MODULE = Path(library_internals.__file__)

CLASS_NAMES = [
    (urllib3.connection.HTTPConnection, "_new_conn"),
    (urllib3.connection.HTTPConnection, "response_class"),
    (urllib3.connection.HTTPConnection, "_tunnel"),
    (urllib3.connectionpool.HTTPConnectionPool, "ConnectionCls"),
    (urllib3.connectionpool.HTTPConnectionPool, "_new_conn"),
    (urllib3.connectionpool.HTTPSConnectionPool, "_prepare_proxy"),
    (requests.adapters.HTTPAdapter, "proxy_manager_for"),
    (requests.adapters.HTTPAdapter, "proxy_headers"),
]
RESPONSE_FIELDS = ["fp"]


def versions() -> str:
    """Return the versions that a failure message must name."""
    return f"requests {version('requests')}, urllib3 {version('urllib3')}"


@pytest.mark.parametrize(("owner", "name"), CLASS_NAMES, ids=lambda value: getattr(value, "__name__", value))
def test_the_libraries_have_the_name(owner: type, name: str) -> None:
    assert hasattr(owner, name), f"{owner.__module__}.{owner.__name__} has no {name} in {versions()}"


def test_a_connection_of_urllib3_keeps_the_name_that_it_resolves() -> None:
    connection = urllib3.connection.HTTPConnection("bucket.localhost")
    assert getattr(connection, "_dns_host", None) == "bucket.localhost", versions()


def test_a_response_of_the_standard_library_has_the_fields() -> None:
    near, far = socket.socketpair()
    with near, far:
        response = http.client.HTTPResponse(near, method="HEAD")
        missing = [name for name in RESPONSE_FIELDS if not hasattr(response, name)]
        response.close()
    assert not missing


def test_a_pool_manager_of_urllib3_takes_classes_by_scheme() -> None:
    assert "https" in urllib3.PoolManager().pool_classes_by_scheme, versions()


def test_a_socks_connection_of_urllib3_has_its_options() -> None:
    """Its module cannot be imported without PySocks."""
    source = Path(urllib3.connection.__file__).parent / "contrib" / "socks.py"
    assert 'self._socks_options["proxy_host"]' in source.read_text(), versions()


def is_private(name: str) -> bool:
    """Return whether a name is private by convention; a named tuple's ``_replace`` is public."""
    return name.startswith("_") and not name.startswith("__") and name != "_replace"


def foreign_private_names(path: Path) -> Iterator[str]:
    """Yield the private attributes that a module uses on objects of other modules."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            if owner not in ("self", "cls"):
                yield f"{owner}.{node.attr}"


def test_no_other_module_of_the_store_uses_private_names() -> None:
    wrong = [
        f"{path.relative_to(STORE)}: {name}"
        for path in STORE.rglob("*.py")
        if path != MODULE
        for name in foreign_private_names(path)
    ]
    assert not wrong
    subclasses = [
        str(path.relative_to(STORE))
        for path in STORE.rglob("*.py")
        if path != MODULE and "(HTTPResponse)" in path.read_text()
    ]
    assert not subclasses


def test_every_private_name_of_the_module_is_listed_here() -> None:
    listed = {name for _, name in CLASS_NAMES} | {*RESPONSE_FIELDS, "_dns_host", "_socks_options"}
    tree = ast.parse(MODULE.read_text())
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)} - listed
    assigned = {
        target.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
        for statement in ast.walk(node)
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
        if isinstance(target, ast.Attribute)
    }
    fields = {
        node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_private(node.attr)}
    assert used - own - assigned - fields - listed == set()


@pytest.mark.parametrize("name", sorted({PROXY_ERROR, *(name for names, _, _ in KINDS for name in names)}))
def test_the_exceptions_have_the_names_in_the_table(name: str) -> None:
    """``network_errors`` knows them by name, so that a request without a proxy does not load the libraries."""
    module, _, exception = name.rpartition(".")
    found = getattr(importlib.import_module(module), exception)
    assert issubclass(found, BaseException)
    assert f"{found.__module__}.{found.__qualname__}" == name, versions()


def test_the_libraries_have_upper_bounds() -> None:
    """A new major version may lack the private names."""
    project = tomllib.loads((STORE.parents[1] / "pyproject.toml").read_text())["project"]
    bounds = [text for text in project["dependencies"] if text.startswith(("requests", "urllib3"))]
    assert len(bounds) == 2
    assert all("<3" in bound for bound in bounds)
