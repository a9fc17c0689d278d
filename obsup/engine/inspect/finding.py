"""One line of the report of ``doctor``."""

from __future__ import annotations

from collections.abc import Callable

from obsup.errors import NetworkError, ObsupError
from obsup.store.answers.failure_table import as_error
from obsup.value import Value


class Finding(Value):
    """The outcome of one check, or information.

    ``error`` is why the check failed. obsup works without a check that is not ``is_required``. ``is_check`` is false
    for information, which cannot fail.
    """

    name: str
    detail: str
    error: ObsupError | None = None
    is_required: bool = True
    is_check: bool = True


def information(name: str, detail: str) -> Finding:
    """Return a finding that cannot fail."""
    return Finding(name, detail, is_check=False)


def run_check(name: str, check: Callable[[], str]) -> Finding:
    """Return the detail that *check* returns, or why it failed."""
    try:
        return Finding(name, check())
    except NetworkError as exc:
        error = as_error(exc, doing=f"connecting to the store ({name})")
        if error.retryable:
            error = type(error)(
                error.what, "The check is made once; other commands retry for --retry-for", error.next_step
            )
        return Finding(name, str(exc), error)
    except ObsupError as exc:
        return Finding(name, exc.what, exc)
