"""What one run remembers of its requests, for its messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from obsup import events
from obsup.cli.display.display import Display
from obsup.cli.run.session import Session
from obsup.engine.job.stop import StopSignal

FAILED = events.Retried(None, 1, "connection refused", 1.0)
OTHERS = (events.Noted("a note"), events.PartSent(1, 5), events.FileEnded("a", 1, "failed"))
RESPONSES = (
    events.Requested("HeadObject", "HEAD", "b/k", None, 404, "", 0.1),
    events.PartStored(1, 5),
    events.FileEnded("a", 1, "sent"),
)


@pytest.fixture
def session() -> Session:
    """A run without a rate limit."""
    options: Any = SimpleNamespace(limits=SimpleNamespace(rate=None))
    return Session(options, Display(events.ignore, lambda _: None), StopSignal())


def test_the_last_failure_is_that_which_is_retried(session: Session) -> None:
    """Also of one file of several; other events do not end it."""
    for event in (FAILED, events.OfFile("a", 1, FAILED)):
        session.last_failure = ""
        for one in (event, *OTHERS, events.Requested("HeadObject", "HEAD", "b/k", None, None, "", 0.1)):
            session.display.observe(one)
        assert session.last_failure == "connection refused"


@pytest.mark.parametrize("response", RESPONSES, ids=lambda one: type(one).__name__)
def test_a_response_ends_the_failure(session: Session, response: events.Event) -> None:
    """The store works again."""
    session.display.observe(FAILED)
    session.display.observe(response)
    assert session.last_failure == ""
