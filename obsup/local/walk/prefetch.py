"""A walk that runs ahead of the sending, so far and no further."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from obsup import events
from obsup.local.walk.walk import Entry, FoundFile

# So many entries come at once, and so many times that may be ahead of what is sent.
CHUNK = 100
AHEAD = 100


class PrefetchedWalk:
    """Walks in a thread of its own, and *post*s lists of entries; an exception where the walk failed, None at its end.

    *observe* hears how many files have been met. Each list that was taken care of is to be told with ``taken``.
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
        self._room = threading.Semaphore(AHEAD)
        self._is_stopped = False
        self._thread = threading.Thread(target=self._walk, name="walk", daemon=True)

    def start(self) -> None:
        """Begin to walk."""
        self._thread.start()

    def taken(self) -> None:
        """Let another list come."""
        self._room.release()

    def stop(self) -> None:
        """Have the walk end, and wait until it has."""
        self._is_stopped = True
        self._room.release()
        self._thread.join()

    def _walk(self) -> None:
        files = size = 0
        try:
            for chunk in _chunks(self._entries):
                found = [entry for entry in chunk if isinstance(entry, FoundFile)]
                files += len(chunk)
                size += sum(entry.stat.size for entry in found)
                self._observe(events.Counted(files, size, is_all=False))
                self._room.acquire()
                if self._is_stopped:
                    return
                self._post(chunk)
            self._observe(events.Counted(files, size, is_all=True))
            self._post(None)
        except BaseException as exc:  # noqa: BLE001 - raised by who takes the lists
            self._post(exc)
        finally:
            # A walk holds folders and a table open: they end in the thread that opened them.
            close = getattr(self._entries, "close", None)
            if close is not None:
                close()


def _chunks(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Yield *entries* in lists: short ones at first, so that the sending begins at once."""
    chunk: list[Entry] = []
    wanted = 1
    for entry in entries:
        chunk.append(entry)
        if len(chunk) >= wanted:
            yield chunk
            chunk, wanted = [], min(CHUNK, 2 * wanted)
    if chunk:
        yield chunk
