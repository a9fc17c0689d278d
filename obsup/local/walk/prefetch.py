"""Read directory entries ahead in a thread, up to a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice

from obsup import events
from obsup.local.platform.processes import start_thread
from obsup.local.walk.walk import Entry, FoundFile

MAX_LIST_ENTRIES = 100
# How many lists may wait for the consumer.
MAX_LISTS_AHEAD = 100
# How long a walk that is stopped may take to end, in seconds.
MAX_JOIN_S = 1.0


class PrefetchedWalk:
    """Walks in a separate thread and calls *post* with lists of entries.

    *post* gets an exception if the walk fails, and None at the end. *observe* gets the number of files so far. The
    consumer calls ``taken`` for each list. If no thread can be started, that walks on to the next list.
    """

    def __init__(
        self,
        entries: Iterator[Entry],
        post: Callable[[list[Entry] | BaseException | None], None],
        observe: events.Observer,
    ) -> None:
        self._entries = entries
        self._lists = _lists(entries)
        self._files = self._size = 0
        self._post = post
        self._observe = observe
        self._room = threading.Semaphore(MAX_LISTS_AHEAD)
        self._is_stopped = False
        self._thread = threading.Thread(target=self._walk, name="walk", daemon=True)

    def start(self) -> None:
        """Start the walk."""
        try:
            start_thread(self._thread)
        except RuntimeError:
            self._post_next()

    @property
    def _has_thread(self) -> bool:
        return self._thread.ident is not None

    def taken(self) -> None:
        """Allow the walk to post another list."""
        if self._has_thread:
            self._room.release()
        else:
            self._post_next()

    def stop(self) -> None:
        """Stop the walk, and wait until it ends, unless it waits for a list or for a file system."""
        self._is_stopped = True
        self._room.release()
        if self._has_thread:
            self._thread.join(MAX_JOIN_S)
        else:
            self._close()

    def _walk(self) -> None:
        while self._room.acquire() and not self._is_stopped and self._post_next():
            pass
        self._close()

    def _post_next(self) -> bool:
        """Post the next list, the end or the failure of the walk; return whether more may follow."""
        try:
            entries = next(self._lists, None)
            self._files += len(entries or ())
            self._size += sum(entry.stat.size for entry in entries or () if isinstance(entry, FoundFile))
            self._observe(events.Counted(self._files, self._size, is_all=entries is None))
        except BaseException as exc:  # noqa: BLE001 - raised by the consumer
            self._post(exc)
            return False
        self._post(entries)
        return entries is not None

    def _close(self) -> None:
        """Close open folders and tables, in the thread that opened them."""
        close = getattr(self._entries, "close", None)
        if close is not None:
            close()


def _lists(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Yield *entries* in lists: short ones first, so that the upload starts at once."""
    size = 1
    while batch := list(islice(entries, size)):
        yield batch
        size = min(MAX_LIST_ENTRIES, 2 * size)
