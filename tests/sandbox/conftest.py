"""Sandboxes and clients for the sandbox's own tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.sandbox.client import Client


@pytest.fixture(autouse=True)
def _sockets(socket_enabled: None) -> None:
    """Let these tests have sockets, wherever the others have none."""


@pytest.fixture
def start() -> Iterator[Callable[..., Sandbox]]:
    """Start sandboxes that end with the test."""
    with ExitStack() as stack:

        def run(*args: Any, **options: Any) -> Sandbox:
            return stack.enter_context(Sandbox(*args, **options))

        yield run


@pytest.fixture
def sandbox(start: Callable[..., Sandbox]) -> Sandbox:
    """A sandbox with small parts allowed."""
    return start(limits={"min_part": 1})


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    """Connect clients whose connections end with the test."""
    with ExitStack() as stack:

        def run(sandbox: Sandbox, dialect: str = "obs", bucket: str = "bucket") -> Client:
            client = Client(sandbox, dialect, bucket)
            stack.callback(client.close)
            return client

        yield run


@pytest.fixture
def client(sandbox: Sandbox, connect: Callable[..., Client]) -> Client:
    """An OBS client of the sandbox."""
    return connect(sandbox)
