"""Read directory entries ahead in a thread, up to a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice

from obsup import events
from obsup.local.walk.walk import Entry, FoundFile

MAX_LIST_ENTRIES = 100
# How many lists may wait for the consumer.
MAX_LISTS_AHEAD = 100
# How long a walk that is stopped may take to end, in seconds.
MAX_JOIN_S = 1.0


class PrefetchedWalk:
    """Walks in a separate thread and calls *post* with lists of entries.

    *post* gets an exception if the walk fails, and None at the end. *observe* gets the number of files so far. The
    consumer calls ``taken`` for each list.
    """

    def __init__(
        self,
        entries: Iterator[Entry],
        post: Callable[[list[Entry] | BaseException | None], None],
        observe: events.Observer,
    ) -> None:
        self._entries = entries
        self._post = post
        self._observe = observe
        self._room = threading.Semaphore(MAX_LISTS_AHEAD)
        self._is_stopped = False
        self._thread = threading.Thread(target=self._walk, name="walk", daemon=True)

    def start(self) -> None:
        """Start the walk."""
        self._thread.start()

    def taken(self) -> None:
        """Allow the walk to post another list."""
        self._room.release()

    def stop(self) -> None:
        """Stop the walk, and wait until it ends, unless it waits for a list or for a file system."""
        self._is_stopped = True
        self._room.release()
        self._thread.join(MAX_JOIN_S)

    def _walk(self) -> None:
        files = size = 0
        try:
            for entries in _lists(self._entries):
                files += len(entries)
                size += sum(entry.stat.size for entry in entries if isinstance(entry, FoundFile))
                self._observe(events.Counted(files, size, is_all=False))
                self._room.acquire()
                if self._is_stopped:
                    return
                self._post(entries)
            self._observe(events.Counted(files, size, is_all=True))
            self._post(None)
        except BaseException as exc:  # noqa: BLE001 - raised by the consumer
            self._post(exc)
        finally:
            # The walk has open folders and an open table, which must be closed in the thread that opened them.
            close = getattr(self._entries, "close", None)
            if close is not None:
                close()


def _lists(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Yield *entries* in lists: short ones first, so that the upload starts at once."""
    size = 1
    while batch := list(islice(entries, size)):
        yield batch
        size = min(MAX_LIST_ENTRIES, 2 * size)
